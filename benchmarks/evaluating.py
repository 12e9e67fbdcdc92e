"""Evaluating previews one by one on all validation data, against together, raced and with shared work remembered.

    python benchmarks/evaluating.py                                           # digits alone, on one thread
    python benchmarks/evaluating.py --data DATA --model FOLDER --study FOLDER # sentiment too, about 35 minutes

DATA holds sentiment/*/{train,validation}.jsonl, FOLDER after --model is a transformers checkpoint of all-MiniLM-L6-v2,
and the study's folder keeps the single-task models, so that they are trained once; everything else is measured anew.
Without them what the file of results has of sentiment stays.

All previews are by simple averaging. Seconds are the process's (CPU). On digits ways alternate, each figure is the
median over repetitions of the ratio; on sentiment each preview is evaluated in every way in turn, once. "Usual" is one
preview after the other on all validation data in float32, in batches of 128, merging included; "bf16" the same by
`preview: {mixed_precision: bf16}`, with what is frozen remembered; a race by that includes its keeping of slices. The
decision is the best preview for the mean over tasks and for the worst task, on all validation data, in float32.
``orders``: the same race on the results per example that were measured in float32, for 20 random orders of the data.
"""

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretaste import __version__
from foretaste.evaluate import Result, evaluate
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.loading import load
from foretaste.methods.previews import memory_of
from foretaste.methods.site_set import Merger
from foretaste.plan import Recipe
from foretaste.recipe import parse
from foretaste.simplex import lattice
from foretaste.sources.problem import Problem
from foretaste.store.study import StudyStore
from foretaste.surface.choose import choose
from foretaste.surface.preference import Preference
from foretaste.surface.race import ERROR, Goal, Tally, compare_candidates
from foretaste.surface.table import Array, Surface, headlines
from foretaste.together import evaluate_each
from foretaste.weights import TaskWeights, corners
from foretaste.work.judge import row_of, use_precision
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare_merger, preview
from foretaste.workflow.race import race
from foretaste.workflow.session import Session
from foretaste.workflow.start import start

HERE = Path(__file__).parent
OUT = HERE / "results" / "evaluating.json"
DIGITS = HERE.parent / "src" / "foretaste" / "recipes" / "digits.yaml"
GOALS = {kind: Preference(kind, {}) for kind in ("mean", "worst")}
FREEZE = '  freeze: [embeddings, "encoder.layer.[0-2]"]'
LOOKS, ORDERS, REPEATS = 8, 20, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--study", type=Path)
    asked = parser.parse_args()
    if len({asked.data is None, asked.model is None, asked.study is None}) > 1:
        parser.error("give --data, --model and --study together, or none of them")
    torch.set_num_threads(1)
    before = json.loads(OUT.read_text()) if OUT.exists() else {}
    facts = {
        "command": "python benchmarks/evaluating.py --data DATA --model FOLDER --study FOLDER",
        "versions": f"foretaste {__version__}, torch {torch.__version__}, Python {platform.python_version()}, 1 thread",
        "seconds": "of the process",
    }
    found: dict[str, Any] = {"digits": [digits(seed) for seed in range(3)]}
    if asked.data is not None:
        found["sentiment"] = list(sentiment(asked.data, asked.model, asked.study))
    dated = {name: {"date": time.strftime("%Y-%m-%d"), "runs": runs} for name, runs in found.items()}
    data = facts | {name: dated.get(name) or before.get(name) for name in ("digits", "sentiment")}
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.4g}"))
    OUT.write_text(json.dumps(rounded, indent=1) + "\n")


def told(figures: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(figures, indent=1), flush=True)
    return figures


@contextmanager
def at_work(recipe: Recipe, text: str, problem: Problem, folder: Path) -> Iterator[Session]:
    session = start(recipe, text, problem, folder)
    with session.study:
        yield session


def seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def digits(seed: int) -> dict[str, Any]:
    """66 previews of three tasks."""
    text = DIGITS.read_text().replace("seed: 0", f"seed: {seed}")
    recipe = parse(text)
    problem = load(recipe, text, str(DIGITS))
    with tempfile.TemporaryDirectory() as folder:
        with at_work(recipe, text, problem, Path(folder, "fitted")) as session:
            fit(session)
            points = lattice(problem.names, 10)
            merged = prepare_merger(session, "simple")[1]
        model, tasks, many = problem.model, problem.tasks, [merged.merge(weights).params for weights in points]
        results = [evaluate(model, params, tasks) for params in many]
        rows = [
            row_of(each, at, Fidelity.PREVIEW, "simple", seed=session.recipe.seed, cost=0.0)
            for at, each in zip(points, results, strict=True)
        ]
        times: dict[str, list[float]] = {"one by one": [], "together": [], "merging": []}
        for _ in range(REPEATS + 1):
            times["one by one"].append(seconds(lambda: [evaluate(model, params, tasks) for params in many]))
            times["together"].append(seconds(lambda: evaluate_each(model, many, tasks)))
            times["merging"].append(seconds(lambda: [merged.merge(weights) for weights in points]))
        stacked = [
            row_of(each, at, Fidelity.PREVIEW, "simple", seed=session.recipe.seed, cost=0.0)
            for at, each in zip(points, evaluate_each(model, many, tasks), strict=True)
        ]
        races = {kind: _digits_race(recipe, text, problem, Path(folder), points, kind, rows) for kind in GOALS}
        command = [_command(recipe, text, problem, Path(folder), points) for _ in range(3)]
    slow, fast, merging = (times[name][1:] for name in ("one by one", "together", "merging"))
    return told(
        {
            "seed": seed,
            "previews": len(points),
            "examples": sum(len(task.validation) for task in tasks),
            **{f"{name}, seconds": statistics.median(found[1:]) for name, found in times.items()},
            "ratio": statistics.median(one / other for one, other in zip(slow, fast, strict=True)),
            "ratio with merging": statistics.median(
                (a + c) / (b + c) for a, b, c in zip(slow, fast, merging, strict=True)
            ),
            "preview with its study, seconds": statistics.median(command),
            "largest difference of a metric": max(
                _difference(one, other) for one, other in zip(rows, stacked, strict=True)
            ),
            "same best": {kind: best(problem, rows, kind) == best(problem, stacked, kind) for kind in GOALS},
            "race": races,
        }
    )


def _command(recipe: Recipe, text: str, problem: Problem, folder: Path, points: Sequence[TaskWeights]) -> float:
    with _fresh(folder) as copy, at_work(recipe, text, problem, copy) as session:
        fit(session)
        return seconds(lambda: preview(session, ["simple"], points))


def _digits_race(
    recipe: Recipe,
    text: str,
    problem: Problem,
    folder: Path,
    points: Sequence[TaskWeights],
    kind: str,
    rows: Sequence[Evaluation],
) -> dict[str, Any]:
    with _fresh(folder) as copy, at_work(recipe, text, problem, copy) as session:
        fit(session)
        begin = time.process_time()
        found = race(session, "simple", points, GOALS[kind])
        spent = time.process_time() - begin
    return {
        "seconds": spent,
        "evaluated": found.evaluated / found.whole,
        "same best": found.best == best(problem, rows, kind),
    }


@contextmanager
def _fresh(folder: Path) -> Iterator[Path]:
    """A copy of the study with nothing but its single-task models."""
    with tempfile.TemporaryDirectory(dir=folder) as other:
        shutil.copytree(folder / "fitted", Path(other) / "study")
        yield Path(other) / "study"


def best(problem: Problem, rows: Sequence[Evaluation], kind: str) -> TaskWeights:
    return choose(Surface(headlines(problem.tasks), tuple(rows)), GOALS[kind]).weights


def _difference(one: Evaluation, other: Evaluation, only: str | None = None) -> float:
    pairs = [
        (name, value, other.metrics[task][name]) for task, found in one.metrics.items() for name, value in found.items()
    ]
    return max(abs(value - its) for name, value, its in pairs if only in (None, name))


def sentiment(data: Path, model: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """36 previews of three tasks by the recipe as it is, of two training seeds, and with half of the model frozen."""
    variables = {"data": str(data), "minilm": str(model)}
    source = HERE / "recipes" / "sentiment.yaml"
    halved = source.read_text().replace("  steps: 60", f"  steps: 60\n{FREEZE}")
    for name, seed, text in (
        ("whole", 0, source.read_text()),
        ("whole", 1, source.read_text()),
        ("half frozen", 0, halved),
    ):
        recipe = parse(text, str(source), variables | {"seed": str(seed)}, source.parent)
        problem = load(recipe, text, str(source))
        kept = folder / f"{name.replace(' ', '-')}-{seed}" / "fitted"
        with at_work(recipe, text, problem, kept) as session:
            yield told({"recipe": name, "seed": seed, **_timed(session, kept.parent)})


def _surface(problem: Problem, rows: Sequence[Evaluation]) -> dict[str, Any]:
    values = np.sort(Surface(headlines(problem.tasks), tuple(rows)).values().mean(1))[::-1]
    return {
        "previews": len(rows),
        "examples": sum(len(task.validation) for task in problem.tasks),
        "within 0.005 and 0.01 of the best mean accuracy": [
            int((values[0] - values <= near).sum()) for near in (0.005, 0.01)
        ],
    }


def _timed(session: Session, folder: Path) -> dict[str, Any]:
    fit(session)
    problem = session.problem
    points, merged = lattice(problem.names, 7), prepare_merger(session, "simple")[1]
    seconds, usual, narrow = _ways(session, merged, points)
    rows, others = (
        [
            row_of(each, at, Fidelity.PREVIEW, "simple", seed=session.recipe.seed, cost=0.0)
            for at, each in zip(points, results, strict=True)
        ]
        for results in (usual, narrow)
    )
    bests = {kind: best(problem, rows, kind) for kind in GOALS}
    races = {
        f"race for the {kind} in {'bf16' if each is not session else 'float32'}": _raced(
            each, folder, points, kind, rows, seconds["usual"]
        )
        for kind, each in (("mean", session), ("mean", _narrow(session)), ("worst", _narrow(session)))
    }
    predicted = [{name: each.predicted for name, each in result.items()} for result in usual]
    return {
        **_surface(problem, rows),
        **{f"{way}, seconds": spent for way, spent in seconds.items()},
        **{f"ratio of {way}": seconds["usual"] / spent for way, spent in seconds.items() if way != "usual"},
        "same best in bf16": {kind: best(problem, others, kind) == each for kind, each in bests.items()},
        "largest difference of an accuracy in bf16": max(
            _difference(*pair, only="accuracy") for pair in zip(rows, others, strict=True)
        ),
        **races,
        "orders": {kind: orders(problem, points, predicted, kind) for kind in GOALS},
    }


def _narrow(session: Session) -> Session:
    plan = session.recipe.preview.model_copy(update={"mixed_precision": "bf16"})
    return replace(session, recipe=session.recipe.model_copy(update={"preview": plan}))


def _raced(
    session: Session, folder: Path, points: Sequence[TaskWeights], kind: str, rows: Sequence[Evaluation], usual: float
) -> dict[str, Any]:
    """A race in a study of its own, against what was found of all previews in float32."""
    truth = {row.weights: row for row in rows}
    with tempfile.TemporaryDirectory(dir=folder) as copy:
        shutil.copytree(folder / "fitted", Path(copy) / "study")
        with StudyStore.open(Path(copy) / "study") as study:
            other = replace(session, study=study)
            fit(other)
            begin = time.process_time()
            found = race(other, "simple", points, GOALS[kind])
            spent = time.process_time() - begin
    return {
        "seconds": spent,
        "ratio": usual / spent,
        "evaluated": found.evaluated / found.whole,
        "rows": len(found.rows),
        "undecided": len(found.undecided),
        "same best": found.best == best(session.problem, rows, kind),
        "largest difference of an accuracy": max(
            _difference(row, truth[row.weights], only="accuracy") for row in found.rows
        ),
    }


def _ways(
    session: Session, merged: Merger, points: Sequence[TaskWeights]
) -> tuple[dict[str, float], list[Mapping[str, Result]], list[Mapping[str, Result]]]:
    """Seconds of all previews one after the other, in every way in turn; what they gave in float32 and in bf16."""
    model, tasks, memory = session.problem.model, session.problem.tasks, memory_of(session, merged)
    seconds, usual, narrow = dict[str, float](), list[Mapping[str, Result]](), list[Mapping[str, Result]]()

    def timed(way: str, weights: TaskWeights) -> Mapping[str, Result]:
        begin = time.process_time()
        found = evaluate(model, merged.merge(weights).params, tasks)
        seconds[way] = seconds.get(way, 0.0) + time.process_time() - begin
        return found

    narrowed = memory_of(session, merged)
    for weights in points:
        usual.append(timed("usual", weights))
        if memory.modules:
            with memory.at_work():
                remembered = timed("remembering", weights)
            if not all(torch.equal(each.losses, remembered[task].losses) for task, each in usual[-1].items()):
                raise SystemExit(f"what is remembered changes the losses at {weights}")
        with narrowed.at_work(), use_precision(_narrow(session)):
            narrow.append(timed("bf16", weights))
    return seconds, usual, narrow


def orders(
    problem: Problem, points: Sequence[TaskWeights], predicted: Sequence[Mapping[str, Tensor]], kind: str
) -> dict[str, Any]:
    """The share of evaluations that a race makes, and whether it ends at the best, over random orders of the data."""
    added = {}
    for task in problem.tasks:
        labels = torch.stack([task.validation[index]["labels"] for index in range(len(task.validation))])
        added[task.name] = np.stack([(each[task.name] == labels).numpy().astype(float) for each in predicted])
    goal, alone = (
        Goal(headlines(problem.tasks), GOALS[kind]),
        [points.index(corner) for corner in corners(problem.names)],
    )
    runs = [_race(added, goal, alone, seed) for seed in range(ORDERS)]
    return {
        "evaluated": {
            "mean": float(np.mean([share for share, _ in runs])),
            "least": min(runs)[0],
            "most": max(runs)[0],
        },
        "same best": sum(same for _, same in runs),
        "of": ORDERS,
    }


def _race(added: Mapping[str, Array], goal: Goal, alone: Sequence[int], seed: int) -> tuple[float, bool]:
    random = np.random.default_rng(seed)
    shuffled = {task: each[:, random.permutation(each.shape[1])] for task, each in added.items()}
    full = goal.measures(np.stack([each.mean(1) for each in added.values()], -1))
    running, evaluated = np.arange(len(full)), 0
    for look in range(1, LOOKS + 1):
        ends = {
            task: [-(-each.shape[1] * (look - back) // LOOKS) for back in (1, 0)] for task, each in shuffled.items()
        }
        evaluated += len(running) * sum(end - begin for begin, end in ends.values())
        if look < LOOKS:
            seen = {
                task: Tally(each[running, : ends[task][1]], np.ones(ends[task][1]), each.shape[1])
                for task, each in shuffled.items()
            }
            found = compare_candidates(seen, goal, ERROR / LOOKS, seed=look)
            running = running[~found.beaten | np.isin(running, alone)]
    whole = len(full) * sum(each.shape[1] for each in added.values())
    return evaluated / whole, bool(full[running].max() >= full.max() - 1e-9)


if __name__ == "__main__":
    main()
