"""Evaluations: the rows of a study, which can be read without torch."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from foretaste.one_line import one_line
from foretaste.readable import Readable, ReadableSequence
from foretaste.weights import TaskWeights

__all__ = ["Evaluation", "Evaluations", "Fidelity", "MethodSteps"]


class Fidelity(StrEnum):
    """How evaluated params were made."""

    PREVIEW = "preview"
    SHARPENED = "sharpened"
    JOINT = "joint"


@dataclass(frozen=True)
class MethodSteps:
    """A preview method with the joint steps that sharpen its previews; a study stores both as one text.

    Args:
        name: Name of the preview method.
        steps: Joint steps after the preview; 0 for none.

    >>> str(MethodSteps("simple", 30)), str(MethodSteps("simple"))
    ('simple+30', 'simple')
    """

    name: str
    steps: int = 0

    @classmethod
    def parse(cls, text: str) -> "MethodSteps":
        """Read the text of a study's row.

        >>> MethodSteps.parse("simple+30")
        MethodSteps(name='simple', steps=30)
        """
        name, _, steps = text.rpartition("+")
        return cls(name, int(steps)) if name and steps.isdecimal() else cls(text)

    def __str__(self) -> str:
        return f"{self.name}+{self.steps}" if self.steps else self.name


@dataclass(frozen=True)
class Evaluation(Readable):
    """One row of a surface.

    Args:
        weights: Task weights, alpha.
        metrics: By task, ``loss`` and every metric on validation data.
        fidelity: How the params were made.
        method: Name of the preview method (``simple``, ``diagonal``, ...); ``joint`` for a joint run.
        seed: Seed of the training behind the params.
        cost: Seconds spent on this row alone.
        key: Hash of all that the row depends on, if a study has the row; it is not compared.
        steps: Joint steps after a sharpened preview; 0 for any other row.
    """

    weights: TaskWeights
    metrics: Mapping[str, Mapping[str, float]]
    fidelity: Fidelity
    method: str
    seed: int = 0
    cost: float = 0.0
    key: str = field(default="", compare=False)
    steps: int = field(default=0, kw_only=True)

    __repr__ = one_line

    @property
    def label(self) -> str:
        """Return the method with its steps as one text, such as ``simple+30``."""
        return str(MethodSteps(self.method, self.steps))


class Evaluations(ReadableSequence[Evaluation]):
    """Evaluations in the order in which they were made.

    >>> from foretaste.weights import uniform
    >>> Evaluations([Evaluation(uniform("ab"), {}, Fidelity.JOINT, "joint")])
    Evaluations(1 row: 1 joint)
    """

    def __repr__(self) -> str:
        counts = Counter(str(row.fidelity) for row in self)
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        return f"Evaluations({len(self)} row{'' if len(self) == 1 else 's'}{': ' if kinds else ''}{kinds})"
