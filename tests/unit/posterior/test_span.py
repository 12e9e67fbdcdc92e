import torch

from foretaste.posterior.axes import Axes
from foretaste.posterior.span import Span
from laws import normal


def terms() -> list[tuple[Axes, torch.Tensor, torch.Tensor]]:
    """Two precisions of one layer of 4 by 3, in different directions."""
    sides = [torch.linalg.qr(normal(size, size, seed=size + place).double())[0] for place in (0, 1) for size in (4, 3)]
    axes = [Axes(sides[0][:, :2], sides[1]), Axes(sides[2], sides[3][:, :1])]
    values = [normal(2, 3, seed=7).double().square(), normal(4, 1, seed=8).double().square()]
    return [
        (own, value, torch.tensor(0.3 + place).double())
        for place, (own, value) in enumerate(zip(axes, values, strict=True))
    ]


def dense(matrix: torch.Tensor) -> torch.Tensor:
    """The sum of both precisions at a matrix, without coordinates."""
    total = torch.zeros_like(matrix)
    for axes, values, outside in terms():
        inside = axes.to_basis(matrix)
        total += axes.from_basis(values * inside) + outside * (matrix - axes.from_basis(inside))
    return total


def test_coordinates_stand_for_matrices() -> None:
    residual = normal(4, 3, seed=9).double()
    span = Span(terms(), residual)
    first, second = span.residual, span.image(span.residual)
    torch.testing.assert_close(span.matrix(first), residual)
    torch.testing.assert_close(span.matrix(second), dense(residual))
    torch.testing.assert_close(span.matrix(span.image(second)), dense(dense(residual)))
    torch.testing.assert_close(span.dot(first, second), (residual * dense(residual)).sum())
