"""The port for a study's tensors: artefacts named by their content, snapshots of unfinished work, and claims on work.

Only an implementation knows where these are stored. Every implementation passes the tests of
``tests/contracts/artefacts.py``.
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
    """The tensors of one study, which several processes may have open.

    An artefact's digest is the hash of its tensors (`foretaste.params.digest`); the same content is stored once.
    """

    @abstractmethod
    def put(self, params: "Params") -> str:
        """Store params, all or none, and return their digest.

        Args:
            params: Tensors on any device; tied ones must not share memory.

        Raises:
            StorageError: The params cannot be written; nothing is then stored.
        """

    @abstractmethod
    def get(self, digest: str) -> "dict[str, Tensor]":
        """Read the tensors of an artefact into main memory.

        Raises:
            DataError: The artefact is missing, or its content does not match its digest.
        """

    @abstractmethod
    def slice(self, digest: str, name: str, entries: slice) -> "Tensor":
        """Read some entries of one flattened tensor of an artefact, without reading and verifying all of it.

        Args:
            digest: The artefact's digest.
            name: The tensor's name.
            entries: The entries, with step 1.

        Returns:
            `[entries]`

        Raises:
            DataError: The artefact is missing or damaged, or has no such tensor.
        """

    @abstractmethod
    def has(self, digest: str) -> bool:
        """Tell whether an artefact is stored."""

    @abstractmethod
    def drop(self, digest: str) -> None:
        """Delete an artefact, if it is stored.

        Raises:
            StorageError: The artefact cannot be deleted.
        """

    @abstractmethod
    def size(self, digest: str) -> int:
        """Return the bytes that an artefact takes up.

        Raises:
            DataError: The artefact is missing.
        """

    @abstractmethod
    def put_snapshot(self, key: str, state: "Params", facts: Mapping[str, object]) -> None:
        """Store a snapshot of unfinished work in place of the former one.

        Args:
            key: The work's key.
            state: The snapshot's tensors.
            facts: Other facts, as JSON.

        Raises:
            StorageError: The snapshot cannot be written; the former one stays.
        """

    @abstractmethod
    def get_snapshot(self, key: str) -> "tuple[dict[str, Tensor], dict[str, Any]] | None":
        """Read the tensors and facts of a snapshot; None if there is none.

        Raises:
            DataError: The snapshot is damaged.
        """

    @abstractmethod
    def drop_snapshot(self, key: str) -> None:
        """Delete the snapshot of work that is finished, if there is one."""

    @abstractmethod
    def has_snapshots(self) -> bool:
        """Tell whether any work has a snapshot."""

    @property
    @abstractmethod
    def snapshots_at(self) -> str:
        """Return the place of snapshots, for messages."""

    @abstractmethod
    def claim(self, key: str, waiting: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
        """Claim a piece of work, so that one process at a time does it; the claim of a dead process ends.

        Args:
            key: The work's key.
            waiting: Called about every second while another process does the work; may raise.
        """
