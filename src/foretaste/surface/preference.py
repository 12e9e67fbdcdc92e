"""What a user wants of the tasks' metrics: something to maximise, and floors that must hold."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foretaste.errors import StudyError, WeightsError
from foretaste.one_line import one_line
from foretaste.surface.scales import on_one_scale
from foretaste.surface.table import Array, Headline, Surface, oriented, task_of

__all__ = ["Floor", "Preference", "caution", "measure", "shortfalls", "zero_metric_caution"]

_LEAST_LOSS = 0.01  # of the largest: a task that loses less is no reason to give it all the weight

_FLOOR = re.compile(r"^\s*(?P<task>[^<>=]*[^<>=\s])\s*>=\s*(?P<number>[0-9.eE+-]+)\s*(?P<percent>%?)\s*$")


@dataclass(frozen=True)
class Preference:
    """What to maximise over the tasks' headline metrics.

    Args:
        kind: ``mean``, ``worst``, ``weighted`` or ``knee``.
        importance: For ``weighted`` and a settled ``knee``: a number per task, at least one above 0.
        tasks: How many of the first columns are tasks' headline metrics; all, if left out. Criteria of floors
            (`foretaste.surface.criteria`) come after them, and do not count in a mean.
    """

    kind: str
    importance: Mapping[str, float]
    tasks: int | None = None

    __repr__ = one_line

    @classmethod
    def parse(cls, text: str, tasks: Sequence[str], criteria: Sequence[str] = ()) -> "Preference":
        """Read ``mean``, ``worst``, ``knee`` or ``movies=2,news=1`` (tasks left out count 0).

        Args:
            text: As a user writes it.
            tasks: Names of the tasks.
            criteria: Other metrics that may be named, as in ``code:pass@10=1``; see `foretaste.surface.criteria`.

        Raises:
            WeightsError: Anything else.

        >>> Preference.parse("b=3,a=1", ["a", "b"]).importance
        {'a': 0.25, 'b': 0.75}
        """
        count, names = (len(tasks) if criteria else None), (*tasks, *criteria)
        if text in ("mean", "worst", "knee"):
            return cls(text, {}, count)
        try:
            pairs = [(name.strip(), float(number)) for name, number in (part.split("=") for part in text.split(","))]
        except ValueError:
            raise WeightsError(
                f"preference {text!r} is not understood; write mean, worst, knee, or for example"
                f" {tasks[0]}=2,{tasks[-1]}=1"
            ) from None
        importance = dict(pairs)
        if len(importance) < len(pairs):
            raise WeightsError(f"preference {text!r} names a task twice; give each one number")
        total = sum(importance.values())
        if set(importance) - set(names) or min(importance.values()) < 0 or not 0 < total < float("inf"):
            raise WeightsError(
                f"preference {text!r} needs numbers of at least 0, one above 0, for tasks among {', '.join(tasks)}"
            )
        return cls("weighted", {name: importance.get(name, 0.0) / total for name in names}, count)

    def resolve_knee(self, surface: Surface) -> "Preference":
        """Give a knee preference the importance that each task has at the knee of the front.

        Return other kinds unchanged.

        At the knee the front is farthest from the plane through the points where each task is at its best. Each task
        counts in units of what it can lose: from its single-task model to the worst that another task's makes of it.

        Raises:
            StudyError: A single-task model has not been evaluated on every task.

        References:
            Das: On characterizing the knee of the Pareto curve based on Normal-Boundary Intersection, 1999,
            https://doi.org/10.1007/BF01195985
        """
        if self.kind != "knee" or self.importance:
            return self
        singles, tasks = surface.singles(), surface.tasks[: self.tasks]
        if lacking := [task for task in tasks if task not in singles]:
            raise StudyError(
                f"the knee needs every single-task model's metrics, and lacks {lacking[0]}'s; preview the corners first"
            )
        heads = {task: surface.headlines[task] for task in tasks}
        metrics = [[singles[own].metrics[task][head.metric] for task, head in heads.items()] for own in tasks]
        table = oriented(np.array(metrics), heads)
        losses = np.diag(table) - table.min(0)
        counts = 1 / np.maximum(losses, max(_LEAST_LOSS * float(losses.max()), 1e-12))
        importance = dict.fromkeys(surface.tasks, 0.0) | dict(zip(tasks, (counts / counts.sum()).tolist(), strict=True))
        return Preference("knee", importance, self.tasks)

    def of(self, values: Array) -> Array:
        """`[...]` from oriented headline values `[..., T]`."""
        if self.importance:
            return np.asarray(values @ np.array(list(self.importance.values())))
        values = values[..., : self.tasks]
        if self.kind == "worst":
            return np.asarray(values.min(-1))
        return np.asarray(values @ np.array([1 / values.shape[-1]] * values.shape[-1]))

    def __str__(self) -> str:
        names = {"mean": "the mean over tasks", "worst": "the worst task"}
        if self.kind in names:
            return names[self.kind]
        shares = ", ".join(f"{task} {share:.0%}" for task, share in self.importance.items() if share or not self.tasks)
        if self.kind == "knee":
            return "the knee of the front" + (f" (tasks weighted {shares})" if shares else "")
        return f"the mean weighted {shares}"


@dataclass(frozen=True)
class Floor:
    """A requirement: a task's headline metric must reach a bound.

    Args:
        task: A task's name, or ``all``.
        bound: The metric's value, or a share of the single-task metric.
        relative: Whether the bound is such a share.
    """

    task: str
    bound: float
    relative: bool

    @classmethod
    def parse(cls, text: str, tasks: Sequence[str]) -> "Floor":
        """Read ``news>=0.85`` or ``all>=97%`` (of the single-task metric).

        Raises:
            WeightsError: An unknown task, a share that is not above 0, or another form.

        >>> Floor.parse("all>=97%", ["a", "b"])
        Floor(task='all', bound=0.97, relative=True)
        """
        match = _FLOOR.match(text)
        try:
            number = float(match["number"]) if match else float("nan")
        except ValueError:
            number = float("nan")
        impossible = not np.isfinite(number) or (match is not None and bool(match["percent"]) and number <= 0)
        if match is None or impossible or match["task"] not in (*tasks, "all"):
            raise WeightsError(
                f"floor {text!r} is not understood; write {tasks[0]}>=0.85 or all>=97%, with tasks among"
                f" {', '.join(tasks)}"
            )
        relative = bool(match["percent"])
        return cls(match["task"], number / 100 if relative else number, relative)

    def of(self, task: str, headline: Headline, singles: Mapping[str, float]) -> float:
        """The bound as a value of a task's metric.

        Raises:
            StudyError: It is relative, and the task has no single-task metric.
        """
        if not self.relative:
            return self.bound
        if task not in singles:
            raise StudyError(
                f"a floor relative to the single-task metric needs the preview at weights {task}=1; preview the lattice"
                " with its corners"
            )
        single = singles[task]
        return single + abs(single) * (self.bound - 1 if headline.higher_is_better else 1 / self.bound - 1)

    def __str__(self) -> str:
        bound = f"{self.bound:.4g}" if not self.relative else f"{self.bound:.4%}".replace(".0000%", "%")
        return f"{self.task}>={bound}" + (" of its single-task metric" if self.relative else "")


def shortfalls(
    floors: Sequence[Floor], headlines: Mapping[str, Headline], singles: Mapping[str, float], values: Array
) -> Array:
    """`[..., F]`: how far each floor's worst task is below its bound, 0 where it holds.

    Args:
        floors: F of them.
        headlines: By task.
        singles: Each task's headline metric by its single-task model, for relative floors.
        values: `[..., T]` headline metrics, as they are.

    Raises:
        StudyError: A relative floor for a task without a single-task metric.

    >>> missing = shortfalls(
    ...     [Floor("all", 0.9, True)], {"a": Headline("accuracy")}, {"a": 0.5}, np.array([[0.4], [0.6]])
    ... )
    >>> missing.round(6).tolist()
    [[0.05], [0.0]]
    """
    missing = np.zeros((*values.shape[:-1], len(floors)))
    for place, floor in enumerate(floors):
        for column, (task, head) in enumerate(headlines.items()):
            if floor.task == task or (floor.task == "all" and task == task_of(task)):
                short = head.sign * (floor.of(task, head, singles) - values[..., column])
                missing[..., place] = np.maximum(missing[..., place], short)
    return missing


def measure(preference: Preference, headlines: Mapping[str, Headline]) -> str:
    """What a preference's number is called: more of it is better, also where less of a metric is.

    Args:
        preference: Any.
        headlines: By task.

    >>> measure(Preference("mean", {}), {task: Headline("perplexity", higher_is_better=False) for task in "ab"})
    'value (minus the mean log perplexity)'
    """
    headlines = _counting(preference, headlines)
    less = sorted({_counted(head) for head in headlines.values() if not head.higher_is_better})
    if not less:
        return "value"
    if {_counted(head) for head in headlines.values()} == set(less[:1]):
        which = {"mean": "mean ", "worst": "worst task's "}.get(preference.kind, "weighted mean ")
        return f"value (minus the {which}{less[0]})"
    return f"value ({' and '.join(less)} {'counts' if len(less) == 1 else 'count'} with a minus)"


def _counting(preference: Preference, headlines: Mapping[str, Headline]) -> dict[str, Headline]:
    """Return the columns that a preference counts: the tasks' own, and criteria with an importance."""
    places = enumerate(headlines.items())
    names = {name for name, importance in preference.importance.items() if importance}
    return {name: head for place, (name, head) in places if name in names or (place < (preference.tasks or place + 1))}


def _counted(head: Headline) -> str:
    return f"log {head.metric}" if head.is_perplexity else head.metric


def caution(preference: Preference, headlines: Mapping[str, Headline], floors: Sequence[Floor] = ()) -> str:
    """What to mind where unlike metrics are put together as they are, and what to do; empty where there is nothing.

    Importances are a user's answer to that already, as are floors of all tasks for the worst one, and the knee counts
    each task in units of what it can lose.

    Args:
        preference: Any.
        headlines: By task.
        floors: What must hold.

    >>> caution(
    ...     Preference("mean", {}), {"a": Headline("perplexity", higher_is_better=False), "b": Headline("accuracy")}
    ... ).partition(":")[0]
    'The tasks have different metrics (a perplexity, b accuracy), which count as they are in the mean over tasks'
    """
    headlines = _counting(preference, headlines)
    held = preference.kind == "worst" and any(floor.relative and floor.task == "all" for floor in floors)
    if preference.kind not in ("mean", "worst") or held or on_one_scale(head.metric for head in headlines.values()):
        return ""
    metrics, first, *_, last = ", ".join(f"{task} {head.metric}" for task, head in headlines.items()), *headlines
    return (
        f"The tasks have different metrics ({metrics}), which count as they are in {preference}: the one with the"
        " largest numbers decides. Make one metric the first of every task, or say how much each task counts (--prefer"
        f" {first}=1,{last}=10), or take the worst task with floors relative to single-task models, which hold on any"
        " scale (--prefer worst --floor 'all>=95%')."
    )


def zero_metric_caution(headlines: Mapping[str, Headline], singles: Mapping[str, float]) -> str:
    """Warn that a task's own model has a headline metric of 0, so that it cannot tell weightings apart.

    Args:
        headlines: By task.
        singles: Each task's headline metric by its single-task model, as far as they are known.

    Returns:
        Empty where there is nothing.

    >>> zero_metric_caution({"a": Headline("exact_match")}, {"a": 0.0}).partition(".")[0]
    'The exact_match of a is 0 even for its own single-task model, so it says nothing about the weights'
    """
    tasks = [task for task, head in headlines.items() if head.higher_is_better and singles.get(task) == 0]
    if not tasks:
        return ""
    which = " and ".join(f"{headlines[task].metric} of {task}" for task in tasks)
    what = (
        ("is", "its own single-task model", "it says")
        if len(tasks) == 1
        else ("are", "their own single-task models", "they say")
    )
    return (
        f"The {which} {what[0]} 0 even for {what[1]}, so {what[2]} nothing about the weights. "
        "Put another metric first, train longer, or use more validation rows."
    )
