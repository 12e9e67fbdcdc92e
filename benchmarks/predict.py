"""Predicted joint surfaces against truth tables: error, coverage and time.

    python benchmarks/predict.py                      # on one thread; reads benchmarks/results/{digits,sentiment,vision}.json
    python benchmarks/predict.py --only digits:0,1    # the problems that constants were set on; writes nothing

Of each truth table a few joint runs are known, drawn at random, and the others are predicted; single-task models and
previews are known everywhere. Two sets of previews are tried: ``merged`` (simple, diagonal, Kronecker) and ``all``
(also the diagonal preview sharpened by 2 % and by 10 % of a joint run's steps, and, where joint runs are known,
anchored, which needs the one at uniform weights: that one is then always among them). The predictor's constants were
set on problems 0 and 1 of digits.

Rivals are given an advantage: the best preview, and the best affine calibration of one (least squares on known runs
and single-task models, on the predictor's scale), are the best in hindsight, task by task. Joint runs alone are
predicted by the same predictor without previews, and by scikit-learn's Gaussian process in sqrt(alpha).
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from foretaste.surface.predict import predict, predictor
from foretaste.surface.scales import scale_of
from foretaste.surface.table import Array, Headline, Surface
from foretaste.task import Evaluation, Fidelity
from foretaste.weights import TaskWeights, corners, dirichlet, uniform

RESULTS = Path(__file__).parent / "results"
MERGED = ("simple", "diagonal", "kronecker")
PREVIEWS = {"merged": MERGED, "all": (*MERGED, "anchored", "diagonal + 2%", "diagonal + 10%")}
DRAWS = {"digits": 4, "sentiment": 12, "vision": 12}
GROUPS = {
    "digits, problems 0 and 1 (tuned on)": ("digits", (0, 1)),
    "digits, problem 2": ("digits", (2,)),
    "sentiment": ("sentiment", (0,)),
    "vision": ("vision", (0,)),
}
JOINT = (0, 3, 5, 8)


@dataclass(frozen=True)
class Table:
    """One truth table.

    Args:
        truth: Joint rows alone.
        previews: By method.
        singles: Single-task models, as joint rows.
    """

    truth: Surface
    previews: Mapping[str, tuple[Evaluation, ...]]
    singles: tuple[Evaluation, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="SUITE:PROBLEM,PROBLEM; nothing is written")
    asked = parser.parse_args()
    if asked.only:
        suite, problems = asked.only.split(":")
        for found in judged(suite, [int(problem) for problem in problems.split(",")]):
            print(shown(found))
        return
    start = time.perf_counter()
    figures = []
    for name, (suite, problems) in GROUPS.items():
        for row in judged(suite, problems):
            figures.append({"group": name, **row})
            print(shown(figures[-1]), flush=True)
    data = {
        "command": "python benchmarks/predict.py",
        "date": time.strftime("%Y-%m-%d"),
        "versions": f"numpy {np.__version__}, scikit-learn {sklearn.__version__}, 1 thread",
        "seeds": "draw d of a run has seed d; sentiment, vision 12 draws a run, digits 4",
        "interval": "90 %, of a single joint run's measured metric",
        "seconds": time.perf_counter() - start,
        "speed": speed(),
        "figures": figures,
    }
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.4g}"))
    (RESULTS / "predict.json").write_text(json.dumps(rounded, indent=1) + "\n")


def shown(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{key} {value:.3f}" if isinstance(value, float) else str(value) for key, value in row.items())


def tables(suite: str, problems: Sequence[int]) -> Iterator[Table]:
    data = json.loads((RESULTS / f"{suite}.json").read_text())
    tasks, best = data["tasks"], headlines_of(data)
    for run in data["runs"]:
        if run["problem_seed"] in problems:
            truth = [_row(found, tasks, Fidelity.JOINT, "joint") for found in run["truth"]]
            singles = tuple(_row(run["single"][task], tasks, Fidelity.JOINT, "joint") for task in tasks)
            previews = {
                name: tuple(_row(found, tasks, _fidelity(name), name) for found in [*run["methods"][name]["rows"], *run["single"].values()])
                for name in PREVIEWS["all"]
            }
            yield Table(Surface(best, tuple(truth), inside=suite == "vision"), previews, singles)


def headlines_of(data: Mapping[str, Any]) -> dict[str, Headline]:
    """With the number of validation examples that the suite's facts tell."""
    rows = dict(part.rsplit(" ", 1) for part in data["facts"]["rows (train/validation)"].split(", "))
    return {task: Headline(metric, examples=int(rows[task].split("/")[1])) for task, metric in data["metrics"].items()}


def _fidelity(name: str) -> Fidelity:
    return Fidelity.SHARPENED if "+" in name else Fidelity.PREVIEW


def _row(found: Mapping[str, list[float]], tasks: Sequence[str], fidelity: Fidelity, method: str) -> Evaluation:
    total = sum(found["weights"])
    metrics = {task: {name: column[place] for name, column in found.items() if name != "weights"} for place, task in enumerate(tasks)}
    return Evaluation(TaskWeights(tasks, [weight / total for weight in found["weights"]]), metrics, fidelity, method)


def judged(suite: str, problems: Sequence[int]) -> Iterator[dict[str, Any]]:
    for metric in ("accuracy", "loss"):
        for previews, methods in PREVIEWS.items():
            for count in JOINT:
                usable = [method for method in methods if count or method != "anchored"]
                found = [
                    one(table, usable, count, metric, seed)
                    for table in tables(suite, problems)
                    for seed in range(DRAWS[suite] if count else 1)
                ]
                yield {"metric": metric, "previews": previews, "joint": count} | {
                    key: float(np.mean([figures[key] for figures in found])) for key in found[0]
                }


def one(table: Table, methods: Sequence[str], count: int, metric: str, seed: int) -> dict[str, float]:
    """Errors of the prediction and of its rivals, and coverage, on the joint runs that are not known."""
    order = np.random.default_rng(seed).permutation(len(table.truth.rows)).tolist()
    if "anchored" in methods:
        order.sort(key=lambda place: table.truth.rows[place].weights != uniform(table.truth.tasks))
    known = tuple(table.truth.rows[place] for place in order[:count])
    hidden = replace(table.truth, rows=tuple(table.truth.rows[place] for place in order[count:]))
    real, points = hidden.values(metric), [row.weights for row in hidden.rows]
    cheap = {name: replace(table.truth, rows=table.previews[name]) for name in methods}
    given = replace(table.truth, rows=(*table.singles, *known, *(row for name in methods for row in table.previews[name])))
    bare = replace(table.truth, rows=(*table.singles, *known))
    found = predict(given, points, metric)
    inside, drawn = (real >= found.low - 1e-9) & (real <= found.high + 1e-9), found.draw(400, seed, measured=True).mean(2)
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    return {
        "error": _error(found.median, real),
        "coverage": float(inside.mean()),
        "width": float((found.high - found.low).mean()),
        "coverage of the mean": float(((real.mean(1) >= low) & (real.mean(1) <= high)).mean()),
        "best preview": _hindsight([_at(cheap[name], points, metric) for name in methods], real),
        "affine": _hindsight([_affine(cheap[name], bare, points, metric) for name in methods], real),
        "no previews": _error(predict(bare, points, metric).median, real),
        "joint alone": _error(_alone(bare, points, metric), real),
    }


def _error(seen: Array, real: Array) -> float:
    return float(np.abs(seen - real).mean())


def _hindsight(seen: Sequence[Array], real: Array) -> float:
    """The mean over tasks of the least error that any of them has."""
    return float(np.min([np.abs(each - real).mean(0) for each in seen], axis=0).mean())


def _at(surface: Surface, points: Sequence[TaskWeights], metric: str) -> Array:
    return replace(surface, rows=tuple(row for point in points if (row := surface.at(point)))).values(metric)


def _counts(known: Surface) -> list[list[int]]:
    """For each task, the known rows that say something of it."""
    return [[place for place, row in enumerate(known.rows) if not known.inside or row.weights[task] > 0] for task in known.tasks]


def _affine(cheap: Surface, known: Surface, points: Sequence[TaskWeights], metric: str) -> Array:
    scale, found = scale_of(metric, known.values(metric)), []
    seen, left = scale.forward(_at(cheap, points, metric)), scale.forward(_at(cheap, [row.weights for row in known.rows], metric))
    for task, rows in enumerate(_counts(known)):
        x, y = left[rows, task], scale.forward(known.values(metric))[rows, task]
        slope, offset = np.polyfit(x, y, 1) if len(rows) > 2 else (1.0, float(np.mean(y - x)))
        found.append(scale.backward(offset + slope * seen[:, task]))
    return np.stack(found, axis=1)


def _alone(known: Surface, points: Sequence[TaskWeights], metric: str) -> Array:
    scale, found = scale_of(metric, known.values(metric)), []
    there = np.sqrt([list(point.values()) for point in points])
    for task, rows in enumerate(_counts(known)):
        kernel = ConstantKernel() * RBF(0.5) + WhiteKernel(0.01)
        process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(np.sqrt(known.alphas()[rows]), scale.forward(known.values(metric))[rows, task])
        found.append(scale.backward(process.predict(there)))
    return np.stack(found, axis=1)


def speed() -> dict[str, dict[str, float]]:
    """Seconds for 10 tasks, 500 previews of 5 methods and some joint runs: to learn, for 66 weightings, and for one more."""
    return {f"{count} joint runs": _speed(count) for count in (0, 50)}


def _speed(count: int) -> dict[str, float]:
    tasks, random = [f"task{place}" for place in range(10)], np.random.default_rng(0)
    made = [(Fidelity.PREVIEW, f"method{place}", corners(tasks) + dirichlet(tasks, 90, random)) for place in range(5)]
    rows = tuple(
        Evaluation(
            weights, {task: {"accuracy": 0.4 + 0.5 * weights[task] ** 0.3 + 0.02 * random.random()} for task in tasks}, fidelity, method
        )
        for fidelity, method, points in [*made, (Fidelity.JOINT, "joint", dirichlet(tasks, count, random))]
        for weights in points
    )
    times = [time.perf_counter()]
    learned = predictor(Surface({task: Headline("accuracy") for task in tasks}, rows))
    times.append(time.perf_counter())
    for points in (66, 1):
        learned.at(dirichlet(tasks, points, random))
        times.append(time.perf_counter())
    return dict(zip(("learn", "66 weightings", "1 weighting"), np.diff(times).tolist(), strict=True))


if __name__ == "__main__":
    main()
