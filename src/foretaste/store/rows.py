"""The port for a study's rows: recipes, finished work and evaluations, which are only ever added.

An implementation keeps the rows and nothing else: tensors are behind `foretaste.store.artefacts`. Every implementation
passes the tests of ``tests/contracts/rows.py``.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretaste.evaluation import Evaluation
from foretaste.one_line import one_line

__all__ = ["Done", "Json", "Record", "Rows", "key_of"]

Json = Mapping[str, Any]


def key_of(kind: str, inputs: Json) -> str:
    """The name of a piece of work: a hash of all it depends on.

    >>> key_of("site", {"a": 1, "b": 2}) == key_of("site", {"b": 2, "a": 1})
    True
    """
    text = json.dumps([kind, inputs], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Done:
    """A piece of work that is finished.

    Args:
        key: Its name.
        kind: ``finetune``, ``site``, ``joint`` or ``evaluation``.
        inputs: What it depended on.
        result: Small facts about it.
        artefact: Hash of its tensor file, where it has one.
        seconds: How long it took.
    """

    key: str
    kind: str
    inputs: Json
    result: Json
    artefact: str | None
    seconds: float

    __repr__ = one_line


@dataclass(frozen=True)
class Record:
    """Finished work on its way into the rows.

    Args:
        done: The work.
        size: Bytes of its artefact; 0 where it has none.
        evaluation: The row that it gave, where it is an evaluation.
    """

    done: Done
    size: int = 0
    evaluation: Evaluation | None = None

    __repr__ = one_line


class Rows(ABC):
    """The rows of one study. Several processes may have them open."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    @abstractmethod
    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        """The latest recipe's text and plan; None before the first."""

    @abstractmethod
    def add_recipe(self, text: str, plan: Json) -> None:
        """Add a recipe, unless it equals the latest.

        Raises:
            StorageError: The database cannot be written.
        """

    @abstractmethod
    def add(self, records: Sequence[Record]) -> None:
        """Add finished work: all of it or none. Work of a key that is there already stays as it is.

        Raises:
            StorageError: The database cannot be written.
        """

    @abstractmethod
    def work(self, keys: Collection[str]) -> dict[str, Done]:
        """The finished work among these keys, by key, in the order of the keys."""

    @abstractmethod
    def all_work(self, kind: str | None = None) -> list[Done]:
        """Finished work, in the order it was added; of one kind where given."""

    @abstractmethod
    def evaluations(self, keys: Collection[str]) -> dict[str, Evaluation]:
        """The evaluations among these keys, by key, in the order of the keys; one query, however many there are."""

    @abstractmethod
    def evaluations_after(self, number: int) -> tuple[list[Evaluation], int]:
        """The evaluations added after the one of a number, in the order they were added.

        Whoever asks again with the number that was returned misses none, whatever other processes add at the same time.

        Args:
            number: 0 for all; else what an earlier call returned.

        Returns:
            The evaluations, and the number of the last that there is.
        """

    @abstractmethod
    def revision(self) -> str:
        """A text that changes whenever an evaluation or a recipe is added."""
