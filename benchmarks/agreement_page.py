"""Scores of truth tables: from ``benchmarks/results/SUITE.json`` to ``docs/agreement.md``.

Every table row is a *predictor* of the joint runs: a preview method, a control, a rival at equal cost, or
the joint runs of another seed, whose disagreement is the floor that no predictor can be expected to pass.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.surface.agreement import agreement
from foretaste.surface.pareto import hypervolume, is_efficient
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights

ROOT = Path(__file__).parent
RESULTS = ROOT / "results"
DOCS = ROOT.parent / "docs"
SUITES = ("digits", "sentiment", "vision", "translation")
NOISE = "another seed"

COLUMNS = {
    "error": "error",
    "inside": "inside",
    "ratio": "of diagonal's",
    "rank": "rank tasks",
    "rank_mean": "rank mean",
    "rank_worst": "rank worst",
    "rank_top": "rank top",
    "regret_mean": "regret mean",
    "regret_worst": "regret worst",
    "loss_error": "loss error",
    "gap": "front gap",
}
INTRODUCTION = """# Previews against joint finetuning

Made by `python benchmarks/agreement.py page` from `benchmarks/results/*.json`. A truth table is joint finetuning at
every weighting of a lattice over the simplex, corners left out (there a preview is exact by law). Every row of a
table below predicts it:

- *error*: mean absolute difference of the headline metric (accuracy), over weightings and tasks; *inside*: the same
  where every task has weight; *of diagonal's*: the error as a multiple of the diagonal preview's in the same run;
- *rank*: Spearman's correlation over the weightings, of each task (averaged), of the mean over tasks, of the worst
  task, and of the mean among the quarter of weightings where joint finetuning is best;
- *regret*: what choosing by the predictor gives up in the joint runs' mean, or worst task;
- *loss error*: mean absolute difference of the validation loss; *front gap*: share of the joint front's hypervolume
  that is lost by taking the weightings that the predictor finds efficient (reference: the worst value of each task);
- *once* and *each*: cost in joint runs, once for all weightings (trainings, curvature and choices included) and for
  every weighting (evaluation left out, which all of them need).

Cells are the mean over runs, with the smallest and largest in brackets. *Another seed* is the truth table of the same
problem trained with another seed: the noise of joint finetuning itself. Controls say what an ensemble's gain is not due
to; rivals cost as much as sharpened previews and need no preview. Errors are over all weightings: at one of them, the
uniform one, an anchored preview is the joint run itself.
"""


@dataclass(frozen=True)
class Run:
    """One truth table with everything that predicts it."""

    data: Mapping[str, Any]
    headlines: Mapping[str, Headline]

    def surface(self, rows: Sequence[Mapping[str, Any]]) -> Surface:
        return Surface(self.headlines, tuple(self._row(row) for row in rows))

    def _row(self, row: Mapping[str, Any]) -> Evaluation:
        tasks, shares = list(self.headlines), row["weights"]
        metrics = {
            task: {name: each[place] for name, each in row.items() if name != "weights"}
            for place, task in enumerate(tasks)
        }
        return Evaluation(TaskWeights(tasks, [share / sum(shares) for share in shares]), metrics, Fidelity.JOINT, "")

    @property
    def truth(self) -> Surface:
        return self.surface(self.data["truth"])


def results() -> dict[str, dict[str, Any]]:
    """The kept results by suite."""
    return {suite: json.loads(path.read_text()) for suite in SUITES if (path := RESULTS / f"{suite}.json").is_file()}


def runs_of(suite: Mapping[str, Any]) -> list[Run]:
    headlines = {task: Headline(suite["metrics"][task]) for task in suite["tasks"]}
    return [Run(run, headlines) for run in suite["runs"]]


def predictors(run: Run, others: Sequence[Run]) -> Iterator[tuple[str, str, Surface, float, float]]:
    """Name, kind, rows, and costs of everything that predicts a run's truth."""
    for name, found in run.data["methods"].items():
        yield name, found["kind"], run.surface(found["rows"]), found["fixed_cost"], found["point_cost"]
    for other in others:
        if other.data["problem_seed"] == run.data["problem_seed"] and other.data["seed"] != run.data["seed"]:
            yield NOISE, "noise", other.truth, 0.0, 1.0


def scores(run: Run, guess: Surface) -> dict[str, float | None]:
    """Every column of a predictor's row."""
    truth = run.truth
    found = agreement(guess, truth)
    inner = tuple(row for row in truth.rows if min(row.weights.values()) > 0)
    ranks = [rank for rank in found.rank.values() if rank is not None]
    return {
        "error": _error(guess, truth),
        "inside": _error(guess, Surface(truth.headlines, inner)),
        "rank": mean(ranks) if ranks else None,
        "rank_mean": found.rank_mean,
        "rank_worst": found.rank_worst,
        "rank_top": found.rank_top,
        "regret_mean": found.regret_mean,
        "regret_worst": found.regret_worst,
        "loss_error": mean(found.loss_error.values()),
        "gap": _gap(guess, truth),
    }


def _error(guess: Surface, truth: Surface) -> float:
    """Over all weightings of the truth, an anchor's own one too."""
    rows = [found for row in truth.rows if (found := guess.at(row.weights))]
    return float(np.abs(Surface(truth.headlines, tuple(rows)).values() - truth.values()).mean())


def _gap(guess: Surface, truth: Surface) -> float:
    real = truth.values() * truth.signs
    seen = np.array(
        [
            (guess.at(row.weights) or row).metrics[task][line.metric]
            for row in truth.rows
            for task, line in truth.headlines.items()
        ]
    )
    chosen = is_efficient(seen.reshape(real.shape) * truth.signs)
    whole = hypervolume(real, real.min(axis=0))
    return 1 - hypervolume(real[chosen], real.min(axis=0)) / whole if whole else 0.0


def table_of(suite: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per predictor: kind, and per column the values over runs."""
    runs = runs_of(suite)
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        diagonal = scores(run, run.surface(run.data["methods"]["diagonal"]["rows"]))["error"] or 1.0
        for name, kind, guess, once, each in predictors(run, runs):
            line = found.setdefault(name, {"kind": kind, "once": [], "each": [], **{column: [] for column in COLUMNS}})
            numbers = scores(run, guess)
            for column, number in {
                **numbers,
                "ratio": (numbers["error"] or 0.0) / diagonal,
                "once": once,
                "each": each,
            }.items():
                line[column].append(number)
    return found


def choices_of(suite: Mapping[str, Any]) -> dict[str, tuple[list[float], list[float]]]:
    """Regret of mean and worst task of weights that are chosen without looking at anything."""
    found: dict[str, tuple[list[float], list[float]]] = {
        "uniform weights": ([], []),
        "data-proportional weights": ([], []),
    }
    for run in runs_of(suite):
        real = run.truth.values() * run.truth.signs
        even = next(
            place
            for place, row in enumerate(run.truth.rows)
            if len({round(share, 6) for share in row.weights.values()}) == 1
        )
        picked = {
            "uniform weights": real[even],
            "data-proportional weights": run.surface([run.data["proportional"]]).values()[0],
        }
        for name, values in picked.items():
            found[name][0].append(float(real.mean(1).max() - values.mean()))
            found[name][1].append(float(real.min(1).max() - values.min()))
    return found


def page(suites: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, from the results and the reading alone."""
    parts = [INTRODUCTION]
    for name, suite in suites.items():
        parts += _section(name, suite)
    reading = RESULTS / "reading.md"
    return "\n".join(parts) + ("\n" + reading.read_text() if reading.is_file() else "")


def _section(name: str, suite: Mapping[str, Any]) -> list[str]:
    table, runs = table_of(suite), suite["runs"]
    seeds = "; ".join(f"problem {run['problem_seed']}, training {run['seed']}" for run in runs)
    lines = [f"## {name}", "", *(f"- {key}: {value}" for key, value in suite["facts"].items())]
    lines += [
        f"- {len(runs[0]['truth'])} joint runs per truth table; seeds: {seeds}",
        f"- command: `{suite['command']}`",
    ]
    lines += [f"- {suite['versions']}; one joint run takes {mean(run['joint_seconds'] for run in runs):.1f} s", ""]
    lines += [f"![{name}: error of every predictor, and what it costs](agreement-{name}.svg)", ""]
    lines += ["| | " + " | ".join(COLUMNS.values()) + " | once | each |", "|---|" + "---|" * (len(COLUMNS) + 2)]
    for kind in ("preview", "anchored", "control", "sharpened", "rival", "noise"):
        for predictor, line in table.items():
            if line["kind"] == kind:
                cells = [_cell(line[column]) for column in COLUMNS]
                shown = predictor if kind in ("preview", "sharpened", "noise") else f"{predictor} ({kind})"
                lines.append(f"| {shown} | {' | '.join(cells)} | {mean(line['once']):.2f} | {mean(line['each']):.3f} |")
    lines += ["", "| chosen without looking | regret mean | regret worst |", "|---|---|---|"]
    lines += [
        f"| {choice} | {_cell(average)} | {_cell(worst)} |" for choice, (average, worst) in choices_of(suite).items()
    ]
    return [*lines, "", *_by_task(suite), ""]


def _by_task(suite: Mapping[str, Any]) -> list[str]:
    tasks = suite["tasks"]
    lines = ["| error, rank | " + " | ".join(tasks) + " |", "|---|" + "---|" * len(tasks)]
    runs = runs_of(suite)
    found: dict[str, dict[str, list[tuple[float, float | None]]]] = {}
    for run in runs:
        for name, _, guess, _, _ in predictors(run, runs):
            each = agreement(guess, run.truth)
            for task in tasks:
                found.setdefault(name, {}).setdefault(task, []).append((each.error[task], each.rank[task]))
    for name, by_task in found.items():
        cells = [
            f"{_cell([error for error, _ in by_task[task]])}, {_cell([rank for _, rank in by_task[task]])}"
            for task in tasks
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    if len(known) == 1:
        return f"{known[0]:.3f}"
    return f"{mean(known):.3f} [{min(known):.3f}, {max(known):.3f}]"


def write() -> None:
    (DOCS / "agreement.md").write_text(page(results()))
    print(f"wrote {DOCS / 'agreement.md'}")
