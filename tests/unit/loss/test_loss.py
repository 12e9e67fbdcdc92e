"""The laws of a loss, over every loss."""

import pytest
import torch
from torch import Tensor

from foretaste.errors import TaskError
from foretaste.loss.loss import Labels
from laws import normal, random
from losses import CASES, Case, hessians

EVERY = pytest.mark.parametrize("name", CASES)


def roots_of(case: Case, how: Labels, factor: Tensor | None = None, seed: int = 0) -> list[Tensor]:
    factor = torch.ones(len(case.outputs)) if factor is None else factor
    return [root.slopes for root in case.loss.roots(how, case.outputs, case.batch, factor, random(seed))]


@EVERY
def test_what_does_not_count_costs_nothing_and_pulls_at_nothing(name: str) -> None:
    case = CASES[name]()
    outputs, counted = case.outputs.clone().requires_grad_(), case.loss.counts(case.batch)
    each = case.loss.per_unit(outputs, case.batch)
    assert each.shape == counted.shape
    assert counted.dtype == torch.bool
    assert 0 < int(counted.sum()) < counted.numel()
    assert torch.equal(each[~counted], torch.zeros(int((~counted).sum())).to(each))
    (slopes,) = torch.autograd.grad(each[~counted].sum(), outputs, retain_graph=True)
    assert not slopes.any()
    (slopes,) = torch.autograd.grad(each.sum(), outputs)
    assert bool(slopes.isfinite().all())


@EVERY
def test_examples_do_not_see_each_other(name: str) -> None:
    case = CASES[name]()
    for index in range(len(case.outputs)):
        rows = slice(index, index + 1)
        alone = case.loss.per_unit(case.outputs[rows], {"labels": case.labels[rows]})
        assert torch.equal(alone, case.loss.per_unit(case.outputs, case.batch)[rows])


@EVERY
@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float32)])
def test_losses_are_in_float32_or_wider(name: str, dtype: torch.dtype, expected: torch.dtype) -> None:
    case = CASES[name]()
    outputs = case.outputs.to(dtype)
    each = case.loss.per_unit(outputs, case.batch)
    assert each.dtype == expected
    torch.testing.assert_close(each.double(), case.loss.per_unit(outputs.double(), case.batch), rtol=1e-5, atol=1e-6)
    for roots in case.loss.roots("sampled", outputs, case.batch, torch.ones(len(outputs)), random(0)):
        assert (roots.slopes.dtype, roots.slopes.shape) == (dtype, outputs.shape)


class TestRoots:
    @EVERY
    def test_exact_ones_make_the_hessian(self, name: str) -> None:
        case, factor = CASES[name](), torch.arange(1.0, len(CASES[name]().outputs) + 1)
        flat = [roots.reshape(len(roots), -1) for roots in roots_of(case, "exact", factor)]
        found = sum(torch.einsum("bi,bj->bij", each, each) for each in flat)
        torch.testing.assert_close(found, hessians(case) * factor.square().reshape(-1, 1, 1))

    @EVERY
    def test_drawn_ones_make_the_hessian_in_expectation(self, name: str) -> None:
        case, draws = CASES[name](), 40_000
        for index in (0, len(case.outputs) - 1):
            outputs = case.outputs[index].expand(draws, *case.outputs.shape[1:])
            labels = case.labels[index].expand(draws, *case.labels.shape[1:])
            [roots] = roots_of(Case(case.loss, outputs, labels), "sampled")
            flat = roots.reshape(draws, -1)
            found = torch.einsum("bi,bj->ij", flat, flat) / draws
            torch.testing.assert_close(found, hessians(case)[index], rtol=0.05, atol=0.02)

    @EVERY
    def test_empirical_ones_are_the_gradient(self, name: str) -> None:
        case, factor = CASES[name](), torch.arange(1.0, len(CASES[name]().outputs) + 1)
        outputs = case.outputs.clone().requires_grad_()
        (expected,) = torch.autograd.grad(
            (case.loss.per_unit(outputs, case.batch) * factor.unsqueeze(1)).sum(), outputs
        )
        [found] = roots_of(case, "empirical", factor)
        torch.testing.assert_close(found, expected)

    @EVERY
    @pytest.mark.parametrize("how", ["sampled", "empirical", "exact"])
    def test_one_example_s_own_is_the_gradient_of_its_total(self, name: str, how: Labels) -> None:
        case, factor = CASES[name](), torch.arange(1.0, len(CASES[name]().outputs) + 1)
        for root in case.loss.roots(how, case.outputs, case.batch, factor, random(0)):
            for index in range(len(case.outputs)):
                outputs = case.outputs[index : index + 1].clone().requires_grad_()
                (expected,) = torch.autograd.grad(root.total(outputs, slice(index, index + 1)), outputs)
                torch.testing.assert_close(root.slopes[index : index + 1], expected)

    @EVERY
    def test_numbers_are_drawn_only_for_what_counts(self, name: str) -> None:
        """So that how batches are padded does not change what is drawn."""
        case, generator = CASES[name](), random(0)
        none = torch.full_like(case.labels, case.loss.padding)
        for roots in case.loss.roots(
            "sampled", case.outputs, {"labels": none}, torch.ones(len(case.outputs)), generator
        ):
            assert not roots.slopes.any()
        assert torch.equal(generator.get_state(), random(0).get_state())

    @EVERY
    def test_what_is_given_is_left_as_it_is(self, name: str) -> None:
        case, before = CASES[name](), CASES[name]()
        how: Labels
        for how in ("sampled", "empirical", "exact"):
            roots_of(case, how)
        torch.testing.assert_close(case.outputs, before.outputs, rtol=0, atol=0)
        torch.testing.assert_close(case.labels, before.labels, rtol=0, atol=0, equal_nan=True)


class TestMixing:
    @staticmethod
    def condensed(case: Case) -> tuple[list[Tensor], dict[str, Tensor]]:
        models = [2 * normal(*case.outputs.shape, seed=seed, dtype=torch.float64) for seed in range(3)]
        return models, case.loss.condense(iter(models), case.batch)

    @EVERY
    def test_at_a_corner_it_is_the_model(self, name: str) -> None:
        case = CASES[name]()
        models, condensed = self.condensed(case)
        counted = case.loss.counts(case.batch)
        labels = case.labels.reshape(counted.shape)[counted]
        lost, predicted = case.loss.mix(condensed, labels, torch.eye(3, dtype=torch.float64))
        for place, outputs in enumerate(models):
            expected = case.loss.per_unit(outputs, case.batch)[counted]
            torch.testing.assert_close(lost[place], expected, rtol=1e-5, atol=1e-6)
            guess = case.loss.predict(outputs).reshape(counted.shape)[counted]
            torch.testing.assert_close(predicted[place], guess, rtol=1e-6, atol=1e-6)

    @EVERY
    def test_no_mixture_loses_more_than_its_models_do_on_average(self, name: str) -> None:
        case = CASES[name]()
        _, condensed = self.condensed(case)
        counted = case.loss.counts(case.batch)
        labels = case.labels.reshape(counted.shape)[counted]
        shares = torch.tensor([[0.2, 0.5, 0.3], [0.0, 0.5, 0.5]], dtype=torch.float64)
        alone, _ = case.loss.mix(condensed, labels, torch.eye(3, dtype=torch.float64))
        mixed, predicted = case.loss.mix(condensed, labels, shares)
        assert mixed.shape == predicted.shape == (2, len(labels))
        assert bool((mixed <= shares @ alone + 1e-12).all())

    @EVERY
    def test_what_is_kept_says_which_dimension_counts(self, name: str) -> None:
        case = CASES[name]()
        count = int(case.loss.counts(case.batch).sum())
        for tensor in self.condensed(case)[1].values():
            assert tensor.device.type == "cpu"
            assert tensor.shape[int(tensor.is_floating_point())] == count


@EVERY
def test_predictions_have_the_labels_shape(name: str) -> None:
    case = CASES[name]()
    assert case.loss.predict(case.outputs).reshape(len(case.labels), -1).shape == case.loss.counts(case.batch).shape


@EVERY
def test_a_padded_label_does_not_count(name: str) -> None:
    case = CASES[name]()
    assert not case.loss.counts({"labels": torch.full_like(case.labels, case.loss.padding)}).any()


@EVERY
def test_outputs_that_fit_are_accepted_and_others_refused(name: str) -> None:
    case = CASES[name]()
    case.loss.check(case.outputs, case.batch)
    beyond = torch.cat([case.outputs, case.outputs])
    attempts = (
        lambda: case.loss.check(beyond, case.batch),
        lambda: case.loss.per_unit(beyond, case.batch),
        lambda: list(case.loss.roots("exact", beyond, case.batch, torch.ones(len(beyond)), random(0))),
        lambda: case.loss.condense([beyond], case.batch),
    )
    for attempt in attempts:
        with pytest.raises(TaskError, match=r"\[.*\] and labels \[.*\] do not fit"):
            attempt()


@EVERY
def test_losses_are_values(name: str) -> None:
    assert CASES[name]().loss == CASES[name]().loss
    assert hash(CASES[name]().loss) == hash(CASES[name]().loss)


def test_keys_tell_losses_apart_but_for_the_forms_of_cross_entropy() -> None:
    """Studies of the time when cross-entropy was the only loss find their work by the same keys."""
    assert {name: case().loss.key for name, case in CASES.items() if "label" not in name and "number" not in name} == {
        "classes": "",
        "tokens": "",
        "classes by default": "",
        "tokens by default": "",
        "vector": "squared",
    }
    assert {CASES[name]().loss.key for name in ("label set", "one label")} == {"bernoulli"}
