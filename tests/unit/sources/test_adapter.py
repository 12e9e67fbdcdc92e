import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from foretaste.errors import DataError
from foretaste.lora import Adapter, Factors
from foretaste.sources.adapter import CONFIG, PREFIX, TENSORS, check_adapters, entry_of_saved, open_adapter
from foretaste.stored import Stored

PLAIN: Mapping[str, object] = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "base_model_name_or_path": "gpt2"}


def pair(name: str, rank: int = 2) -> dict[str, Tensor]:
    return {f"{name}.lora_A.weight": torch.ones(rank, 3), f"{name}.lora_B.weight": torch.ones(4, rank)}


def folder_of(path: Path, tensors: Mapping[str, Tensor], **options: object) -> Path:
    """An adapter folder: tensors without PEFT's prefix, and what its configuration says beside the plain things."""
    path.mkdir(exist_ok=True)
    (path / CONFIG).write_text(json.dumps({**PLAIN, **options}))
    save_file({f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}, path / TENSORS)
    return path


class TestReading:
    def test_factors_and_scalings(self, tmp_path: Path) -> None:
        tensors = pair("h.0.q") | pair("h.1.q", 3) | pair("h.0.v") | pair("h.11.q")
        folder_of(tmp_path, tensors, rank_pattern={"h.1.q": 3}, alpha_pattern={"^h.0.v": 1, "v": 5, r"h\.\d.q": 8})
        found = open_adapter(tmp_path)
        assert {name: (own.rank, own.scaling) for name, own in found.modules.items()} == {
            "h.0.q": (2, 4.0),
            "h.1.q": (3, 8 / 3),
            "h.0.v": (2, 0.5),  # the first pattern that matches
            "h.11.q": (2, 3.0),
        }
        assert {own.layout for own in found.modules.values()} == {"linear"}
        assert found.base == "gpt2"
        assert not found.full

    def test_rslora(self, tmp_path: Path) -> None:
        folder_of(tmp_path, pair("q"), use_rslora=True)
        assert open_adapter(tmp_path).modules["q"].scaling == pytest.approx(6 / 2**0.5)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_stored_types_are_kept(self, tmp_path: Path, dtype: torch.dtype) -> None:
        folder_of(tmp_path, {name: tensor.to(dtype) for name, tensor in pair("q").items()})
        own = open_adapter(tmp_path).modules["q"]
        assert own.a.dtype == own.b.dtype == dtype

    def test_embeddings_and_convolutions(self, tmp_path: Path) -> None:
        embedding = {"wte.lora_embedding_A": torch.ones(2, 9), "wte.lora_embedding_B": torch.ones(4, 2)}
        convolution = {"conv.lora_A.weight": torch.ones(2, 3, 5, 5), "conv.lora_B.weight": torch.ones(4, 2, 1, 1)}
        found = open_adapter(folder_of(tmp_path, embedding | convolution)).modules
        assert (found["wte"].layout, found["wte"].shape) == ("embedding", (9, 4))
        assert (found["conv"].layout, found["conv"].shape) == ("convolution", (4, 3, 5, 5))

    def test_full_tensors_stay_in_the_file(self, tmp_path: Path) -> None:
        tensors = (
            pair("q")
            | pair("lm_head")
            | {"net.classifier.out.weight": torch.ones(5), "lm_head.base_layer.weight": torch.ones(4, 3)}
        )
        found = open_adapter(folder_of(tmp_path, tensors, modules_to_save=["score", "classifier"]))
        assert isinstance(found.full, Stored)
        assert set(found.full) == {"net.classifier.out.weight", "lm_head.base_layer.weight"}
        assert found.full["net.classifier.out.weight"].equal(torch.ones(5))

    def test_which_module_is_saved(self) -> None:
        assert entry_of_saved("bert.classifier.dense.weight", ["classifier"]) == "classifier"
        assert entry_of_saved("model.layers.0.input_layernorm.weight", ["lm_head", "norm"]) == "norm"
        assert entry_of_saved("bert.my_pooler.weight", ["classifier"]) is None
        assert entry_of_saved("classifier.weight", None) is None


class TestRefusing:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"peft_type": "IA3"}, "is a IA3 adapter; only LoRA adapters add up exactly"),
            ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING"),
            ({"peft_type": "ADALORA"}, "ADALORA"),
            ({"peft_type": None}, "only LoRA adapters add up"),
            ({"use_dora": True}, "DoRA rescales the whole weight"),
            ({"lora_bias": True}, r"have a bias beside their factors \(lora_bias"),
            ({"layer_replication": [[0, 2]]}, "repeats layers"),
            ({"target_parameters": ["mlp.experts"]}, "parameters of no layer"),
            ({"trainable_token_indices": [1]}, "rows of embeddings"),
            ({"alora_invocation_tokens": [1]}, "some tokens alone"),
            ({"bias": "lora_only"}, r"has biases of its model .*\(bias: lora_only"),
            ({"init_lora_weights": "pissa"}, r"model was changed before training \(init_lora_weights: pissa"),
            ({"init_lora_weights": "pissa_niter_4"}, "path_initial_model_for_weight_conversion"),
            ({"init_lora_weights": "loftq"}, "loftq"),
            ({"init_lora_weights": "of the year 2030"}, "model was changed"),
        ],
        ids=str,
    )
    def test_other_kinds_with_the_way_out(self, tmp_path: Path, options: Mapping[str, object], reason: str) -> None:
        folder_of(tmp_path, pair("q"), **options)
        with pytest.raises(DataError, match=reason) as caught:
            open_adapter(tmp_path)
        assert "merge it into its model (PeftModel.merge_and_unload" in str(caught.value)

    @pytest.mark.parametrize("init", [True, False, None, "gaussian", "eva", "orthogonal", "mica"])
    def test_beginnings_that_leave_the_model_alone_are_read(self, tmp_path: Path, init: object) -> None:
        assert open_adapter(folder_of(tmp_path, pair("q"), init_lora_weights=init)).modules

    @pytest.mark.parametrize(
        ("tensors", "reason"),
        [
            ({"q.lora_magnitude_vector": torch.ones(4)}, "q.lora_magnitude_vector .* is not a factor of plain LoRA"),
            ({"q.lora_B.bias": torch.ones(4)}, "q.lora_B.bias .* is not a factor"),
            (
                {"wte.weight": torch.ones(4)},
                r"wte.weight .* is of no module that modules_to_save names \(a larger vocabulary",
            ),
            ({"wte.base_layer.weight": torch.ones(4)}, "modules_to_save"),
            (
                {"v.lora_A.weight": torch.ones(2, 3)},
                "has v.lora_A.weight and no v.lora_B.weight; copy or download it again",
            ),
            ({"v.lora_B.weight": torch.ones(2, 3)}, "v.lora_B.weight .* is not a factor"),
            (pair("mha.base_layer.out_proj"), "nn.MultiheadAttention"),
            (
                {"q.lora_A.weight": torch.ones(2, 3, 3), "q.lora_B.weight": torch.ones(4, 1, 1)},
                "a convolution in groups",
            ),
            (
                {"q.lora_A.weight": torch.ones(3, 3), "q.lora_B.weight": torch.ones(4, 3)},
                "rank 3, and 2 by adapter_config.json",
            ),
            ({"q.lora_A.weight": torch.ones(2, 3, dtype=torch.int8)}, "is I8, too coarse"),
            ({"q.lora_A.weight": torch.ones(2, 3).to(torch.float8_e4m3fn)}, "is F8_E4M3, too coarse"),
        ],
        ids=lambda each: " ".join(each) if isinstance(each, dict) else "",
    )
    def test_tensors_that_are_no_plain_lora(self, tmp_path: Path, tensors: Mapping[str, Tensor], reason: str) -> None:
        with pytest.raises(DataError, match=reason):
            open_adapter(folder_of(tmp_path, pair("q") | dict(tensors)))

    @pytest.mark.parametrize("alpha", [0, 0.0, 1e308, -1e7, float("nan"), float("inf")])
    @pytest.mark.parametrize("pattern", [False, True])
    def test_alphas_that_cannot_be(self, tmp_path: Path, alpha: float, pattern: bool) -> None:
        options = {"alpha_pattern": {"q": alpha}} if pattern else {"lora_alpha": alpha}
        with pytest.raises(DataError, match=r"gives .* for q \(lora_alpha or alpha_pattern\)|holds NaN or infinity"):
            open_adapter(folder_of(tmp_path, pair("q"), **options))

    @pytest.mark.parametrize("dropout", [float("nan"), float("inf")])
    def test_other_numbers_that_are_none(self, tmp_path: Path, dropout: float) -> None:
        with pytest.raises(DataError, match="holds NaN or infinity"):
            open_adapter(folder_of(tmp_path, pair("q"), lora_dropout=dropout))

    def test_nothing_but_full_tensors(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="has no LoRA factors"):
            open_adapter(folder_of(tmp_path, {"head.weight": torch.ones(2)}, modules_to_save=["head"]))

    def test_names_of_other_tools(self, tmp_path: Path) -> None:
        folder_of(tmp_path, {})
        save_file({"lora_unet_q.lora_down.weight": torch.ones(2, 3)}, tmp_path / TENSORS)
        with pytest.raises(DataError, match=r"is not a name that PEFT gives \(they begin with base_model\.model\.\)"):
            open_adapter(tmp_path)

    def test_pickles(self, tmp_path: Path) -> None:
        (folder_of(tmp_path, pair("q")) / TENSORS).unlink()
        with pytest.raises(DataError, match=r"has no adapter_model\.safetensors; name a folder"):
            open_adapter(tmp_path)
        torch.save({}, tmp_path / "adapter_model.bin")
        with pytest.raises(
            DataError,
            match=r"adapter_model\.bin is a pickle, which can run code .*PeftModel.*save_pretrained\(NEW_FOLDER\)",
        ):
            open_adapter(tmp_path)

    @pytest.mark.parametrize("content", ["", "[]", "{"])
    def test_damaged_configurations(self, tmp_path: Path, content: str) -> None:
        (folder_of(tmp_path, pair("q")) / CONFIG).write_text(content)
        with pytest.raises(DataError, match=r"adapter_config\.json is damaged .*copy or download it again"):
            open_adapter(tmp_path)

    @pytest.mark.parametrize(
        "options",
        [{"r": None}, {"lora_alpha": "6"}, {"alpha_pattern": {"q": True}}, {"rank_pattern": {"(": 1}}],
        ids=str,
    )
    def test_configurations_without_a_number(self, tmp_path: Path, options: Mapping[str, object]) -> None:
        with pytest.raises(DataError, match=r"adapter_config\.json is damaged: .* give no number for q"):
            open_adapter(folder_of(tmp_path, pair("q"), **options))

    def test_folders_that_are_none_and_truncated_files(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"has no adapter_config\.json; name a folder in which PEFT saved a LoRA adapter"
        ):
            open_adapter(tmp_path / "nothing")
        file = folder_of(tmp_path, pair("q")) / TENSORS
        file.write_bytes(file.read_bytes()[:-8])
        with pytest.raises(DataError, match=r"adapter_model\.safetensors is truncated or damaged"):
            open_adapter(tmp_path)


class TestSeveral:
    OWN = Factors(torch.ones(2, 3), torch.ones(4, 2), 1.0)

    def test_what_is_in_the_way_is_told_at_once(self) -> None:
        one = Adapter({"q": self.OWN}, config=PLAIN)
        two = Adapter(
            {"q": replace(self.OWN, a=torch.ones(2, 5))},
            {"head": torch.full((2,), torch.nan)},
            {"base_model_name_or_path": "bert"},
        )
        three = Adapter({"q": replace(self.OWN, a=torch.full((2, 3), torch.nan))}, config=PLAIN)
        with pytest.raises(DataError) as caught:
            check_adapters({"a": one, "b": two, "c": three})
        found = str(caught.value).splitlines()
        assert len(found) == 4
        assert "task 'b': base_model_name_or_path is bert, in task 'a' gpt2; use adapters of one model" in found[0]
        assert found[1] == "task 'b': q is [4, 5] (linear), in task 'a' [4, 3] (linear); use adapters of one model"
        assert found[2].startswith("task 'c': factor A of q holds NaN or infinity")
        assert found[3].startswith("task 'b': head holds NaN or infinity")

    def test_notes(self) -> None:
        full = {"same": torch.ones(2), "shape": torch.ones(2), "alone": torch.ones(1)}
        one = Adapter(dict.fromkeys(["q", "k", "v", "o", "up"], self.OWN), full, PLAIN)
        two = Adapter({"q": self.OWN}, {"same": torch.ones(2), "shape": torch.ones(3)}, {})
        notes = check_adapters({"a": one, "b": two})
        assert notes[0] == "task 'b' does not change k, v, o and 1 more; its update counts as zero there"
        assert notes[1].startswith("task 'b' does not say what it was trained on")
        assert notes[2].startswith("every task saved same whole, so it is averaged")
        assert notes[3].startswith("shape has different shapes in different tasks; it is not averaged")
        assert notes[4].startswith("only a saved alone whole; for the other tasks the base's weight counts")
        assert check_adapters({"a": replace(one, full={}), "b": replace(one, full={})}) == ()
