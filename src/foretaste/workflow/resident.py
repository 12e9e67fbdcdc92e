"""Where previews are merged: on the model's device, with the tasks' sites resident there if they fit, else streamed there.

On an accelerator a sweep of weightings then never leaves it: what is merged is lent to the model where both lie, and only
losses and predictions come back.
"""

from dataclasses import replace
from typing import Literal

import torch

from foretaste.params import tensors_of
from foretaste.workflow.made import Ready
from foretaste.workflow.session import Session

__all__ = ["Place", "place_of", "resident"]

Place = Literal["resident", "streamed", "host"]

_SHARE = 0.75  # of what is free: the rest is for evaluation
_COPIES = 3  # of the model's params: merged ones, those lent out, and one in the making


def resident(session: Session, merged: Ready) -> Ready:
    """The same previews, merged where they are evaluated as far as memory allows; on a CPU they are anyway.

    Args:
        session: Its model says which device; where not all fits, the watch is told.
        merged: With everything in main memory.

    >>> from foretaste.posterior.gaussian import Gaussian
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> session = Session(None, parse("{name: a, model: {source: digits}}"), digits(), "base", None)
    >>> merged = Ready(Gaussian({"w": torch.zeros(1)}, Isotropic(0.5)), {})
    >>> resident(session, merged) is merged
    True
    """
    model = session.problem.model
    device = next(model.parameters()).device
    if device.type == "cpu":
        return merged
    free, own = _free(device), sum(tensor.nbytes for tensor in tensors_of(model).values())
    place = place_of(merged, own, free)
    if place == "resident":
        return merged.on(device)
    how = "are streamed there" if place == "streamed" else "are merged in main memory"
    session.watch.say(f"the tasks' sites need {_gib(merged.bytes)} and {device} has {_gib(free)} free: they {how}, weighting by weighting")
    return replace(merged, device=device) if place == "streamed" else merged


def place_of(merged: Ready, own: int, free: int) -> Place:
    """Where the sites are while previews are made on an accelerator.

    Args:
        merged: The sites.
        own: Bytes of the model's params.
        free: Bytes that are free there.

    >>> from foretaste.posterior.gaussian import Gaussian
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> [place_of(Ready(Gaussian({"w": torch.zeros(256)}, Isotropic(0.5)), {}), 1024, free) for free in (8192, 4096, 2048)]
    ['resident', 'streamed', 'host']
    """
    room = _SHARE * free - _COPIES * own
    if merged.bytes <= room:
        return "resident"
    return "streamed" if room >= 0 and merged.streams else "host"


def _free(device: torch.device) -> int:
    """Bytes; 0 where the device does not say."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    try:
        torch.accelerator.empty_cache()
        return int(torch.accelerator.get_memory_info(device)[0])
    except (AttributeError, RuntimeError, NotImplementedError):  # before torch 2.9, or a device without such an account
        return 0


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
