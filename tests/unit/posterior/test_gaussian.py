import math

import pytest
import torch

from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import dense, flat
from laws import HARD, STRUCTURES


@pytest.mark.parametrize("family", ["several", "scalars", "empty", "bfloat16", "float64", "non-contiguous"])
@pytest.mark.parametrize("structure", ["isotropic", "diagonal", "dense", "sum"])
def test_log_density_is_that_of_its_matrix(structure: str, family: str) -> None:
    mean = HARD[family]
    precision = STRUCTURES[structure](mean)
    at = {name: tensor + 0.5 for name, tensor in mean.items()}
    matrix, offset = dense(precision, mean), flat(at) - flat(mean)
    square = offset @ torch.linalg.solve(torch.linalg.inv(matrix), offset)
    expected = 0.5 * (torch.logdet(matrix / (2 * math.pi)) - square)
    assert math.isclose(Gaussian(mean, precision).log_density(at), float(expected), rel_tol=1e-4)


def test_log_density_is_highest_at_the_mean() -> None:
    gaussian = Gaussian({"w": torch.ones(3)}, Isotropic(2.0))
    assert gaussian.log_density({"w": torch.ones(3)}) > gaussian.log_density({"w": torch.tensor([1.0, 1.0, 1.1])})
