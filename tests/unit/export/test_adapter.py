import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from foretaste.combine import combine
from foretaste.errors import ParamsError, StorageError
from foretaste.export.adapter import write_adapter
from foretaste.export.folder import FACTS
from foretaste.lora import Adapter, Factors
from foretaste.sources.adapter import CONFIG, TENSORS, open_adapter
from foretaste.weights import TaskWeights

FACTS_GIVEN = {"weights": "a=0.5,b=0.5"}


def adapter(rank: int, *, stabilised: bool = False, config: Mapping[str, object] | None = None) -> Adapter:
    torch.manual_seed(rank)
    modules = {
        "h.0.q": Factors(torch.randn(rank, 3), torch.randn(4, rank), 6.0, stabilised=stabilised),
        "h.1.q": Factors(torch.randn(rank, 3), torch.randn(4, rank), 6.0, stabilised=stabilised),
        "h.0.v": Factors(torch.randn(rank + 1, 3), torch.randn(4, rank + 1), 0.1, stabilised=stabilised),
        "wte": Factors(torch.randn(rank, 9), torch.randn(3, rank), 6.0, stabilised=stabilised, layout="embedding"),
        "conv": Factors(
            torch.randn(rank, 3, 2, 2), torch.randn(4, rank, 1, 1), 6.0, stabilised=stabilised, layout="convolution"
        ),
    }
    return Adapter(
        modules,
        {"net.head.weight": torch.randn(2)},
        config or {"modules_to_save": ["score", "head"], "lora_dropout": 0.1},
    )


def same(found: Adapter, expected: Adapter) -> bool:
    """Bit for bit, in the order of their names."""
    pairs = [(found.modules[name], own) for name, own in expected.modules.items()]
    assert set(found.modules) == set(expected.modules)
    assert set(found.full) == set(expected.full)
    return all(one.a.equal(own.a) and one.b.equal(own.b) and one.layout == own.layout for one, own in pairs) and all(
        found.full[name].equal(tensor) for name, tensor in expected.full.items()
    )


@pytest.mark.parametrize("stabilised", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_what_is_written_is_read_again(tmp_path: Path, rank: int, stabilised: bool) -> None:
    own = adapter(rank, stabilised=stabilised)
    write_adapter(tmp_path / "out", own, FACTS_GIVEN)
    found = open_adapter(tmp_path / "out")
    assert same(found, own)
    assert {name: each.scaling for name, each in found.modules.items()} == {
        name: each.scaling for name, each in own.modules.items()
    }


def test_the_configuration_names_every_module_and_what_differs(tmp_path: Path) -> None:
    said = {
        "task_type": "CAUSAL_LM",
        "layers_to_transform": [0],
        "exclude_modules": ["x"],
        "modules_to_save": ["score", "head"],
        "new": 3,
    }
    write_adapter(tmp_path / "out", adapter(2, config=said), FACTS_GIVEN)
    found = json.loads((tmp_path / "out" / CONFIG).read_text())
    assert found["target_modules"] == ["h.0.q", "h.1.q", "h.0.v", "wte", "conv"]
    assert (found["r"], found["lora_alpha"], found["use_rslora"]) == (2, 6, False)
    assert found["rank_pattern"] == {r"^h\.0\.v": 3}
    assert found["alpha_pattern"] == {r"^h\.0\.v": 0.1}
    assert found["modules_to_save"] == ["head"]
    assert (found["task_type"], found["new"]) == ("CAUSAL_LM", 3)
    assert found["layers_to_transform"] is found["exclude_modules"] is None


def test_scalings_of_both_kinds_in_one_adapter(tmp_path: Path) -> None:
    own, other = adapter(4).modules["h.0.q"], adapter(4, stabilised=True).modules["h.1.q"]
    write_adapter(tmp_path / "out", Adapter({"q": own, "v": other}), {})
    found = open_adapter(tmp_path / "out").modules
    assert found["q"].scaling == own.scaling
    assert found["v"].scaling == pytest.approx(other.scaling, rel=1e-15)


def test_a_sum_has_scaling_1(tmp_path: Path) -> None:
    found = combine({"a": adapter(2), "b": adapter(3, stabilised=True)}, TaskWeights("ab", [0.5, 0.5]))
    write_adapter(tmp_path / "out", found.adapter, FACTS_GIVEN)
    assert same(open_adapter(tmp_path / "out"), found.adapter)
    assert {own.scaling for own in open_adapter(tmp_path / "out").modules.values()} == {1.0}


def test_facts_are_beside_and_inside(tmp_path: Path) -> None:
    write_adapter(tmp_path / "out", adapter(2), FACTS_GIVEN)
    assert json.loads((tmp_path / "out" / FACTS).read_text()) == FACTS_GIVEN
    with safe_open(tmp_path / "out" / TENSORS, framework="pt") as handle:
        assert json.loads(handle.metadata()["foretaste"]) == FACTS_GIVEN
        assert handle.metadata()["format"] == "pt"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [CONFIG, TENSORS, FACTS]


def test_parts_of_larger_tensors_are_written_alone(tmp_path: Path) -> None:
    large = torch.randn(100, 3)
    write_adapter(tmp_path / "out", Adapter({"q": Factors(large[:2], large[:2].T.expand(3, 2), 1.0)}), {})
    assert (tmp_path / "out" / TENSORS).stat().st_size < 1000
    assert load_file(tmp_path / "out" / TENSORS)["base_model.model.q.lora_A.weight"].equal(large[:2])


def test_a_classifier_without_a_head_is_refused_with_the_way_out(tmp_path: Path) -> None:
    made = {task: adapter(2, config={"task_type": "SEQ_CLS", "modules_to_save": ["head"]}) for task in "ab"}
    found = combine(made, TaskWeights("ab", [0.5, 0.5]), private=["net.head.weight"]).adapter
    with pytest.raises(
        ParamsError, match=r"task_type is SEQ_CLS, .* expects a head, .*adapter\.with_full\(adapters\[TASK\]\.full\)"
    ):
        write_adapter(tmp_path / "out", found, {})
    assert not list(tmp_path.iterdir())
    write_adapter(tmp_path / "out", found.with_full(made["a"].full), {})
    assert json.loads((tmp_path / "out" / CONFIG).read_text())["modules_to_save"] == ["head"]


def test_folders_that_exist(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for overwrite, said in (
        (False, "out exists already and holds mine.txt; choose another folder$"),
        (True, "not written by foretaste"),
    ):
        with pytest.raises(StorageError, match=said):
            write_adapter(tmp_path / "out", adapter(2), {}, overwrite=overwrite)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
    write_adapter(tmp_path / "new", adapter(2), {})
    with pytest.raises(StorageError, match="new exists already; choose another folder, or replace it with --overwrite"):
        write_adapter(tmp_path / "new", adapter(2), {})
    write_adapter(tmp_path / "new", adapter(3), {}, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]
    assert open_adapter(tmp_path / "new").modules["h.0.q"].rank == 3


def test_nothing_is_there_when_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_adapter(tmp_path / "out", adapter(2), {"facts": object()})
    assert not list(tmp_path.iterdir())
