"""Stored params: tensors that stay in safetensors files until they are asked for, whole or in part.

A safetensors file is eight bytes with the header's length, a JSON header with every tensor's type,
shape and place, and the tensors' bytes. Opening reads headers alone, whatever the size of the files.

References:
    safetensors, Format, https://huggingface.co/docs/safetensors
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from foretaste.errors import DataError
from foretaste.json_text import parse_json

__all__ = ["DTYPES", "Entry", "Stored", "header_of"]

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

_LENGTH = 8
_LONGEST = 100_000_000  # bytes of a header, as the format says
_LARGEST = 2**63  # that a size can be


@dataclass(frozen=True)
class Entry:
    """Where a tensor is.

    Args:
        file: The safetensors file.
        dtype: As the file names it, for example ``BF16``.
        shape: Of the tensor.
        start: First byte in the file.
        size: In bytes.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def count(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def type(self) -> torch.dtype:
        """The type in torch.

        Raises:
            DataError: A type that torch or this library does not know.
        """
        if self.dtype not in DTYPES:
            raise DataError(
                f"{self.file} holds tensors of type {self.dtype}, which is not supported; convert it to bfloat16 or"
                " float32"
            )
        return DTYPES[self.dtype]


def header_of(path: Path) -> dict[str, Entry]:
    """The tensors of a safetensors file in the order of their bytes, without reading them.

    Raises:
        DataError: Missing, truncated, damaged, or a tensor is there twice.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"w": torch.ones(2, 3)}, Path(folder, "a.safetensors"))
    ...     header_of(Path(folder, "a.safetensors"))["w"].shape
    (2, 3)
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a regular file")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            whole = path.stat().st_size
            if length > min(_LONGEST, whole - _LENGTH):
                raise ValueError("it ends inside its header")
            fields = parse_json(file.read(length), strict=True)
        if not isinstance(fields, dict):
            raise ValueError("its header is not a JSON object")
        entries = [
            _entry(path, name, description, _LENGTH + length, whole)
            for name, description in fields.items()
            if name != "__metadata__"
        ]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); copy or download it again") from error
    return dict(sorted(entries, key=lambda pair: (pair[1].start, pair[1].size)))


def _entry(path: Path, name: str, fields: object, data: int, whole: int) -> tuple[str, Entry]:
    """One tensor, as the header describes it.

    Args:
        path: The file.
        name: The tensor's.
        fields: What the header says of it.
        data: Where the tensors' bytes begin.
        whole: Size of the file.

    Raises:
        ValueError: Something of it is of a wrong type, or does not fit the rest.
    """
    dtype, shape, offsets = (
        (fields.get(part) for part in ("dtype", "shape", "data_offsets")) if isinstance(fields, dict) else (None,) * 3
    )
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"its header does not give a type, a shape and two offsets for {name}")
    entry = Entry(path, dtype, tuple(shape), data + offsets[0], offsets[1] - offsets[0])
    if entry.size < 0:
        raise ValueError(f"{name} ends before it begins")
    if entry.start + entry.size > whole:
        raise ValueError(f"it ends inside {name}")
    if entry.dtype in DTYPES and entry.size != entry.count * entry.type.itemsize:
        raise ValueError(f"{name} has {entry.size} bytes for {entry.count} entries of {entry.dtype}")
    return name, entry


def _are_sizes(values: object) -> TypeGuard[list[int]]:
    """Whether it is a list of whole numbers that sizes and places in a file can be."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < _LARGEST for value in values)


class Stored(Mapping[str, Tensor]):
    """Params in files, in the physical order of the files; each tensor is read when asked for.

    Args:
        entries: By name.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"w": torch.arange(4.0)}, Path(folder, "a.safetensors"))
    ...     params = Stored.open([Path(folder, "a.safetensors")])
    ...     params["w"], params.part("w", slice(1, 3))
    (tensor([0., 1., 2., 3.]), tensor([1., 2.]))
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = dict(entries)

    @classmethod
    def open(cls, files: Iterable[Path]) -> "Stored":
        """All tensors of some files.

        Raises:
            DataError: A file cannot be read, or a tensor is in two of them.
        """
        entries: dict[str, Entry] = {}
        for path in files:
            for name, entry in header_of(path).items():
                if name in entries:
                    raise DataError(
                        f"{name} is both in {entries[name].file} and in {path.name}; remove the file that is left over"
                    )
                entries[name] = entry
        return cls(entries)

    def __getitem__(self, name: str) -> Tensor:
        entry = self.entries[name]
        return self.part(name, slice(0, entry.count)).reshape(entry.shape)

    def part(self, name: str, cut: slice) -> Tensor:
        """Some entries of the flattened tensor.

        Raises:
            DataError: The file is gone or shorter than it was.
        """
        entry = self.entries[name]
        start, stop, _ = cut.indices(entry.count)
        width = entry.type.itemsize
        content = torch.empty(max(stop - start, 0), dtype=entry.type)
        view, place = memoryview(content.view(torch.uint8).numpy().data), entry.start + start * width
        try:
            file = os.open(entry.file, os.O_RDONLY)
            try:
                while view and (read := os.preadv(file, [view], place)):
                    view, place = view[read:], place + read
            finally:
                os.close(file)
        except OSError as error:
            raise DataError(
                f"{entry.file} cannot be read any more ({error}); it was there when the work began"
            ) from error
        if len(view):
            raise DataError(f"{entry.file} has become shorter while it was read; copy or download it again")
        return content

    def __contains__(self, name: object) -> bool:
        return name in self.entries  # the default would read the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
