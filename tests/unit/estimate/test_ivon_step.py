import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.estimate.ivon_step import check_settings, in_pieces, move_params

GROUP = {
    "ess": 10.0,
    "hessian_init": 0.5,
    "lr": 0.1,
    "weight_decay": 0.2,
    "beta1": 0.9,
    "beta2": 0.8,
    "clip_radius": 1e3,
}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ess", 0.0, "above 0"),
        ("hessian_init", float("inf"), "above 0"),
        ("lr", -1.0, "of at least 0"),
        ("weight_decay", float("inf"), "of at least 0"),
        ("beta2", 1.0, "below 1"),
        ("clip_radius", 0.0, "above 0"),
    ],
)
def test_settings_have_ranges(name: str, value: float, message: str) -> None:
    check_settings(GROUP)
    with pytest.raises(ParamsError, match=f"{name} of IVON must be .*{message}"):
        check_settings({**GROUP, name: value})


def test_pieces_are_views_of_the_whole() -> None:
    big = torch.zeros((1 << 18) + 3)
    pieces = list(in_pieces([[big], [None]], [2.0]))
    assert [len(columns[0][0]) for columns, _ in pieces] == [1 << 18, 3]
    assert all(factors == [2.0] and len(columns) == 1 for columns, factors in pieces)
    for columns, _ in pieces:
        columns[0][0].add_(1)
    assert bool((big == 1).all())


def test_a_step_is_the_formula() -> None:
    """With the names of the module's formulas, for one number."""
    m, g, h, product, grad = 1.0, 0.3, 0.5, 0.04, 2.0
    columns = [[torch.tensor([value], dtype=torch.float64)] for value in (m, grad, g, h, product)]
    move_params(GROUP, columns, [1 / (1 - 0.9)])
    g = 0.9 * g + 0.1 * grad
    u = 0.2 * (10 * product * (h + 0.2) - h) / (h + 0.2)
    curvature = (h + 0.2) * (1 + u + u * u / 2)
    expected = m - 0.1 * (0.5 + 0.2) * (g / 0.1 + 0.2 * m) / curvature
    assert columns[0][0].item() == pytest.approx(expected)
    assert columns[3][0].item() == pytest.approx(curvature - 0.2)
    assert columns[4][0].item() == 0
