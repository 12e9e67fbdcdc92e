from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from foretaste.combine import REDUCTION_ERROR
from foretaste.export.card import Loading, card_text, largest_rank, served_rank

FACTS = {
    "weights": {"code": 0.25, "math": 0.75},
    "method": "simple",
    "version": "foretaste 1.0",
    "study": "two skills",
    "ranks": [8, 24],
    REDUCTION_ERROR: 0.0,
}
ADAPTER = Loading("org/base", "AutoModelForCausalLM", adapter=True)


def head_of(text: str) -> dict[str, object]:
    """The head of a card, as the hub's own library reads it."""
    head: dict[str, object] = ModelCard(text).data.to_dict()  # type: ignore[no-untyped-call]  # the library's
    return head


def test_the_head_is_read_by_the_hub() -> None:
    tags = ["foretaste", "model-merging", "lora"]
    assert head_of(card_text(FACTS, ADAPTER)) == {"base_model": "org/base", "library_name": "peft", "tags": tags}


def test_a_base_in_a_folder_is_not_named_to_others(tmp_path: Path) -> None:
    text = card_text(FACTS, Loading(str(tmp_path), "AutoModelForCausalLM", adapter=True))
    assert "base_model" not in head_of(text)
    assert str(tmp_path) not in text
    assert 'AutoModelForCausalLM.from_pretrained("PATH_OF_THE_PRETRAINED_MODEL")' in text


def test_weights_method_and_loading_are_told() -> None:
    text = card_text(FACTS, ADAPTER)
    assert "# two skills\n" in text
    assert "| code | 0.25 |\n| math | 0.75 |\n" in text
    assert "It previews joint finetuning at the weights below, and was not trained jointly." in text
    assert 'PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("org/base"), "PATH_OF_THIS_MODEL")' in text
    assert "vllm serve org/base --enable-lora --max-lora-rank 32 --lora-modules merged=PATH_OF_THIS_MODEL" in text
    assert "lower rank" not in text


def test_weights_are_told_as_shares_of_the_data_where_they_are_known() -> None:
    part = {"rows": 9.0, "share_of_rows": 0.5, "share_of_units": 0.25, "epochs": 1.5}
    text = card_text(FACTS | {"joint_run": {"steps": 7, "tasks": {"code": part, "math": part}}}, ADAPTER)
    assert (
        "| task | weight | of the rows | of what is learned | epochs in 7 joint steps |\n|---|---|---|---|---|" in text
    )
    assert "| code | 0.25 | 50.0% | 25.0% | 1.50 |\n| math | 0.75 |" in text


def test_a_reduction_is_told_with_its_error() -> None:
    assert "differs by 0.12 of its norm" in card_text(FACTS | {REDUCTION_ERROR: 0.123}, ADAPTER)


def test_a_joint_run_is_no_merge() -> None:
    text = card_text(FACTS | {"method": "joint"}, Loading("org/base", "AutoModelForCausalLM", adapter=False))
    assert "This model was finetuned on all tasks jointly, at the weights below" in text
    assert 'AutoModelForCausalLM.from_pretrained("PATH_OF_THIS_MODEL")' in text
    assert "model-merging" not in text
    assert "vllm" not in text


def test_without_loading_the_ranks_tell_an_adapter() -> None:
    assert head_of(card_text(FACTS))["library_name"] == "peft"
    plain = {name: value for name, value in FACTS.items() if name not in ("ranks", "study")}
    assert head_of(card_text(plain))["library_name"] == "transformers"
    assert "# code + math\n" in card_text(plain)


def test_a_rank_beyond_vllm_is_told() -> None:
    assert "Its rank is 600. vLLM serves ranks up to 512" in card_text(FACTS | {"ranks": [600]}, ADAPTER)


@pytest.mark.parametrize(("rank", "bound"), [(1, 8), (16, 16), (17, 32), (512, 512), (513, None)])
def test_ranks_that_vllm_serves(rank: int, bound: int | None) -> None:
    assert served_rank(rank) == bound


def test_facts_without_ranks() -> None:
    assert largest_rank({}) is None
    assert largest_rank({"ranks": []}) is None
