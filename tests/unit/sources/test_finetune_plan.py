import pytest
from pydantic import ValidationError

from foretaste.sources.finetune_plan import LORA, Finetune


def test_the_defaults_of_lora_are_written_out_and_are_no_numbers_of_a_run() -> None:
    plan = Finetune.model_validate({"method": "lora", "r": 4})
    assert (plan.alpha, plan.dropout, plan.rslora, plan.train_a) == (8.0, 0.0, False, True)
    assert not set(plan.numbers) & {*LORA, "freeze", "gradient_checkpointing"}
    assert Finetune.model_validate({"method": "full"}) == Finetune()


@pytest.mark.parametrize("field", ["steps", "batch_size", "r", "micro_batch"])
def test_numbers_below_1_are_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Finetune.model_validate({field: 0})
