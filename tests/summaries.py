"""Summaries of small studies, and reports as a terminal shows them."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from foretaste.document.blocks import Section
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.summary import Summary, summarise
from foretaste.report.text import render
from foretaste.weights import TaskWeights

__all__ = ["joint_row", "shown", "with_rows", "words"]


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
    return Evaluation(
        weights, {"a": {"loss": 1.0, "accuracy": a}, "b": {"loss": 1.0, "accuracy": b}}, Fidelity.JOINT, "joint"
    )


def shown(sections: Sequence[Section], width: int = 120, name: str = "") -> str:
    """Sections as a terminal of this width shows them."""
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(render(sections, name))
    return capture.get()


def words(sections: Sequence[Section], width: int = 120) -> str:
    """The same without line breaks."""
    return " ".join(shown(sections, width).replace("│", " ").split())
