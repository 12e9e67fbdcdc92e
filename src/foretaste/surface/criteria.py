"""Criteria: other metrics of a task that a preference or a floor names, beside the task's headline metric.

A criterion is written ``TASK:METRIC``, such as ``code:pass@10``. It joins the surface as one more column, so that it is
predicted as a headline metric is.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from foretaste.errors import WeightsError
from foretaste.evaluation import Evaluation
from foretaste.names import first_few
from foretaste.surface.table import Headline, Surface, task_of

__all__ = ["add_criteria", "criteria_in", "is_higher_better", "named_criteria"]

_LESS_IS_BETTER = re.compile(r"(^|[^a-z])(loss|perplexity|ppl|nll|bpb|bits_per_byte|error|mae|mse|rmse|wer|cer)$")
_TERM = re.compile(r"[<>=,]+")

Directions = Mapping[str, Mapping[str, bool]]  # by task and metric, whether higher values are better


def is_higher_better(metric: str) -> bool:
    """Guess from a metric's name whether higher values are better: not for losses, perplexities and errors.

    >>> [is_higher_better(name) for name in ("pass@1", "loss", "word_perplexity", "mean_absolute_error", "glossary")]
    [True, False, False, False, True]
    """
    return _LESS_IS_BETTER.search(metric.lower()) is None


def criteria_in(texts: Iterable[str], tasks: Collection[str]) -> list[str]:
    """List what preferences and floors name in the form ``TASK:METRIC``, in the order in which it appears.

    Args:
        texts: Preferences and floors as a user writes them.
        tasks: Names of tasks.

    >>> criteria_in(["mean", "a:pass@10>=0.4"], ["a", "b"])
    ['a:pass@10']
    """
    names = [part.strip() for text in texts for part in _TERM.split(text) if ":" in part]
    return [name for name in dict.fromkeys(names) if task_of(name) in tasks]


def named_criteria(texts: Iterable[str], surface: Surface) -> list[str]:
    """List the criteria that preferences and floors name, and check that some row has each of them.

    Args:
        texts: Preferences and floors as a user writes them.
        surface: Rows, with the tasks that a criterion may belong to.

    Raises:
        WeightsError: No row has such a metric of that task.

    >>> from foretaste.weights import uniform
    >>> from foretaste.evaluation import Fidelity
    >>> row = Evaluation(uniform("a"), {"a": {"pass@1": 0.4, "pass@10": 0.5}}, Fidelity.JOINT, "joint")
    >>> named_criteria(["mean", "a:pass@10>=0.4"], Surface({"a": Headline("pass@1")}, (row,)))
    ['a:pass@10']
    """
    criteria = [name for name in criteria_in(texts, surface.headlines) if name not in surface.headlines]
    for name in criteria:
        metrics = list(dict.fromkeys(metric for row in surface.rows for metric in row.metrics.get(task_of(name), {})))
        if _metric_of(name) not in metrics:
            raise WeightsError(
                f"no result has the metric {_metric_of(name)!r} of task {task_of(name)!r};"
                f" its metrics are {first_few(metrics) or 'none yet'}"
            )
    return criteria


def add_criteria(surface: Surface, criteria: Iterable[str], directions: Directions) -> Surface:
    """Add criteria to a surface as columns beside the headline metrics.

    Args:
        surface: Any rows; a row without such a metric has none in its column either.
        criteria: As `named_criteria` returns them.
        directions: Whether higher values are better, as far as that is known; otherwise the metric's name tells.

    >>> from foretaste.weights import uniform
    >>> from foretaste.evaluation import Fidelity
    >>> row = Evaluation(uniform("a"), {"a": {"pass@1": 0.4, "pass@10": 0.5}}, Fidelity.JOINT, "joint")
    >>> wider = add_criteria(Surface({"a": Headline("pass@1")}, (row,)), ["a:pass@10"], {})
    >>> wider.tasks, wider.weight_names, wider.values().tolist()
    (('a', 'a:pass@10'), ('a',), [[0.4, 0.5]])
    """
    new = {name: _headline(name, surface, directions) for name in criteria}
    if not new:
        return surface
    rows = tuple(replace(row, metrics={**row.metrics, **_columns(row, new)}) for row in surface.rows)
    return replace(surface, headlines={**surface.headlines, **new}, rows=rows, domains=surface.weight_names)


def _headline(criterion: str, surface: Surface, directions: Directions) -> Headline:
    task, metric = task_of(criterion), _metric_of(criterion)
    is_better = directions.get(task, {}).get(metric, is_higher_better(metric))
    return Headline(metric, is_better, surface.headlines[task].examples)


def _columns(row: Evaluation, criteria: Mapping[str, Headline]) -> dict[str, Mapping[str, float]]:
    values = {name: (head.metric, row.metrics.get(task_of(name), {})) for name, head in criteria.items()}
    return {name: {metric: own[metric]} if metric in own else {} for name, (metric, own) in values.items()}


def _metric_of(criterion: str) -> str:
    return criterion.partition(":")[2]
