import pytest
import torch

from foretaste.loss.class_labels import IGNORED, losses
from foretaste.loss.unit import Unit, count_units, unit_factors
from laws import normal

LABELS = torch.tensor([[1, IGNORED, 4], [IGNORED, IGNORED, IGNORED], [0, 2, 3]])


class TestUnits:
    def test_counts(self) -> None:
        assert count_units(LABELS != IGNORED, "example") == 3
        assert count_units(LABELS != IGNORED, "token") == 5
        assert (
            count_units(torch.tensor([1, 2]) != IGNORED, "token")
            == count_units(torch.tensor([1, 2]) != IGNORED, "example")
            == 2
        )

    def test_factors_turn_sums_into_the_loss(self) -> None:
        each = losses(normal(3, 3, 5), LABELS)
        by_example = (each.sum(1) * unit_factors(LABELS != IGNORED, "example")).sum() / count_units(
            LABELS != IGNORED, "example"
        )
        by_token = (each.sum(1) * unit_factors(LABELS != IGNORED, "token")).sum() / count_units(
            LABELS != IGNORED, "token"
        )
        torch.testing.assert_close(by_example, (each[0].sum() / 2 + 0 + each[2].mean()) / 3)
        torch.testing.assert_close(by_token, each.sum() / 5)

    @pytest.mark.parametrize("unit", ["example", "token"])
    def test_one_label_per_example_has_factor_one(self, unit: Unit) -> None:
        assert unit_factors(torch.ones(2).bool(), unit).tolist() == [1.0, 1.0]


def test_units_and_factors() -> None:
    labels = torch.tensor([[1, IGNORED], [2, 3]])
    assert count_units(labels != IGNORED, "example") == 2
    assert count_units(labels != IGNORED, "token") == 3
    assert unit_factors(labels != IGNORED, "example").tolist() == [1.0, 0.5]
    assert unit_factors(labels != IGNORED, "token").tolist() == [1.0, 1.0]
