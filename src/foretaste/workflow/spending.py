"""What a search has spent: its rows, counted as they are added to the study.

Every row is read once. Whoever asks afterwards pays for one query, of the rows that are new since.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.one_line import one_line
from foretaste.store.study import StudyStore
from foretaste.surface.outlook import select_usable_rows
from foretaste.surface.searched import Budget
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights
from foretaste.workflow.outcome import empty_surface

__all__ = ["Account"]


@dataclass(eq=False)
class Account:
    """The rows of a study, as a search counts them; rows without every task's headline metric are left out.

    Args:
        study: The search's.
        empty: The study's surface, without rows.

    >>> import pathlib, tempfile
    >>> from foretaste.surface.table import Headline
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("a"), {"a": {"accuracy": 0.5}}, Fidelity.PREVIEW, "simple", cost=3.0)
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(pathlib.Path(folder)) as study:
    ...     account = Account(study, Surface({"a": Headline("accuracy")}, ()))
    ...     study.add_evaluation("first", {}, row, {})
    ...     account.spent(("simple",), ""), account.mean_cost(Fidelity.PREVIEW, "simple")
    (Budget(joint=0, previews=1, sharpened=0), 3.0)
    """

    study: StudyStore
    empty: Surface
    _rows: list[Evaluation] = field(default_factory=list)
    _groups: dict[tuple[Fidelity, str], list[Evaluation]] = field(default_factory=dict)
    _last: int = 0

    __repr__ = one_line

    @classmethod
    def of(cls, study: StudyStore) -> "Account":
        """The account of a study.

        Raises:
            StudyError: No recipe was run on it yet.
        """
        return cls(study, empty_surface(study))

    def surface(self) -> Surface:
        """Return the study's surface with all usable rows."""
        self._read_new()
        return replace(self.empty, rows=tuple(self._rows))

    def spent(self, methods: tuple[str, ...], sharpening: str) -> Budget:
        """How many weightings were evaluated.

        A weighting counts once for each method, and a joint run of one task not at all.

        Args:
            methods: Of the previews that count.
            sharpening: The method of the sharpened previews that count.
        """
        self._read_new()
        joint = {row.weights for row in self._of(Fidelity.JOINT) if row.weights.corner is None}
        previews, sharpened = (
            len({(row.label, row.weights) for method in names for row in self._groups.get((fidelity, method), ())})
            for fidelity, names in ((Fidelity.PREVIEW, methods), (Fidelity.SHARPENED, (sharpening,)))
        )
        return Budget(len(joint), previews, sharpened)

    def previewed(self, method: str) -> set[TaskWeights]:
        """Return the weights at which a method has previews."""
        self._read_new()
        return {row.weights for row in self._groups.get((Fidelity.PREVIEW, method), ())}

    def mean_cost(self, fidelity: Fidelity, method: str) -> float | None:
        """Mean seconds of the rows of a kind, or of all joint runs; None while there are none."""
        self._read_new()
        rows = list(self._of(fidelity)) if fidelity == Fidelity.JOINT else self._groups.get((fidelity, method), [])
        return statistics.mean(row.cost for row in rows) if rows else None

    def _of(self, fidelity: Fidelity) -> Iterator[Evaluation]:
        return (row for (kind, _), rows in self._groups.items() if kind == fidelity for row in rows)

    def _read_new(self) -> None:
        rows, self._last = self.study.evaluations_after(self._last)
        for row in select_usable_rows(replace(self.empty, rows=tuple(rows))).rows:
            self._rows.append(row)
            self._groups.setdefault((row.fidelity, row.label), []).append(row)
