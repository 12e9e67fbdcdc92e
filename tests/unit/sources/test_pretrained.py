from pathlib import Path

import datasets
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.params import parameters_of, tensors_of
from foretaste.sources.pretrained import (
    at,
    check_positions,
    positions_of,
    pretrained,
    quiet,
    saver,
    tokenizer_at,
    tokenizer_text,
)

SMALL = {"vocab_size": 9, "hidden_size": 12, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
BART = {
    f"{side}_{name}": size
    for side in ("encoder", "decoder")
    for name, size in {"layers": 1, "attention_heads": 2, "ffn_dim": 12}.items()
}

CLASSES: dict[str, tuple[str, type]] = {
    "gpt2": ("causal-lm", transformers.GPT2LMHeadModel),
    "llama": ("causal-lm", transformers.LlamaForCausalLM),
    "t5": ("seq2seq", transformers.T5ForConditionalGeneration),
    "bert": ("text-classification", transformers.BertForSequenceClassification),
    "mobilenet": ("image-classification", transformers.MobileNetV2ForImageClassification),
}


@pytest.mark.parametrize("name", CLASSES)
def test_the_weights_are_the_checkpoint_s(checkpoints: Checkpoints, name: str) -> None:
    kind, expected = CLASSES[name]
    folder = getattr(checkpoints, name)
    model = pretrained(str(folder), kind, 2 if "classification" in kind else None)
    assert isinstance(model, expected)
    stored = load_file(folder / "model.safetensors")
    params = tensors_of(model) | dict(model.named_buffers())
    assert set(stored) <= set(params)
    assert all(torch.equal(params[key], tensor) for key, tensor in stored.items())


def _without(folder: Path, copy: Path, *dropped: str) -> Path:
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    tensors = {key: tensor for key, tensor in load_file(copy / "model.safetensors").items() if key not in dropped}
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def test_only_a_classifier_may_have_a_new_head(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """A language model whose head the checkpoint lacks would speak at random."""
    (tmp_path / "llama").mkdir()
    (tmp_path / "bert").mkdir()
    headless = _without(checkpoints.llama, tmp_path / "llama", "lm_head.weight")
    with pytest.raises(
        DataError, match=r"does not fit its own config\.json: lm_head\.weight is missing; copy or download"
    ):
        pretrained(str(headless), "causal-lm")
    bare = _without(checkpoints.bert, tmp_path / "bert", "classifier.weight", "classifier.bias")
    assert pretrained(str(bare), "text-classification", 5).get_parameter("classifier.weight").shape == (5, 16)


def test_tied_params_are_there_once(checkpoints: Checkpoints) -> None:
    gpt2, t5 = pretrained(str(checkpoints.gpt2), "causal-lm"), pretrained(str(checkpoints.t5), "seq2seq")
    assert "lm_head.weight" not in parameters_of(gpt2)
    assert gpt2.get_parameter("lm_head.weight") is gpt2.get_parameter("transformer.wte.weight")
    assert {name for name in parameters_of(t5) if "embed" in name or "shared" in name} == {"shared.weight"}


def test_a_checkpoint_of_another_kind_is_named(checkpoints: Checkpoints) -> None:
    with pytest.raises(DataError, match=r"t5' cannot be loaded for causal-lm: "):
        pretrained(str(checkpoints.t5), "causal-lm")
    with pytest.raises(DataError, match=r"gpt2' cannot be loaded for seq2seq: "):
        pretrained(str(checkpoints.gpt2), "seq2seq")


def test_quiet_gives_the_libraries_their_voices_back() -> None:
    before = transformers.utils.logging.get_verbosity(), datasets.logging.get_verbosity()
    inside = []

    def fail() -> None:
        inside.append(datasets.logging.get_verbosity())
        raise KeyError

    with pytest.raises(KeyError), quiet():
        fail()
    assert inside == [datasets.logging.CRITICAL]
    assert (transformers.utils.logging.get_verbosity(), datasets.logging.get_verbosity()) == before


def test_at_names_the_field_of_data_errors_only() -> None:
    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(DataError) as caught:
        at(("tasks", "a"), fail, DataError("no"))
    assert caught.value.field == ("tasks", "a")
    with pytest.raises(DataError) as deeper:
        at(("tasks", "a"), fail, DataError("no").at("model", "path"))
    assert deeper.value.field == ("model", "path")
    with pytest.raises(KeyError):
        at(("tasks", "a"), fail, KeyError("no"))


def test_tokenizers_are_told_apart(checkpoints: Checkpoints, tmp_path: Path) -> None:
    found = [
        tokenizer_text(tokenizer_at(str(folder))) for folder in (checkpoints.gpt2, checkpoints.llama, checkpoints.t5)
    ]
    assert len({str(each) for each in found}) == 3
    assert tokenizer_text(tokenizer_at(str(checkpoints.gpt2))) == found[0]
    with pytest.raises(DataError, match="has no tokenizer that can be loaded"):
        tokenizer_at(str(tmp_path))


class TestSaving:
    @pytest.mark.parametrize("name", CLASSES)
    def test_what_is_saved_loads_as_the_same_model(self, checkpoints: Checkpoints, tmp_path: Path, name: str) -> None:
        kind, expected = CLASSES[name]
        classes = 2 if "classification" in kind else None
        model = pretrained(str(getattr(checkpoints, name)), kind, classes)
        with torch.no_grad():
            next(iter(model.parameters())).add_(1.0)
        saver(str(getattr(checkpoints, name)))(model, tmp_path / "out")
        again = pretrained(str(tmp_path / "out"), kind, classes)
        assert isinstance(again, expected)
        assert all(torch.equal(tensors_of(again)[key], tensor) for key, tensor in tensors_of(model).items())
        if name == "mobilenet":
            transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
        else:
            assert tokenizer_text(tokenizer_at(str(tmp_path / "out"))) == tokenizer_text(
                tokenizer_at(str(getattr(checkpoints, name)))
            )

    def test_an_index_of_shards_that_are_not_there_stays_behind(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        model = pretrained(str(checkpoints.bert), "text-classification", 2)
        model.save_pretrained(tmp_path / "shards", max_shard_size="4KB")  # type: ignore[operator]
        assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
        saver(str(tmp_path / "shards"))(model, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").glob("model*")] == ["model.safetensors"]


class TestPositions:
    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            (transformers.BertConfig(max_position_embeddings=40, **SMALL), 40),
            (transformers.RobertaConfig(max_position_embeddings=514, **SMALL), 512),  # the first two are padding's
            (
                transformers.DebertaV2Config(
                    max_position_embeddings=40, position_biased_input=False, relative_attention=True, **SMALL
                ),
                None,
            ),
            (transformers.T5Config(vocab_size=9, d_model=12, d_ff=12, d_kv=4, num_layers=1, num_heads=1), None),
            (transformers.BartConfig(vocab_size=9, d_model=12, max_position_embeddings=40, **BART), 40),
        ],
        ids=lambda each: type(each).__name__,
    )
    def test_how_many_there_are(self, config: transformers.PretrainedConfig, expected: int | None) -> None:
        """And as many tokens can be read, but not one more where there is a table of positions."""
        model = transformers.AutoModel.from_config(config).eval()
        assert positions_of(model) == expected
        check_positions(model, expected or 4096)
        if expected is None:
            return
        with torch.no_grad():
            model(input_ids=torch.full((1, expected), 5))
            with pytest.raises((RuntimeError, IndexError)):
                model(input_ids=torch.full((1, expected + 1), 5))
        with pytest.raises(
            DataError,
            match=f"max_length {expected + 1} are more than the model's {expected} positions; lower max_length, to",
        ):
            check_positions(model, expected + 1)

    def test_positions_of_a_language_model_beside_others(self) -> None:
        """Models of text and images say them in their text_config."""
        text = transformers.LlamaConfig(max_position_embeddings=24, num_key_value_heads=1, **SMALL)
        vision = transformers.CLIPVisionConfig(
            image_size=8, patch_size=4, projection_dim=4, **{**SMALL, "vocab_size": 2}
        )
        model = transformers.LlavaForConditionalGeneration(
            transformers.LlavaConfig(vision_config=vision, text_config=text)
        )
        assert positions_of(model) == 24
        with pytest.raises(DataError, match="max_length 25 are more than the model's 24 positions"):
            check_positions(model, 25)

    def test_what_is_written_needs_positions_too(self) -> None:
        sizes = {"vocab_size": 9, "n_embd": 4, "n_layer": 1, "n_head": 1}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_positions=8, **sizes))
        check_positions(model, 5, 3)
        with pytest.raises(
            DataError, match=r"max_length 5 and max_new_tokens 4 are .* lower max_new_tokens, to 3 or less"
        ) as caught:
            check_positions(model, 5, 4)
        assert caught.value.field == ("model", "max_new_tokens")
        with pytest.raises(DataError, match="lower max_new_tokens, or max_length"):
            check_positions(model, 8, 1)
