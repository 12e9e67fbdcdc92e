"""A site on disk: one safetensors file with a task's params, curvature, gradient and record.

Tensors are called ``center/NAME``, ``precision/KEY``, ``gradient/NAME`` and ``carried/NAME``. The file's metadata has
``format`` (``foretaste-site``), ``version`` (1) and ``site``: JSON with the precision's structure, the record, the
power and what is known of the mean: the names, types and content hash of the params, and whether they are inside.

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
from foretaste.sources.site_mean import as_type, check_digest, check_values, mean_given, mean_inside
from foretaste.stored import Stored
from foretaste.whole import write_whole

__all__ = ["NAME", "check_taken_at", "load_site", "open_diagonal", "save_site"]

NAME = "foretaste-site.safetensors"

_FORMAT, _VERSION = "foretaste-site", 1
_CENTER, _CARRIED = "center/", "carried/"
_PICKLED = (b"PK\x03\x04", b"\x80")  # what torch.save and pickle begin with


def save_site(site: GaussianSite, path: Path | str, *, mean: bool = True) -> None:
    """Write a site as one file: to a temporary one beside it, then renamed.

    Args:
        site: On any device; types are kept.
        path: The file to write; missing folders are made.
        mean: Whether the task's params are inside. Without them the file is smaller by as much, and
            `load_site` wants them back, from the checkpoint that was saved with the site.

    Raises:
        ParamsError: A lazy sum of precisions, which has no form on disk.
        StorageError: The disk refuses; nothing is left under the final name.

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
    tensors = _apart(center | tensors_of(site, PRECISION) | carried)
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
        mean: The task's params, among others if need be: needed where they are not in the file, and compared where they
            are.

    Raises:
        DataError: A file that is missing, damaged, a pickle, no site, or of a newer foretaste.
        ParamsError: No mean where one is needed, another one than the site was taken at, or curvature that does not
            fit.

    >>> load_site("no-such-folder/foretaste-site.safetensors")
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: no-such-folder/foretaste-site.safetensors does not exist; save_site writes a site
    """
    path = Path(path)
    tensors, description = _read(path)
    try:
        mean_facts, names = description["mean"], list(description["mean"]["names"])
        own, carried = _taken(tensors, _CENTER), _taken(tensors, _CARRIED)
        center = mean_inside(path, own, names, mean) if mean_facts["inside"] else mean_given(path, mean, mean_facts)
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
    """The diagonal curvature of a site file, left in the file.

    Args:
        path: The site's file.

    Returns:
        h by name, and how it came about.

    Raises:
        DataError: No site file, or of another structure than a diagonal.

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
    """Look whether a site file belongs to these params, tensor by tensor; where they have other names, it is not known.

    Args:
        path: The site's file.
        params: Params of the model that lies beside the file; may be on disk.

    Raises:
        DataError: No site file.
        ParamsError: The site was taken at other params.

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


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors of one part out of a file's, under their own names."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}


def _header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as handle:
            return _said(path, handle.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); copy or make it again") from error


def _stored(path: Path, prefix: str) -> Stored:
    """One part of a site file, left there."""
    entries = Stored.open([path]).entries
    return Stored({name.removeprefix(prefix): entry for name, entry in entries.items() if name.startswith(prefix)})


def _apart(tensors: Params) -> dict[str, Tensor]:
    """On the CPU, contiguous, none sharing memory with another, as safetensors wants them."""
    separate, seen = {}, set[int]()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        storage = own.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != own.nbytes:
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        separate[name] = own
    return separate


def _types(params: Params) -> str:
    return ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in params.values()}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The file's tensors, and what its metadata says."""
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
            description = _said(path, metadata)
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


def _said(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
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
    """Refuse curvature and gradients of other shapes than the params'."""
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
