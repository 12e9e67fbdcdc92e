import pytest
from pydantic import ValidationError

from foretaste.plan import Recipe
from foretaste.recipe_faults import fault_line


def lines_of(plan: dict[str, object]) -> list[str]:
    """The faults of a digits recipe, as they are printed."""
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate({"name": "a", "model": {"source": "digits"}, **plan})
    text = "name: a\nmodel: {source: digits}\nfinetune:\n  steps: 1\n"
    return [fault_line(fault, "study.yaml", text) for fault in caught.value.errors()]


def test_line_field_and_value_are_named() -> None:
    (line,) = lines_of({"finetune": {"steps": 0}})
    assert line == "study.yaml, line 4, finetune.steps: Input should be greater than or equal to 1; found 0"


def test_the_word_of_the_model_s_source_is_no_field() -> None:
    (line,) = lines_of({"model": {"source": "digits", "seed": 1}})
    assert line.startswith("study.yaml, line 2, model.seed: unknown field; ")


def test_an_unknown_field_is_told_the_nearest_one() -> None:
    (line,) = lines_of({"finetune": {"step": 3}})
    assert "finetune.step: unknown field; " in line
    assert "steps" in line


def test_a_number_that_is_none_is_told_its_bound() -> None:
    (line,) = lines_of({"finetune": {"steps": "many"}})
    assert "Input should be a valid integer, less than or equal to " in line


def test_a_long_value_is_cut() -> None:
    (line,) = lines_of({"preview": {"methods": ["x" * 300]}})
    assert line.endswith("...")
    assert len(line) < 600


def test_every_fault_has_its_line() -> None:
    assert len(lines_of({"finetune": {"steps": 0, "batch_size": 0}, "seed": -1})) == 3
