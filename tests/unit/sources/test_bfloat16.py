import platform

import pytest
import torch

from foretaste.sources.bfloat16 import is_fast, processor_is_fast


def test_only_processors_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretaste.sources.bfloat16.processor_is_fast", lambda: False)
    assert is_fast(torch.device("cuda"))
    assert is_fast(torch.device("mps"))
    assert not is_fast(torch.device("cpu"))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX is of x86 processors")
def test_processors_with_avx2_alone_are_slow() -> None:
    """Torch's own word for the processor, which it gets in another way."""
    wide = torch.backends.cpu.get_cpu_capability() not in ("DEFAULT", "AVX2")
    assert processor_is_fast() == wide
