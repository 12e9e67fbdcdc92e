import math

import pytest
import torch
from laws import HARD, STRUCTURES
from torch.distributions import MultivariateNormal

from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import dense, flat


@pytest.mark.parametrize("family", ["several", "scalars", "empty", "bfloat16", "float64", "non-contiguous"])
@pytest.mark.parametrize("structure", ["isotropic", "diagonal", "dense", "sum"])
def test_log_density_is_that_of_the_multivariate_normal(structure: str, family: str) -> None:
    mean = HARD[family]
    precision = STRUCTURES[structure](mean)
    at = {name: tensor + 0.5 for name, tensor in mean.items()}
    expected = MultivariateNormal(flat(mean), precision_matrix=dense(precision, mean)).log_prob(flat(at))
    assert math.isclose(Gaussian(mean, precision).log_density(at), float(expected), rel_tol=1e-4)


def test_log_density_is_highest_at_the_mean() -> None:
    gaussian = Gaussian({"w": torch.ones(3)}, Isotropic(2.0))
    assert gaussian.log_density({"w": torch.ones(3)}) > gaussian.log_density({"w": torch.tensor([1.0, 1.0, 1.1])})
