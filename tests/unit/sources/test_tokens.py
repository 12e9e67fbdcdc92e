from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.loss.class_labels import IGNORED
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.request import TaskRequest
from foretaste.sources.tokens import EncodedRows, Row, Tokens, answer_of

PROMPT, ANSWER = "the good film is ", "the superb book"


def tokens_of(folder: Path, max_length: int = 32, vocabulary: int = 400) -> Tokens:
    return Tokens(tokenizer_at(str(folder)), max_length, vocabulary)


@pytest.mark.parametrize(("name", "end", "padding"), [("gpt2", 0, 0), ("llama", 1, 1), ("t5", 1, 0)])
def test_a_missing_padding_token_is_the_end_token(checkpoints: Checkpoints, name: str, end: int, padding: int) -> None:
    found = tokens_of(getattr(checkpoints, name))
    assert (found.end, found.padding) == (end, padding)


def test_a_padding_token_that_the_model_does_not_know_is_not_used(checkpoints: Checkpoints) -> None:
    tokenizer = tokenizer_at(str(checkpoints.gpt2))
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    size = len(tokenizer)
    assert [Tokens(tokenizer, 8, rows).padding for rows in (size, size - 1)] == [size - 1, 0]


def test_a_tokenizer_without_an_end_is_refused(checkpoints: Checkpoints) -> None:
    tokenizer = tokenizer_at(str(checkpoints.gpt2))
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="no end-of-sequence token; name one as 'eos_token'"):
        Tokens(tokenizer, 8, 400)


def test_batches_are_padded_on_the_right_and_masked(checkpoints: Checkpoints) -> None:
    tokens = tokens_of(checkpoints.gpt2)
    rows = EncodedRows([Row([5, 6, 7], [IGNORED, 7, 0], "ä"), Row([8], [9])])
    batch = tokens.collate([rows[0], rows[1]])
    assert {key: tensor.tolist() for key, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7], [8, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "labels": [[IGNORED, 7, 0], [9, IGNORED, IGNORED]],
    }
    assert bytes(rows[0]["reference"].tolist()).decode() == "ä"
    assert "reference" not in rows[1]


def test_a_task_may_have_a_length_of_its_own(checkpoints: Checkpoints) -> None:
    tokens = tokens_of(checkpoints.gpt2)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoints.gpt2)
    usual = TaskRequest("a", "train", "validation", ())
    assert tokens.suited_to(usual, model, 0) is tokens
    shorter = tokens.suited_to(replace(usual, max_length=4), model, 0)
    assert len(shorter.causal_row(range(9), [True] * 9, None).inputs) == 3
    assert len(tokens.causal_row(range(9), [True] * 9, None).inputs) == 8
    assert shorter.fingerprint == tokens_of(checkpoints.gpt2, 4).fingerprint != tokens.fingerprint
    with pytest.raises(DataError, match="max_length 65 are more than the model's 64 positions") as caught:
        tokens.suited_to(replace(usual, max_length=65), model, 0)
    assert caught.value.field == ("finetune", "tasks", "a", "max_length")


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
@pytest.mark.parametrize("place", range(len(PROMPT + ANSWER) + 1))
def test_a_prompt_has_the_ids_that_it_has_alone_wherever_a_text_is_split(
    checkpoints: Checkpoints, name: str, place: int
) -> None:
    tokens = tokens_of(getattr(checkpoints, name))
    prompt, answer = (PROMPT + ANSWER)[:place], (PROMPT + ANSWER)[place:]
    ids, learned = tokens.encode([(prompt, False), (answer, True)], whole=True)
    alone = [each for each in tokens.tokenizer(prompt)["input_ids"] if each != tokens.end]
    assert ids[: len(alone)] == alone
    assert learned == [False] * len(alone) + [True] * (len(ids) - len(alone))
    assert (ids[-1], ids.count(tokens.end)) == (tokens.end, 1)
    if name != "t5":  # whose tokens do not tell a blank at the beginning
        assert tokens.tokenizer.decode(ids, skip_special_tokens=True) == PROMPT + ANSWER


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
def test_a_split_between_tokens_leaves_the_text_s_own(checkpoints: Checkpoints, name: str) -> None:
    tokens = tokens_of(getattr(checkpoints, name))
    whole = [each for each in tokens.tokenizer("the good film is superb")["input_ids"] if each != tokens.end]
    assert tokens.encode([("the good film", False), (" is superb", True)], whole=True)[0] == [*whole, tokens.end]


def test_segments_of_a_chat_bring_their_own_ends(checkpoints: Checkpoints) -> None:
    tokens = tokens_of(checkpoints.llama)
    ids, learned = tokens.encode([("<s>[user]good</s>", False), ("fine</s>", True), ("[user]bad", False)], whole=False)
    assert ids == tokens.tokenizer("<s>[user]good</s>fine</s>[user]bad", add_special_tokens=False)["input_ids"]
    assert tokens.tokenizer.decode([each for each, counts in zip(ids, learned, strict=True) if counts]) == "fine</s>"


def test_labels_are_the_next_tokens_of_what_is_learned(checkpoints: Checkpoints) -> None:
    row = tokens_of(checkpoints.gpt2).causal_row([5, 6, 7, 8, 0], [False, False, True, True, True], "x")
    assert row == Row([5, 6, 7, 8], [IGNORED, 7, 8, 0], "x", cut=False)
    whole = tokens_of(checkpoints.gpt2).causal_row([5, 6, 0], [True] * 3, None)
    assert whole == Row([5, 6], [6, 0])  # nothing comes before the first
    turns = tokens_of(checkpoints.gpt2).causal_row([5, 6, 7, 8, 9, 4], [False, True, False, True, True, False], "x")
    assert turns == Row([5, 6, 7, 8], [6, IGNORED, 8, 9], "x")  # what comes after the last answer is left out


@pytest.mark.parametrize(
    ("most", "ids", "labels"),
    [
        (7, [0, 5, 6, 7, 8, 9], [IGNORED, IGNORED, IGNORED, 8, 9, 1]),
        (6, [0, 6, 7, 8, 9], [IGNORED, IGNORED, 8, 9, 1]),
        (5, [0, 7, 8, 9], [IGNORED, 8, 9, 1]),
        (4, [0, 8, 9], [8, 9, 1]),
        (3, [0, 8], [8, 9]),
        (2, [0], [8]),
    ],
)
def test_what_is_too_long_loses_the_prompt_s_left_and_only_then_the_answer_s_right(
    checkpoints: Checkpoints, most: int, ids: list[int], labels: list[int]
) -> None:
    """A token that the tokenizer begins with stays."""
    tokens = tokens_of(checkpoints.llama, most)
    row = tokens.causal_row([0, 5, 6, 7, 8, 9, 1], [False] * 4 + [True] * 3, "x")
    assert row == Row(ids, labels, "x", cut=most < 7)
    assert row.lost == 3 - sum(label != IGNORED for label in labels)
    without = tokens_of(checkpoints.gpt2, most).causal_row([4, 5, 6, 7, 8, 9, 1], [False] * 4 + [True] * 3, "x")
    assert without.inputs == [4, 5, 6, 7, 8, 9][-max(most - 1, 2) :][: most - 1]


def test_the_last_answer_of_a_long_chat_stays(checkpoints: Checkpoints) -> None:
    row = tokens_of(checkpoints.gpt2, 4).causal_row([5, 6, 7, 8, 9, 4], [False, True, True, False, True, True], "x")
    assert row == Row([7, 8, 9], [IGNORED, 9, 4], "x", cut=True)


@pytest.mark.parametrize(("ids", "learned"), [([5, 6], [False, False]), ([5], [True]), ([], [])])
def test_a_row_that_teaches_nothing_is_refused(checkpoints: Checkpoints, ids: list[int], learned: list[bool]) -> None:
    with pytest.raises(DataError, match=r"^leaves nothing to learn$"):
        tokens_of(checkpoints.gpt2).causal_row(ids, learned, None)


def test_a_source_and_its_target(checkpoints: Checkpoints) -> None:
    tokens = tokens_of(checkpoints.t5)
    row = tokens.translation_row("the good film", "dull")
    assert (row.inputs, row.labels) == (
        tokens.tokenizer("the good film")["input_ids"],
        tokens.tokenizer("dull")["input_ids"],
    )
    assert (row.inputs[-1], row.labels[-1], row.reference, row.cut) == (tokens.end, tokens.end, "dull", False)


@pytest.mark.parametrize(("most", "cut"), [(16, False), (4, True)])
def test_long_sources_and_targets_keep_their_end(checkpoints: Checkpoints, most: int, cut: bool) -> None:
    text = "the good film is a superb book"
    whole, row = (tokens_of(checkpoints.t5, length).translation_row(text, text) for length in (99, most))
    for found, expected in ((row.inputs, whole.inputs), (row.labels, whole.labels)):
        assert found == ([*expected[: most - 1], expected[-1]] if cut else expected)
    assert (row.cut, row.reference) == (cut, text)


def test_a_target_ends_even_where_the_tokenizer_does_not_end_it(checkpoints: Checkpoints) -> None:
    row = tokens_of(checkpoints.gpt2).translation_row("good", "fine")
    assert (row.inputs.count(0), list(row.labels).count(0), row.labels[-1]) == (0, 1, 0)


def test_a_token_beyond_the_model_s_vocabulary_is_named(checkpoints: Checkpoints) -> None:
    small = tokens_of(checkpoints.t5, vocabulary=20)
    with pytest.raises(
        DataError, match=r"has the token \d+, the model knows 20; give the checkpoint its own tokenizer"
    ):
        small.translation_row("the good film", "dull")
    with pytest.raises(DataError, match="has the token 25, the model knows 20"):
        small.causal_row([25, 1], [True, True], None)


def test_fingerprints_depend_on_length_tokenizer_and_padding(checkpoints: Checkpoints) -> None:
    padded = tokenizer_at(str(checkpoints.gpt2))
    padded.pad_token = padded.convert_ids_to_tokens(5)
    made = [
        tokens_of(checkpoints.gpt2),
        tokens_of(checkpoints.gpt2, 31),
        tokens_of(checkpoints.llama),
        Tokens(padded, 32, 400),
    ]
    assert len({each.fingerprint for each in made}) == 4
    assert tokens_of(checkpoints.gpt2).fingerprint == made[0].fingerprint


@pytest.mark.parametrize("count", range(1, 6))
def test_answers_are_found(count: int) -> None:
    for number in range(2**count):
        learned = [bool(number >> place & 1) for place in range(count)]
        found = answer_of(learned)
        stretch = learned[found]
        assert all(stretch)
        assert bool(stretch) == any(learned)
        assert not any(learned[found.stop :])
        assert not stretch or found.start == 0 or not learned[found.start - 1]


def test_examples_are_tensors(checkpoints: Checkpoints) -> None:
    row = tokens_of(checkpoints.t5).translation_row("good", "fine")
    example = EncodedRows([row])[0]
    assert {key: tensor.dtype for key, tensor in example.items()} == {
        "input_ids": torch.int64,
        "labels": torch.int64,
        "reference": torch.uint8,
    }
    assert isinstance(tokens_of(checkpoints.t5).tokenizer, transformers.PreTrainedTokenizerBase)
