"""The port for a study's rows: recipes, finished work and evaluations, which are only ever added.

An implementation stores the rows and nothing else: tensors are behind `foretaste.store.artefacts`. Every implementation
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
    """Compute the key of a piece of work, the hash of all that it depends on.

    >>> key_of("site", {"a": 1, "b": 2}) == key_of("site", {"b": 2, "a": 1})
    True
    """
    text = json.dumps([kind, inputs], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Done:
    """A piece of work that is finished.

    Args:
        key: The key.
        kind: The kind of work, such as ``finetune``, ``site``, ``joint`` or ``evaluation``.
        inputs: Everything that the work depends on.
        result: Small facts.
        artefact: Hash of the tensor file, if there is one.
        seconds: Seconds that the work took.
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
    """Finished work that is to be added to the rows.

    Args:
        done: The work.
        size: Bytes of its artefact; 0 if there is none.
        evaluation: The evaluation, if the work is one.
    """

    done: Done
    size: int = 0
    evaluation: Evaluation | None = None

    __repr__ = one_line


class Rows(ABC):
    """The rows of one study, which several processes may have open."""

    @abstractmethod
    def close(self) -> None:
        """Close the database."""

    @abstractmethod
    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        """Return the latest recipe's text and plan; None if there is no recipe."""

    @abstractmethod
    def add_recipe(self, text: str, plan: Json) -> None:
        """Add a recipe, unless it equals the latest.

        Raises:
            StorageError: The database cannot be written.
        """

    @abstractmethod
    def add(self, records: Sequence[Record]) -> None:
        """Add finished work, all or none; existing work of the same key stays as it is.

        Raises:
            StorageError: The database cannot be written.
        """

    @abstractmethod
    def replace(self, records: Sequence[Record]) -> None:
        """Add evaluations, all or none; one whose key exists takes the place of the former one, as the newest row.

        Raises:
            StorageError: The database cannot be written.
        """

    @abstractmethod
    def work(self, keys: Collection[str]) -> dict[str, Done]:
        """Return the finished work among these keys, by key, in the order of the keys."""

    @abstractmethod
    def all_work(self, kind: str | None = None) -> list[Done]:
        """Return finished work in the order in which it was added, all or of one kind."""

    @abstractmethod
    def evaluations(self, keys: Collection[str]) -> dict[str, Evaluation]:
        """Return the evaluations among these keys, by key, in the order of the keys, with one query."""

    @abstractmethod
    def evaluations_after(self, number: int) -> tuple[list[Evaluation], int]:
        """Return the evaluations added after a number, in the order in which they were added.

        Another call with the returned number misses none, even if other processes add some at the same time.

        Args:
            number: 0 for all evaluations, or the number that an earlier call returned.

        Returns:
            The evaluations, and the number of the last one.
        """

    @abstractmethod
    def revision(self) -> str:
        """Return a text that changes whenever an evaluation or a recipe is added."""
