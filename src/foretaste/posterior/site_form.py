"""The form of a site on disk: tensors by name, and a few facts that JSON can hold.

Studies and site files both use it, and no other module lists the structures of precision. The gradient's tensors are
called ``gradient/NAME``. The precision's tensors have the names that `Precision.to_tensors` gives them. Site files put
``precision/`` in front; studies do not, because the keys of their work depend on the names.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.kronecker import Kronecker
from foretaste.posterior.lowrank import LowRank
from foretaste.posterior.precision import Precision
from foretaste.posterior.site import GaussianSite, Record

__all__ = ["GRADIENT", "PRECISION", "facts_of", "site_from", "tensors_of"]

PRECISION, GRADIENT = "precision/", "gradient/"

_STRUCTURES: Mapping[str, type[Precision]] = {
    structure.structure: structure for structure in (Isotropic, Diagonal, Kronecker, LowRank)
}


def facts_of(site: GaussianSite) -> dict[str, Any]:
    """Return the structure of a site's precision and the record of how it was estimated.

    Raises:
        ParamsError: The precision is a lazy sum, which has no form on disk.

    >>> import torch
    >>> facts_of(GaussianSite({"w": torch.ones(1)}, Isotropic(2.0)))["structure"]
    'isotropic'
    """
    if type(site.precision) not in _STRUCTURES.values():
        raise ParamsError(
            f"a site of structure {site.precision.structure!r} is not kept on disk; save the sites that it was made of"
        )
    return {"structure": site.precision.structure, "record": asdict(site.record)}


def tensors_of(site: GaussianSite, prefix: str = "") -> dict[str, Tensor]:
    """Return the tensors of a site's precision and gradient, by name.

    Args:
        site: The site.
        prefix: A text in front of the names of the precision's tensors.

    >>> import torch
    >>> sorted(
    ...     tensors_of(
    ...         GaussianSite({"w": torch.ones(1)}, Diagonal({"w": torch.ones(1)}), {"w": torch.zeros(1)}), PRECISION
    ...     )
    ... )
    ['gradient/w', 'precision/w']
    """
    gradient = {GRADIENT + name: tensor for name, tensor in (site.gradient or {}).items()}
    return {prefix + name: tensor for name, tensor in site.precision.to_tensors().items()} | gradient


def site_from(facts: Mapping[str, Any], tensors: Params, center: Params, carried: Params | None = None) -> GaussianSite:
    """Make a site from its facts and tensors.

    Args:
        facts: From `facts_of`; may also have the site's ``power``, and whether it is ``stationary``.
        tensors: From `tensors_of`, with or without ``precision/`` before names.
        center: The task's params.
        carried: Floating-point buffers of the task's model.

    Raises:
        LookupError: The structure is unknown, or tensors are missing.

    >>> import torch
    >>> site = GaussianSite({"w": torch.ones(1)}, Diagonal({"w": torch.ones(1)}))
    >>> site_from(facts_of(site), tensors_of(site), site.center).precision.to_tensors()
    {'w': tensor([1.])}
    """
    gradient = {name.removeprefix(GRADIENT): tensor for name, tensor in tensors.items() if name.startswith(GRADIENT)}
    curvature = {
        name.removeprefix(PRECISION): tensor for name, tensor in tensors.items() if not name.startswith(GRADIENT)
    }
    stationary = facts.get("stationary", not gradient)
    precision = _STRUCTURES[facts["structure"]].from_tensors(curvature)
    record, power = Record(**facts["record"]), float(facts.get("power", 1.0))
    return GaussianSite(center, precision, None if stationary else gradient, carried or {}, record, power)
