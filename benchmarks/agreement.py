"""Previews against joint finetuning: truth tables, every method, its controls and its rivals.

    python benchmarks/agreement.py run digits                                          # minutes on two cores
    python benchmarks/agreement.py run sentiment --var data=DATA --var minilm=FOLDER   # hours; resumes
    python benchmarks/agreement.py run vision --var data=DATA --var mobilenet=FOLDER   # hours; resumes
    python benchmarks/agreement.py run translation --var data=DATA --var t5=FOLDER     # an hour; resumes
    python benchmarks/agreement.py page                                                # docs/agreement.md alone
    python benchmarks/agreement_figures.py                                             # its figures (extra bench)

A suite is run for several problem seeds (the pretrained model and its data) and training seeds. Each pair is a
study below ``--folder``, so whatever was done is found; when it is complete it is added to
``benchmarks/results/SUITE.json``, which the page and its figures are made from. The truth table is joint
finetuning at every weighting of the recipe. OMP_NUM_THREADS=1 is best for digits; two suites side by side are best
with one thread each.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import agreement_page
from foretaste.evaluation import Evaluation
from foretaste.loading import load
from foretaste.method_table import METHOD_TABLE
from foretaste.recipe import Recipe, read
from foretaste.report.progress import watching
from foretaste.sources.problem import Problem
from foretaste.weights import TaskWeights, corners
from foretaste.whole import write_whole
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import fit
from foretaste.workflow.points import joint_points
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews, train_briefly
from foretaste.workflow.start import start

ROOT = Path(__file__).parent
RESULTS = ROOT / "results"


@dataclass(frozen=True)
class Suite:
    """What is run.

    Args:
        problems: Seeds of the pretrained model and the data.
        seeds: Training seeds for each.
        bases: Previews that are sharpened.
        sharpened: Shares of a joint run's steps that previews are sharpened by.
        cut: Shares that the rival joint runs are cut to.
    """

    problems: tuple[int, ...]
    seeds: tuple[int, ...]
    bases: tuple[str, ...] = ("diagonal",)
    sharpened: tuple[float, ...] = (0.02, 0.1)
    cut: tuple[float, ...] = (0.05, 0.1)


SUITES = {
    "digits": Suite((0, 1, 2), (0, 1), bases=("diagonal", "kronecker")),
    "sentiment": Suite((0,), (0, 1)),
    "vision": Suite((0,), (0, 1)),
    "sentiment5": Suite((0,), (0, 1), bases=()),
    "translation": Suite((0,), (0, 1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run a suite, or go on with it")
    run.add_argument("suite", choices=list(SUITES))
    run.add_argument("--folder", type=Path, default=Path("agreement-studies"), help="where the studies are kept")
    run.add_argument("--var", action="append", default=[], metavar="NAME=VALUE", help="variables of the recipe")
    run.add_argument("--methods", default=",".join(METHOD_TABLE), help="comma-separated; all if left out")
    run.add_argument("--only", help="one study alone, as PROBLEM-SEED, for example 0-1")
    run.add_argument("--no-steps", action="store_true", help="leave out sharpened previews and joint runs cut short")
    verbs.add_parser("page", help="write docs/agreement.md from the results")
    asked = parser.parse_args()
    if asked.verb == "run":
        variables = dict(pair.split("=", 1) for pair in asked.var)
        run_suite(asked.suite, asked.folder, variables, asked.methods.split(","), asked.only, not asked.no_steps)
    else:
        agreement_page.write()


def run_suite(
    name: str, folder: Path, variables: Mapping[str, str], methods: Sequence[str], only: str | None, steps: bool
) -> None:
    path = ROOT / "recipes" / f"{name}.yaml"
    for problem_seed in SUITES[name].problems:
        recipe, text = read(path, {**variables, "seed": str(problem_seed)})
        problem = load(recipe, text, str(path))
        for seed in SUITES[name].seeds:
            if only is not None and only != f"{problem_seed}-{seed}":
                continue
            own = recipe.model_copy(update={"seed": seed})
            with watching(Console(stderr=True)) as watch:
                session = start(own, text, problem, folder / f"{name}-p{problem_seed}-r{seed}", watch)
                with session.study:
                    run = one_run(session, SUITES[name] if steps else replace(SUITES[name], bases=(), cut=()), methods)
            command = f"python benchmarks/agreement.py run {name}" + "".join(
                f" --var {key}={key.upper()}" for key in variables
            )
            keep(name, command, recipe, problem, {"problem_seed": problem_seed, "seed": seed, **run})


def keep(name: str, command: str, recipe: Recipe, problem: Problem, run: Mapping[str, Any]) -> None:
    """Add a run to the suite's results, in place of an earlier one of the same seeds."""
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text())["runs"] if path.is_file() else []
    seeds = (run["problem_seed"], run["seed"])
    runs = [found for found in before if (found["problem_seed"], found["seed"]) != seeds]
    data = {
        "suite": name,
        "command": command,
        "versions": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "date": time.strftime("%Y-%m-%d"),
        "facts": described(recipe, problem),
        "tasks": problem.names,
        "metrics": {task.name: task.metrics[0].name for task in problem.tasks},
        "runs": sorted([*runs, run], key=lambda found: (found["problem_seed"], found["seed"])),
    }
    write(path, data)


def described(recipe: Recipe, problem: Problem) -> dict[str, str]:
    plan = recipe.finetune
    rows = ", ".join(f"{task.name} {len(task.train)}/{len(task.validation)}" for task in problem.tasks)
    facts = {key: value for key, value in problem.facts if key != "model"}  # a path of one machine
    return {
        **facts,
        "rows (train/validation)": rows,
        "training": f"{plan.steps} steps of {plan.batch_size}, {plan.optimizer}, learning rate {plan.learning_rate:g}",
        "curvature": f"{recipe.curvature.labels} labels, {recipe.curvature.max_examples or 'all'} examples a task",
        "runs per task in ensembles": str(recipe.ensemble.members),
    }


def one_run(session: Session, suite: Suite, methods: Sequence[str]) -> dict[str, Any]:
    """Truth, every method, controls and rivals of one study, as JSON."""
    points = joint_points(session.recipe, session.problem)
    fit(session)
    truth = confirm(session, points)
    seconds = statistics.mean(done.seconds for done in session.study.all_work("joint"))
    judging = statistics.mean(row.cost for row in truth) - statistics.mean(
        _joint_seconds(session, row.weights) for row in truth
    )
    cost = _Cost(seconds, judging)
    found = {name: _previewed(session, name, points, cost) for name in methods}
    total = session.joint_training.steps
    for base in suite.bases:
        once = prepare_merger(session, base)[0].seconds
        for share in suite.sharpened:
            steps = max(1, round(share * total))
            rows = sharpen_previews(session, base, steps, points)
            found[f"{base} + {share:.0%}"] = cost.of(
                rows, once, "sharpened", f"{base} preview + {steps} of {total} joint steps"
            )
    for share in suite.cut:
        steps = max(1, round(share * total))
        found[f"joint cut to {share:.0%}"] = cost.of(
            train_briefly(session, steps, points), 0.0, "rival", f"joint run cut to {steps} of {total} steps"
        )
    count = sum(len(task.train) for task in session.problem.tasks)
    proportional = TaskWeights(session.problem.names, [len(task.train) / count for task in session.problem.tasks])
    single = preview(session, ["simple"], corners(session.problem.names))
    return {
        "joint_seconds": seconds,
        "judging_seconds": judging,
        "single": {str(row.weights.corner): _row(row) for row in single},
        "truth": [_row(row) for row in truth],
        "methods": found,
        "proportional": _row(confirm(session, [proportional])[0]),
    }


def _joint_seconds(session: Session, weights: TaskWeights) -> float:
    return next(done.seconds for done in session.study.all_work("joint") if done.inputs["weights"] == weights.key)


@dataclass(frozen=True)
class _Cost:
    """Seconds of one joint run, and of one evaluation on all tasks' validation data."""

    joint: float
    judging: float

    def of(
        self, rows: Sequence[Evaluation], fixed: float, kind: str, title: str, details: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Rows with their costs in joint runs: once for all weightings, and for each without its evaluation."""
        each = max(0.0, statistics.mean(row.cost for row in rows) - self.judging)
        costs = {"fixed_cost": fixed / self.joint, "point_cost": each / self.joint}
        return {
            "kind": kind,
            "title": title,
            **costs,
            "details": dict(details or {}),
            "rows": [_row(row) for row in rows],
        }


def _previewed(session: Session, name: str, points: Sequence[TaskWeights], cost: _Cost) -> dict[str, Any]:
    method, sites = METHOD_TABLE[name], prepare(session, name)
    rows = preview(session, [name], points)
    kind = "control" if method.is_control else "anchored" if name == "anchored" else "preview"
    prior = prepare_merger(session, name)[1].prior.precision if method.has_curvature else None
    details = {
        **sites.options,
        **({"prior_precision": prior.to_tensors()["scale"].item()} if prior is not None else {}),
    }
    return cost.of(rows, sites.seconds, kind, method.title, details)


def _row(row: Evaluation) -> dict[str, list[float]]:
    """Weights and metrics as columns over the tasks."""
    names = row.metrics[row.weights.names[0]]
    return {
        "weights": list(row.weights.shares),
        **{name: [row.metrics[task][name] for task in row.weights] for name in names},
    }


def write(path: Path, data: Mapping[str, Any]) -> None:
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.6g}"))
    write_whole(path, lambda temporary: temporary.write_text(json.dumps(rounded, separators=(",", ":")) + "\n"))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
