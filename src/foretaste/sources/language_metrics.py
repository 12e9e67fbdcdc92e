"""Metrics of language models: by name, and those that lm-evaluation-harness measures."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from foretaste.errors import DataError
from foretaste.metric_kinds import AnyMetric
from foretaste.metrics import SEQUENCE_METRICS
from foretaste.sources.kinds import kind_named, kinds, list_names
from foretaste.sources.pretrained import at
from foretaste.sources.request import HarnessMetric, HarnessOptions, TaskRequest
from foretaste.sources.tokens import Tokens

if TYPE_CHECKING:
    from foretaste.sources.harness import Harness  # its extra may be missing

__all__ = ["harness_for", "metric_named", "metrics_named", "metrics_of"]


def metrics_named(names: Sequence[str]) -> "tuple[AnyMetric | HarnessMetric, ...]":
    """Metrics of language models.

    Args:
        names: Of `SEQUENCE_METRICS`, ``bleu`` or ``chrf``; with a colon, of lm-evaluation-harness.

    Raises:
        MissingExtra: bleu or chrf, and sacrebleu is not installed; or one with a colon, and lm_eval is not.

    >>> [metric.higher_is_better for metric in metrics_named(["perplexity", "exact_match"])]
    [False, True]
    """
    return tuple(metric_named(name) for name in names)


def metric_named(name: str) -> "AnyMetric | HarnessMetric":
    """Return a metric of language models; see `metrics_named`."""
    if name in SEQUENCE_METRICS:
        return SEQUENCE_METRICS[name]
    if ":" in name:
        from foretaste.sources.harness_tasks import parse_metric

        return parse_metric(name)
    from foretaste.sources.texts import TEXT_METRICS

    return TEXT_METRICS[name]


def harness_for(
    plans: Sequence[TaskRequest], kind: str, tokens: Tokens, options: HarnessOptions | None
) -> "Harness | None":
    """Return the harness that measures a model's metrics, or None if no task asks for one of its metrics.

    Args:
        plans: The tasks.
        kind: Name of the kind of model.
        tokens: The model's tokenizer and padding.
        options: How the harness measures; its defaults if left out.

    Raises:
        DataError: A task asks for a metric of the harness, which cannot measure this kind of model.
    """
    if all(isinstance(metric, AnyMetric) for plan in plans for metric in plan.metrics):
        return None
    if not kind_named(kind).harness:
        able = list_names(row for row in kinds() if row.harness)
        raise DataError(f"metrics of lm-evaluation-harness are for {able} alone, not {kind}; remove them").at("tasks")
    from foretaste.sources.harness import Harness

    return Harness(tokens.tokenizer, tokens.padding, options or HarnessOptions())


def metrics_of(plan: TaskRequest, judge: "Harness | None") -> Iterator[AnyMetric]:
    """Yield a task's metrics; the harness says which direction of its own is better.

    Raises:
        DataError: The harness has no such task or metric; the field is named.
    """
    for place, metric in enumerate(plan.metrics):
        if isinstance(metric, AnyMetric):
            yield metric
        elif judge is not None:
            yield at(("tasks", plan.name, "metrics", str(place)), judge.metric, metric)
