import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.pieces import CHUNK, check_sites, is_finite, name_culprit, owned, pieces_of, renormalise
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece
from foretaste.posterior.site import GaussianSite
from foretaste.weights import TaskWeights
from laws import HARD, diagonal_like, kronecker_like

LIKE = HARD["several"]


def test_parts_cover_every_entry_once_in_order() -> None:
    like = {"a": torch.arange(2.0 * CHUNK + 5), "b": torch.zeros(()), "c": torch.zeros(0), "d": torch.arange(7.0)}
    prior = Gaussian(like, Isotropic(1.0))
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in like}
    for piece in pieces_of(prior, [("t", GaussianSite(like, diagonal_like(like)), 1.0)], list(like)):
        for name, tensor in piece.of(like).items():
            assert len(tensor) <= CHUNK
            seen[name].append(tensor)
    assert all(torch.cat([*parts, torch.zeros(0)]).equal(like[name].flatten()) for name, parts in seen.items())


def test_what_is_coupled_stays_whole() -> None:
    prior = Gaussian(LIKE, Isotropic(1.0))
    pieces = list(pieces_of(prior, [("t", GaussianSite(LIKE, kronecker_like(LIKE, biases=True)), 1.0)], list(LIKE)))
    assert [piece.cut for piece in pieces] == [None] * len(pieces)
    assert ("a", "b") in [piece.names for piece in pieces]


def test_a_parameter_belongs_to_the_tasks_that_have_it() -> None:
    sites = {
        task: (GaussianSite.flat({name: torch.ones(1) for name in names}),)
        for task, names in (("x", "ab"), ("y", "bc"))
    }
    found = owned(Gaussian({name: torch.zeros(1) for name in "abc"}, Isotropic(1.0)), sites)
    assert found == {(("x", 0),): ["a"], (("x", 0), ("y", 0)): ["b"], (("y", 0),): ["c"]}


def test_weights_of_owners_without_any_are_equal() -> None:
    assert renormalise({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}
    assert sum(renormalise({"a": 0.1, "b": 0.3, "c": 0.2}).values()) == pytest.approx(1.0)


def test_shapes_that_differ_are_refused_and_the_task_is_named() -> None:
    sites = {"a": GaussianSite.flat({"w": torch.ones(2)})}
    with pytest.raises(ParamsError, match="the params of task 'a' does not fit the pretrained model"):
        check_sites(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), sites, TaskWeights(["a"], [1.0]))


def test_the_part_that_is_not_finite_is_named() -> None:
    good, bad = {"w": torch.ones(2)}, {"w": torch.tensor([1.0, torch.nan])}
    prior, piece = Gaussian(good, Isotropic(0.0)), Piece(["w"])
    site = GaussianSite.flat(good)
    assert "the pretrained params hold NaN" in name_culprit(
        "w", piece, Gaussian(bad, Isotropic(1.0)), [("a", site, 1.0)]
    )
    assert "the params of task 'a' hold NaN" in name_culprit("w", piece, prior, [("a", GaussianSite.flat(bad), 1.0)])
    assert "the gradient of task 'a' holds NaN" in name_culprit(
        "w", piece, prior, [("a", GaussianSite(good, Isotropic(1.0), bad), 1.0)]
    )
    assert "give the prior a precision above 0" in name_culprit("w", piece, prior, [("a", site, 1.0)])


def test_finite_sums_may_overflow() -> None:
    assert is_finite(torch.full((9,), 1e38))
    assert not is_finite(torch.tensor([torch.inf, -torch.inf]))
