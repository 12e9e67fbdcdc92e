from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from checkpoints import Checkpoints
from foretaste.errors import TaskError
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.cross_entropy import ShapedCrossEntropy
from foretaste.loss.loss import Loss
from foretaste.loss.squared import Squared
from foretaste.sources.loop_batches import below_adapter, check_own_loss, labels_are_next, name_tensors, predictor_for
from foretaste.sources.pretrained import pretrained
from laws import normal

CLASSES = ShapedCrossEntropy()
PAIR = (torch.eye(2), torch.tensor([0, 1]))


def test_pairs_and_mappings_are_named() -> None:
    assert set(name_tensors(PAIR, CLASSES)) == {"inputs", "labels"}
    assert set(name_tensors({"x": PAIR[0], "label": PAIR[1], "none": None}, CLASSES)) == {"x", "labels"}


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
        name_tensors(batch, CLASSES)


def test_a_causal_model_s_labels_are_of_the_next_token(checkpoints: Checkpoints) -> None:
    ids = torch.tensor([[1, 2, 3]])
    assert labels_are_next(pretrained(str(checkpoints.gpt2), "causal-lm").eval(), {"input_ids": ids, "labels": ids})
    assert not labels_are_next(nn.Linear(2, 2), name_tensors(PAIR, CLASSES))


def test_a_pair_s_logits_are_the_model_s_outputs() -> None:
    model = nn.Linear(2, 3)
    batch = name_tensors(PAIR, CLASSES)
    assert torch.equal(predictor_for(model, batch)(model, batch), model(PAIR[0]))
    assert below_adapter(model) is model


def test_labels_of_other_losses_stay_as_they_are() -> None:
    labels = torch.tensor([0.5, 2.0])
    assert name_tensors((PAIR[0], labels), Squared())["labels"] is labels
    assert name_tensors(PAIR, CLASSES)["labels"].dtype == torch.int64


class Judged(nn.Module):
    """A model that computes its loss by one of torch's functions."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.layer, self.loss = nn.Linear(2, 3), loss

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.layer(x)
        return {"logits": logits, "loss": self.loss(logits, labels)}


class TestTheModelsOwnLoss:
    batch: Mapping[str, Tensor] = {"x": normal(4, 2), "labels": (normal(4, 3, seed=1) > 0).float()}

    @pytest.mark.parametrize(
        ("own", "loss"),
        [
            (nn.MSELoss(), Squared()),  # twice the loss
            (nn.MSELoss(reduction="sum"), None),
            (nn.BCEWithLogitsLoss(), Bernoulli()),
            (nn.BCEWithLogitsLoss(), None),
            (nn.HuberLoss(delta=0.1), None),
        ],
    )
    def test_it_is_the_loss_that_was_named_up_to_a_factor_of_two(self, own: nn.Module, loss: Loss | None) -> None:
        if loss is not None:
            check_own_loss(Judged(own), self.batch, loss)
            return
        with pytest.raises(TaskError, match=r"own loss on 4 examples is .*, and Squared\(\) of its outputs and labels"):
            check_own_loss(Judged(own), self.batch, Squared())

    def test_where_it_is_not_finite_nothing_is_compared(self) -> None:
        missing = {**self.batch, "labels": torch.full((4, 3), torch.nan)}
        check_own_loss(Judged(nn.MSELoss()), missing, Squared())

    def test_a_plain_model_has_none(self) -> None:
        check_own_loss(nn.Linear(2, 3), {"inputs": normal(4, 2), "labels": normal(4, 3)}, Squared())
