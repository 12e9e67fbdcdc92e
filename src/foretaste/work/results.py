"""What finished work gives, typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretaste.one_line import one_line
from foretaste.posterior.site import Record
from foretaste.store.study import Done

__all__ = ["Choice", "Run", "SiteRecord"]


@dataclass(frozen=True)
class Run:
    """Finished training.

    Args:
        done: The finished work; its artefact holds the params.
        history: The mean loss of every step; empty for an imported model.
        seen: By task, the examples and units that it was trained on.
    """

    done: Done
    history: Sequence[float]
    seen: Mapping[str, Mapping[str, int]]

    __repr__ = one_line

    @classmethod
    def of(cls, done: Done) -> "Run":
        """The training that a study keeps as finished."""
        return cls(done, done.result["history"], done.result["seen"])


@dataclass(frozen=True)
class SiteRecord:
    """A finished estimate of a task's curvature.

    Args:
        done: The finished work; its artefact holds the curvature.
        structure: Of the precision.
        record: How it was estimated.
    """

    done: Done
    structure: str
    record: Record

    __repr__ = one_line

    @classmethod
    def of(cls, done: Done) -> "SiteRecord":
        """The estimate that a study keeps as finished."""
        return cls(done, done.result["structure"], Record(**done.result["record"]))


@dataclass(frozen=True)
class Choice:
    """A number that was chosen by validation loss.

    Args:
        done: The finished work.
        value: The number.
        loss: The validation loss there.
        curve: All numbers that were tried, each with its loss.
    """

    done: Done
    value: float
    loss: float
    curve: Sequence[Sequence[float]]

    __repr__ = one_line

    @classmethod
    def of(cls, done: Done) -> "Choice":
        """The choice that a study keeps as finished."""
        return cls(done, done.result["value"], done.result["loss"], done.result["curve"])
