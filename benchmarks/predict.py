"""Predicted joint surfaces against truth tables: error, coverage and time.

    python benchmarks/predict.py                 # on one thread; reads benchmarks/results/{digits,sentiment,...}.json
    python benchmarks/predict.py --only vision   # one suite; nothing is written

Of each truth table a few joint runs are known, drawn at random (a single one is at uniform weights), and the others are
predicted; single-task models and previews are known everywhere. Three sets of previews are tried: ``averaging`` alone,
``merged`` (simple, diagonal, Kronecker) and, where the tables have them, ``all`` (also the diagonal preview sharpened
by 2 % and by 10 % of a joint run's steps, and, where joint runs are known, anchored, which needs the one at uniform
weights: that one is then always among them). Coverage of a suite is the mean over sets, metrics, problems, seeds and
draws; ``again`` is of joint runs of another seed at the weightings that are known from one, where tables have two
seeds. constants.py says how the predictor's constants do on a suite that they were not set on.

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
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from foretaste.evaluation import Evaluation, Fidelity, MethodSteps
from foretaste.simplex import dirichlet
from foretaste.surface.predict import fit_predictor, predict
from foretaste.surface.scales import scale_of
from foretaste.surface.table import Array, Headline, Surface
from foretaste.weights import TaskWeights, corners, uniform

RESULTS = Path(__file__).parent / "results"
MERGED = ("simple", "diagonal", "kronecker")
PREVIEWS = {"averaging": MERGED[:1], "merged": MERGED, "all": (*MERGED, "anchored", "diagonal + 2%", "diagonal + 10%")}
DRAWS = {"digits": 4}  # of each run; 12 of others
SUITES = ("digits", "sentiment", "sentiment5", "vision", "translation")
MORE = 3  # joint runs than there are tasks, the largest budget


@dataclass(frozen=True)
class Table:
    """One truth table.

    Args:
        truth: Joint rows alone.
        previews: By method.
        singles: Single-task models, as joint rows.
        again: Joint rows of another seed at the same weightings, if there are any.
    """

    truth: Surface
    previews: Mapping[str, tuple[Evaluation, ...]]
    singles: tuple[Evaluation, ...]
    again: Surface | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SUITES, help="one suite; nothing is written")
    asked = parser.parse_args()
    start = time.perf_counter()
    figures = []
    for suite in [asked.only] if asked.only else SUITES:
        for row in judged(suite):
            figures.append({"suite": suite, **row})
            print(shown(figures[-1]), flush=True)
    covered = coverages(figures)
    print(json.dumps(covered, indent=1))
    if asked.only:
        return
    data = {
        "command": "python benchmarks/predict.py",
        "date": time.strftime("%Y-%m-%d"),
        "versions": f"numpy {np.__version__}, scikit-learn {sklearn.__version__}, 1 thread",
        "seeds": "draw d of a run has seed d; 4 draws a run of digits, 12 of others",
        "interval": "90 %, of a single joint run's measured metric",
        "seconds": time.perf_counter() - start,
        "speed": speed(),
        "coverage": covered,
        "figures": figures,
    }
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.4g}"))
    (RESULTS / "predict.json").write_text(json.dumps(rounded, indent=1) + "\n")


def coverages(figures: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """By suite and number of joint runs, and again with the most; of all suites each counts the same."""
    found: dict[str, dict[str, float | None]] = {}
    for suite in dict.fromkeys(row["suite"] for row in figures):
        own = [row for row in figures if row["suite"] == suite]
        most = max(row["joint"] for row in own)
        for count in sorted({row["joint"] for row in own}):
            name = str(count) if count < most else f"tasks + {MORE}"
            found.setdefault(suite, {})[name] = float(
                np.mean([row["coverage"] for row in own if row["joint"] == count])
            )
        found[suite]["again"] = _mean([row["again"] for row in own if row["joint"] == most])
    return found | {
        "all": {name: _mean([each[name] for each in found.values()]) for name in next(iter(found.values()))}
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that there are."""
    have = [value for value in values if value is not None]
    return float(np.mean(have)) if have else None


def shown(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{key} {value:.3f}" if isinstance(value, float) else str(value) for key, value in row.items())


def tables(suite: str) -> Iterator[Table]:
    data = json.loads((RESULTS / f"{suite}.json").read_text())
    tasks, best = data["tasks"], headlines_of(data)
    for run in data["runs"]:
        others = [
            other["truth"]
            for other in data["runs"]
            if other["problem_seed"] == run["problem_seed"] and other is not run
        ]
        truth, *again = (
            Surface(
                best,
                tuple(_row(found, tasks, Fidelity.JOINT, "joint") for found in rows),
                has_private_heads=suite == "vision",
            )
            for rows in (run["truth"], *others)
        )
        singles = tuple(_row(run["single"][task], tasks, Fidelity.JOINT, "joint") for task in tasks)
        previews = {
            name: tuple(
                _row(found, tasks, _fidelity(name), name)
                for found in [*run["methods"][name]["rows"], *run["single"].values()]
            )
            for name in PREVIEWS["all"]
            if name in run["methods"]
        }
        yield Table(truth, previews, singles, next(iter(again), None))


def headlines_of(data: Mapping[str, Any]) -> dict[str, Headline]:
    """With the number of validation examples that the suite's facts tell."""
    rows = dict(part.rsplit(" ", 1) for part in data["facts"]["rows (train/validation)"].split(", "))
    return {task: Headline(metric, examples=int(rows[task].split("/")[1])) for task, metric in data["metrics"].items()}


def _fidelity(name: str) -> Fidelity:
    return Fidelity.SHARPENED if MethodSteps.parse(name).steps else Fidelity.PREVIEW


def _row(found: Mapping[str, list[float]], tasks: Sequence[str], fidelity: Fidelity, method: str) -> Evaluation:
    total = sum(found["weights"])
    metrics = {
        task: {name: column[place] for name, column in found.items() if name != "weights"}
        for place, task in enumerate(tasks)
    }
    made_by = MethodSteps.parse(method)
    weights = TaskWeights(tasks, [weight / total for weight in found["weights"]])
    return Evaluation(weights, metrics, fidelity, made_by.name, steps=made_by.steps)


def judged(suite: str) -> Iterator[dict[str, Any]]:
    found = list(tables(suite))
    budgets = (0, 1, 3, len(found[0].truth.tasks) + MORE)
    metrics = sorted({head.metric for head in found[0].truth.headlines.values()} | {"loss"})
    for metric, (previews, methods), count in product(metrics, PREVIEWS.items(), budgets):
        if previews == "all" and not set(methods) <= set(found[0].previews):
            continue
        usable = [method for method in methods if count or method != "anchored"]
        draws = DRAWS.get(suite, 12) if count > 1 else 1
        rows = [one(table, usable, count, metric, seed) for table in found for seed in range(draws)]
        means = {key: _mean([figures[key] for figures in rows]) for key in rows[0]}
        yield {"metric": metric, "previews": previews, "joint": count, **means}


def split(table: Table, methods: Sequence[str], count: int, seed: int) -> tuple[Surface, Surface, Surface]:
    """What is known, the joint part of it, and the joint runs that are not known."""
    order = np.random.default_rng(seed).permutation(len(table.truth.rows)).tolist()
    if "anchored" in methods or count == 1:
        order.sort(key=lambda place: table.truth.rows[place].weights != uniform(table.truth.tasks))
    known = tuple(table.truth.rows[place] for place in order[:count])
    hidden = replace(table.truth, rows=tuple(table.truth.rows[place] for place in order[count:]))
    bare = replace(table.truth, rows=(*table.singles, *known))
    return replace(bare, rows=(*bare.rows, *(row for name in methods for row in table.previews[name]))), bare, hidden


def one(table: Table, methods: Sequence[str], count: int, metric: str, seed: int) -> dict[str, float | None]:
    """Errors of the prediction and of its rivals, and coverage, on the joint runs that are not known."""
    given, bare, hidden = split(table, methods, count, seed)
    real, points = hidden.values(metric), [row.weights for row in hidden.rows]
    cheap = {name: replace(table.truth, rows=table.previews[name]) for name in methods}
    found = predict(given, points, metric)
    inside, drawn = (
        (real >= found.low - 1e-9) & (real <= found.high + 1e-9),
        found.draw(400, seed, measured=True).mean(2),
    )
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    return {
        "error": _error(found.median, real),
        "coverage": float(inside.mean()),
        "again": _again(table, given, metric),
        "width": float((found.high - found.low).mean()),
        "coverage of the mean": float(((real.mean(1) >= low) & (real.mean(1) <= high)).mean()),
        "best preview": _hindsight([_at(cheap[name], points, metric) for name in methods], real),
        "affine": _hindsight([_affine(cheap[name], bare, points, metric) for name in methods], real),
        "no previews": _error(predict(bare, points, metric).median, real),
        "joint alone": _error(_alone(bare, points, metric), real),
    }


def _again(table: Table, given: Surface, metric: str) -> float | None:
    """Coverage of another seed's joint runs at known weightings."""
    known = [row.weights for row in given.rows if row.fidelity == Fidelity.JOINT and row.weights.corner is None]
    if table.again is None or not known:
        return None
    there = replace(table.again, rows=tuple(row for weights in known if (row := table.again.at(weights))))
    found, real = predict(given, known, metric), there.values(metric)
    return float(((real >= found.low - 1e-9) & (real <= found.high + 1e-9)).mean())


def _error(seen: Array, real: Array) -> float:
    return float(np.abs(seen - real).mean())


def _hindsight(seen: Sequence[Array], real: Array) -> float:
    """The mean over tasks of the least error that any of them has."""
    return float(np.min([np.abs(each - real).mean(0) for each in seen], axis=0).mean())


def _at(surface: Surface, points: Sequence[TaskWeights], metric: str) -> Array:
    return replace(surface, rows=tuple(row for point in points if (row := surface.at(point)))).values(metric)


def _counts(known: Surface) -> list[list[int]]:
    """For each task, the known rows that say something of it."""
    return [
        [place for place, row in enumerate(known.rows) if not known.has_private_heads or row.weights[task] > 0]
        for task in known.tasks
    ]


def _affine(cheap: Surface, known: Surface, points: Sequence[TaskWeights], metric: str) -> Array:
    scale, found = scale_of(metric, known.values(metric)), []
    seen, left = (
        scale.forward(_at(cheap, points, metric)),
        scale.forward(_at(cheap, [row.weights for row in known.rows], metric)),
    )
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
    """Seconds for 10 tasks, 500 previews of 5 methods and some joint runs: to learn, and for 1 or 66 weightings."""
    return {f"{count} joint runs": _speed(count) for count in (0, 50)}


def _speed(count: int) -> dict[str, float]:
    tasks, random = [f"task{place}" for place in range(10)], np.random.default_rng(0)
    made = [(Fidelity.PREVIEW, f"method{place}", corners(tasks) + dirichlet(tasks, 90, random)) for place in range(5)]
    rows = tuple(
        Evaluation(
            weights,
            {task: {"accuracy": 0.4 + 0.5 * weights[task] ** 0.3 + 0.02 * random.random()} for task in tasks},
            fidelity,
            method,
        )
        for fidelity, method, points in [*made, (Fidelity.JOINT, "joint", dirichlet(tasks, count, random))]
        for weights in points
    )
    times = [time.perf_counter()]
    learned = fit_predictor(Surface({task: Headline("accuracy") for task in tasks}, rows))
    times.append(time.perf_counter())
    for points in (66, 1):
        learned.at(dirichlet(tasks, points, random))
        times.append(time.perf_counter())
    return dict(zip(("learn", "66 weightings", "1 weighting"), np.diff(times).tolist(), strict=True))


if __name__ == "__main__":
    main()
