from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn

from checkpoints import Checkpoints
from foretaste.evaluate import evaluate
from foretaste.metric_kinds import TextMetric
from foretaste.params import parameters_of
from foretaste.sources.pretrained import pretrained, tokenizer_at
from foretaste.sources.tokens import EncodedRows, Tokens
from foretaste.sources.writing import Writer
from foretaste.task import Rows, Task
from laws import normal

SOURCES = ["good", "the book is dull and the film", "a great film"]
NAMES = ["gpt2", "llama", "t5"]


def model_of(folder: Path) -> transformers.PreTrainedModel:
    """With params that make it say different things after different prompts."""
    model = pretrained(str(folder), "seq2seq" if folder.name == "t5" else "causal-lm").eval()
    fill(model, 0)
    return model


def fill(model: nn.Module, seed: int) -> dict[str, Tensor]:
    made = {
        name: normal(*tensor.shape, seed=seed + place)
        for place, (name, tensor) in enumerate(parameters_of(model).items())
    }
    with torch.no_grad():
        for name, tensor in made.items():
            model.get_parameter(name).copy_(tensor)
    return made


def rows_of(folder: Path, most: int = 6) -> tuple[Writer, EncodedRows]:
    tokens = Tokens(tokenizer_at(str(folder)), 64, 400)
    if folder.name == "t5":
        return Writer(tokens, most), EncodedRows([tokens.translation_row(source, "fine") for source in SOURCES])
    spelled = [tokens.encode([(source, False), (" fine", True)], whole=True) for source in SOURCES]
    return Writer(tokens, most), EncodedRows([tokens.causal_row(*each, "fine") for each in spelled])


def greedily(model: transformers.PreTrainedModel, ids: list[int], end: int, most: int) -> list[int]:
    """The likeliest token after the likeliest token, one forward pass each, without a cache."""
    start = [0] if model.config.is_encoder_decoder else ids
    found = list(start)
    with torch.no_grad():
        while len(found) - len(start) < most and (len(found) == len(start) or found[-1] != end):
            if model.config.is_encoder_decoder:
                logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([found])).logits
            else:
                logits = model(input_ids=torch.tensor([found])).logits
            found.append(int(logits[0, -1].argmax()))
    return found[len(start) :]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_the_likeliest_token_after_the_likeliest_token(checkpoints: Checkpoints, name: str) -> None:
    """Whatever the checkpoint says of samplers and penalties, and however prompts are padded in a batch."""
    folder = getattr(checkpoints, name)
    model, (writer, rows) = model_of(folder), rows_of(folder)
    own = model.generation_config
    own.do_sample, own.temperature, own.repetition_penalty, own.max_length = True, 5.0, 9.0, 7
    tokenizer, expected = writer.tokens.tokenizer, []
    for source in SOURCES:
        ids = tokenizer(source)["input_ids"]
        expected.append(tokenizer.decode(greedily(model, ids, writer.tokens.end, 6), skip_special_tokens=True))
    found = writer(model, [rows[index] for index in range(3)])
    assert found == [(text, "fine") for text in expected]
    assert found == [writer(model, [rows[index]])[0] for index in range(3)]
    assert len(set(expected)) > 1
    assert model.generation_config is own


def test_it_stops_at_the_end_token_and_at_the_most(checkpoints: Checkpoints) -> None:
    model, (writer, rows) = model_of(checkpoints.gpt2), rows_of(checkpoints.gpt2, most=9)
    tokenizer, prompt = writer.tokens.tokenizer, writer.tokens.tokenizer(SOURCES[0])["input_ids"]
    whole = greedily(model, prompt, 0, 9)
    assert len(whole) == 9
    assert writer(model, [rows[0]])[0][0] == tokenizer.decode(whole)
    model.generation_config.eos_token_id = [0, whole[2]]  # the checkpoint may end a turn in several ways
    assert writer(model, [rows[0]])[0][0] == tokenizer.decode(whole[: whole.index(whole[2]) + 1])


def test_settings_come_back_when_writing_fails(checkpoints: Checkpoints) -> None:
    model, (writer, rows) = model_of(checkpoints.gpt2), rows_of(checkpoints.gpt2, most=90)
    own = model.generation_config
    with pytest.raises(IndexError):  # beyond the model's positions
        writer(model, [rows[1]])
    assert model.generation_config is own


def test_the_prompt_of_a_chat_is_all_before_its_last_answer(checkpoints: Checkpoints) -> None:
    model, (writer, _) = model_of(checkpoints.llama), rows_of(checkpoints.llama)
    turns = [("<s>[user]good", False), (" fine</s>", True), ("[user]the film", False), (" dull</s>", True)]
    rows = EncodedRows([writer.tokens.causal_row(*writer.tokens.encode(turns, whole=False), "dull")])
    prompt = writer.tokens.tokenizer("<s>[user]good fine</s>[user]the film", add_special_tokens=False)["input_ids"]
    expected = writer.tokens.tokenizer.decode(greedily(model, prompt, 1, 6), skip_special_tokens=True)
    assert writer(model, [rows[0]]) == [(expected, "dull")]


def test_evaluation_writes_with_the_params_it_is_given_and_in_the_examples_order(checkpoints: Checkpoints) -> None:
    model, (writer, rows) = model_of(checkpoints.t5), rows_of(checkpoints.t5)
    seen: list[list[str]] = []

    def count(written: Sequence[str], wanted: Sequence[str]) -> float:
        seen.append([*written, *wanted])
        return float(len(written))

    tokens = writer.tokens
    task = Task(
        "a",
        rows,
        rows,
        [TextMetric("count", count)],
        predict=lambda m, b: m(**b).logits,
        collate=tokens.collate,
        unit="token",
        write=writer,
    )
    other, own = fill(model, 60), fill(model, 0)
    result = evaluate(model, other, [task], batch_size=2)["a"]
    assert all(torch.equal(tensor, own[name]) for name, tensor in parameters_of(model).items())
    fill(model, 60)
    expected = [writer(model, [rows[index]])[0][0] for index in range(3)]
    assert result.texts == tuple(expected)
    assert seen == [[*expected, "fine", "fine", "fine"]]
    assert result.metrics["count"] == 3
    assert len(set(expected)) > 1


def test_nothing_is_written_where_no_metric_asks(checkpoints: Checkpoints) -> None:
    def never(*_: object) -> list[tuple[str, str]]:
        raise AssertionError

    rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    judge = TextMetric("count", lambda written, wanted: float(len(written)))
    task = Task("a", rows, rows, [judge], write=never)
    assert evaluate(torch.nn.Linear(2, 2), None, [task], loss_only=True)["a"].metrics.keys() == {"loss"}
    with pytest.raises(AssertionError):
        evaluate(torch.nn.Linear(2, 2), None, [task])
