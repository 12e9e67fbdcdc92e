"""Results of finished work, typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foretaste.one_line import one_line
from foretaste.posterior.site import Record
from foretaste.store.study import Done

__all__ = ["Choice", "Run", "SiteRecord"]


@dataclass(frozen=True)
class Run:
    """The result of finished training.

    Args:
        done: The finished work; its artefact holds the params.
        history: The mean loss of every step; empty for an imported model.
        data_counts: Examples and units of each task that the run trained on.
    """

    done: Done
    history: Sequence[float]
    data_counts: Mapping[str, Mapping[str, int]]

    __repr__ = one_line

    @classmethod
    def of(cls, done: Done) -> "Run":
        """Read finished training from what the study keeps."""
        return cls(done, done.result["history"], done.result["seen"])


@dataclass(frozen=True)
class SiteRecord:
    """A finished estimate of a task's curvature.

    Args:
        done: The finished work; its artefact holds the curvature.
        structure: Structure of the precision.
        record: How it was estimated.
    """

    done: Done
    structure: str
    record: Record

    __repr__ = one_line

    @classmethod
    def of(cls, done: Done) -> "SiteRecord":
        """Read a finished estimate from what the study keeps."""
        return cls(done, done.result["structure"], Record(**done.result["record"]))


@dataclass(frozen=True)
class Choice:
    """A number that was chosen by validation loss.

    Args:
        done: The finished work.
        value: The number.
        loss: The validation loss there.
        curve: Every number that was tried, with its loss.
    """

    done: Done
    value: float
    loss: float
    curve: Sequence[Sequence[float]]

    __repr__ = one_line

    @classmethod
    def of(cls, done: Done) -> "Choice":
        """Read a finished choice from what the study keeps."""
        return cls(done, done.result["value"], done.result["loss"], done.result["curve"])
