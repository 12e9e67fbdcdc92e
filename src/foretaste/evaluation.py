"""Evaluations: one row of what a study finds; no torch is needed to read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from foretaste.one_line import one_line
from foretaste.weights import TaskWeights

__all__ = ["Evaluation", "Fidelity"]


class Fidelity(StrEnum):
    """How evaluated params were made."""

    PREVIEW = "preview"
    SHARPENED = "sharpened"
    JOINT = "joint"


@dataclass(frozen=True)
class Evaluation:
    """One row of a surface.

    Args:
        weights: alpha.
        metrics: Per task: ``loss`` and every metric on validation data.
        fidelity: How the params were made.
        method: The posterior of a preview (``simple``, ``diagonal``, ...); ``joint`` for a joint run.
        seed: Of the training behind the params.
        cost: Seconds spent on this row alone.
        key: Hash of all that the row depends on, where a study keeps it; not compared.
    """

    weights: TaskWeights
    metrics: Mapping[str, Mapping[str, float]]
    fidelity: Fidelity
    method: str
    seed: int = 0
    cost: float = 0.0
    key: str = field(default="", compare=False)

    __repr__ = one_line
