import math

import pytest
import torch

from factors import LAYOUTS, dense, factors
from foretaste.errors import ParamsError
from foretaste.lora import Adapter, Factors, Layout, delta


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stabilised", [False, True])
def test_delta_is_the_scaled_product(layout: Layout, stabilised: bool) -> None:
    own = factors(4, 0, layout, 6.0, stabilised=stabilised)
    found = delta(Adapter({"m": own}), "m")
    assert found.shape == own.shape == dense(own).shape
    torch.testing.assert_close(found.double(), dense(own), rtol=1e-6, atol=1e-5)


def test_delta_of_layers_that_keep_the_transpose() -> None:
    adapter = Adapter({"m": factors(2, 0)})
    assert delta(adapter, "m", transposed=True).equal(delta(adapter, "m").T)
    with pytest.raises(ParamsError, match=r"the adapter does not change 'n'; it has m"):
        delta(adapter, "n")


@pytest.mark.parametrize(
    ("a", "b", "layout"),
    [
        ((2, 3), (4, 3), "linear"),
        ((2, 3), (4, 2, 1), "linear"),
        ((2, 3, 1), (4, 2, 1), "embedding"),
        ((2, 3, 5, 5), (4, 2, 5, 5), "convolution"),
        ((4, 3, 5, 5), (4, 1, 1, 1), "convolution"),
        ((2, 3), (4, 2), "convolution"),
        ((0, 3), (4, 0), "linear"),
    ],
)
def test_factors_that_make_no_product(a: tuple[int, ...], b: tuple[int, ...], layout: Layout) -> None:
    with pytest.raises(ParamsError, match="make no update"):
        Factors(torch.ones(a), torch.ones(b), 1.0, layout=layout)


@pytest.mark.parametrize("alpha", [0.0, math.nan, math.inf, -math.inf])
def test_an_alpha_that_makes_no_update(alpha: float) -> None:
    with pytest.raises(ParamsError, match=r"factors with alpha .* make no update; alpha must be a finite number"):
        Factors(torch.ones(2, 3), torch.ones(4, 2), alpha)
