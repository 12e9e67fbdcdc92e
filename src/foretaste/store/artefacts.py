"""The port for a study's tensors: artefacts named by what they hold, snapshots of unfinished work, and claims on work.

Only an implementation knows where these lie. Every implementation passes the tests of ``tests/contracts/artefacts.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from foretaste.params import Params

__all__ = ["Artefacts"]


class Artefacts(ABC):
    """The tensors of one study. Several processes may have them open.

    An artefact's digest is the hash of its tensors (`foretaste.params.digest`): the same content is kept once.
    """

    @abstractmethod
    def put(self, params: "Params") -> str:
        """Keep params whole, and return their digest.

        Args:
            params: Tensors on any device; tied ones must not share memory.

        Raises:
            StorageError: They cannot be written; nothing is then kept.
        """

    @abstractmethod
    def get(self, digest: str) -> "dict[str, Tensor]":
        """The tensors of an artefact, in main memory.

        Raises:
            DataError: The artefact is missing, or holds something else than its digest says.
        """

    @abstractmethod
    def slice(self, digest: str, name: str, entries: slice) -> "Tensor":
        """Some entries of one flattened tensor of an artefact, which is not read as a whole and so not verified.

        Args:
            digest: The artefact's.
            name: The tensor's.
            entries: Which entries, with step 1.

        Returns:
            `[entries]`

        Raises:
            DataError: The artefact is missing or damaged, or has no such tensor.
        """

    @abstractmethod
    def has(self, digest: str) -> bool:
        """Whether an artefact is there."""

    @abstractmethod
    def drop(self, digest: str) -> None:
        """Delete an artefact, if it is there.

        Raises:
            StorageError: It cannot be deleted.
        """

    @abstractmethod
    def size(self, digest: str) -> int:
        """Bytes that an artefact takes up.

        Raises:
            DataError: The artefact is missing.
        """

    @abstractmethod
    def put_snapshot(self, key: str, state: "Params", facts: Mapping[str, object]) -> None:
        """Keep the state of unfinished work in place of its former one.

        Args:
            key: The work's.
            state: The tensors of the state.
            facts: What JSON can hold.

        Raises:
            StorageError: The state cannot be written; the former one is then kept.
        """

    @abstractmethod
    def get_snapshot(self, key: str) -> "tuple[dict[str, Tensor], dict[str, Any]] | None":
        """The tensors and facts of a snapshot; None where there is none.

        Raises:
            DataError: It is damaged.
        """

    @abstractmethod
    def drop_snapshot(self, key: str) -> None:
        """Delete the snapshot of work that is finished, if there is one."""

    @abstractmethod
    def has_snapshots(self) -> bool:
        """Whether any work is unfinished."""

    @property
    @abstractmethod
    def snapshots_at(self) -> str:
        """Where snapshots are, as people are told."""

    @abstractmethod
    def claim(self, key: str, waiting: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Let one process at a time do a piece of work; a process that dies lets go.

        Args:
            key: The work's.
            waiting: Called about every second while another process does the work; may raise.
        """
