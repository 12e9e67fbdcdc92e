"""Decisions with few joint runs: regret, error, coverage and cost, against truth tables and rivals.

    python benchmarks/decision.py            # on one thread; reads benchmarks/results/*.json; needs the extra ``bench``

A truth table has joint runs at all its weightings. A budget of J joint runs may be made one after the other, each where
the searcher wants it; then it recommends. Regret is what the recommended weights give less than the best of the table,
both as means over the table's training seeds, in points (hundredths of the metric); the joint runs that a searcher sees
are of one seed. So even who sees the whole grid of joint runs of that seed has a regret: it is listed as ``full grid``.
Regret favours who believes what one seed happened to give, since that seed is among its judges: ``gain`` is what the
recommended weights give more than uniform ones in joint runs of the other seed, which nobody saw (not for the suite
with one seed). Every searcher is repeated on all problems and seeds, 10 times on each with a quarter of the weightings
left out at random (never the uniform one), so that no single weighting decides; 90 % intervals are by bootstrap over
these.

foretaste has single-task models and previews (simple, diagonal, Kronecker, and anchored ones from its first joint run
on, which is at uniform weights), proposes by `propose`, keeps its last joint run for its recommendation, and recommends
one of its joint runs. ``no previews`` is the same without previews. Rivals see joint runs alone (random, Optuna's TPE
and Gaussian process: the best run seen is taken), or previews alone (as they are; a quadratic in sqrt(alpha) fitted to
them), or check the best Kronecker previews one by one. Optuna's samplers begin with two runs at random. Costs are in
joint runs: single-task models and curvature as the dearest method needs them, previews and their evaluation as measured
in the tables' runs.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.outlook import Outlook, outlook
from foretaste.surface.preference import Preference
from foretaste.surface.propose import Option, propose
from foretaste.surface.recommend import recommend
from foretaste.surface.table import Array, Headline, Surface
from foretaste.weights import TaskWeights, uniform
from predict import RESULTS, _row, headlines_of

MERGED, ANCHORED = ("simple", "diagonal", "kronecker"), "anchored"
SETS = {"foretaste": (*MERGED, ANCHORED), "foretaste, averaging alone": MERGED[:1], "no previews": ()}
SUITES = ("digits", "sentiment", "sentiment5", "vision", "translation")
PREFERENCES = ("mean", "worst")
REPEATS = 10
KEPT = 0.75  # of the weightings, in each repetition
GRID = 10  # resolution of the full grid of joint runs that costs are held against: 66 weightings of 3 tasks
JOINT = Option(Fidelity.JOINT, "joint", 1.0)

Searcher = Callable[["Table", Preference, int, int], int]


@dataclass(frozen=True, eq=False)
class Table:
    """One problem and seed.

    Args:
        truth: Joint runs of this seed.
        judged: `[N, T]`, their headline metrics as means over all seeds of the problem.
        unseen: `[N, T]`, means over the other seeds; None where there is none.
        singles: Single-task models, as joint rows.
        previews: By method, at the same weightings and at the corners.
        proportional: Metrics at weights by data, `[T]`.
        costs: Of each method's previews in joint runs: once, and for each weighting.
        judging: Of one evaluation, in joint runs.
    """

    truth: Surface
    judged: Array
    unseen: Array | None
    singles: tuple[Evaluation, ...]
    previews: Mapping[str, tuple[Evaluation, ...]]
    proportional: Array
    costs: Mapping[str, tuple[float, float]]
    judging: float

    @property
    def points(self) -> list[TaskWeights]:
        return [row.weights for row in self.truth.rows]

    def place(self, weights: TaskWeights) -> int:
        return self.points.index(weights)

    def previewed(self, method: str) -> Array:
        """`[N, T]`."""
        at = {row.weights: row for row in self.previews[method]}
        return replace(self.truth, rows=tuple(at[weights] for weights in self.points)).values()


def tables(suite: str) -> Iterator[Table]:
    data = json.loads((RESULTS / f"{suite}.json").read_text())
    tasks, heads = data["tasks"], headlines_of(data)
    for problem in sorted({run["problem_seed"] for run in data["runs"]}):
        runs = [run for run in data["runs"] if run["problem_seed"] == problem]
        truths = [
            Surface(heads, tuple(_row(row, tasks, Fidelity.JOINT, "joint") for row in run["truth"]), suite == "vision")
            for run in runs
        ]
        judged = np.mean([truth.values() for truth in truths], axis=0)
        proportional = np.mean([_headline(run["proportional"], heads) for run in runs], axis=0)
        for run, truth in zip(runs, truths, strict=True):
            found = {name: run["methods"][name] for name in (*MERGED, ANCHORED) if name in run["methods"]}
            yield Table(
                truth=truth,
                judged=judged,
                unseen=np.mean(others, axis=0)
                if (others := [each.values() for each in truths if each is not truth])
                else None,
                singles=tuple(_row(run["single"][task], tasks, Fidelity.JOINT, "joint") for task in tasks),
                previews={
                    name: tuple(
                        _row(row, tasks, Fidelity.PREVIEW, name) for row in [*each["rows"], *run["single"].values()]
                    )
                    for name, each in found.items()
                },
                proportional=proportional,
                costs={name: (each["fixed_cost"], each["point_cost"]) for name, each in found.items()},
                judging=run["judging_seconds"] / run["joint_seconds"],
            )


def repetitions(suite: str) -> list[tuple[Table, int]]:
    """Every table with some of its weightings left out, and a seed for whoever searches it."""
    return [(_thinned(table, seed), seed) for table in tables(suite) for seed in range(REPEATS)]


def _thinned(table: Table, seed: int) -> Table:
    order = np.random.default_rng(seed).permutation(len(table.points)).tolist()
    kept = sorted({*order[: round(KEPT * len(order))], table.place(uniform(table.truth.tasks))})
    truth = replace(table.truth, rows=tuple(table.truth.rows[place] for place in kept))
    return replace(
        table, truth=truth, judged=table.judged[kept], unseen=None if table.unseen is None else table.unseen[kept]
    )


def _headline(row: Mapping[str, list[float]], heads: Mapping[str, Headline]) -> list[float]:
    return [row[head.metric][place] for place, head in enumerate(heads.values())]


def outlooks(
    table: Table, preference: Preference, count: int, seed: int, methods: Sequence[str]
) -> list[tuple[Outlook, int]]:
    """What is thought and recommended before the first joint run and after each."""
    known: list[Evaluation] = []
    steps = []
    while True:
        at_uniform = any(row.weights == uniform(table.truth.tasks) for row in known)
        used = [name for name in methods if name in table.previews and (name != ANCHORED or at_uniform)]
        rows = [*table.singles, *known, *(row for name in used for row in table.previews[name])]
        seen = outlook(replace(table.truth, rows=tuple(rows)), table.points, seed)
        best = recommend(seen, preference).weights
        made = [row.weights for row in known]
        steps.append((seen, table.place(recommend(seen, preference, among=made).weights if made else best)))
        if len(known) == count:
            return steps
        weights = _next(table, seen, preference, seed, best, made, last=len(known) == count - 1)
        known.append(table.truth.rows[table.place(weights)])


def _next(
    table: Table,
    seen: Outlook,
    preference: Preference,
    seed: int,
    best: TaskWeights,
    made: list[TaskWeights],
    *,
    last: bool,
) -> TaskWeights:
    if not made:
        return uniform(table.truth.tasks)
    if last and best not in made:
        return best
    return _proposed(table, seen, preference, seed, made)


def _proposed(table: Table, seen: Outlook, preference: Preference, seed: int, made: list[TaskWeights]) -> TaskWeights:
    found = propose(seen, preference, options=[JOINT], seed=seed)
    return found[0].weights if found else next(weights for weights in table.points if weights not in made)


def ours(methods: Sequence[str]) -> Searcher:
    return lambda table, preference, count, seed: outlooks(table, preference, count, seed, methods)[-1][1]


def raw(method: str) -> Searcher:
    return lambda table, preference, count, seed: int(preference.of(table.previewed(method)).argmax())


def quadratic(table: Table, preference: Preference, count: int, seed: int) -> int:
    """Least squares in the monomials of sqrt(alpha) up to degree 2, per task, on Kronecker previews."""
    roots = np.sqrt(table.truth.alphas())
    terms = np.stack([np.ones(len(roots)), *roots.T, *(left * right for left in roots.T for right in roots.T)], axis=1)
    values = table.previewed(MERGED[-1])
    return int(preference.of(terms @ np.linalg.lstsq(terms, values, rcond=None)[0]).argmax())


def checked(table: Table, preference: Preference, count: int, seed: int) -> int:
    """Joint runs at the best Kronecker previews; the best of them."""
    order = np.argsort(-preference.of(table.previewed(MERGED[-1])))[:count]
    return int(order[preference.of(table.truth.values())[order].argmax()])


def sampled(name: str) -> Searcher:
    """An Optuna sampler.

    Weights are normalised exponential variables, so that at random they are uniform on the simplex.
    """

    def search(table: Table, preference: Preference, count: int, seed: int) -> int:
        makers: Mapping[str, Callable[[], optuna.samplers.BaseSampler]] = {
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=2),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=2, deterministic_objective=False),
        }
        study = optuna.create_study(direction="maximize", sampler=makers[name]())
        values, alphas, tried = preference.of(table.truth.values()), table.truth.alphas(), set[int]()
        for _ in range(20 * count):
            trial = study.ask()
            draws = np.array([-np.log(trial.suggest_float(task, 1e-6, 1 - 1e-6)) for task in table.truth.tasks])
            place = int(np.abs(alphas - draws / draws.sum()).sum(1).argmin())
            study.tell(trial, float(values[place]))
            tried.add(place)
            if len(tried) == count:
                break
        return max(tried, key=lambda place: float(values[place]))

    return search


def full_grid(table: Table, preference: Preference, count: int, seed: int) -> int:
    return int(preference.of(table.truth.values()).argmax())


def at_uniform(table: Table, preference: Preference, count: int, seed: int) -> int:
    return table.place(uniform(table.truth.tasks))


WITHOUT: Mapping[str, Searcher] = {
    "uniform": at_uniform,
    **{f"raw {name}": raw(name) for name in MERGED},
    "quadratic fit": quadratic,
    "full grid": full_grid,
}
WITH: Mapping[str, Searcher] = {
    **{name: ours(methods) for name, methods in SETS.items()},
    "previews checked": checked,
    **{f"optuna {name}": sampled(name) for name in ("random", "tpe", "gp")},
}


def judged(suite: str) -> Iterator[dict[str, Any]]:
    found = repetitions(suite)
    tasks = len(found[0][0].truth.tasks)
    budgets = (1, 3, tasks + 3)
    for kind in PREFERENCES:
        preference = Preference(kind, {})
        yield {
            **_named(suite, kind, "proportional", 0),
            **summed([_regret(table, preference, table.proportional) for table, _ in found]),
        }
        for name, searcher in WITHOUT.items():
            yield {**_named(suite, kind, name, 0), **searched(found, searcher, preference, 0)}
        for count in budgets:
            for name, searcher in WITH.items():
                yield {**_named(suite, kind, name, count), **searched(found, searcher, preference, count)}
    for name, methods in SETS.items():
        for count in (0, *budgets):
            yield {"suite": suite, "searcher": name, "joint": count, **surface_figures(found, count, methods)}


def _named(suite: str, kind: str, name: str, count: int) -> dict[str, Any]:
    return {"suite": suite, "preference": kind, "searcher": name, "joint": count}


def searched(
    found: Sequence[tuple[Table, int]], searcher: Searcher, preference: Preference, count: int
) -> dict[str, Any]:
    """Regret, and the gain over uniform weights by seeds that were not seen."""
    chosen = [(table, searcher(table, preference, count, seed)) for table, seed in found]
    gains = [
        100 * float(values[place] - values[table.place(uniform(table.truth.tasks))])
        for table, place in chosen
        if table.unseen is not None
        for values in [preference.of(table.unseen)]
    ]
    regrets = [_regret(table, preference, table.judged[place]) for table, place in chosen]
    return summed(regrets) | {"gain": interval(gains) if gains else None}


def _regret(table: Table, preference: Preference, values: Array) -> float:
    return 100 * float(preference.of(table.judged).max() - preference.of(values))


def summed(regrets: Sequence[float]) -> dict[str, Any]:
    mean, low, high = interval(regrets)
    return {"repeats": len(regrets), "regret": mean, "low": low, "high": high, "largest": max(regrets)}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and its 90 % interval by bootstrap."""
    draws = np.random.default_rng(0).choice(np.array(values), (2000, len(values))).mean(1)
    low, high = np.quantile(draws, (0.05, 0.95)).tolist()
    return float(np.mean(values)), low, high


def surface_figures(found: Sequence[tuple[Table, int]], count: int, methods: Sequence[str]) -> dict[str, float]:
    """Error and coverage at the weightings without a joint run, and costs, searching for the mean."""
    errors, before, inside, costs = [], [], [], []
    for table, seed in found:
        seen = outlooks(table, Preference("mean", {}), count, seed, methods)[-1][0]
        fresh = [place for place, weights in enumerate(table.points) if weights not in seen.joint]
        real = table.truth.values()[fresh]
        errors.append(np.abs(seen.prediction.median[fresh] - real).mean())
        before.append([np.abs(table.previewed(name)[fresh] - real).mean() for name in MERGED])
        inside.append(((real >= seen.prediction.low[fresh]) & (real <= seen.prediction.high[fresh])).mean())
        costs.append(
            _cost(table, count, [name for name in methods if name in table.costs and (count or name != ANCHORED)])
        )
    tasks = found[0][0].truth.tasks
    full = len(lattice(tasks, GRID)) * (1 + float(np.mean([table.judging for table, _ in found])))
    return {
        "error": float(np.mean(errors)),
        **{f"error of raw {name}": error for name, error in zip(MERGED, np.mean(before, axis=0).tolist(), strict=True)},
        "coverage": float(np.mean(inside)),
        "cost in joint runs": float(np.mean(costs)),
        "share of the full grid": float(np.mean(costs)) / full,
    }


def _cost(table: Table, count: int, methods: Sequence[str]) -> float:
    """Single-task models and curvature, of which the dearest method has all; previews and joint runs, evaluated."""
    once = max(
        [table.costs["simple"][0], *(table.costs[name][0] - (name == ANCHORED) for name in methods)]
    )  # its joint run is counted
    previewed = {
        name: len(table.previews[name]) - len(table.truth.tasks) for name in methods
    }  # corners are single-task models
    return (
        once
        + count * (1 + table.judging)
        + sum(previewed[name] * (table.costs[name][1] + table.judging) for name in methods)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one suite alone; nothing is written")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    start, figures = time.perf_counter(), []
    for suite in [asked.only] if asked.only else [name for name in SUITES if (RESULTS / f"{name}.json").is_file()]:
        for row in judged(suite):
            figures.append(row)
            print(
                "  ".join(
                    f"{key} {value:.3f}" if isinstance(value, float) else str(value) for key, value in row.items()
                ),
                flush=True,
            )
    if asked.only:
        return
    data = {
        "command": "python benchmarks/decision.py",
        "date": time.strftime("%Y-%m-%d"),
        "versions": f"numpy {np.__version__}, optuna {optuna.__version__}, 1 thread",
        "seeds": f"{REPEATS} repetitions on every problem and training seed, each with {KEPT:.0%} of the weightings",
        "seconds": time.perf_counter() - start,
        "figures": figures,
    }
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.4g}"))
    (RESULTS / "decision.json").write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
