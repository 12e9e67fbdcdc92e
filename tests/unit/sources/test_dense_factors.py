import pytest
import torch

from factors import LAYOUTS, dense, factors
from foretaste.lora import Adapter, Layout, delta
from foretaste.sources.dense_factors import dense_factors


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_a_rank_nothing_is_lost(layout: Layout) -> None:
    update = dense(factors(2, 1, layout)).float()
    found = dense_factors(update, layout, transposed=False)
    assert found.layout == layout
    assert torch.allclose(delta(Adapter({"q": found}), "q"), update, atol=1e-5)


def test_large_matrices_are_factored_without_all_singular_values() -> None:
    generator = torch.Generator().manual_seed(0)
    b, a = torch.randn(1100, 3, generator=generator), torch.randn(3, 1200, generator=generator)
    found = dense_factors(b @ a, "linear", transposed=False, rank=3)
    assert found.rank == 3
    assert torch.allclose(found.b @ found.a * found.scaling, b @ a, atol=1e-3)
