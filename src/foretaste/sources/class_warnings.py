"""Warnings about labels, for tasks of any source; they need no data library."""

from collections.abc import Collection, Sequence

from foretaste.metric_kinds import AnyMetric
from foretaste.metrics import needs_classes

__all__ = ["one_class_warnings"]


def one_class_warnings(
    task: str, metrics: Sequence[AnyMetric], labels: Collection[object], count: int
) -> tuple[str, ...]:
    """Warn if all validation rows have one label and a metric compares classes.

    Args:
        task: The task's name.
        metrics: The task's metrics.
        labels: The labels of its validation rows.
        count: Number of validation rows.

    >>> from foretaste.metrics import METRICS
    >>> one_class_warnings("news", [METRICS["accuracy"], METRICS["f1"]], {"good"}, 20)
    ("all 20 validation rows of task 'news' have the label 'good': f1 says nothing there; add rows of other labels",)
    """
    names = [metric.name for metric in metrics if needs_classes(metric)]
    if not names or len(labels) != 1:
        return ()
    rows = "the only validation row" if count == 1 else f"all {count} validation rows"
    finding = f"{rows} of task {task!r} {'has' if count == 1 else 'have'} the label {next(iter(labels))!r}"
    return (
        (
            f"{finding}: {' and '.join(names)} {'say' if len(names) > 1 else 'says'} nothing there; add rows of other"
            " labels"
        ),
    )
