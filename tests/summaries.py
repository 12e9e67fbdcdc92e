"""Summaries of small studies with further rows, for tests of what is reported."""

from dataclasses import replace

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.summary import Summary, summarise
from foretaste.weights import TaskWeights

__all__ = ["joint_row", "with_rows"]


def with_rows(summary: Summary, *rows: Evaluation) -> Summary:
    """The summary with more rows."""
    surface = replace(summary.surface, rows=(*summary.surface.rows, *rows))
    return summarise(
        surface,
        name=summary.name,
        method=summary.method,
        preference=summary.preference,
        floors=summary.floors,
        provenance=summary.provenance,
        costs=summary.costs,
    )


def joint_row(weights: TaskWeights, a: float, b: float) -> Evaluation:
    return Evaluation(weights, {"a": {"loss": 1.0, "accuracy": a}, "b": {"loss": 1.0, "accuracy": b}}, Fidelity.JOINT, "joint")
