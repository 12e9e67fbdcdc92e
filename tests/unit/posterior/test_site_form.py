import pytest

from foretaste.errors import ParamsError
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.kronecker import Kronecker
from foretaste.posterior.lowrank import LowRank
from foretaste.posterior.precision import Sum
from foretaste.posterior.site import GaussianSite, Record
from foretaste.posterior.site_form import PRECISION, facts_of, site_from, tensors_of
from laws import HARD, STRUCTURES, assert_same

LIKE = HARD["several"]
WRITTEN = [name for name, make in STRUCTURES.items() if type(make(LIKE)) in (Isotropic, Diagonal, Kronecker, LowRank)]
RECORD = Record("token", "fisher:exact", 3, 8, details={"seed": "1"})


@pytest.mark.parametrize("prefix", ["", PRECISION])
@pytest.mark.parametrize("gradient", [None, LIKE])
@pytest.mark.parametrize("structure", WRITTEN)
def test_a_site_comes_back_as_it_was(structure: str, gradient: dict[str, object] | None, prefix: str) -> None:
    site = GaussianSite(LIKE, STRUCTURES[structure](LIKE), LIKE if gradient else None, record=RECORD)
    found = site_from(facts_of(site), tensors_of(site, prefix), LIKE)
    assert (found.record, found.power, found.precision.structure) == (RECORD, 1.0, site.precision.structure)
    assert_same(found.precision.to_tensors(), site.precision.to_tensors())
    assert (found.gradient is None) == (site.gradient is None)
    assert_same(found.gradient or {}, site.gradient or {})


def test_the_facts_say_power_and_whether_there_is_a_gradient() -> None:
    site = GaussianSite(LIKE, STRUCTURES["diagonal"](LIKE))
    found = site_from(
        {**facts_of(site), "power": 0.5, "stationary": False},
        tensors_of(site),
        LIKE,
        {"mean": LIKE["b"]} if "b" in LIKE else {},
    )
    assert (found.power, found.gradient) == (0.5, {})


def test_a_lazy_sum_has_no_form() -> None:
    lazy = Sum([STRUCTURES["diagonal"](LIKE), STRUCTURES["kronecker"](LIKE)])
    with pytest.raises(ParamsError, match="save the sites that it was made of"):
        facts_of(GaussianSite(LIKE, lazy))


def test_an_unknown_structure_is_a_lookup_error() -> None:
    with pytest.raises(LookupError):
        site_from({"structure": "spectral", "record": {}}, {}, LIKE)
