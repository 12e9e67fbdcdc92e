import pytest
import torch
from torch import Tensor

from foretaste.errors import TaskError
from foretaste.loss.class_labels import IGNORED, losses
from foretaste.loss.class_roots import class_roots, draw
from foretaste.loss.loss import Labels
from foretaste.params import wide
from laws import normal, random

SHAPES = [((5, 3), (5,)), ((2, 4, 7), (2, 4)), ((3, 2, 70_000), (3, 2))]  # the last goes row by row


def given(shape: tuple[int, ...], classes: int) -> Tensor:
    labels = torch.randint(0, classes, shape, generator=random(1))
    if len(shape) > 1:
        labels[0, 1:], labels[-1] = IGNORED, IGNORED
    return labels


def roots_of(how: Labels, logits: Tensor, wanted: Tensor, seed: int = 0) -> list[Tensor]:
    factor = torch.arange(1.0, len(logits) + 1)
    return [root.slopes for root in class_roots(how, logits, wanted, factor, random(seed))]


def slopes_at(logits: Tensor, targets: Tensor) -> Tensor:
    """Autograd's gradient of the losses, each example's times its factor."""
    leaf, factor = logits.clone().requires_grad_(), torch.arange(1.0, len(logits) + 1)
    (expected,) = torch.autograd.grad((losses(leaf, targets) * factor.unsqueeze(1)).sum(), leaf)
    return expected


def drawn(logits: Tensor, wanted: Tensor) -> Tensor:
    """The labels that a generator of seed 0 draws."""
    kept, targets = wanted != IGNORED, wanted.clone()
    uniforms = torch.rand(int(kept.sum()), dtype=torch.float64, generator=random(0))
    targets[kept] = draw(wide(logits).softmax(-1)[kept], uniforms)
    return targets


class TestClassRoots:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    @pytest.mark.parametrize(("shape", "rows"), SHAPES[:2])
    def test_they_are_autograds_gradients(
        self, shape: tuple[int, ...], rows: tuple[int, ...], dtype: torch.dtype
    ) -> None:
        logits, wanted = normal(*shape).to(dtype), given(rows, shape[-1])
        [empirical] = roots_of("empirical", logits, wanted)
        torch.testing.assert_close(empirical, slopes_at(logits, wanted))
        [sampled] = roots_of("sampled", logits, wanted)
        torch.testing.assert_close(sampled, slopes_at(logits, drawn(logits, wanted)))

    @pytest.mark.parametrize(("shape", "rows"), SHAPES)
    def test_rows_at_a_time_are_all_rows(self, shape: tuple[int, ...], rows: tuple[int, ...]) -> None:
        logits, wanted = normal(*shape), given(rows, shape[-1])
        [sampled] = roots_of("sampled", logits, wanted)
        torch.testing.assert_close(sampled, slopes_at(logits, drawn(logits, wanted)))
        assert not sampled[wanted == IGNORED].any()

    def test_labels_that_do_not_count_take_no_number_from_the_generator(self) -> None:
        logits, generator = normal(2, 4, 7), random(0)
        list(class_roots("sampled", logits, given((2, 4), 7), torch.ones(2), generator))
        other = random(0)
        torch.rand(1, dtype=torch.float64, generator=other)
        assert torch.equal(generator.get_state(), other.get_state())

    def test_exact_ones_are_one_per_class_with_the_root_of_its_probability(self) -> None:
        logits = normal(3, 4)
        found = roots_of("exact", logits, torch.zeros(3).long())
        assert len(found) == 4
        for label, roots in enumerate(found):
            slopes = slopes_at(logits, torch.full((3,), label))
            torch.testing.assert_close(roots, slopes * logits.softmax(1)[:, label].sqrt().unsqueeze(1))

    def test_what_was_given_is_left_as_it_is(self) -> None:
        logits, wanted = normal(2, 4, 7), given((2, 4), 7)
        before = logits.clone(), wanted.clone()
        roots_of("sampled", logits, wanted)
        assert torch.equal(logits, before[0])
        assert torch.equal(wanted, before[1])

    @pytest.mark.parametrize("how", ["sampled", "empirical", "exact"])
    def test_shapes_that_do_not_fit(self, how: Labels) -> None:
        with pytest.raises(TaskError, match=r"logits \[2, 4, 7\] and labels \[2, 3\] do not fit"):
            roots_of(how, normal(2, 4, 7), torch.zeros(2, 3).long())


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
