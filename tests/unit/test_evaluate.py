import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError, TaskError
from foretaste.evaluate import evaluate, judge_model, measure, predict_examples
from foretaste.loss.class_labels import IGNORED, losses
from foretaste.metric_kinds import Metric, ModelMetric, TextMetric
from foretaste.metrics import METRICS, SEQUENCE_METRICS
from foretaste.params import snapshot, tensors_of
from foretaste.task import Batch, Example, Rows, Task, predict_inputs
from laws import assert_same, normal, random

ROWS = Rows(normal(23, 4), torch.randint(0, 3, (23,), generator=random(1)))
TASK = Task("a", ROWS, ROWS, list(METRICS.values()))
TOKENS = Rows(normal(7, 5, 4), torch.randint(0, 3, (7, 5), generator=random(2)))
TOKENS.labels[0, 2:] = IGNORED
TOKENS.labels[3] = IGNORED


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))


@pytest.mark.parametrize("unit", ["example", "token"])
def test_perplexity_is_of_tokens_whatever_the_unit(unit: Literal["example", "token"]) -> None:
    task = Task("a", TOKENS, TOKENS, list(SEQUENCE_METRICS.values()), unit=unit)
    found = evaluate(model(), None, [task], batch_size=3)["a"].metrics
    each = losses(model().eval()(TOKENS.inputs).detach(), TOKENS.labels)[TOKENS.labels != IGNORED]
    assert found["perplexity"] == pytest.approx(float(each.double().mean().exp()))
    assert list(found) == ["loss", "perplexity", "token_accuracy", "exact_match"]
    assert found["token_accuracy"] == METRICS["accuracy"].of(predict_examples(model().eval(), task, TOKENS, 3))


class TestTexts:
    def task(self, rows: Rows) -> Task:
        def write(lent: nn.Module, examples: Sequence[Example]) -> list[tuple[str, str]]:
            assert not lent.training
            return [(str(int(lent(each["inputs"]).argmax())), str(int(each["labels"]))) for each in examples]

        same = TextMetric("same", lambda written, wanted: sum(map(str.__eq__, written, wanted)) / len(wanted))
        return Task("a", rows, rows, [METRICS["accuracy"], same], write=write)

    @pytest.mark.parametrize("batch_size", [1, 5, 100])
    def test_what_is_written_comes_back_in_the_examples_order(self, batch_size: int) -> None:
        result = evaluate(model(), None, [self.task(ROWS)], batch_size=batch_size)["a"]
        assert result.texts == tuple(str(each) for each in result.predicted.tolist())
        assert result.metrics["same"] == pytest.approx(result.metrics["accuracy"])

    def test_nothing_is_computed_where_only_the_loss_is_asked_for(self) -> None:
        whole, bare = (evaluate(model(), None, [self.task(ROWS)], loss_only=each)["a"] for each in (False, True))
        assert bare.metrics == {"loss": whole.metrics["loss"]}
        assert (bare.texts, len(whole.texts)) == ((), 23)
        assert torch.equal(bare.losses, whole.losses)


class Judging:
    """A judge that measures the first bias, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Collection[str], int | None]] = []

    def __call__(self, net: nn.Module, names: Collection[str], most: int | None) -> dict[str, float]:
        self.asked.append((names, most))
        return {name: float(next(net.parameters()).detach().sum()) for name in names}


class TestJudges:
    def task(self, judge: Judging, name: str, *metrics: str) -> Task:
        return Task(
            name,
            ROWS,
            Rows(ROWS.inputs, ROWS.labels),
            [METRICS["f1"], *(ModelMetric(each) for each in metrics)],
            judge=judge,
        )

    def test_one_that_is_shared_is_asked_once_of_the_params_in_question(self) -> None:
        judge, other, net = Judging(), Judging(), model()
        tasks = [
            self.task(judge, "a", "x", "y"),
            self.task(judge, "b", "y", "z"),
            self.task(other, "c", "x"),
            self.task(other, "d"),
        ]
        weight = torch.ones(8, 4)
        found = evaluate(net, {"0.weight": weight}, tasks)
        assert (judge.asked, other.asked) == ([(("x", "y", "z"), None)], [(("x",), None)])
        assert {name: list(each.metrics) for name, each in found.items()} == {
            "a": ["loss", "f1", "x", "y"],
            "b": ["loss", "f1", "y", "z"],
            "c": ["loss", "f1", "x"],
            "d": ["loss", "f1"],
        }
        assert {each.metrics["x"] for name, each in found.items() if name in "ac"} == {32.0}

    def test_it_is_not_asked_where_the_loss_is_enough(self) -> None:
        judge = Judging()
        assert list(evaluate(model(), None, [self.task(judge, "a", "x")], loss_only=True)["a"].metrics) == ["loss"]
        assert judge.asked == []

    def test_a_trial_on_a_few_rows_is_a_trial_for_the_judge(self) -> None:
        judge, net = Judging(), model().eval()
        task = self.task(judge, "a", "x")
        measure(net, task, [ROWS[0], ROWS[1]], batch_size=2)
        measure(net, task, task.validation, batch_size=2)
        assert [most for _, most in judge.asked] == [2, None]

    def test_a_number_that_it_does_not_give_is_named(self) -> None:
        task = Task("a", ROWS, ROWS, [ModelMetric("x")], judge=lambda net, names, most: {})
        with pytest.raises(TaskError, match="metric 'x' of task 'a' failed: 'x'"):
            evaluate(model(), None, [task])


class TestResults:
    def test_losses_and_predictions_are_per_example(self) -> None:
        net = model()
        result = evaluate(net, None, [TASK], batch_size=5)["a"]
        logits = net.eval()(ROWS.inputs).detach()
        torch.testing.assert_close(result.losses, losses(logits, ROWS.labels).squeeze(1))
        assert torch.equal(result.predicted, logits.argmax(1))
        assert result.metrics["loss"] == pytest.approx(float(losses(logits, ROWS.labels).mean()))
        assert result.metrics["accuracy"] == pytest.approx(float((logits.argmax(1) == ROWS.labels).float().mean()))
        assert list(result.metrics) == ["loss", "accuracy", "f1", "mcc"]

    @pytest.mark.parametrize("unit", ["example", "token"])
    def test_tokens_that_are_ignored_do_not_count(self, unit: Literal["example", "token"]) -> None:
        net = model().eval()
        task = Task("a", TOKENS, TOKENS, [METRICS["accuracy"]], unit=unit)
        result = evaluate(net, None, [task], batch_size=2)["a"]
        logits = net(TOKENS.inputs).detach()
        each, counted = losses(logits, TOKENS.labels), TOKENS.labels != IGNORED
        means = [float(row[kept].mean()) if kept.any() else 0.0 for row, kept in zip(each, counted, strict=True)]
        assert result.losses.tolist() == pytest.approx(means)
        assert result.metrics["loss"] == pytest.approx(
            sum(means) / 7 if unit == "example" else float(each[counted].mean())
        )
        assert torch.equal(result.predicted, logits.argmax(-1)[counted])
        assert result.metrics["accuracy"] == pytest.approx(
            float((logits.argmax(-1) == TOKENS.labels)[counted].float().mean())
        )

    @pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
    def test_batch_size_does_not_matter(self, batch_size: int) -> None:
        expected, found = (evaluate(model(), None, [TASK], batch_size=size)["a"] for size in (7, batch_size))
        torch.testing.assert_close(found.losses, expected.losses)
        assert found.metrics == pytest.approx(expected.metrics)

    def test_a_batch_in_parts_gives_the_same(self) -> None:
        sizes = list[int]()

        def predict(net: nn.Module, batch: Batch) -> Tensor:
            sizes.append(len(batch["labels"]))
            return predict_inputs(net, batch)

        task = Task("a", TOKENS, TOKENS, [METRICS["accuracy"]], unit="token", predict=predict)
        expected, found = (
            evaluate(model(), None, [replace(task, width=width)], batch_size=7)["a"] for width in (0, 1 << 21)
        )
        assert sizes == [7, 3, 3, 1]
        torch.testing.assert_close(found.losses, expected.losses)
        assert torch.equal(found.predicted, expected.predicted)
        assert found.metrics == pytest.approx(expected.metrics)

    def test_params_decide(self) -> None:
        layer = nn.Linear(3, 3)
        rows = Rows(torch.eye(3), torch.arange(3))
        task = Task("a", rows, rows, [METRICS["accuracy"]])
        right = {"weight": 5 * torch.eye(3), "bias": torch.zeros(3)}
        wrong = {"weight": -5 * torch.eye(3), "bias": torch.zeros(3)}
        assert [evaluate(layer, params, [task])["a"].metrics["accuracy"] for params in (right, wrong)] == [1.0, 0.0]

    def test_other_data_by_task(self) -> None:
        other = Rows(ROWS.inputs[:2], ROWS.labels[:2])
        found = evaluate(model(), None, [TASK, Task("b", ROWS, ROWS, [METRICS["accuracy"]])], data={"a": other})
        assert {name: len(result.losses) for name, result in found.items()} == {"a": 2, "b": 23}

    def test_bfloat16_losses_are_computed_in_float32(self) -> None:
        rows = Rows(ROWS.inputs.bfloat16(), ROWS.labels)
        net = model().bfloat16()
        found = evaluate(net, None, [Task("a", rows, rows, [METRICS["accuracy"]])])["a"].losses
        torch.testing.assert_close(found, losses(net.eval()(rows.inputs).detach().float(), ROWS.labels).squeeze(1))


class TestModelIsLeftAsItWas:
    def test_params_and_modes_come_back_even_when_predict_raises(self) -> None:
        net = model()
        dropout = net.get_submodule("1")
        net.eval()
        dropout.train()
        before = snapshot(tensors_of(net))
        seen: list[Tensor] = []

        def fail(lent: nn.Module, batch: Batch) -> Tensor:
            seen.append(lent.get_parameter("0.weight").clone())
            assert not dropout.training
            assert not torch.is_grad_enabled()
            raise KeyError("inside")

        params = {name: tensor + 1 for name, tensor in before.items()}
        with pytest.raises(KeyError, match="inside"):
            evaluate(net, params, [Task("a", ROWS, ROWS, [METRICS["accuracy"]], predict=fail)])
        assert torch.equal(seen[0], params["0.weight"])
        assert_same(tensors_of(net), before)
        assert [module.training for module in net.modules()] == [False, False, True, False]

    def test_evaluation_is_in_evaluation_mode(self) -> None:
        net = model().train()
        results = [evaluate(net, None, [TASK])["a"].losses for _ in range(2)]
        assert torch.equal(results[0], results[1])
        assert all(module.training for module in net.modules())

    def test_batch_norm_statistics_do_not_move(self) -> None:
        net = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
        before = snapshot(tensors_of(net))
        evaluate(net, {"0.running_mean": torch.ones(4)}, [TASK])
        assert_same(tensors_of(net), before)

    def test_tied_params_stay_tied(self) -> None:
        first = nn.Linear(4, 4, bias=False)
        second = nn.Linear(4, 4, bias=False)
        second.weight = first.weight
        net = nn.Sequential(first, second)
        rows = Rows(torch.eye(4), torch.arange(4))
        result = evaluate(net, {"0.weight": 2 * torch.eye(4)}, [Task("a", rows, rows, [METRICS["accuracy"]])])["a"]
        assert second.weight is first.weight
        torch.testing.assert_close(result.losses, losses(4 * torch.eye(4), torch.arange(4)).squeeze(1))

    def test_params_of_another_model_are_refused(self) -> None:
        with pytest.raises(ParamsError, match=r"no tensor 9\.weight"):
            evaluate(model(), {"9.weight": torch.zeros(1)}, [TASK])


@pytest.mark.parametrize(
    ("compute", "match"),
    [
        (lambda predicted, labels: 1 / 0, "metric 'odd' of task 'a' failed: division by zero"),
        (lambda predicted, labels: None, "metric 'odd' of task 'a' failed"),
        (lambda predicted, labels: torch.zeros(2), "metric 'odd' of task 'a' failed"),
    ],
)
def test_a_metric_that_fails_or_is_no_number_is_named(compute: Callable[[Tensor, Tensor], float], match: str) -> None:
    with pytest.raises(TaskError, match=match):
        evaluate(model(), None, [Task("a", ROWS, ROWS, [Metric("odd", compute)])])


def test_a_metric_of_ones_own_sees_predicted_and_true_labels() -> None:
    def errors(predicted: Tensor, labels: Tensor) -> float:
        return float((predicted != labels).sum())

    metrics = evaluate(model(), None, [Task("a", ROWS, ROWS, [Metric("errors", errors, False), METRICS["accuracy"]])])[
        "a"
    ].metrics
    assert metrics["errors"] == round(23 * (1 - metrics["accuracy"]))
    assert math.isfinite(metrics["loss"])


def test_examples_of_different_lengths_come_back_in_their_order() -> None:
    """Batches are sorted by length inside; results are those of one example at a time, in the examples' order."""
    generator = torch.Generator().manual_seed(0)
    lengths = [5, 1, 3, 2, 4, 1, 5]
    rows = [{"inputs": torch.randn(n, 2, generator=generator), "labels": torch.arange(n) % 2} for n in lengths]

    def padded(examples: list[Example]) -> dict[str, Tensor]:
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "inputs": pad([each["inputs"] for each in examples], batch_first=True),
            "labels": pad([each["labels"] for each in examples], batch_first=True, padding_value=-100),
        }

    task = Task("t", rows, rows, [METRICS["accuracy"]], collate=padded, unit="token")
    model = nn.Linear(2, 2)
    whole = evaluate(model, None, [task], batch_size=2)["t"]
    single = [evaluate(model, None, [task], data={"t": [row]})["t"] for row in rows]
    torch.testing.assert_close(whole.losses, torch.cat([each.losses for each in single]))
    assert torch.equal(whole.predicted, torch.cat([each.predicted for each in single]))
    assert len(whole.predicted) == sum(lengths)


def test_what_is_seen_comes_in_the_examples_order() -> None:
    net = model().eval()
    whole = predict_examples(net, TASK, ROWS, 4)
    parts = [
        predict_examples(net, TASK, [ROWS[place] for place in range(start, min(start + 5, 23))], 4)
        for start in range(0, 23, 5)
    ]
    torch.testing.assert_close(whole.losses, torch.cat([part.losses for part in parts]))
    assert torch.equal(whole.labels.squeeze(1), ROWS.labels)


def test_a_judge_of_several_tasks_is_asked_once() -> None:
    asked = []

    def judge(model: nn.Module, names: Collection[str], most: int | None) -> dict[str, float]:
        asked.append((tuple(names), most))
        return dict.fromkeys(names, 1.0)

    tasks = [Task(name, ROWS, ROWS, [ModelMetric(f"m{name}"), ModelMetric("both")], judge=judge) for name in "ab"]
    assert judge_model(model(), [*tasks, TASK]) == {judge: {"ma": 1.0, "both": 1.0, "mb": 1.0}}
    assert asked == [(("ma", "both", "mb"), None)]
