"""Sites on disk: every structure comes back as it was; what is no site is refused with the way out."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from foretaste.errors import DataError, ParamsError, StorageError
from foretaste.params import Params
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Precision
from foretaste.posterior.site import GaussianSite, Record
from foretaste.sources.site_file import NAME, check_taken_at, load_site, save_site
from laws import HARD, STRUCTURES, assert_same, assert_survives_storage, normal

KEPT = (
    "isotropic",
    "diagonal",
    "diagonal 1e-10 to 1e15",
    "kronecker",
    "kronecker with biases",
    "kronecker of few directions",
    "lowrank",
)
RECORD = Record("token", "fisher:sampled", 7, 93, 2.0, {"seed": "3"})


def site_like(like: Params, precision: Precision | None = None) -> GaussianSite:
    return GaussianSite(
        like, precision or Diagonal({name: tensor.square() for name, tensor in like.items()}), record=RECORD
    )


def assert_equal(found: GaussianSite, expected: GaussianSite) -> None:
    assert_same(found.center, expected.center)
    assert_same(found.precision.to_tensors(), expected.precision.to_tensors())
    assert_same(found.carried, expected.carried)
    assert (found.gradient is None) == (expected.gradient is None)
    assert_same(found.gradient or {}, expected.gradient or {})
    assert type(found.precision) is type(expected.precision)
    assert (found.record, found.power) == (expected.record, expected.power)


class TestRoundTrip:
    @pytest.mark.parametrize("mean", [True, False])
    @pytest.mark.parametrize("structure", KEPT)
    def test_every_structure(self, tmp_path: Path, structure: str, mean: bool) -> None:
        like = HARD["several"]
        site = site_like(like, STRUCTURES[structure](like))
        save_site(site, tmp_path / NAME, mean=mean)
        found = load_site(tmp_path / NAME, None if mean else like)
        assert_equal(found, site)
        assert_survives_storage(found.precision, like)

    @pytest.mark.parametrize("family", HARD)
    def test_every_hard_input(self, tmp_path: Path, family: str) -> None:
        site = site_like(HARD[family])
        save_site(site, tmp_path / NAME)
        assert_equal(load_site(tmp_path / NAME), site)

    def test_gradient_buffers_and_power(self, tmp_path: Path) -> None:
        like = {"a.weight": normal(2, 3), "b/c": normal(1)}
        gradient = {name: tensor.flip(0) for name, tensor in like.items()}
        site = GaussianSite(like, Isotropic(2.0), gradient, {"running_mean": torch.ones(3)}, RECORD) ** 0.25
        save_site(site, str(tmp_path / NAME))
        assert_equal(load_site(str(tmp_path / NAME)), site)

    def test_params_that_share_memory(self, tmp_path: Path) -> None:
        whole = torch.arange(6.0)
        like: dict[str, Tensor] = {"a": whole[:3], "b": whole[3:], "c": whole, "d": whole.reshape(2, 3)}
        save_site(site_like(like), tmp_path / NAME)
        assert_same(load_site(tmp_path / NAME).center, like)

    def test_a_mean_from_outside_is_a_copy_of_a_part(self, tmp_path: Path) -> None:
        site = site_like({"w": torch.ones(2)})
        save_site(site, tmp_path / NAME, mean=False)
        live = {"w": torch.ones(2), "other": torch.zeros(1)}
        found = load_site(tmp_path / NAME, live)
        live["w"].add_(1)
        assert_same(found.center, site.center)


class TestFile:
    def test_its_metadata(self, tmp_path: Path) -> None:
        save_site(site_like({"w": torch.ones(2, dtype=torch.bfloat16)}), tmp_path / NAME, mean=False)
        with safe_open(tmp_path / NAME, framework="pt") as handle:
            metadata, names = handle.metadata(), list(handle.keys())
        said = json.loads(metadata["site"])
        assert (metadata["format"], metadata["version"], names) == ("foretaste-site", "1", ["precision/w"])
        assert (said["structure"], said["record"]["units"], said["mean"]["dtype"]) == ("diagonal", 93, "bfloat16")
        assert (said["mean"]["inside"], said["mean"]["names"], len(said["mean"]["sha256"])) == (False, ["w"], 64)

    def test_it_is_smaller_without_the_mean(self, tmp_path: Path) -> None:
        site = site_like({"w": normal(1000)})
        for mean in (True, False):
            save_site(site, tmp_path / f"{mean}", mean=mean)
        saved = (tmp_path / "True").stat().st_size - (tmp_path / "False").stat().st_size
        assert 4000 <= saved < 4200  # 1000 float32, and a line in the header

    def test_it_replaces_an_older_one_and_makes_folders(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "folder" / NAME
        for value in (1.0, 2.0):
            save_site(site_like({"w": torch.full((1,), value)}), path)
        assert_same(load_site(path).center, {"w": torch.full((1,), 2.0)})
        assert [each.name for each in path.parent.iterdir()] == [NAME]

    def test_a_disk_that_refuses(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        for path in (tmp_path / "file" / NAME, tmp_path / "folder"):
            with pytest.raises(StorageError, match=r"could not write .*; (free some space or )?choose another place"):
                save_site(site_like({"w": torch.ones(1)}), path)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]

    @pytest.mark.parametrize("structure", ["sum", "kronecker sum"])
    def test_a_sum_is_not_kept(self, tmp_path: Path, structure: str) -> None:
        like = HARD["several"]
        with pytest.raises(ParamsError, match="is not kept on disk; save the sites that it was made of"):
            save_site(site_like(like, STRUCTURES[structure](like)), tmp_path / NAME)


def spoilt(path: Path, change: Callable[[dict[str, str], dict[str, Tensor]], object]) -> None:
    """The same file after a change of its metadata and tensors."""
    with safe_open(path, framework="pt") as handle:
        metadata, tensors = handle.metadata(), {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    change(metadata, tensors)
    save_file(tensors, path, metadata=metadata)


def said(**changes: object) -> Callable[[dict[str, str], dict[str, Tensor]], object]:
    return lambda metadata, tensors: metadata.update(site=json.dumps(json.loads(metadata["site"]) | changes))


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda metadata, tensors: metadata.update(format="pt"), r"holds tensors and no site \(a checkpoint\?\)"),
            (
                lambda metadata, tensors: metadata.update(version="2"),
                "is a site of version 2, this foretaste reads 1; upgrade",
            ),
            (lambda metadata, tensors: metadata.pop("version"), "is a site of version none"),
            (lambda metadata, tensors: metadata.pop("site"), r"is damaged \(KeyError in its metadata\)"),
            (lambda metadata, tensors: metadata.update(site="{"), r"is damaged \(JSONDecodeError in its metadata\)"),
            (lambda metadata, tensors: metadata.update(site="[]"), "its metadata holds no JSON object"),
            (said(structure="dense"), "is damaged .KeyError: 'dense'"),
            (said(record={"unit": "token", "color": "red"}), "is damaged .TypeError"),
            (said(mean=None), "is damaged .TypeError"),
            (said(power="much"), "is damaged .ValueError"),
            (lambda metadata, tensors: tensors.pop("center/w"), "is damaged .KeyError: 'w'"),
            (lambda metadata, tensors: tensors.update(extra=torch.ones(1)), "is damaged .KeyError: 'extra'"),
        ],
    )
    def test_a_damaged_file(
        self, tmp_path: Path, change: Callable[[dict[str, str], dict[str, Tensor]], object], message: str
    ) -> None:
        save_site(site_like({"w": torch.ones(2)}), tmp_path / NAME)
        spoilt(tmp_path / NAME, change)
        with pytest.raises(DataError, match=message):
            load_site(tmp_path / NAME)

    @pytest.mark.parametrize(
        ("key", "tensor", "message"),
        [
            ("precision/w", torch.ones(3), r"an incomplete site: the curvature .* shape of w is \[3\], not \[2\]"),
            ("precision/w", -torch.ones(2), "curvature of w has negative or non-finite entries"),
            ("precision/v", torch.ones(2), "an incomplete site: the curvature .* additional v"),
            ("gradient/w", torch.ones(3), "an incomplete site: the gradient"),
        ],
    )
    def test_curvature_that_does_not_fit(self, tmp_path: Path, key: str, tensor: Tensor, message: str) -> None:
        like = {"w": torch.ones(2)}
        save_site(GaussianSite(like, Diagonal(like), like), tmp_path / NAME)
        spoilt(tmp_path / NAME, lambda metadata, tensors: tensors.update({key: tensor}))
        with pytest.raises(ParamsError, match=message):
            load_site(tmp_path / NAME)

    @pytest.mark.parametrize("legacy", [True, False])
    def test_a_pickle(self, tmp_path: Path, legacy: bool) -> None:
        if legacy:
            (tmp_path / NAME).write_bytes(pickle.dumps({"w": 1}))
        else:
            torch.save({"w": torch.ones(1)}, tmp_path / NAME)
        with pytest.raises(
            DataError, match="is a pickle, which can run code when loaded, and is refused; save the site with save_site"
        ):
            load_site(tmp_path / NAME)

    def test_what_is_no_file_or_cut_short(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="does not exist; save_site writes a site"):
            load_site(tmp_path / NAME)
        with pytest.raises(DataError, match="is truncated or damaged"):
            load_site(tmp_path)
        save_site(site_like({"w": torch.ones(2)}), tmp_path / NAME)
        (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:-3])
        with pytest.raises(DataError, match="is truncated or damaged"):
            load_site(tmp_path / NAME)

    def test_a_checkpoint(self, tmp_path: Path) -> None:
        save_file({"w": torch.ones(1)}, tmp_path / NAME)
        with pytest.raises(DataError, match="name a file that save_site wrote"):
            load_site(tmp_path / NAME)

    @pytest.mark.parametrize(
        ("mean", "message"),
        [
            (None, r"was saved without the task's params; give them: load_site\(path, mean=parameters_of\(model\)\)"),
            ({"v": torch.ones(2)}, "lacks w; give the params of the model that the site was estimated on"),
            ({"w": torch.zeros(2)}, "has other values or types than the params that the site was taken at"),
            ({"w": torch.full((2,), 1 + 2**-12)}, "has other values or types"),
        ],
    )
    def test_another_mean(self, tmp_path: Path, mean: Params | None, message: str) -> None:
        save_site(site_like({"w": torch.ones(2)}), tmp_path / NAME, mean=False)
        with pytest.raises(ParamsError, match=message):
            load_site(tmp_path / NAME, mean)

    def test_another_mean_than_the_one_inside(self, tmp_path: Path) -> None:
        save_site(site_like({"w": torch.ones(2)}), tmp_path / NAME)
        with pytest.raises(ParamsError, match="was taken at another w than the params given have"):
            load_site(tmp_path / NAME, {"w": torch.tensor([1.0, 1.1])})
        with pytest.raises(ParamsError, match="lacks w; give the params"):
            load_site(tmp_path / NAME, {"v": torch.ones(2)})


@pytest.mark.parametrize("inside", [False, True])
class TestTheMeanInAnotherType:
    def test_the_same_values_are_the_same(self, tmp_path: Path, inside: bool) -> None:
        """A model that was trained in bf16 and is read as float32."""
        own = torch.tensor([1.0, 1 / 3], dtype=torch.bfloat16)
        save_site(site_like({"w": own}), tmp_path / NAME, mean=inside)
        found = load_site(tmp_path / NAME, {"w": own.float(), "other": torch.ones(1)})
        assert found.center["w"].dtype == torch.bfloat16
        assert torch.equal(found.center["w"], own)
        check_taken_at(tmp_path / NAME, {"w": own.float()})

    def test_other_values_are_not(self, tmp_path: Path, inside: bool) -> None:
        own = torch.tensor([1.0, 1 / 3], dtype=torch.bfloat16)
        save_site(site_like({"w": own}), tmp_path / NAME, mean=inside)
        with pytest.raises(ParamsError, match=NAME):
            check_taken_at(tmp_path / NAME, {"w": own.float() + 0.1})

    def test_other_names_say_nothing(self, tmp_path: Path, inside: bool) -> None:
        save_site(site_like({"w": torch.ones(2)}), tmp_path / NAME, mean=inside)
        check_taken_at(tmp_path / NAME, {"v": torch.zeros(2)})


def test_a_checkpoint_that_was_rounded_when_saved_fits_the_mean_inside(tmp_path: Path) -> None:
    own = torch.tensor([1.0, 1 / 3])
    save_site(site_like({"w": own}), tmp_path / NAME)
    check_taken_at(tmp_path / NAME, {"w": own.bfloat16()})
    assert torch.equal(load_site(tmp_path / NAME, {"w": own.bfloat16()}).center["w"], own)
