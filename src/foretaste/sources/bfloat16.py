"""Whether a device computes in bfloat16 at a useful speed.

A processor without instructions for it (AVX2 alone, for example) takes about twenty times as long as in float32.
"""

import accelerate
import torch

__all__ = ["is_fast", "processor_is_fast"]


def is_fast(device: torch.device | None = None) -> bool:
    """Tell whether a device computes in bfloat16 about as fast as in float32, or faster.

    Args:
        device: The device; the one that models are trained on if left out.

    >>> is_fast(torch.device("cuda"))
    True
    """
    kind = (device or accelerate.PartialState().device).type
    return kind != "cpu" or processor_is_fast()


def processor_is_fast() -> bool:
    """Tell whether oneDNN has bfloat16 kernels for this machine's processor.

    >>> isinstance(processor_is_fast(), bool)
    True
    """
    check = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)  # torch has no public name for it
    return check is not None and bool(check())
