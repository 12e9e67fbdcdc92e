import pytest
import torch
from torch import nn

from checkpoints import Checkpoints
from foretaste.errors import TaskError
from foretaste.sources.loop_batches import below_adapter, labels_are_next, name_tensors, predictor_for
from foretaste.sources.pretrained import pretrained

PAIR = (torch.eye(2), torch.tensor([0, 1]))


def test_pairs_and_mappings_are_named() -> None:
    assert set(name_tensors(PAIR)) == {"inputs", "labels"}
    assert set(name_tensors({"x": PAIR[0], "label": PAIR[1], "none": None})) == {"x", "labels"}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (3, "a batch is a int"),
        ({"x": PAIR[0]}, "a batch has x and no labels"),
        ({"x": "text", "labels": PAIR[1]}, "x of a batch is a str and no tensor"),
        ({"x": PAIR[0], "labels": PAIR[0]}, "not classes by number"),
    ],
)
def test_batches_that_cannot_be_read(batch: object, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        name_tensors(batch)


def test_a_causal_model_s_labels_are_of_the_next_token(checkpoints: Checkpoints) -> None:
    ids = torch.tensor([[1, 2, 3]])
    assert labels_are_next(pretrained(str(checkpoints.gpt2), "causal-lm").eval(), {"input_ids": ids, "labels": ids})
    assert not labels_are_next(nn.Linear(2, 2), name_tensors(PAIR))


def test_a_pair_s_logits_are_the_model_s_outputs() -> None:
    model = nn.Linear(2, 3)
    batch = name_tensors(PAIR)
    assert torch.equal(predictor_for(model, batch)(model, batch), model(PAIR[0]))
    assert below_adapter(model) is model
