"""Checkpoints on disk, checked before anything is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from foretaste.errors import DataError
from foretaste.json_text import parse_json
from foretaste.names import first_few
from foretaste.one_line import one_line
from foretaste.sources.site_file import NAME
from foretaste.stored import Stored, header_of

__all__ = [
    "INDEX",
    "Checkpoint",
    "check_checkpoint",
    "companion_files",
    "open_checkpoint",
    "read_json",
    "refuse_pickles",
]

INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_NOT_BESIDE = ("*.safetensors", *_PICKLES, "*.md", "trainer_state.json", ".*")
_EIGHT_BITS = {"F8_E4M3", "F8_E5M2"}


@dataclass(frozen=True)
class Checkpoint:
    """A transformers checkpoint folder whose headers were read.

    Args:
        folder: The checkpoint's folder.
        params: The tensors, in the physical order of the files.
    """

    folder: Path
    params: Stored

    __repr__ = one_line

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Return the content of ``config.json``."""
        return read_json(self.folder / "config.json")

    @property
    def files(self) -> list[Path]:
        """List the safetensors files, each once."""
        return list(dict.fromkeys(entry.file for entry in self.params.entries.values()))


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint's configuration and headers, but no params.

    Args:
        folder: Folder with ``config.json`` and either one safetensors file or shards and their index.

    Raises:
        DataError: `check_checkpoint` refuses the folder, the index names tensors that the shards lack, or the model is
            quantised.

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "config.json").write_text('{"model_type": "bert"}')
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     found = open_checkpoint(Path(folder))
    ...     found.config["model_type"], list(found.params)
    ('bert', ['w'])
    """
    files, index = check_checkpoint(folder), folder / INDEX
    if index.is_file():
        places = _places(index)
        files = [path for path in files if path.name in set(places.values())]
    elif len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise DataError(
            f"{folder} has several safetensors files ({names}) and no {INDEX}; copy the index too, or keep one file"
        )
    checkpoint = Checkpoint(folder, Stored.open(files))
    if index.is_file():
        absent = sorted(
            name
            for name, file in places.items()
            if name not in checkpoint.params or checkpoint.params.entries[name].file.name != file
        )
        if absent:
            name = first_few(absent, 1)
            raise DataError(
                f"{index} says that {name} is in {places[absent[0]]}, which it is not; copy or download them again"
            )
    _refuse_quantised(checkpoint)
    return checkpoint


def _refuse_quantised(checkpoint: Checkpoint) -> None:
    if "quantization_config" in checkpoint.config:
        quantisation = checkpoint.config["quantization_config"]
        method = quantisation.get("quant_method", "some method") if isinstance(quantisation, dict) else "some method"
        raise DataError(
            f"{checkpoint.folder} is quantised ({method}): its numbers are codes, which cannot be averaged; use the"
            " model it was made from"
        )
    for name, entry in checkpoint.params.entries.items():
        if entry.dtype in _EIGHT_BITS:
            raise DataError(
                f"{name} in {entry.file} is in 8 bits ({entry.dtype}), too coarse to be merged; use the model in"
                " bfloat16 or wider"
            )


def check_checkpoint(folder: Path) -> list[Path]:
    """Check a transformers checkpoint folder before it is loaded.

    Args:
        folder: Folder with ``config.json`` and safetensors files.

    Returns:
        The safetensors files.

    Raises:
        DataError: There is no configuration, a file is truncated, shards are missing, or the params are in a pickle
            (the error tells how to convert it).

    >>> import tempfile, torch
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "config.json").write_text("{}")
    ...     save_file({"w": torch.ones(1)}, Path(folder, "model.safetensors"))
    ...     [path.name for path in check_checkpoint(Path(folder))]
    ['model.safetensors']
    """
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} has no config.json; name a folder that save_pretrained made")
    files = sorted(path for path in folder.glob("*.safetensors") if path.name != NAME)
    if not files:
        way = "AutoModelForCausalLM (or the class that it is for).from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
        refuse_pickles(folder, f"convert it once with transformers: {way}")
        raise DataError(f"{folder} has no .safetensors file; name a folder that save_pretrained made")
    index = folder / INDEX
    if index.is_file():
        missing = sorted(set(_places(index).values()) - {path.name for path in files})
        if missing:
            raise DataError(f"{folder} lacks the shards {', '.join(missing)}, which its index names; copy them too")
    for path in files:
        header_of(path)
    return files


def companion_files(folder: Path) -> list[Path]:
    """List a checkpoint's files without params: configuration, tokenizer and generation, but none of its training.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("config.json", "tokenizer.json", "model.safetensors", "optimizer.pt", "README.md"):
    ...         Path(folder, name).touch()
    ...     [path.name for path in companion_files(Path(folder))]
    ['config.json', 'tokenizer.json']
    """
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and not any(path.match(pattern) for pattern in _NOT_BESIDE)
    ]


def _places(index: Path) -> dict[str, str]:
    """Read the file of every tensor from an index."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise DataError(
            f"{index} is damaged (its weight_map does not name a file for every tensor); copy or download it again"
        )
    return weight_map


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file of a checkpoint.

    Raises:
        DataError: The file cannot be read, or holds something else.

    >>> read_json(Path("no-such-folder/config.json"))
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no-such-folder/config.json is damaged (FileNotFoundError: ...); copy or download it
    again
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is not a regular file")
        document = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({type(error).__name__}: {error}); copy or download it again") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is damaged (it holds no JSON object); copy or download it again")
    return document


def refuse_pickles(folder: Path, advice: str) -> None:
    """Refuse a folder that holds pickles.

    Args:
        folder: Folder without a safetensors file to read instead.
        advice: How to convert the first pickle, for people who trust it.

    Raises:
        DataError: There is a pickle.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     refuse_pickles(Path(folder), "convert it")
    """
    pickles = sorted(path for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise DataError(
            f"{pickles[0]} is a pickle, which can run code when loaded, and is refused; only safetensors is read. If"
            f" you trust it, {advice}"
        )
