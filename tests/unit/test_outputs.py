import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.evaluate import evaluate
from foretaste.loss import class_mixture as module
from foretaste.loss.class_labels import IGNORED, losses
from foretaste.loss.cross_entropy import ClassLoss, ShapedCrossEntropy
from foretaste.metric_kinds import AnyMetric, ModelMetric, TextMetric
from foretaste.metrics import METRICS, SEQUENCE_METRICS
from foretaste.outputs import Outputs, check_mixable, is_mixable, outputs_of
from foretaste.params import Params, in_eval_mode, snapshot, swapped, tensors_of
from foretaste.simplex import dirichlet
from foretaste.task import Rows, Task
from foretaste.weights import TaskWeights, corners, uniform
from laws import assert_same, normal, quick, random

NAMES = ["a", "b", "c"]


def rows(count: int = 23, classes: int = 3) -> Rows:
    return Rows(3 * normal(count, 4), torch.randint(0, classes, (count,), generator=random(1)))


def tokens(classes: int = 3) -> Rows:
    found = Rows(3 * normal(7, 5, 4), torch.randint(0, classes, (7, 5), generator=random(2)))
    found.labels[0, 2:] = IGNORED
    found.labels[3] = IGNORED
    return found


class Ragged:
    """Sequences of several lengths, longer ones first."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        length = 6 - index
        labels = torch.randint(0, 3, (length,), generator=random(index))
        labels[0] = IGNORED
        return {"inputs": normal(length, 4, seed=index), "labels": labels}


def collate(examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    pad = nn.utils.rnn.pad_sequence
    inputs = pad([each["inputs"] for each in examples], batch_first=True)
    return {
        "inputs": inputs,
        "labels": pad([each["labels"] for each in examples], batch_first=True, padding_value=IGNORED),
    }


def task(kind: str, unit: Literal["example", "token"] = "example") -> Task:
    if kind == "classes":
        return Task("t", rows(), rows(), list(METRICS.values()))
    if kind == "tokens":
        return Task("t", tokens(), tokens(), list(SEQUENCE_METRICS.values()), unit=unit)
    return Task("t", Ragged(), Ragged(), list(SEQUENCE_METRICS.values()), unit=unit, collate=collate)  # type: ignore[arg-type]


def model(classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, classes))


def singles(net: nn.Module, count: int = 3) -> list[Params]:
    return [
        {
            name: 2 * normal(*tensor.shape, seed=10 * index + place)
            for place, (name, tensor) in enumerate(tensors_of(net).items())
        }
        for index in range(count)
    ]


def outputs(labels: Tensor, right: Tensor, told: Tensor) -> Outputs:
    return Outputs(ShapedCrossEntropy(), labels.unsqueeze(1), {"right": right, "told": told})


def some_weights(count: int = 4) -> list[TaskWeights]:
    return dirichlet(NAMES, count, np.random.default_rng(0))


def forward(net: nn.Module, params: Params, asked: Task) -> tuple[Tensor, Tensor]:
    """Probabilities `[P, C]` and labels `[P]` that count, example by example."""
    parts = []
    with in_eval_mode(net), swapped(net, params), torch.no_grad():
        for index in range(len(asked.validation)):
            batch = asked.collate([asked.validation[index]])
            counted = batch["labels"] != IGNORED
            parts.append((asked.predict(net, batch)[counted].double().softmax(-1), batch["labels"][counted]))
    said, labels = zip(*parts, strict=True)
    return torch.cat(said), torch.cat(labels)


KINDS = [("classes", "example"), ("tokens", "example"), ("tokens", "token"), ("ragged", "example"), ("ragged", "token")]


@pytest.mark.parametrize(("kind", "unit"), KINDS)
@pytest.mark.parametrize("batch_size", [1, 4, 128])
def test_at_a_corner_it_is_the_model_s_own_evaluation(
    kind: str, unit: Literal["example", "token"], batch_size: int
) -> None:
    net, asked = model(), task(kind, unit)
    params = singles(net)
    found = outputs_of(net, params, asked, batch_size=batch_size).results(asked, corners(NAMES))
    for own, result in zip(params, found, strict=True):
        expected = evaluate(net, own, [asked], batch_size=batch_size)["t"]
        assert dict(result.metrics) == pytest.approx(dict(expected.metrics), rel=1e-12)
        assert torch.equal(result.losses, expected.losses)
        assert torch.equal(result.predicted, expected.predicted)


@pytest.mark.parametrize(("kind", "unit"), KINDS)
def test_inside_it_is_the_mixture_of_forward_passes(kind: str, unit: Literal["example", "token"]) -> None:
    net, asked = model(), task(kind, unit)
    params = singles(net)
    kept, points = outputs_of(net, params, asked, batch_size=2), some_weights()
    said = [forward(net, own, asked) for own in params]
    labels = said[0][1]
    lost, predicted = kept.mixed(torch.tensor([list(point.values()) for point in points]))
    for place, (point, result) in enumerate(zip(points, kept.results(asked, points), strict=True)):
        mixture = sum(share * each for share, (each, _) in zip(point.values(), said, strict=True))
        assert isinstance(mixture, Tensor)
        expected = -mixture[torch.arange(len(labels)), labels].log()
        torch.testing.assert_close(lost[place], expected, rtol=1e-5, atol=1e-5)  # passes of other batches, in float32
        assert torch.equal(predicted[place], mixture.argmax(-1))
        assert torch.equal(result.predicted, predicted[place])
        if unit == "token" or kind == "classes":
            assert result.metrics["loss"] == pytest.approx(float(expected.mean()), rel=1e-5)
        hits = float((mixture.argmax(-1) == labels).double().mean())
        assert result.metrics["accuracy" if kind == "classes" else "token_accuracy"] == pytest.approx(hits)


@quick
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_losses_are_convex_in_the_weights(seed: int, share: float) -> None:
    right = -10 * normal(3, 9, seed=seed).abs()
    kept = outputs(torch.zeros(9, dtype=torch.long), right, torch.zeros(3, 9, 1))
    ends = torch.distributions.Dirichlet(torch.ones(3)).sample((2,)).double()
    between = share * ends[0] + (1 - share) * ends[1]
    lost, _ = kept.mixed(torch.stack([*ends, between]))
    assert bool((lost[2] <= share * lost[0] + (1 - share) * lost[1] + 1e-9).all())
    assert bool(
        (lost.amin(0) >= right.neg().amin(0) - 1e-9).all()
    )  # no mixture beats the best of its models at a label


def test_the_order_of_models_does_not_matter() -> None:
    net, asked = model(), task("tokens")
    params, points = singles(net), some_weights()
    turned = [TaskWeights(NAMES, list(point.values())[::-1]) for point in points]
    one = outputs_of(net, params, asked).results(asked, points)
    other = outputs_of(net, params[::-1], asked).results(asked, turned)
    for left, right in zip(one, other, strict=True):
        assert dict(left.metrics) == pytest.approx(dict(right.metrics), rel=1e-12)
        assert torch.equal(left.predicted, right.predicted)


def test_models_that_agree_are_their_mixture() -> None:
    net, asked = model(), task("classes")
    (own,) = singles(net, 1)
    found = outputs_of(net, [own, own], asked).results(asked, [TaskWeights("ab", [0.3, 0.7])])[0]
    assert dict(found.metrics) == pytest.approx(dict(evaluate(net, own, [asked])["t"].metrics), rel=1e-9)


def test_many_weights_at_once_are_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    net, asked = model(), task("tokens")
    kept, points = outputs_of(net, singles(net), asked), some_weights(9)
    expected = [kept.results(asked, [point])[0] for point in points]
    monkeypatch.setattr(module, "_CHUNK", 60)  # a place or two at a time
    for one, other in zip(kept.results(asked, points), expected, strict=True):
        assert one.metrics == other.metrics
        assert torch.equal(one.losses, other.losses)
        assert torch.equal(one.predicted, other.predicted)


class TestManyClasses:
    def asked(self) -> tuple[nn.Module, list[Params], Task]:
        net = model(400)
        return net, singles(net), Task("t", tokens(400), tokens(400), [SEQUENCE_METRICS["token_accuracy"]])

    def test_the_likeliest_of_each_model_are_kept(self) -> None:
        net, params, asked = self.asked()
        kept = outputs_of(net, params, asked)
        told, right, classes = kept.condensed["told"], kept.condensed["right"], kept.condensed["classes"].long()
        assert (told.shape, classes.shape) == ((3, 27, 24), (27, 24))
        for place, own in enumerate(params):
            said, labels = forward(net, own, asked)
            torch.testing.assert_close(told[place].double(), said.gather(1, classes).log(), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(
                right[place].double(), said[torch.arange(27), labels].log(), rtol=1e-5, atol=1e-5
            )
            assert all(
                set(top) <= set(every)
                for top, every in zip(said.topk(8).indices.tolist(), classes.tolist(), strict=True)
            )

    def test_losses_and_predictions_are_those_of_all_classes(self) -> None:
        net, params, asked = self.asked()
        points = [*corners(NAMES), *some_weights(20)]
        lost, predicted = outputs_of(net, params, asked).mixed(torch.tensor([list(point.values()) for point in points]))
        said = torch.stack([forward(net, own, asked)[0] for own in params])
        labels = forward(net, params[0], asked)[1]
        for place, point in enumerate(points):
            mixture = torch.tensordot(torch.tensor(list(point.values()), dtype=torch.float64), said, 1)
            torch.testing.assert_close(lost[place], -mixture[torch.arange(27), labels].log(), rtol=1e-5, atol=1e-5)
            assert torch.equal(predicted[place], mixture.argmax(-1))

    def test_what_is_missed_has_a_probability_of_a_ninth_at_most(self) -> None:
        """Two models with eight classes each that the other finds impossible, and a ninth nearly as likely to both."""
        said = torch.full((2, 400), -40.0)
        said[0, :8], said[1, 8:16], said[:, 16] = 0.1, 0.1, 0.09
        net = nn.Linear(1, 400, bias=False)
        one = Rows(torch.ones(1, 1), torch.tensor([3]))
        asked = Task("t", one, one, [METRICS["accuracy"]])
        kept = outputs_of(net, [{"weight": each.unsqueeze(1)} for each in said], asked)
        mixture = said.double().softmax(-1).mean(0)
        assert int(mixture.argmax()) == 16
        assert int(kept.mixed(torch.tensor([[0.5, 0.5]]))[1]) in range(16)
        assert float(mixture.max()) <= 1 / 9


class TestNumbers:
    def test_they_are_kept_in_float32(self) -> None:
        """So a loss is off by at most 2^-24 times the largest loss of the models."""
        wide = Rows(rows().inputs.double() * 4, rows().labels)
        net, asked = model().double(), Task("t", wide, wide, [METRICS["accuracy"]])
        params = [{name: tensor.double() for name, tensor in own.items()} for own in singles(net)]
        kept = outputs_of(net, params, asked)
        assert {kept.condensed["right"].dtype, kept.condensed["told"].dtype} == {torch.float32}
        said = [forward(net, own, asked)[0] for own in params]
        torch.testing.assert_close(kept.condensed["told"].double(), torch.stack(said).log(), rtol=2**-23, atol=1e-12)
        exact = torch.stack([losses(each.log(), wide.labels).squeeze(1) for each in said])
        points = torch.tensor([list(point.values()) for point in some_weights()], dtype=torch.float64)
        lost, _ = kept.mixed(points)
        expected = -torch.stack([torch.logsumexp(-exact + point.log().unsqueeze(1), 0) for point in points])
        assert bool(((lost - expected).abs() <= 2**-24 * exact.amax(0) + 1e-12).all())

    def test_nothing_is_lost_below_the_smallest_number(self) -> None:
        right = torch.tensor([[-2000.0], [-1.0], [-900.0]])
        kept = outputs(torch.tensor([0]), right, torch.zeros(3, 1, 1))
        lost, _ = kept.mixed(torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]))
        assert lost.flatten().tolist() == pytest.approx([2000.0, 1 + math.log(2), 900 + math.log(2)], rel=1e-9)

    def test_what_is_impossible_to_one_model_is_not_to_all(self) -> None:
        never = -math.inf
        kept = outputs(
            torch.tensor([0]), torch.tensor([[never], [0.0]]), torch.tensor([[[never, 0.0]], [[0.0, never]]])
        )
        lost, predicted = kept.mixed(torch.tensor([[0.4, 0.6], [1.0, 0.0], [0.0, 1.0]]))
        assert lost.flatten().tolist() == pytest.approx([-math.log(0.6), math.inf, 0.0], rel=1e-6)
        assert predicted.flatten().tolist() == [0, 1, 0]

    def test_without_labels_there_is_nothing_to_lose(self) -> None:
        none = Rows(normal(2, 3, 4), torch.full((2, 3), IGNORED))
        asked = Task("t", none, none, [SEQUENCE_METRICS["perplexity"]])
        net = model()
        found = outputs_of(net, singles(net), asked).results(asked, [uniform(NAMES)])[0]
        assert found.metrics == {"loss": 0.0, "perplexity": 1.0}


def test_kept_and_read_again_they_are_the_same() -> None:
    for classes in (3, 200):
        net = model(classes)
        asked = Task(
            "t", tokens(classes), tokens(classes), [SEQUENCE_METRICS["exact_match"], SEQUENCE_METRICS["perplexity"]]
        )
        kept = outputs_of(net, singles(net), asked)
        again = Outputs.from_tensors(kept.to_tensors(), asked.loss)
        for one, other in zip(kept.results(asked, some_weights()), again.results(asked, some_weights()), strict=True):
            assert one.metrics == other.metrics
            assert torch.equal(one.predicted, other.predicted)


def test_the_model_is_left_as_it_was_and_progress_is_told() -> None:
    net, asked = model(), task("classes")
    seen: list[int] = []
    net.train()
    before = snapshot(tensors_of(net))
    outputs_of(net, singles(net), asked, batch_size=10, on_batch=seen.append)
    assert_same(tensors_of(net), before)
    assert net.training
    assert seen == [10] * 6 + [3] * 3  # each of three models at three batches


def test_logits_that_do_not_fit_are_named() -> None:
    asked = Task("t", tokens(), tokens(), [METRICS["accuracy"]], predict=lambda net, batch: net(batch["inputs"][:, 0]))
    with pytest.raises(TaskError, match=r"logits \[7, 3\] and labels \[7, 5\] do not fit"):
        outputs_of(model(), singles(model()), asked)


@dataclass(frozen=True)
class Unmixed(ClassLoss):
    """A loss of one's own, under which predictions have no mixture."""

    @property
    def key(self) -> str:
        return "unmixed"

    @property
    def mixes(self) -> bool:
        return False

    def check_shape(self, labels: Tensor) -> None:
        pass


def test_a_loss_without_mixtures_is_refused_before_any_work() -> None:
    asked = replace(task("classes"), loss=Unmixed())
    assert not is_mixable([asked])
    with pytest.raises(
        TaskError,
        match="predictions of task 't' cannot be mixed under its loss, Unmixed: leave out the method predictive",
    ):
        check_mixable([asked])


class TestMetricsOfModels:
    def made(self, *metrics: AnyMetric) -> Task:
        def write(net: nn.Module, examples: Sequence[object]) -> list[tuple[str, str]]:
            raise AssertionError("nothing is written")

        return Task("t", rows(), rows(), metrics, write=write, judge=lambda net, names, most: {})

    def test_they_are_left_out(self) -> None:
        net, asked = (
            model(),
            self.made(METRICS["accuracy"], TextMetric("bleu", lambda written, wanted: 0.0), ModelMetric("x:acc")),
        )
        check_mixable([asked])
        assert is_mixable([asked])
        found = outputs_of(net, singles(net), asked).results(asked, [uniform(NAMES)])[0]
        assert (list(found.metrics), found.texts) == (["loss", "accuracy"], ())

    @pytest.mark.parametrize(
        ("metric", "what"),
        [
            (TextMetric("bleu", lambda written, wanted: 0.0), "metric 'bleu' of task 't' is of what a model writes"),
            (ModelMetric("x:acc"), "metric 'x:acc' of task 't' is measured from a model itself"),
        ],
    )
    def test_a_headline_is_refused(self, metric: AnyMetric, what: str) -> None:
        fine = task("classes")
        assert not is_mixable([fine, self.made(metric)])
        with pytest.raises(
            TaskError,
            match=f"{what}, and mixed predictions come from no model: leave out the method",
        ):
            check_mixable([fine, self.made(metric, METRICS["accuracy"])])
