"""`capture` after a loop with another loss than cross-entropy, against curvature by explicit jacobians."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from foretaste.errors import ParamsError, TaskError
from foretaste.estimate.fisher import fisher
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.names import LossName
from foretaste.loss.squared import Squared
from foretaste.loss.token_cross_entropy import TokenCrossEntropy
from foretaste.posterior.kronecker import Kronecker
from foretaste.sources.loop import capture, task_of
from foretaste.sources.posterior_callback import PosteriorCallback
from laws import normal
from loops import Items, assert_sites_equal, bert, causal, classified, entries, gpt2, pad, seeded, shifted, trainer

COUNT, SEED = 6, 5
Curve = Callable[[Tensor, Tensor], Tensor]


def numbers(columns: int | None) -> Tensor:
    """Labels `[B]` or `[B, D]`, one of which is missing where there are several."""
    labels = normal(COUNT, seed=1) if columns is None else normal(COUNT, columns, seed=1)
    if columns:
        labels[1, -1] = torch.nan
    return labels


def sets(columns: int | None) -> Tensor:
    labels = numbers(columns)
    return torch.where(labels.isnan(), labels, (labels > 0).float())


def straight(outputs: Tensor, labels: Tensor) -> Tensor:
    """Second derivatives of 1/2 (z - y)^2."""
    return torch.ones_like(outputs)


def bent(outputs: Tensor, labels: Tensor) -> Tensor:
    """Second derivatives of log(1 + exp(z)) - y z."""
    chances = outputs.sigmoid()
    return chances * (1 - chances)


def half_of_mse(outputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, labels) / 2


@dataclass(frozen=True)
class Case:
    """A loss by its name, labels for it, its curve, and torch's own function of it."""

    loss: LossName
    labels: Callable[[int | None], Tensor]
    curve: Curve
    own: Callable[[Tensor, Tensor], Tensor]


CASES = {
    "squared": Case("squared", numbers, straight, half_of_mse),
    "bernoulli": Case("bernoulli", sets, bent, nn.functional.binary_cross_entropy_with_logits),
}
EVERY = pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))
COLUMNS = pytest.mark.parametrize("columns", [None, 1, 3])


def network(columns: int | None) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, columns or 1))


def examples(labels: Tensor) -> Any:  # noqa: ANN401 - a data set for torch, examples for a task
    return list(zip(normal(COUNT, 4), labels, strict=True))


def plain_curvature(model: nn.Module, labels: Tensor, curve: Curve) -> dict[str, Tensor]:
    """The diagonal of the mean loss's Gauss-Newton matrix: every example's mean over its labels that are there."""
    named = dict(model.named_parameters())
    total = {name: torch.zeros_like(tensor) for name, tensor in named.items()}
    for inputs, label in zip(normal(COUNT, 4), labels.reshape(COUNT, -1), strict=True):
        outputs = model(inputs)
        there = (~label.isnan()).nonzero().flatten().tolist()
        bends = curve(outputs, label).detach()
        for column in there:
            slopes = torch.autograd.grad(outputs[column], list(named.values()), retain_graph=True)
            for name, slope in zip(named, slopes, strict=True):
                total[name] += bends[column] * slope.square() / (len(there) * COUNT)
    return total


def empirical(model: nn.Module, labels: Tensor, own: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """Mean squares of the gradients that torch's own loss gives, times the root of each example's labels."""
    named = dict(model.named_parameters())
    total = {name: torch.zeros_like(tensor) for name, tensor in named.items()}
    for inputs, label in zip(normal(COUNT, 4), labels.reshape(COUNT, -1), strict=True):
        there = ~label.isnan()
        slopes = torch.autograd.grad(own(model(inputs)[there], label[there]), list(named.values()))
        for name, slope in zip(named, slopes, strict=True):
            total[name] += slope.square() * int(there.sum()) / COUNT
    return total


def assert_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-7)


class TestThePlainEstimate:
    @EVERY
    @COLUMNS
    def test_exact_curvature(self, case: Case, columns: int | None) -> None:
        model, labels = network(columns), case.labels(columns)
        loader = DataLoader(examples(labels), batch_size=4, shuffle=True)
        site = capture(model, loader, loss=case.loss, labels="exact")
        assert_close(entries(site), plain_curvature(model, labels, case.curve))
        assert (site.record.examples, site.record.unit, site.record.details["loss"]) == (COUNT, "example", case.loss)

    @EVERY
    @COLUMNS
    def test_empirical_curvature(self, case: Case, columns: int | None) -> None:
        model, labels = network(columns), case.labels(columns)
        site = capture(model, examples(labels), loss=case.loss, labels="empirical", batch_size=4)
        assert_close(entries(site), empirical(model, labels, case.own))

    @EVERY
    def test_drawn_labels_on_average(self, case: Case) -> None:
        model, labels = network(3), case.labels(3)
        site = capture(model, examples(labels) * 300, loss=case.loss, max_examples=None, batch_size=300)
        expected = plain_curvature(model, labels, case.curve)
        for name, tensor in entries(site).items():
            assert float(tensor.sum()) == pytest.approx(float(expected[name].sum()), rel=0.15)

    @EVERY
    def test_kronecker_curvature_keeps_the_trace_of_one_number(self, case: Case) -> None:
        model, labels = network(None), case.labels(None)
        site = capture(model, examples(labels), loss=case.loss, estimate="kfac", labels="exact")
        expected = plain_curvature(model, labels, case.curve)
        assert isinstance(site.precision, Kronecker)
        for name, axes in site.precision.basis.items():
            trace = float(expected[name].sum()) + (float(expected[axes.bias].sum()) if axes.bias else 0.0)
            assert float(site.precision.eigenvalues[name].sum()) == pytest.approx(trace, rel=1e-3)


class TestWhichLoss:
    def test_a_loss_in_place_of_its_name(self) -> None:
        model, labels = network(3), numbers(3)
        named, value = (capture(model, examples(labels), loss=loss, seed=SEED) for loss in ("squared", Squared()))
        assert_sites_equal(named, value)

    def test_cross_entropy_is_what_there_is_without_a_name(self) -> None:
        model, data = gpt2(), causal(5)
        plain = capture(model, data, collate=pad, seed=SEED)
        assert "loss" not in plain.record.details
        for loss in ("cross-entropy", TokenCrossEntropy()):
            assert_sites_equal(capture(model, data, loss=loss, collate=pad, seed=SEED), plain)
        made = task_of(model, data, loss=TokenCrossEntropy(), collate=pad)
        assert torch.equal(
            made.batch(made.train, [0, 1], torch.device("cpu"))["labels"], shifted(causal(5).items[:2])["labels"]
        )

    def test_an_unknown_name(self) -> None:
        name: Any = "hinge"
        with pytest.raises(TaskError, match="there is no loss 'hinge'"):
            capture(network(1), examples(numbers(1)), loss=name)

    @pytest.mark.parametrize(
        ("loss", "labels", "message"),
        [
            ("squared", normal(COUNT, 2), r"outputs \[4, 3\] and labels \[4, 2\] do not fit; Squared\(\) needs"),
            ("bernoulli", normal(COUNT, 3), "is neither 0 nor 1; for every label of a set"),
            ("cross-entropy", normal(COUNT, 3), "if another loss was trained, say which: loss='squared' for numbers"),
        ],
    )
    def test_labels_that_do_not_fit(self, loss: LossName, labels: Tensor, message: str) -> None:
        with pytest.raises(TaskError, match=message):
            capture(network(3), examples(labels), loss=loss)

    def test_a_label_that_does_not_fit_after_the_first_examples(self) -> None:
        labels = sets(3)
        labels[-1, 0] = 2.0
        with pytest.raises(TaskError, match="label 2 is neither 0 nor 1"):
            capture(network(3), examples(labels), loss="bernoulli")


def sentences(labels: Tensor) -> Items:
    """Sentences with labels of another kind."""
    return Items([{**each, "labels": label} for each, label in zip(classified(COUNT).items, labels, strict=True)])


class TestATransformersModel:
    def test_regression(self) -> None:
        """Its own loss is the mean squared error, which is twice squared loss."""
        model, data = bert(num_labels=1), sentences(numbers(None))
        made = task_of(model, data, loss="squared")
        expected = fisher(model, None, made, generator=seeded(SEED), batch_size=3)
        assert_sites_equal(capture(model, data, loss="squared", batch_size=3, seed=SEED), expected)
        assert [metric.name for metric in made.metrics] == ["r2", "mean_absolute_error"]

    def test_label_sets(self) -> None:
        model = bert(num_labels=3, problem_type="multi_label_classification")
        data = sentences((normal(COUNT, 3, seed=1) > 0).float())
        found = capture(model, data, loss="bernoulli", batch_size=3, seed=SEED)
        expected = fisher(model, None, task_of(model, data, loss=Bernoulli()), generator=seeded(SEED), batch_size=3)
        assert_sites_equal(found, expected)
        with pytest.raises(TaskError, match=r"own loss on 4 examples is .*, and Squared\(\) of its outputs"):
            capture(model, data, loss="squared")

    def test_a_trainer(self, tmp_path: Path) -> None:
        model, data, callback = bert(num_labels=1), sentences(numbers(None)), PosteriorCallback(loss="squared")
        trainer(tmp_path, model, data, [callback], max_steps=2).train()
        assert callback.site is not None
        assert callback.site.record.details["loss"] == "squared"
        assert_sites_equal(callback.site, capture(model, data, loss="squared", batch_size=4))

    def test_adam_squares_the_factor_of_a_loss(self) -> None:
        with pytest.raises(ParamsError, match=r"estimate='adam' is for cross-entropy and not for Squared\(\)"):
            PosteriorCallback(estimate="adam", loss="squared")
