"""Choice among measured rows: the previews of one method, or joint runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foretaste.errors import StudyError
from foretaste.one_line import one_line
from foretaste.surface.preference import Floor, Preference, shortfalls
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """The row that suits best.

    Args:
        weights: alpha.
        expected: The headline metric of each task there.
        value: What the preference gives there.
        missing: How far the floor that is missed most is missed; 0 where all hold.
    """

    weights: TaskWeights
    expected: Mapping[str, float]
    value: float
    missing: float

    __repr__ = one_line

    @property
    def floors_met(self) -> bool:
        """Whether every floor holds."""
        return self.missing <= 0


def choose(
    rows: Surface, preference: Preference, floors: Sequence[Floor] = (), singles: Mapping[str, float] | None = None
) -> Choice:
    """Choose among rows as they were measured.

    Rows that keep every floor come first; if none does, the one that misses them least is taken. Ties go to the
    more even weights.

    Args:
        rows: Where tasks have heads of their own, only weights that train them all are chosen.
        preference: What to maximise.
        floors: What must hold.
        singles: Each task's single-task metric, for relative floors; from the rows if left out.

    Raises:
        StudyError: No rows, or no single-task metric for a relative floor.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.simplex import lattice
    >>> rows = tuple(
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple")
    ...     for w in lattice("ab", 2)
    ... )
    >>> choose(Surface({t: Headline("accuracy") for t in "ab"}, rows), Preference.parse("mean", ["a", "b"])).weights
    TaskWeights(a=0.5,b=0.5)
    """
    trainable = rows.trainable()
    if not trainable.rows:
        raise StudyError("there are no previews to recommend from; run `foretaste preview` first")
    if singles is None:
        singles = {task: row.metrics[task][rows.headlines[task].metric] for task, row in rows.singles().items()}
    values = trainable.values()
    goodness = np.round(preference.of(trainable.oriented(values)), 9)
    missing = np.round(shortfalls(floors, trainable.headlines, singles, values).max(-1, initial=0.0), 9)
    unevenness = np.round(np.linalg.norm(trainable.alphas(), axis=1), 9)
    best = int(np.lexsort((unevenness, -goodness, missing))[0])
    return Choice(
        weights=trainable.rows[best].weights,
        expected=dict(zip(trainable.tasks, values[best].tolist(), strict=True)),
        value=float(goodness[best]),
        missing=float(missing[best]),
    )
