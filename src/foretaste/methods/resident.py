"""Choose where previews are merged: on the model's device, with sites resident there if they fit, else streamed.

A sweep of weightings then stays on the accelerator. The model uses the merged params in place, and only losses and
predictions come back.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch

from foretaste.methods.site_set import Merger
from foretaste.params import tensors_of
from foretaste.work.context import Context

__all__ = ["Place", "place_merger", "place_of"]

Place = Literal["resident", "streamed", "host"]

_SHARE = 0.75  # of the free memory; the rest is for evaluation
_COPIES = 3  # of the model's params: the merged ones, the model's own, and the ones being merged


def place_merger(context: Context, merger: Merger, say: Callable[[str], None] = lambda text: None) -> Merger:
    """Move a merger to the device where previews are evaluated, as far as memory allows; on a CPU it stays as it is.

    Args:
        context: A context with the model, whose device it is.
        merger: A merger with all its tensors in main memory.
        say: Called with a message where not all of it fits.

    >>> from foretaste.posterior.gaussian import Gaussian
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> from foretaste.workflow.example import small_study
    >>> merger = Merger(Gaussian({"w": torch.zeros(1)}, Isotropic(0.5)), {})
    >>> with small_study() as context:
    ...     place_merger(context, merger) is merger
    True
    """
    model = context.problem.model
    device = next(model.parameters()).device
    if device.type == "cpu":
        return merger
    free, own = _free(device), sum(tensor.nbytes for tensor in tensors_of(model).values())
    place = place_of(merger, own, free)
    if place == "resident":
        return merger.on(device)
    how = "are streamed there" if place == "streamed" else "are merged in main memory"
    say(
        f"the tasks' sites need {_gib(merger.bytes)} and {device} has {_gib(free)} free: they {how}, weighting by"
        " weighting"
    )
    return replace(merger, device=device) if place == "streamed" else merger


def place_of(merger: Merger, own: int, free: int) -> Place:
    """Choose where sites are while previews are merged on an accelerator.

    Args:
        merger: A merger with the sites.
        own: Bytes of the model's params.
        free: Free bytes of the accelerator.

    >>> from foretaste.posterior.gaussian import Gaussian
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> [
    ...     place_of(Merger(Gaussian({"w": torch.zeros(256)}, Isotropic(0.5)), {}), 1024, free)
    ...     for free in (8192, 4096, 2048)
    ... ]
    ['resident', 'streamed', 'host']
    """
    room = _SHARE * free - _COPIES * own
    if merger.bytes <= room:
        return "resident"
    return "streamed" if room >= 0 and merger.streams else "host"


def _free(device: torch.device) -> int:
    """Return the free bytes of a device; 0 where it does not tell."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    try:
        torch.accelerator.empty_cache()
        return int(torch.accelerator.get_memory_info(device)[0])
    except (AttributeError, RuntimeError, NotImplementedError):  # before torch 2.9, or a device that does not tell
        return 0


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
