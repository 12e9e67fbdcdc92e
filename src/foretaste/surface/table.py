"""A surface: all evaluations of one study, as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foretaste.document.markup import table_html
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.method_table import METHOD_TABLE
from foretaste.one_line import one_line
from foretaste.surface.views import rows_table
from foretaste.weights import TaskWeights

if TYPE_CHECKING:
    from foretaste.task import Task

__all__ = ["Array", "Headline", "Surface", "headlines", "is_exact_at_corners", "oriented", "task_of"]

Array = NDArray[np.float64]
_EXACT = "simple"
_ROWS_IN_NOTEBOOK = 30  # rows in a notebook
_LEAST = 1e-12  # of a perplexity, which is at least 1 where it is what its name says


@dataclass(frozen=True)
class Headline:
    """A task's first metric.

    Args:
        metric: Its name.
        higher_is_better: Its direction.
        examples: How many validation examples it is measured on; None if that is not known.
        train_examples: How many examples the task is trained on; None if that is not known.
    """

    metric: str
    higher_is_better: bool = True
    examples: int | None = None
    train_examples: int | None = None

    @property
    def sign(self) -> float:
        """+1 where more is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0

    @property
    def is_perplexity(self) -> bool:
        """Whether it is the exponential of a loss, of which logarithms add up and values do not.

        >>> Headline("perplexity", False).is_perplexity, Headline("wikitext:word_perplexity", False).is_perplexity
        (True, True)
        """
        return self.metric.endswith("perplexity") and not self.higher_is_better


def oriented(values: Array, headlines: Mapping[str, Headline]) -> Array:
    """`[..., T]` headline metrics as numbers that may be added up over tasks, of which more is better.

    A perplexity counts as minus its logarithm: otherwise the task whose perplexity is in the thousands alone would
    decide.

    Args:
        values: `[..., T]`, in the order of the headlines.
        headlines: By task.

    >>> heads = {"a": Headline("perplexity", higher_is_better=False), "b": Headline("loss", higher_is_better=False)}
    >>> oriented(np.array([[np.e**2, 3.0]]), heads).round(6)
    array([[-2., -3.]])
    """
    columns = [
        -np.log(np.maximum(values[..., place], _LEAST)) if head.is_perplexity else head.sign * values[..., place]
        for place, head in enumerate(headlines.values())
    ]
    return np.stack(columns, axis=-1)


def headlines(tasks: "Sequence[Task]") -> dict[str, Headline]:
    """Each task's headline metric.

    >>> import torch
    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows, Task
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> headlines([Task("a", rows, rows, [METRICS["f1"], METRICS["accuracy"]])])
    {'a': Headline(metric='f1', higher_is_better=True, examples=2, train_examples=2)}
    """
    return {
        task.name: Headline(
            task.metrics[0].name, task.metrics[0].higher_is_better, len(task.validation), len(task.train)
        )
        for task in tasks
    }


@dataclass(frozen=True)
class Surface:
    """Rows over the simplex.

    Args:
        headlines: By task, in the study's order.
        rows: Evaluations, in the order they were made.
        has_private_heads: Whether joint finetuning needs every task, because some have heads of their own,
            which a joint run without the task never trains.
        domains: Names of what is mixed, where these are not the tasks that are judged, such as the sources of a corpus.
        is_from_outside: Whether runs are made elsewhere, so that weights without any result may be recommended.

    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform(["a", "b"]), {"a": {"accuracy": 0.5}, "b": {"accuracy": 1.0}}, Fidelity.JOINT, "joint")
    >>> Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, (row,)).values()
    array([[0.5, 1. ]])
    """

    headlines: Mapping[str, Headline]
    rows: tuple[Evaluation, ...]
    has_private_heads: bool = False
    domains: tuple[str, ...] = ()
    is_from_outside: bool = False

    __repr__ = one_line

    def _repr_html_(self) -> str:
        """Show a notebook the weights and metrics of the rows, 30 at most."""
        if not self.rows:
            return "<p>no evaluations</p>"
        return table_html(
            rows_table(self.rows, _ROWS_IN_NOTEBOOK, first={task: head.metric for task, head in self.headlines.items()})
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in the study's order."""
        return tuple(self.headlines)

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of what is weighted: the domains, or the tasks if there are no domains."""
        return self.domains or self.tasks

    @property
    def signs(self) -> Array:
        """`[T]`: +1 or -1, so that more is better after multiplying."""
        return np.array([headline.sign for headline in self.headlines.values()])

    def where(self, fidelity: Fidelity, method: str | None = None) -> "Surface":
        """Only the rows of one fidelity, and of one method where given."""
        rows = [row for row in self.rows if row.fidelity == fidelity and method in (None, row.label)]
        return replace(self, rows=tuple(rows))

    def methods(self) -> list[str]:
        """The methods that previews were made with, in order of appearance."""
        return list(dict.fromkeys(row.method for row in self.rows if row.fidelity == Fidelity.PREVIEW))

    def alphas(self) -> Array:
        """`[N, D]` weights; D is T where the tasks themselves are mixed."""
        return np.array([[row.weights[name] for name in self.weight_names] for row in self.rows]).reshape(
            len(self.rows), len(self.weight_names)
        )

    def values(self, metric: str | None = None) -> Array:
        """`[N, T]` of one metric of every task, or of each task's headline metric."""
        columns = [(task, metric or headline.metric) for task, headline in self.headlines.items()]
        table = [[row.metrics[task][name] for task, name in columns] for row in self.rows]
        return np.array(table, dtype=np.float64).reshape(len(self.rows), len(columns))

    def oriented(self, values: Array | None = None) -> Array:
        """`[..., T]`: the rows' headline metrics, or others of these tasks, as `oriented` puts them.

        Args:
            values: `[..., T]`; those of all rows if left out.
        """
        return oriented(self.values() if values is None else values, self.headlines)

    def trainable(self) -> "Surface":
        """Only the rows whose weights a joint run can be held to: see `has_private_heads`."""
        return replace(
            self, rows=tuple(row for row in self.rows if not self.has_private_heads or min(row.weights.values()) > 0)
        )

    def singles(self) -> dict[str, Evaluation]:
        """Return the row of each single-task model, by task: a joint run at the corner, else a preview there.

        A merged preview at a corner is the single-task model by law, and that of simple averaging to the last bit. A
        cheap run that was made elsewhere, such as a smaller model's, is not.
        """
        rows: dict[str, Evaluation] = {}
        corners = [row for row in self.rows if row.weights.corner is not None and is_exact_at_corners(row)]
        for row in sorted(
            corners, key=lambda row: (row.fidelity != Fidelity.JOINT, row.method != _EXACT, row.method, row.seed)
        ):
            rows.setdefault(str(row.weights.corner), row)
        return {task: rows[task_of(task)] for task in self.headlines if task_of(task) in rows}

    def averaged(self) -> "Surface":
        """Average rows over seeds and repeats, to one row per weighting."""
        groups: dict[TaskWeights, list[Evaluation]] = {}
        for row in self.rows:
            groups.setdefault(row.weights, []).append(row)
        return replace(self, rows=tuple(_mean(rows) for rows in groups.values()))

    def at(self, weights: TaskWeights) -> Evaluation | None:
        """Return the first row at these weights; None if there is none."""
        return self._first.get(weights)

    @cached_property
    def _first(self) -> dict[TaskWeights, Evaluation]:
        return {row.weights: row for row in reversed(self.rows)}


def task_of(name: str) -> str:
    """Return the task of a column: the name itself, or what stands before the colon in ``TASK:METRIC``.

    >>> task_of("code"), task_of("code:pass@10")
    ('code', 'code')
    """
    return name.partition(":")[0]


def is_exact_at_corners(row: Evaluation) -> bool:
    """Tell whether a row of this kind at a corner is the single-task model's: a joint run, or a merged preview.

    >>> from foretaste.weights import uniform
    >>> is_exact_at_corners(Evaluation(uniform("ab"), {}, Fidelity.PREVIEW, "proxy-60m"))
    False
    """
    return row.fidelity == Fidelity.JOINT or (row.fidelity == Fidelity.PREVIEW and row.method in METHOD_TABLE)


def _mean(rows: Sequence[Evaluation]) -> Evaluation:
    """Average each metric over the rows that have it, because results from elsewhere may lack some."""
    if len(rows) == 1:
        return rows[0]
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        for task, metrics in row.metrics.items():
            for name, value in metrics.items():
                values.setdefault(task, {}).setdefault(name, []).append(value)
    tasks = dict.fromkeys(task for row in rows for task in row.metrics)
    means = {task: {name: float(np.mean(own)) for name, own in values.get(task, {}).items()} for task in tasks}
    return replace(rows[0], metrics=means, cost=float(np.mean([row.cost for row in rows])))
