from collections.abc import Mapping
from pathlib import Path

import datasets
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from checkpoints import Checkpoints, sentences, table
from foretaste.errors import DataError
from foretaste.evaluate import measure
from foretaste.metrics import METRICS
from foretaste.params import in_eval_mode
from foretaste.sources.padding import align_padding, padding_token, pools_by_padding
from foretaste.sources.prepare import Texts
from foretaste.sources.problem import Problem
from foretaste.sources.request import Head, TaskRequest
from foretaste.sources.transformers import load
from foretaste.train.finetune import finetune
from foretaste.train.training import Training

END = {"eos_token": "<end>"}
TOKENS = ["<pad>", "<end>", *sorted(ByteLevel.alphabet())]
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
MODELS: Mapping[str, tuple[type, type, Mapping[str, int]]] = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForSequenceClassification, SIZES),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForSequenceClassification, SIZES),
    "gpt2": (
        transformers.GPT2Config,
        transformers.GPT2ForSequenceClassification,
        {"n_embd": 16, "n_layer": 1, "n_head": 2},
    ),
}


def checkpoint(folder: Path, name: str, config_pad: int | None, **special: str) -> Path:
    """A tiny decoder that classifies, whose configuration says one padding token and whose tokenizer says another."""
    letters = Tokenizer(BPE({token: place for place, token in enumerate(TOKENS)}, []))
    letters.pre_tokenizer = ByteLevel(add_prefix_space=False)
    transformers.PreTrainedTokenizerFast(tokenizer_object=letters, **special).save_pretrained(folder)
    make_config, make, sizes = MODELS[name]
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        config = make_config(vocab_size=len(TOKENS), num_labels=2, initializer_range=0.5, **sizes)
        config.pad_token_id = config_pad
        make(config).save_pretrained(folder)
    return folder


def problem(folder: Path, path: Path, head: Head = "auto") -> Problem:
    plans = []
    for name, labels in (("a", ("bad", "good")), ("b", (0, 1))):
        file = str(table(folder / f"{name}.jsonl", sentences(9, len(name), labels)))
        plans.append(TaskRequest(name, file, file, (METRICS["accuracy"],), {"text": "text"}))
    return load(str(path), "text-classification", plans, max_length=32, head=head)


def by_itself(found: Problem, index: int, text: str) -> Tensor:
    """The loss of one row: the logits after its last token, from the model's own parts and without any padding."""
    model = found.model
    task = found.tasks[0]
    example = task.train[index]
    ids = torch.tensor([[TOKENS.index(token) for token in text.replace(" ", "Ġ")]])
    with in_eval_mode(model), torch.no_grad():
        trunk = model.trunk if hasattr(model, "trunk") else getattr(model, str(model.base_model_prefix))
        score = next(module for name, module in model.named_modules() if name.endswith("score"))
        assert isinstance(trunk, nn.Module)
        logits = score(trunk(input_ids=ids)[0][:, -1])
    return nn.functional.cross_entropy(logits, example["labels"][None])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("config_pad", [None, 0, 3])
@pytest.mark.parametrize(
    "special", [{"pad_token": "<pad>"}, {"eos_token": "<end>"}, {"eos_token": "<end>", "pad_token": "<pad>"}]
)
def test_every_row_of_a_batch_is_as_by_itself(
    tmp_path: Path, name: str, config_pad: int | None, special: dict[str, str]
) -> None:
    found = problem(tmp_path, checkpoint(tmp_path / "model", name, config_pad, **special))
    texts = [str(row["text"]) for row in sentences(9, 1, ("bad", "good"))]
    assert len({len(text) for text in texts}) > 1
    expected = torch.stack([by_itself(found, index, text) for index, text in enumerate(texts)])
    with in_eval_mode(found.model):
        for size in (1, 4, 9):
            losses = measure(found.model, found.tasks[0], found.tasks[0].train, size).losses
            assert torch.allclose(losses, expected, atol=1e-5)


def test_one_head_is_aligned_as_several_are_and_is_saved_so(tmp_path: Path) -> None:
    found = problem(tmp_path, checkpoint(tmp_path / "model", "llama", None, **END), "shared")
    finetune(found.model, None, found.tasks[0], Training(steps=2, batch_size=4))
    found.save(found.model, tmp_path / "saved")
    assert transformers.AutoConfig.from_pretrained(tmp_path / "saved").pad_token_id == 1


def test_a_tokenizer_without_padding_and_end(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="neither a padding token nor an end-of-text token; name one as 'pad_token'"
    ) as caught:
        problem(tmp_path, checkpoint(tmp_path / "model", "qwen2", None))
    assert caught.value.field == ("model", "path")


def test_encoders_keep_their_configuration(checkpoints: Checkpoints) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoints.bert)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints.bert)
    model.config.pad_token_id = 3
    assert not pools_by_padding(model)
    assert align_padding(model, tokenizer, "bert") == 0
    assert model.config.pad_token_id == 3


def test_padding_beyond_the_vocabulary(checkpoints: Checkpoints) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints.t5)
    assert padding_token(tokenizer, 400) == tokenizer.pad_token_id
    assert padding_token(tokenizer, 0) is None


def test_tokens_beyond_the_vocabulary(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "model", "gpt2", None, **END)
    made = transformers.GPT2Config(vocab_size=8, num_labels=2, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2ForSequenceClassification(made).save_pretrained(path)
    with pytest.raises(
        DataError,
        match=r"row \d of .*a.jsonl has the token \d+, the model knows 8; give the checkpoint its own tokenizer",
    ):
        problem(tmp_path, path)


def test_texts_without_tokens(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "model", "gpt2", None, **END)
    texts = Texts(str(path), 8, transformers.AutoModelForSequenceClassification.from_pretrained(path))
    with pytest.raises(DataError, match="row 2 of here has no tokens: its text is empty; fill or remove it"):
        texts.examples(datasets.Dataset.from_dict({"text": ["a", ""]}), ["text"], [0, 1], "here")
