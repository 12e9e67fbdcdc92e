"""Telling a study the results of runs that were made elsewhere.

A run is identified by its weights, fidelity and seed. Telling it again changes nothing; telling more metrics of it adds
them; telling other numbers is an error, unless they are to replace the former ones.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from foretaste.document.wording import counted
from foretaste.errors import DataError, WeightsError
from foretaste.evaluation import Evaluation
from foretaste.names import first_faults, first_few
from foretaste.one_line import one_line
from foretaste.store.study import StudyStore
from foretaste.surface.fidelities import parse_fidelity
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights
from foretaste.workflow.fidelity_costs import check_cost, set_fidelity_cost, stored_costs
from foretaste.workflow.outcome import empty_surface

__all__ = ["OutsideRun", "TellResult", "read_metrics", "read_weights", "tell"]

_CLAIM = "tell"
_NEAR = 1e-12  # relative difference of numbers that are the same
_FAULTS = 20  # faults that a message names
_SEEDS = 2**63  # seeds that a study can keep


@dataclass(frozen=True)
class OutsideRun:
    """A run that was made elsewhere.

    Args:
        weights: alpha.
        metrics: By task, every metric that was measured.
        fidelity: ``joint``, ``preview:METHOD``, or any other name of a cheap run.
        seed: Tells runs at the same weights apart.
        cost: Of this run, in the unit of the study's other costs: seconds, or shares of a joint run; None if unknown.
        origin: Where the run comes from, for messages, such as ``line 7``.

    Raises:
        DataError: A negative cost, or a seed that a study cannot keep.
    """

    weights: TaskWeights
    metrics: Mapping[str, Mapping[str, float]]
    fidelity: str = "joint"
    seed: int = 0
    cost: float | None = None
    origin: str = field(default="", compare=False)

    __repr__ = one_line

    def __post_init__(self) -> None:
        if self.cost is not None and not (math.isfinite(self.cost) and self.cost >= 0):
            raise DataError(f"the cost is {self.cost}; write a number of at least 0")
        if not -_SEEDS <= self.seed < _SEEDS:
            raise DataError(f"the seed {self.seed:g} has too many digits; write a whole number of at most 18 digits")

    @property
    def key(self) -> str:
        """Hash of what identifies the run."""
        return hashlib.sha256(f"outside|{self.weights.key}|{self.fidelity}|{self.seed}".encode()).hexdigest()

    def evaluation(self, cost: float) -> Evaluation:
        """Return the run as a row of a study, with this cost unless it has its own."""
        fidelity, method = parse_fidelity(self.fidelity)
        own_cost = cost if self.cost is None else self.cost
        return Evaluation(
            self.weights, self.metrics, fidelity, method.name, self.seed, own_cost, self.key, steps=method.steps
        )


@dataclass(frozen=True)
class TellResult:
    """What a study learned.

    Args:
        new: How many runs are new.
        extended: How many runs have metrics or a cost that they lacked.
        replaced: How many runs have other numbers than before.
        unchanged: How many runs were there already.
        incomplete: How many of all these runs lack the headline metric of a task, so that predictions leave them out.
    """

    new: int = 0
    extended: int = 0
    replaced: int = 0
    unchanged: int = 0
    incomplete: int = 0

    def __str__(self) -> str:
        """Return the counts in words.

        >>> str(TellResult(new=12, unchanged=500))
        '12 new runs, 500 already known'
        """
        counts = {
            "already known": self.unchanged,
            "extended": self.extended,
            "replaced": self.replaced,
            "without a headline metric (not used to predict)": self.incomplete,
        }
        return ", ".join(
            [counted(self.new, "new run"), *(f"{count} {name}" for name, count in counts.items() if count)]
        )


def tell(
    study: StudyStore,
    runs: Sequence[OutsideRun],
    *,
    replace_numbers: bool = False,
    costs: Mapping[str, float] | None = None,
) -> TellResult:
    """Add runs that were made elsewhere to a study, all or none.

    Args:
        study: With or without a recipe.
        runs: Any number of them.
        replace_numbers: Whether numbers that differ from those of the study take their place.
        costs: What a run of a fidelity costs, by its name, for runs that do not tell it themselves; see
            `foretaste.workflow.fidelity_costs`.

    Raises:
        StudyError: The study is empty: it has no tasks yet.
        DataError: A run has other numbers than the study; every such run is named. Or a cost cannot be used.

    >>> import pathlib, tempfile
    >>> from foretaste.workflow.outside import OutsideQuestion, start_outside
    >>> run = OutsideRun(TaskWeights(("a", "b"), (0.5, 0.5)), {"a": {"f1": 0.5}, "b": {"f1": 0.7}})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with start_outside(pathlib.Path(folder, "s"), OutsideQuestion.of({"a": "f1", "b": "f1"})) as study:
    ...         print(tell(study, [run]), "|", tell(study, [run]))
    1 new run | 0 new runs, 1 already known
    """
    empty, own_costs = empty_surface(study), costs or {}
    for name, cost in own_costs.items():
        check_cost(name, cost)
    with study.claim(_CLAIM):
        usual_costs, runs_by_key = {**stored_costs(study), **own_costs}, _merge_repeats(runs)
        former = study.evaluations(list(runs_by_key))
        changes, faults = dict[str, tuple[str, Evaluation]](), list[str]()
        for key, run in runs_by_key.items():
            before = former.get(key)
            row = run.evaluation(usual_costs.get(run.fidelity, 0.0) if before is None else before.cost)
            changes[key] = change, _ = _merge(before, row)
            if before is not None and change == "replaced" and not replace_numbers:
                faults.append(f"{_name_of(run)}: {_difference(before, row)}")
        if faults:
            raise DataError(_refusal(faults))
        for name, cost in own_costs.items():
            set_fidelity_cost(study, name, cost)
        changed = [key for key, (change, _) in changes.items() if change != "unchanged"]
        study.tell_evaluations([(key, _inputs(runs_by_key[key]), changes[key][1]) for key in changed])
    counts = Counter(change for change, _ in changes.values())
    return TellResult(**counts, incomplete=sum(_is_incomplete(row, empty) for _, row in changes.values()))


def _merge_repeats(runs: Sequence[OutsideRun]) -> dict[str, OutsideRun]:
    """Return the runs by key.

    Raises:
        DataError: Runs are there twice with other numbers.
    """
    runs_by_key: dict[str, OutsideRun] = {}
    faults = []
    for run in runs:
        first = runs_by_key.setdefault(run.key, run)
        change, merged = _merge(first.evaluation(0.0), run.evaluation(0.0))
        if change == "replaced":
            faults.append(
                f"{_name_of(run)}: {first.origin or 'another run'} has the same weights, fidelity and seed, and other"
                " numbers"
            )
        cost = run.cost if first.cost is None else first.cost
        runs_by_key[run.key] = replace(first, metrics=merged.metrics, cost=cost)
    if faults:
        raise DataError(
            "\n  ".join(first_faults(faults, _FAULTS)) + "\ngive each run its own seed; nothing was written"
        )
    return runs_by_key


def _merge(former: Evaluation | None, row: Evaluation) -> tuple[str, Evaluation]:
    """Say how a row changes the former one of its key, and return what both say together."""
    if former is None:
        return "new", row
    tasks = dict.fromkeys([*former.metrics, *row.metrics])
    metrics = {task: {**former.metrics.get(task, {}), **row.metrics.get(task, {})} for task in tasks}
    merged = replace(row, metrics=metrics)
    if _difference(former, row):
        return "replaced", merged
    is_same = all(set(metrics[task]) == set(former.metrics.get(task, {})) for task in tasks)
    return ("unchanged", former) if is_same and row.cost == former.cost else ("extended", merged)


def _difference(former: Evaluation, row: Evaluation) -> str:
    """Name the first metric that differs; empty if none does."""
    for task, metrics in row.metrics.items():
        for name, value in metrics.items():
            before = former.metrics.get(task, {}).get(name, value)
            if not math.isclose(before, value, rel_tol=_NEAR, abs_tol=_NEAR):
                return f"{name} of {task} was {before:.6g}, is {value:.6g}"
    return ""


def _refusal(faults: Sequence[str]) -> str:
    lines = "\n  ".join(first_faults(faults, _FAULTS))
    return (
        f"the study has other numbers for {counted(len(faults), 'run')}:\n  {lines}\n"
        "another run at the same weights needs another seed; to correct numbers, add --replace (replace=True);"
        " nothing was written"
    )


def _name_of(run: OutsideRun) -> str:
    return f"{run.origin or run.weights.key} ({run.fidelity}, seed {run.seed})"


def _inputs(run: OutsideRun) -> dict[str, object]:
    return {"weights": run.weights.key, "fidelity": run.fidelity, "seed": run.seed, "outside": True}


def _is_incomplete(row: Evaluation, empty: Surface) -> bool:
    return any(head.metric not in row.metrics.get(task, {}) for task, head in empty.headlines.items())


def read_weights(surface: Surface, shares: Mapping[str, float], *, normalise: bool = False) -> TaskWeights:
    """Turn numbers by name into weights of a study; a name that is left out weighs 0.

    Args:
        surface: Names what is mixed.
        shares: Weights, percentages, or counts.
        normalise: Whether the numbers are divided by their sum.

    Raises:
        WeightsError: An unknown name, a negative number, or a sum other than 1.

    >>> from foretaste.surface.table import Headline
    >>> read_weights(Surface({"a": Headline("f1"), "b": Headline("f1")}, ()), {"a": 30, "b": 70}, normalise=True).key
    'a=0.3,b=0.7'
    """
    names = surface.weight_names
    if unknown := [name for name in shares if name not in names]:
        raise WeightsError(
            f"weights of {first_few(unknown)}, which the study does not mix; it mixes {first_few(names)}"
        )
    values = [float(shares.get(name, 0.0)) for name in names]
    total = math.fsum(values)
    if normalise and math.isfinite(total) and total > 0 and min(values) >= 0:
        return TaskWeights(names, [value / total for value in values])
    if abs(total - 1) > 1e-6 and math.isfinite(total):
        percent = "; they look like percentages" if abs(total - 100) < 1 else ""
        raise WeightsError(f"the weights sum to {total:.6g}, not 1{percent}; add --normalise (normalise=True)")
    return TaskWeights(names, values)


def read_metrics(surface: Surface, metrics: Mapping[str, float | Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Turn numbers by task into metrics by task; a plain number is the task's headline metric.

    Args:
        surface: Names the tasks and their headline metrics.
        metrics: By task, a number or numbers by metric.

    Raises:
        DataError: An unknown task, no number at all, or a number that is not finite.

    >>> from foretaste.surface.table import Headline
    >>> read_metrics(Surface({"a": Headline("f1")}, ()), {"a": 0.5})
    {'a': {'f1': 0.5}}
    """
    if unknown := [task for task in metrics if task not in surface.headlines]:
        raise DataError(f"metrics of {first_few(unknown)}, which is no task; the tasks are {first_few(surface.tasks)}")
    by_task = {
        task: {str(name): float(value) for name, value in own.items()}
        if isinstance(own, Mapping)
        else {surface.headlines[task].metric: float(own)}
        for task, own in metrics.items()
    }
    for task, own in by_task.items():
        for name, value in own.items():
            if not math.isfinite(value):
                raise DataError(f"{name} of task {task!r} is {value}; leave out what was not measured")
    if not any(by_task.values()):
        raise DataError(f"no metric of any task; the tasks are {first_few(surface.tasks)}")
    return {task: by_task.get(task, {}) for task in surface.tasks}
