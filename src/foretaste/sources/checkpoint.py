"""Checkpoints on disk: what may be loaded, and a look at it before anything is."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from foretaste.errors import DataError

__all__ = ["check_checkpoint"]

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def check_checkpoint(folder: Path) -> list[Path]:
    """Look at a transformers checkpoint folder before it is loaded.

    Args:
        folder: Has ``config.json`` and safetensors files.

    Returns:
        Its safetensors files.

    Raises:
        DataError: No configuration, a pickle (with the way out), a truncated file, or shards missing.

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
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        if pickles:
            raise DataError(_refusal(folder, pickles[0]))
        raise DataError(f"{folder} has no .safetensors file; name a folder that save_pretrained made")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        missing = sorted(_shards(index) - {path.name for path in files})
        if missing:
            raise DataError(f"{folder} lacks the shards {', '.join(missing)}, which its index names; copy them too")
    for path in files:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is truncated or damaged ({error}); copy or download it again") from error
    return files


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text())["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{index} is damaged ({type(error).__name__}: {error}); copy or download it again") from error


def _refusal(folder: Path, name: str) -> str:
    way = "AutoModelForSequenceClassification (or ...ImageClassification).from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)"
    return (
        f"{folder / name} is a pickle, which can run code when loaded, and is refused; only safetensors is read. "
        f"If you trust it, convert it once with transformers: {way}"
    )
