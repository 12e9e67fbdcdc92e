"""A first recommendation: the previewed weights that suit a preference best."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foretaste.errors import StudyError, WeightsError
from foretaste.surface.table import Array, Surface
from foretaste.task import Evaluation
from foretaste.weights import TaskWeights

__all__ = ["Floor", "Preference", "Recommendation", "recommend"]

_SAME = 1e-6
_FLOOR = re.compile(r"^\s*(?P<task>[^<>=\s]+)\s*>=\s*(?P<number>[0-9.eE+-]+)\s*(?P<percent>%?)\s*$")


@dataclass(frozen=True)
class Preference:
    """What to maximise over the tasks' headline metrics.

    Args:
        kind: ``mean``, ``worst`` or ``weighted``.
        importance: For ``weighted``: a number per task, at least one above 0.
    """

    kind: str
    importance: Mapping[str, float]

    @classmethod
    def parse(cls, text: str, tasks: Sequence[str]) -> "Preference":
        """Read ``mean``, ``worst`` or ``movies=2,news=1`` (tasks left out count 0).

        Raises:
            WeightsError: Anything else.

        >>> Preference.parse("b=3,a=1", ["a", "b"]).importance
        {'a': 0.25, 'b': 0.75}
        """
        if text in ("mean", "worst"):
            return cls(text, {})
        try:
            given = {name.strip(): float(number) for name, number in (part.split("=") for part in text.split(","))}
        except ValueError:
            raise WeightsError(
                f"preference {text!r} is not understood; write mean, worst, or for example {tasks[0]}=2,{tasks[-1]}=1"
            ) from None
        total = sum(given.values())
        if set(given) - set(tasks) or min(given.values()) < 0 or not 0 < total < float("inf"):
            raise WeightsError(f"preference {text!r} needs numbers of at least 0, one above 0, for tasks among {', '.join(tasks)}")
        return cls("weighted", {task: given.get(task, 0.0) / total for task in tasks})

    def of(self, values: Array) -> Array:
        """`[N]` from oriented headline values `[N, T]`."""
        if self.kind == "worst":
            return np.asarray(values.min(1))
        share = list(self.importance.values()) or [1 / values.shape[1]] * values.shape[1]
        return np.asarray(values @ np.array(share))

    def __str__(self) -> str:
        named = {"mean": "the mean over tasks", "worst": "the worst task"}
        return named.get(self.kind) or "the mean weighted " + ", ".join(f"{t} {s:.0%}" for t, s in self.importance.items())


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
        found = _FLOOR.match(text)
        try:
            number = float(found["number"]) if found else float("nan")
        except ValueError:
            number = float("nan")
        impossible = not np.isfinite(number) or (found is not None and bool(found["percent"]) and number <= 0)
        if found is None or impossible or found["task"] not in (*tasks, "all"):
            raise WeightsError(f"floor {text!r} is not understood; write {tasks[0]}>=0.85 or all>=97%, with tasks among {', '.join(tasks)}")
        relative = bool(found["percent"])
        return cls(found["task"], number / 100 if relative else number, relative)

    def __str__(self) -> str:
        bound = f"{self.bound:.4g}" if not self.relative else f"{self.bound:.4%}".replace(".0000%", "%")
        return f"{self.task}>={bound}" + (" of its single-task metric" if self.relative else "")


@dataclass(frozen=True)
class Recommendation:
    """Chosen weights and why.

    Args:
        weights: alpha.
        expected: The previewed headline metric of each task there.
        value: What the preference gives there.
        gain: Value minus that of uniform weights, where these were previewed.
        reason: A sentence.
        floors_met: Whether every floor holds in the preview.
        runners_up: Other good weights with their value.
        method: The previews' posterior.
    """

    weights: TaskWeights
    expected: Mapping[str, float]
    value: float
    gain: float | None
    reason: str
    floors_met: bool
    runners_up: tuple[tuple[TaskWeights, float], ...]
    method: str


def recommend(previews: Surface, preference: Preference, floors: Sequence[Floor] = (), runners_up: int = 3) -> Recommendation:
    """Choose among the previews of one method.

    Points that keep every floor come first; if none does, the one that misses them least is
    taken and the reason says so. Ties go to the more even weights.

    Args:
        previews: Rows of one method, corners included where relative floors are asked for. Where
            tasks have heads of their own, only weights that train them all are recommended.
        preference: What to maximise.
        floors: What must hold.
        runners_up: How many others to name.

    Raises:
        StudyError: No previews, or no corner for a relative floor.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.task import Fidelity
    >>> from foretaste.weights import lattice
    >>> rows = tuple(Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 2))
    >>> recommend(Surface({t: Headline("accuracy") for t in "ab"}, rows), Preference.parse("mean", ["a", "b"])).weights
    TaskWeights(a=0.5,b=0.5)
    """
    chosen = previews.trainable()
    if not chosen.rows:
        raise StudyError("there are no previews to recommend from; run `foretaste preview` first")
    values = chosen.values() * chosen.signs
    goodness = np.round(preference.of(values), 9)
    short = [_shortfall(chosen, floor, previews) for floor in floors]
    missing = np.round(np.max(short, axis=0), 9) if floors else np.zeros(len(values))
    unevenness = np.round(np.linalg.norm(chosen.alphas(), axis=1), 9)
    order = np.lexsort((unevenness, -goodness, missing))
    best = int(order[0])
    row = chosen.rows[best]
    return Recommendation(
        weights=row.weights,
        expected=dict(zip(chosen.tasks, chosen.values()[best].tolist(), strict=True)),
        value=float(goodness[best]),
        gain=_gain(chosen, goodness, best),
        reason=_reason(preference, floors, float(missing[best]), int((missing <= 0).sum()), len(values)),
        floors_met=bool(missing[best] <= 0),
        runners_up=tuple((chosen.rows[i].weights, float(goodness[i])) for i in order[1 : runners_up + 1]),
        method=row.method,
    )


def _shortfall(chosen: Surface, floor: Floor, previews: Surface) -> Array:
    """`[N]`: how far the worst concerned task is below the floor, 0 where it holds."""
    worst = np.zeros(len(chosen.rows))
    for column, task in enumerate(chosen.tasks):
        if floor.task not in ("all", task):
            continue
        sign, bound = chosen.headlines[task].sign, floor.bound
        if floor.relative:
            single = _single(previews, task)
            bound = single + abs(single) * (floor.bound - 1 if sign > 0 else 1 / floor.bound - 1)
        worst = np.maximum(worst, sign * (bound - chosen.values()[:, column]))
    return worst


def _single(previews: Surface, task: str) -> float:
    row: Evaluation | None = next((row for row in previews.rows if row.weights.corner == task), None)
    if row is None:
        raise StudyError(
            f"a floor relative to the single-task metric needs the preview at weights {task}=1; preview the lattice with its corners"
        )
    return row.metrics[task][previews.headlines[task].metric]


def _gain(previews: Surface, goodness: Array, best: int) -> float | None:
    even = np.abs(previews.alphas() - 1 / len(previews.tasks)).max(1)
    at = int(np.argmin(even))
    return float(goodness[best] - goodness[at]) if even[at] < _SAME else None


def _reason(preference: Preference, floors: Sequence[Floor], missing: float, kept: int, count: int) -> str:
    asked = " and ".join(str(floor) for floor in floors)
    if not floors:
        return f"best preview of {preference} among {count} weightings"
    if missing > 0:
        return f"no previewed weighting keeps {asked}; this one misses by {missing:.3g}, the least"
    return f"best preview of {preference} among the {kept} of {count} weightings that keep {asked}"
