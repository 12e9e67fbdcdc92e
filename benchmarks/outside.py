"""Asking and telling on tables of other people's runs: how well held-out runs are predicted, and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/outside.py FOLDER     # writes benchmarks/results/outside.json

FOLDER holds the published tables, which are not part of this project: ``regmix/`` (17 domains, 13 validation losses;
models of 1M and 1B parameters), ``olmix/dclm.csv`` (24 domains, bits per byte of many tasks, of which 20 count
here). Their rows are told to a study as a user would tell them. Some runs are known, drawn with the seed of the split;
all others of the table are predicted. With proxies, 250 runs of the smallest model are known too.

The number of a weighting is the mean over tasks. Rivals learn from the same known joint runs: their mean, a linear
regression on the weights, and one on the logarithms of the weights (at least 0.001), each with the ridge that predicts
the known runs best when one after the other is left out. ``proxy alone`` ranks by a linear regression on the proxies'
weights, as RegMix's linear variant does.
"""

import argparse
import csv
import json
import platform
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foretaste import __version__
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.store.study import StudyStore
from foretaste.surface.agreement import spearman
from foretaste.surface.predict import fit_predictor
from foretaste.surface.table import Surface
from foretaste.workflow.ask import ask
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.outside import OutsideQuestion, start_outside
from foretaste.workflow.run_columns import TableOptions
from foretaste.workflow.tell_rows import tell_rows

RESULTS = Path(__file__).parent / "results" / "outside.json"
Array = NDArray[np.float64]
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Swarm:
    """A table: the file of its joint runs, those of its proxies, and which of its columns are read."""

    name: str
    joint: Sequence[dict[str, str]]
    proxies: Mapping[str, Sequence[dict[str, str]]]
    domains: Mapping[str, str]
    tasks: Mapping[str, str]

    def told(self, folder: Path) -> StudyStore:
        """Tell a new study everything."""
        question = OutsideQuestion.of(dict.fromkeys(self.tasks, "loss"), list(self.domains))
        study = start_outside(folder, question)
        columns = {**self.domains, **{f"{task}.loss": column for task, column in self.tasks.items()}}
        for fidelity, rows in {"joint": self.joint, **self.proxies}.items():
            numbered = [{**row, "seed": str(place)} for place, row in enumerate(rows)]
            tell_rows(study, numbered, TableOptions({**columns, "seed": "seed"}, fidelity, normalise=True))
        return study


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def short(column: str) -> str:
    """A name without what all of a table's columns have in common."""
    name = re.sub(r"^(weight|loss|group|bpb)_(the_pile_)?|_val_loss$", "", column)
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


def columns(rows: Sequence[Mapping[str, str]], *beginnings: str, most: int = 99) -> dict[str, str]:
    names = [column for column in rows[0] if column.startswith(beginnings)]
    return {short(column): column for column in names[:most]}


def swarms(folder: Path) -> list[Swarm]:
    regmix = {part: read(folder / "regmix" / f"{part}.csv") for part in ("train_1m", "test_1B")}
    small = regmix["train_1m"]
    domains, tasks = columns(small, "weight_"), columns(small, "loss_")
    dclm = read(folder / "olmix" / "dclm.csv")
    return [
        Swarm("regmix 1M", small, {}, domains, tasks),
        Swarm("regmix 1B", regmix["test_1B"], {"proxy-1m": small[:250]}, domains, tasks),
        Swarm("olmix dclm", dclm, {}, columns(dclm, "weight_"), columns(dclm, "bpb_", most=20)),
    ]


def linear(alphas: Array, values: Array, at: Array, *, logarithms: bool) -> Array:
    """A ridge regression on weights or on their logarithms; the ridge has the least error of runs left out."""
    known, new = (np.log(np.maximum(table, 1e-3)) if logarithms else table for table in (alphas, at))
    centre, middle = known.mean(0), values.mean(0)
    x, y = known - centre, values - middle
    size = float(np.trace(x.T @ x)) / x.shape[1]

    def left_out_error(ridge: float) -> float:
        """Mean squared error of every run predicted from the others, by the hat matrix."""
        hat = x @ np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T) + 1 / len(x)
        return float(np.mean(((y - hat @ y) / (1 - np.diag(hat))[:, None]) ** 2))

    ridge = min(size * np.logspace(-5, 2, 29), key=left_out_error)
    slopes = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    return np.asarray((new - centre) @ slopes + middle)


def scores(predicted: Array, real: Array) -> dict[str, float | None]:
    """Rank correlation of the mean over tasks, and the mean absolute error over tasks."""
    rank = spearman(predicted.mean(1), real.mean(1)) if np.ptp(predicted.mean(1)) > 1e-12 else None
    return {"rank": rank, "error": float(np.abs(predicted - real).mean())}


def split(surface: Surface, count: int, seed: int) -> dict[str, object]:
    """Predict the joint runs that are not among ``count`` known ones."""
    joint = [row for row in surface.rows if row.fidelity == Fidelity.JOINT]
    order = np.random.default_rng(seed).permutation(len(joint))
    known, held = ([joint[place] for place in places] for places in (order[:count], order[count:]))
    proxies = [row for row in surface.rows if row.fidelity != Fidelity.JOINT]
    (alphas, values), (at, real) = (table(surface, rows) for rows in (known, held))
    lines: dict[str, object] = {
        "foretaste": scores(predicted_by_foretaste(surface, known, held), real),
        "mean": scores(np.tile(values.mean(0), (len(held), 1)), real),
        "linear": scores(linear(alphas, values, at, logarithms=False), real),
        "linear in logarithms": scores(linear(alphas, values, at, logarithms=True), real),
    }
    prediction = fit_predictor(replace(surface, rows=tuple(known))).at([row.weights for row in held])
    if proxies:
        lines["foretaste with proxies"] = scores(predicted_by_foretaste(surface, [*proxies, *known], held), real)
        cheap, results = table(surface, proxies)
        lines["proxy alone"] = {"rank": scores(linear(cheap, results, at, logarithms=False), real)["rank"]}
    within = (real >= prediction.low) & (real <= prediction.high)
    return {"known": count, "held out": len(held), "seed": seed, "coverage of 90 %": float(within.mean()), **lines}


def table(surface: Surface, rows: Sequence[Evaluation]) -> tuple[Array, Array]:
    chosen = replace(surface, rows=tuple(rows))
    return chosen.alphas(), chosen.values()


def predicted_by_foretaste(surface: Surface, known: Sequence[Evaluation], held: Sequence[Evaluation]) -> Array:
    return fit_predictor(replace(surface, rows=tuple(known))).at([row.weights for row in held]).median


def timed(study: StudyStore) -> dict[str, float]:
    """Seconds to recommend and to ask with everything that is told."""
    start = time.perf_counter()
    summary = read_outcome(study).summary()
    middle = time.perf_counter()
    ask(study, 4)
    end = time.perf_counter()
    rows, tasks = len(summary.surface.rows), len(summary.tasks)
    return {"rows": rows, "tasks": tasks, "weights": len(summary.weight_names)} | {
        "recommend": round(middle - start, 2),
        "ask": round(end - middle, 2),
    }


def measured(swarm: Swarm) -> dict[str, object]:
    counts = [count for count in (10, 30, 60, 120, 250) if count <= 0.7 * len(swarm.joint)]
    with tempfile.TemporaryDirectory() as folder, swarm.told(Path(folder, "study")) as study:
        surface = read_outcome(study).surface
        times = timed(study)
    splits = [split(surface, count, seed) for count in counts for seed in SEEDS]
    print(swarm.name, times)
    for line in splits:
        print("  ", {key: value for key, value in line.items() if key in ("known", "seed", "foretaste", "linear")})
    return {"times": times, "splits": splits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    begun = time.perf_counter()
    tables = {swarm.name: measured(swarm) for swarm in swarms(parser.parse_args().folder)}
    versions = f"foretaste {__version__}, numpy {np.__version__}, Python {platform.python_version()}, 1 thread"
    facts = {"command": "OMP_NUM_THREADS=1 python benchmarks/outside.py FOLDER", "versions": versions}
    facts |= {"seeds": f"splits {SEEDS}; proposals and candidates 0"}
    record = {**facts, "seconds": round(time.perf_counter() - begun, 1), "tables": tables}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
