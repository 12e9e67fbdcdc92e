"""Writing a checkpoint folder part by part: as many shards as the model it is like, whatever its size.

Numbers are rounded once, to the type that the model keeps them in.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.export.folder import FACTS, new_folder
from foretaste.pieces import is_finite
from foretaste.posterior.precision import Piece
from foretaste.sources.checkpoint import Checkpoint, companion_files
from foretaste.stored import Entry

__all__ = ["Writer", "new_checkpoint"]

_BLOCK = 1 << 15  # entries


class Writer:
    """A checkpoint folder in the making.

    Args:
        folder: Exists, and is filled.
        like: Gives names, shapes, types, the order in the files, and all files that hold no params.
        facts: How the params came about; kept in ``foretaste.json`` and in the files' metadata.
    """

    def __init__(self, folder: Path, like: Checkpoint, facts: Mapping[str, object]) -> None:
        self.folder = folder
        self._like = like
        self._missing = {name: entry.count for name, entry in like.params.entries.items()}
        self._places: dict[str, tuple[BinaryIO, Entry]] = {}
        self._files: list[BinaryIO] = []
        self._left: dict[BinaryIO, int] = {}  # entries that are still to be written
        self._syncing = ThreadPoolExecutor(1)  # a file that is complete goes to the disk while the next is computed
        self._synced: list[Future[None]] = []
        for path in like.files:
            self._begin(path, facts)
        for path in companion_files(like.folder):
            shutil.copyfile(path, folder / path.name)
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")

    def _begin(self, path: Path, facts: Mapping[str, object]) -> None:
        """Write a file's header; its data follow in any order."""
        file = (self.folder / path.name).open("w+b", buffering=0)
        self._files.append(file)
        entries = {name: entry for name, entry in self._like.params.entries.items() if entry.file == path}
        header: dict[str, object] = {"__metadata__": {"format": "pt", "foretaste": json.dumps(facts)}}
        end = 0
        for name, entry in entries.items():
            header[name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [end, end + entry.size]}
            end += entry.size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        start = 8 + len(text)
        for name, entry in entries.items():
            self._places[name] = (file, Entry(self.folder / path.name, entry.dtype, entry.shape, start, entry.size))
            start += entry.size
        os.truncate(file.fileno(), start)
        self._left[file] = sum(entry.count for entry in entries.values())
        self._sync_if_complete(file)

    def put(self, piece: Piece, tensors: Mapping[str, Tensor]) -> None:
        """Write one piece of the params; every entry once.

        Raises:
            ParamsError: A number is beyond what the model's type can hold.
        """
        for name, tensor in tensors.items():
            file, entry = self._places[name]
            begin = 0 if piece.cut is None else piece.cut.start
            rounded = tensor.detach().flatten().to("cpu", entry.type)
            if entry.type == torch.float16 and not is_finite(rounded):
                raise ParamsError(
                    f"{name} has entries beyond what float16 can hold; use a model in bfloat16 or float32 as the base"
                )
            data = rounded.contiguous().view(torch.uint8).numpy().data
            _write_at(file, data, entry.start + begin * entry.type.itemsize)
            self._wrote(name, rounded.numel())

    def _wrote(self, name: str, count: int) -> None:
        file, _ = self._places[name]
        self._missing[name] -= count
        self._left[file] -= count
        self._sync_if_complete(file)

    def _sync_if_complete(self, file: BinaryIO) -> None:
        if not self._left[file]:
            self._synced.append(self._syncing.submit(os.fsync, file.fileno()))

    def finish(self) -> None:
        """Copy what no piece held (integers, and what is not merged), and make sure that all is on the disk."""
        for name in [name for name, count in self._missing.items() if count]:
            assert self._missing[name] == self._like.params.entries[name].count, name
            file, entry = self._places[name]
            for start in range(0, entry.count, _BLOCK):
                part = self._like.params.part(name, slice(start, start + _BLOCK))
                _write_at(file, part.view(torch.uint8).numpy().data, entry.start + start * entry.type.itemsize)
            self._wrote(name, entry.count)
        for sync in self._synced:
            sync.result()

    def close(self) -> None:
        """Close all files."""
        self._syncing.shutdown()
        for file in self._files:
            file.close()


def _write_at(file: BinaryIO, data: memoryview, start: int) -> None:
    while data:
        written = os.pwrite(file.fileno(), data, start)
        data, start = data[written:], start + written


@contextmanager
def new_checkpoint(
    target: Path,
    like: Checkpoint,
    facts: Mapping[str, object],
    *,
    overwrite: bool = False,
    keep: Mapping[str, Path] | None = None,
) -> Iterator[Writer]:
    """Write a checkpoint folder, which appears under its name once it is complete.

    Args:
        target: The folder to be.
        like: See `Writer`.
        facts: See `Writer`.
        overwrite: See `new_folder`.
        keep: See `new_folder`.

    Raises:
        StorageError: See `new_folder`.

    >>> import tempfile
    >>> from safetensors.torch import load_file, save_file
    >>> from foretaste.sources.checkpoint import open_checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (base := Path(folder, "base")).mkdir()
    ...     _ = (base / "config.json").write_text("{}")
    ...     save_file({"w": torch.ones(2)}, base / "model.safetensors")
    ...     with new_checkpoint(Path(folder, "new"), open_checkpoint(base), {"method": "simple"}) as writer:
    ...         writer.put(Piece(["w"]), {"w": torch.tensor([0.5, 0.25])})
    ...     load_file(Path(folder, "new", "model.safetensors"))
    {'w': tensor([0.5000, 0.2500])}
    """
    needed = sum(entry.size for entry in like.params.entries.values())
    with new_folder(target, needed, overwrite=overwrite, keep=keep) as folder:
        writer = Writer(folder, like, facts)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()
