"""A site on disk: one safetensors file with a task's params, curvature, gradient and record.

Tensors are called ``center/NAME``, ``precision/KEY``, ``gradient/NAME`` and ``carried/NAME``. The file's metadata has
``format`` (``foretaste-site``), ``version`` (1) and ``site``. The latter is JSON with the precision's structure, the
record and the power. It also has the names, types and content hash of the mean (the params), and whether the file has
the mean.

References:
    safetensors, Format, https://huggingface.co/docs/safetensors
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foretaste.digests import digest, digest_of
from foretaste.errors import DataError, ParamsError
from foretaste.json_text import parse_json
from foretaste.params import Params, check_fit
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.posterior.site_form import GRADIENT, PRECISION, facts_of, site_from, tensors_of
from foretaste.sources.site_mean import as_type, check_digest, check_mean, check_values, own_mean
from foretaste.stored import Stored
from foretaste.whole import write_whole

__all__ = ["NAME", "check_taken_at", "load_site", "open_diagonal", "save_site"]

NAME = "foretaste-site.safetensors"

_FORMAT, _VERSION = "foretaste-site", 1
_CENTER, _CARRIED = "center/", "carried/"
_PICKLED = (b"PK\x03\x04", b"\x80")  # the first bytes of files from torch.save and pickle


def save_site(site: GaussianSite, path: Path | str, *, mean: bool = True) -> None:
    """Write a site to a temporary file, and then rename it.

    Args:
        site: A site on any device; tensors keep their types.
        path: The file to write; missing folders are created.
        mean: Whether the file has the task's params. Without them it is smaller, and `load_site` needs them from the
            checkpoint that was saved with the site.

    Raises:
        ParamsError: The precision is a lazy sum, which has no form on disk.
        StorageError: The disk refuses the file; nothing is left under the final name.

    >>> import tempfile, torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_site(GaussianSite({"w": torch.ones(2)}, Isotropic(3.0)), f"{folder}/{NAME}")
    ...     load_site(f"{folder}/{NAME}").center
    {'w': tensor([1., 1.])}
    """
    facts = facts_of(site)
    center = {_CENTER + name: tensor for name, tensor in site.center.items()} if mean else {}
    carried = {_CARRIED + name: tensor for name, tensor in site.carried.items()}
    tensors = _separate(center | tensors_of(site, PRECISION) | carried)
    description = {
        **facts,
        "power": site.power,
        "stationary": site.gradient is None,
        "mean": {
            "inside": mean,
            "sha256": digest(site.center),
            "names": list(site.center),
            "dtype": _types(site.center),
        },
    }
    metadata = {"format": _FORMAT, "version": str(_VERSION), "site": json.dumps(description)}

    def fill(temporary: Path) -> None:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata=metadata)

    write_whole(Path(path), fill)


def load_site(path: Path | str, mean: Params | None = None) -> GaussianSite:
    """Read a site that `save_site` wrote.

    Args:
        path: The site's file.
        mean: The task's params, possibly among others. They are needed if the file lacks them, and compared otherwise.

    Raises:
        DataError: The file is missing, damaged, a pickle, not a site, or of a newer foretaste.
        ParamsError: The mean is missing or differs from the site's, or the curvature does not fit it.

    >>> load_site("no-such-folder/foretaste-site.safetensors")
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no-such-folder/foretaste-site.safetensors does not exist; save_site writes a site
    """
    path = Path(path)
    tensors, description = _read(path)
    try:
        mean_facts, names = description["mean"], list(description["mean"]["names"])
        own, carried = _select(tensors, _CENTER), _select(tensors, _CARRIED)
        center = own_mean(path, own, names, mean) if mean_facts["inside"] else check_mean(path, mean, mean_facts)
        if strange := [name for name in tensors if not name.startswith((PRECISION, GRADIENT))]:
            raise KeyError(strange[0])
        site = site_from(description, tensors, center, carried)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ParamsError):
            raise
        raise DataError(f"{path} is damaged ({type(error).__name__}: {error}); copy or make it again") from error
    _check(path, site)
    return site


def open_diagonal(path: Path) -> tuple[Stored, Record]:
    """Open the diagonal curvature of a site file; tensors stay in the file until they are read.

    Args:
        path: The site's file.

    Returns:
        h by name, and the record of how it was estimated.

    Raises:
        DataError: The file is not a site file, or its curvature is not diagonal.

    >>> import tempfile, torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_site(GaussianSite({"w": torch.ones(2)}, Diagonal({"w": torch.ones(2)})), path := Path(folder, NAME))
    ...     open_diagonal(path)[0]["w"]
    tensor([1., 1.])
    """
    description = _header(path)
    if description["structure"] != Diagonal.structure:
        raise DataError(
            f"{path} has curvature of structure {description['structure']}; merging in files needs a diagonal one"
        )
    return _stored(path, PRECISION), Record(**description["record"])


def check_taken_at(path: Path, params: Params) -> None:
    """Check tensor by tensor that a site file belongs to these params; params of other names are not compared.

    Args:
        path: The site's file.
        params: Params of the model beside the file; they may be on disk.

    Raises:
        DataError: The file is not a site file.
        ParamsError: The site is of other params.

    >>> import tempfile, torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_site(GaussianSite({"w": torch.ones(2)}, Isotropic(1.0)), path := Path(folder, NAME))
    ...     check_taken_at(path, {"w": torch.ones(2, dtype=torch.bfloat16), "other": torch.ones(1)})
    """
    mean_facts = _header(path)["mean"]
    if not set(mean_facts["names"]) <= set(params):
        return
    if mean_facts["inside"]:
        check_values(path, _stored(path, _CENTER), mean_facts["names"], params)
    else:
        check_digest(
            path,
            digest_of((name, as_type(params[name], mean_facts["dtype"])) for name in sorted(mean_facts["names"])),
            mean_facts,
        )


def _select(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Select the tensors of one part of a file, under their own names."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}


def _header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as handle:
            return _describe(path, handle.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); copy or make it again") from error


def _stored(path: Path, prefix: str) -> Stored:
    """Open one part of a site file; tensors stay in the file until they are read."""
    entries = Stored.open([path]).entries
    return Stored({name.removeprefix(prefix): entry for name, entry in entries.items() if name.startswith(prefix)})


def _separate(tensors: Params) -> dict[str, Tensor]:
    """Move tensors to the CPU, contiguous and without shared memory, as safetensors needs them."""
    separate, addresses = {}, set[int]()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        storage = own.untyped_storage()
        if storage.data_ptr() in addresses or storage.nbytes() != own.nbytes:
            own = own.clone()
        addresses.add(own.untyped_storage().data_ptr())
        separate[name] = own
    return separate


def _types(params: Params) -> str:
    return ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in params.values()}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the file's tensors and the description in its metadata."""
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            description = _describe(path, metadata)
            return {name: handle.get_tensor(name) for name in handle.keys()}, description  # noqa: SIM118
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; save_site writes a site") from None
    except (SafetensorError, OSError) as error:
        if _begins(path).startswith(_PICKLED):
            raise DataError(
                f"{path} is a pickle, which can run code when loaded, and is refused; save the site with save_site"
            ) from None
        raise DataError(f"{path} is truncated or damaged ({error}); copy or make it again") from error


def _begins(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(4)


def _describe(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != _FORMAT:
        raise DataError(f"{path} holds tensors and no site (a checkpoint?); name a file that save_site wrote")
    version = metadata.get("version", "")
    if version != str(_VERSION):
        raise DataError(
            f"{path} is a site of version {version or 'none'}, this foretaste reads {_VERSION}; upgrade foretaste, or"
            " make it again"
        )
    try:
        description = parse_json(metadata["site"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged ({type(error).__name__} in its metadata); copy or make it again") from error
    if not isinstance(description, dict):
        raise DataError(f"{path} is damaged (its metadata holds no JSON object); copy or make it again")
    return description


def _check(path: Path, site: GaussianSite) -> None:
    """Check that curvature and gradient have the params' shapes."""
    shaped = {
        "gradient": site.gradient,
        "curvature": site.precision.entries if isinstance(site.precision, Diagonal) else None,
    }
    for what, params in shaped.items():
        try:
            if params is not None:
                check_fit(site.center, params, f"the {what}")
        except ParamsError as error:
            raise ParamsError(f"{path} is an incomplete site: {error}") from error
