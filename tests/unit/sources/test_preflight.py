import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from foretaste.errors import DataError
from foretaste.sources.checkpoint import Checkpoint, open_checkpoint
from foretaste.sources.preflight import preflight, vocabulary_of
from laws import normal

WORDS = ["<pad>", "a", "b", "c"]
EMBEDDINGS = normal(4, 3, seed=1)
PARAMS = {"embed.weight": EMBEDDINGS, "layer.weight": normal(3, 3, seed=2), "ids": torch.arange(3)}


def checkpoint(
    folder: Path,
    params: Mapping[str, Tensor],
    words: list[str] | None = None,
    added: Mapping[str, int] | None = None,
    **config: object,
) -> Checkpoint:
    folder.mkdir()
    said = {"model_type": "bert", "vocab_size": len(params.get("embed.weight", EMBEDDINGS)), **config}
    (folder / "config.json").write_text(json.dumps(said))
    save_file(dict(params), folder / "model.safetensors")
    vocab = {word: place for place, word in enumerate(words or WORDS)}
    extra = [{"id": place, "content": token} for token, place in (added or {}).items()]
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}, "added_tokens": extra}))
    return open_checkpoint(folder)


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return checkpoint(tmp_path / "base", PARAMS)


def refused(base: Checkpoint, *experts: Checkpoint) -> list[str]:
    with pytest.raises(DataError) as error:
        preflight(base, {f"t{place}": expert for place, expert in enumerate(experts)})
    return str(error.value).splitlines()


def test_what_fits_comes_back_as_it_is(base: Checkpoint, tmp_path: Path) -> None:
    params = {name: tensor + 1 for name, tensor in PARAMS.items()}
    found = preflight(base, {"code": checkpoint(tmp_path / "code", params)})
    assert found.notes == ()
    assert list(found.params["code"]) == list(base.params)
    assert all(found.params["code"][name].equal(tensor) for name, tensor in params.items())


def test_every_fault_of_every_expert_is_told_at_once(base: Checkpoint, tmp_path: Path) -> None:
    one = checkpoint(
        tmp_path / "one",
        {"embed.weight": EMBEDDINGS, "layer.weight": normal(2, 3), "other": torch.zeros(1)},
        model_type="gpt2",
    )
    two = checkpoint(tmp_path / "two", PARAMS | {"ids": torch.zeros(3)})
    said = refused(base, one, two)
    for words in (
        "task 't0' does not fit the base: it is a gpt2 model, the base a bert model",
        "task 't0' does not fit the base: missing ids",
        "task 't0' does not fit the base: additional other; an adapter or a new head?",
        "task 't0' does not fit the base: shape of layer.weight is [2, 3], not [3, 3]",
        "task 't1' does not fit the base: ids is F32, I64 in the base",
    ):
        assert any(words in line for line in said), words


def test_many_alike_are_counted(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", {f"w{place:02}": torch.zeros(2) for place in range(20)})
    said = refused(base, checkpoint(tmp_path / "one", {f"w{place:02}": torch.zeros(3) for place in range(20)}))
    assert len(said) == 7
    assert said[-1].endswith("and 14 more like it")


class TestVocabulary:
    ADDED: Mapping[str, int] = {"<user>": 4, "<bot>": 5}

    def grown(self, path: Path) -> Checkpoint:
        params = PARAMS | {"embed.weight": torch.cat([EMBEDDINGS + 1, torch.ones(2, 3)])}
        return checkpoint(path, params, added=self.ADDED)

    def test_added_tokens_are_named_with_the_way_out(self, base: Checkpoint, tmp_path: Path) -> None:
        (said,) = refused(base, self.grown(tmp_path / "grown"))
        assert (
            "its vocabulary has 6 tokens, 2 more than the base's ('<user>', '<bot>'); leave them out with --vocabulary"
            " base" in said
        )

    def test_left_out_the_rows_of_the_base_s_tokens_stay(self, base: Checkpoint, tmp_path: Path) -> None:
        found = preflight(base, {"chat": self.grown(tmp_path / "grown")}, vocabulary="base")
        assert found.params["chat"]["embed.weight"].equal(EMBEDDINGS + 1)
        assert found.notes == ("task 'chat': 2 tokens that it added ('<user>', '<bot>') are left out",)

    def test_a_vocabulary_in_the_language_model_s_part_of_the_configuration(self, tmp_path: Path) -> None:
        """Models of text and images have it there."""
        base = checkpoint(tmp_path / "base", PARAMS, vocab_size=None, text_config={"vocab_size": 4})
        grown = PARAMS | {"embed.weight": torch.cat([EMBEDDINGS + 1, torch.ones(2, 3)])}
        expert = checkpoint(tmp_path / "grown", grown, added=self.ADDED, vocab_size=None, text_config={"vocab_size": 6})
        (said,) = refused(base, expert)
        assert "its vocabulary has 6 tokens, 2 more than the base's ('<user>', '<bot>')" in said
        found = preflight(base, {"chat": expert}, vocabulary="base")
        assert found.params["chat"]["embed.weight"].equal(EMBEDDINGS + 1)

    def test_embeddings_that_the_language_model_ties(self, tmp_path: Path) -> None:
        text = {"vocab_size": 4, "tie_word_embeddings": True}
        base = checkpoint(tmp_path / "base", PARAMS, vocab_size=None, text_config=text)
        expert = checkpoint(
            tmp_path / "own", PARAMS | {"lm_head.weight": normal(4, 3, seed=5)}, vocab_size=None, text_config=text
        )
        (said,) = refused(base, expert)
        assert "lm_head.weight is its own, and the base ties it to the embeddings" in said

    def test_fewer_tokens_are_refused(self, base: Checkpoint, tmp_path: Path) -> None:
        (said,) = refused(base, checkpoint(tmp_path / "small", PARAMS | {"embed.weight": EMBEDDINGS[:3]}, WORDS[:3]))
        assert "its vocabulary has 3 tokens, 1 fewer than the base's" in said

    def test_other_numbers_for_the_same_tokens_are_refused(self, base: Checkpoint, tmp_path: Path) -> None:
        (said,) = refused(base, checkpoint(tmp_path / "other", PARAMS, ["<pad>", "b", "a", "c"]))
        assert "its tokenizer numbers 2 tokens otherwise ('a', 'b')" in said

    def test_a_list_of_tokens_with_scores_is_a_vocabulary_too(self, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": [["x", -1.0], ["y", -2.0]]}}))
        assert vocabulary_of(tmp_path) == {"x": 0, "y": 1}

    @pytest.mark.parametrize("text", ["{", "[]", '{"model": {"vocab": 3}}', '{"model": {}, "added_tokens": [{}]}'])
    def test_a_damaged_tokenizer_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(DataError, match=r"tokenizer\.json is damaged"):
            vocabulary_of(tmp_path)


class TestTies:
    def test_a_copy_of_the_embeddings_is_left_out_where_the_base_leaves_it_out(
        self, base: Checkpoint, tmp_path: Path
    ) -> None:
        found = preflight(base, {"a": checkpoint(tmp_path / "a", PARAMS | {"lm_head.weight": EMBEDDINGS.clone()})})
        assert "lm_head.weight" not in found.params["a"]
        assert found.notes == (
            "task 'a': lm_head.weight repeats embed.weight, as the base, which leaves it out, has it",
        )

    def test_an_expert_that_leaves_out_the_copy_has_it_all_the_same(self, tmp_path: Path) -> None:
        base = checkpoint(tmp_path / "base", PARAMS | {"lm_head.weight": EMBEDDINGS.clone()})
        found = preflight(base, {"a": checkpoint(tmp_path / "a", PARAMS | {"embed.weight": EMBEDDINGS + 1})})
        assert found.params["a"]["lm_head.weight"].equal(EMBEDDINGS + 1)

    def test_an_output_layer_of_its_own_is_refused(self, tmp_path: Path) -> None:
        base = checkpoint(tmp_path / "base", PARAMS, tie_word_embeddings=True)
        (said,) = refused(base, checkpoint(tmp_path / "a", PARAMS | {"lm_head.weight": EMBEDDINGS + 1}))
        assert (
            "lm_head.weight is its own, and the base ties it to the embeddings; save the base with"
            " tie_word_embeddings=False" in said
        )


def test_other_types_are_noted(base: Checkpoint, tmp_path: Path) -> None:
    low = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in PARAMS.items()}
    found = preflight(base, {"a": checkpoint(tmp_path / "a", low)})
    assert found.notes == (
        "task 'a': its types differ from the base's; what is merged is kept in the base's (F32, I64)",
    )


def test_nothing_is_read_when_names_are_the_same(base: Checkpoint, tmp_path: Path) -> None:
    expert = checkpoint(tmp_path / "a", PARAMS)
    (tmp_path / "a" / "model.safetensors").unlink()
    assert list(preflight(base, {"a": expert}).params["a"]) == list(base.params)
