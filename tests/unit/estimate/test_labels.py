import pytest
import torch
from torch import Tensor

from foretaste.errors import TaskError
from foretaste.estimate.labels import Labels, draw, starts
from foretaste.task import IGNORED, losses
from laws import normal, random

SHAPES = [((5, 3), (5,)), ((2, 4, 7), (2, 4)), ((3, 2, 70_000), (3, 2))]  # the last goes row by row


def given(shape: tuple[int, ...], classes: int) -> Tensor:
    labels = torch.randint(0, classes, shape, generator=random(1))
    if len(shape) > 1:
        labels[0, 1:], labels[-1] = IGNORED, IGNORED
    return labels


def started(labels: Labels, logits: Tensor, wanted: Tensor, seed: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    factor = torch.arange(1.0, len(logits) + 1)
    return list(starts(labels, logits, wanted, factor, random(seed)))


class TestStarts:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    @pytest.mark.parametrize("labels", ["sampled", "empirical", "exact"])
    @pytest.mark.parametrize(("shape", "rows"), SHAPES[:2])
    def test_the_slopes_are_autograds(self, shape: tuple[int, ...], rows: tuple[int, ...], labels: Labels, dtype: torch.dtype) -> None:
        logits = normal(*shape).to(dtype)
        for targets, factor, slopes in started(labels, logits, given(rows, shape[-1])):
            leaf = logits.clone().requires_grad_()
            (expected,) = torch.autograd.grad((losses(leaf, targets) * factor.unsqueeze(1)).sum(), leaf)
            torch.testing.assert_close(slopes, expected)

    @pytest.mark.parametrize(("shape", "rows"), SHAPES)
    def test_rows_at_a_time_are_all_rows(self, shape: tuple[int, ...], rows: tuple[int, ...]) -> None:
        logits, wanted = normal(*shape), given(rows, shape[-1])
        [(targets, _, slopes)] = started("sampled", logits, wanted)
        kept = wanted != IGNORED
        uniforms = torch.rand(int(kept.sum()), dtype=torch.float64, generator=random(0))
        assert torch.equal(targets[kept], draw(logits.softmax(-1)[kept], uniforms))
        assert torch.equal(targets == IGNORED, ~kept)
        assert not slopes[~kept].any()

    def test_labels_that_do_not_count_take_no_number_from_the_generator(self) -> None:
        logits, generator = normal(2, 4, 7), random(0)
        list(starts("sampled", logits, given((2, 4), 7), torch.ones(2), generator))
        other = random(0)
        torch.rand(1, dtype=torch.float64, generator=other)
        assert torch.equal(generator.get_state(), other.get_state())

    def test_exact_labels_come_with_the_root_of_their_probability(self) -> None:
        logits = normal(3, 4)
        found = started("exact", logits, torch.zeros(3).long())
        assert [targets.tolist() for targets, *_ in found] == [[label] * 3 for label in range(4)]
        total = sum((factor.square() for _, factor, _ in found), torch.zeros(3))
        torch.testing.assert_close(total, torch.tensor([1.0, 4.0, 9.0]))

    def test_what_was_given_is_left_as_it_is(self) -> None:
        logits, wanted = normal(2, 4, 7), given((2, 4), 7)
        before = logits.clone(), wanted.clone()
        started("sampled", logits, wanted)
        assert torch.equal(logits, before[0])
        assert torch.equal(wanted, before[1])

    @pytest.mark.parametrize("labels", ["sampled", "empirical", "exact"])
    def test_shapes_that_do_not_fit(self, labels: Labels) -> None:
        with pytest.raises(TaskError, match=r"logits \[2, 4, 7\] and labels \[2, 3\] do not fit"):
            started(labels, normal(2, 4, 7), torch.zeros(2, 3).long())


class TestDraw:
    def test_labels_come_as_often_as_they_are_likely(self) -> None:
        chances = torch.tensor([0.5, 0.0, 0.3, 0.2])
        drawn = draw(chances.expand(20_000, 4), torch.rand(20_000, generator=random(0), dtype=torch.float64))
        shares = torch.bincount(drawn, minlength=4) / len(drawn)
        assert float((shares - chances).abs().max()) < 4 * (0.25 / len(drawn)) ** 0.5
        assert shares[1] == 0

    @pytest.mark.parametrize("uniform", [0.0, 1e-300, 0.5, 1 - 1e-12, 1.0])
    @pytest.mark.parametrize("scale", [1.0, 1e-30, 3.0])
    def test_none_is_without_probability(self, uniform: float, scale: float) -> None:
        chances = torch.zeros(3, 200_000)
        chances[0, 7] = chances[1, -1] = chances[2, 0] = scale
        assert draw(chances, torch.full((3,), uniform, dtype=torch.float64)).tolist() == [7, 199_999, 0]

    def test_a_large_vocabulary_loses_no_tail(self) -> None:
        """Where single probabilities are near the rounding of their sum."""
        chances = torch.full((1, 200_000), 1 / 200_000)
        uniforms = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
        drawn = draw(chances.expand(1000, -1), uniforms)
        assert float((drawn / 200_000 - uniforms).abs().max()) < 1e-5
