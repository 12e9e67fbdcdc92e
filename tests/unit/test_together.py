from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from foretaste import together
from foretaste.errors import ParamsError, Stopped
from foretaste.evaluate import Result, evaluate
from foretaste.loss.class_labels import IGNORED
from foretaste.metric_kinds import ModelMetric, TextMetric
from foretaste.metrics import METRICS, SEQUENCE_METRICS
from foretaste.params import Params, snapshot, tensors_of
from foretaste.sources.digits import digits
from foretaste.task import Batch, Example, Rows, Task, predict_inputs
from foretaste.together import at_once, evaluate_each, predict_examples_of_each
from laws import normal, random

COUNT = 5
Passes = list[str]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """Which way batches went, one entry a task; whether a stacked pass was tried does not count."""
    found: Passes = []

    def noted(name: str, way: Callable[..., object]) -> Callable[..., object]:
        def made(model: nn.Module, many: Sequence[Params], predict: object) -> object:
            if len(many) > 2:
                found.append(name)
            return way(model, many, predict)

        return made

    for name in ("_stack_modules", "_lend_modules"):
        monkeypatch.setattr(together, name, noted(name, getattr(together, name)))
    return found


def stirred(model: nn.Module, count: int = COUNT) -> list[dict[str, Tensor]]:
    """Params around the model's own; variances stay positive."""
    generator = random(3)
    return [
        {
            name: tensor + 0.1 * torch.rand(tensor.shape, generator=generator).to(tensor)
            for name, tensor in tensors_of(model).items()
        }
        for _ in range(count)
    ]


def assert_as_one_by_one(
    model: nn.Module, tasks: Sequence[Task], many: Sequence[Params], tolerance: float = 1e-5
) -> list[dict[str, Result]]:
    before, training = snapshot(tensors_of(model)), model.training
    found = evaluate_each(model, many, tasks, batch_size=7)
    for params, results in zip(many, found, strict=True):
        for name, expected in evaluate(model, params, tasks, batch_size=7).items():
            assert results[name].metrics == pytest.approx(expected.metrics, rel=tolerance)
            torch.testing.assert_close(results[name].losses, expected.losses, rtol=tolerance, atol=tolerance)
            assert torch.equal(results[name].predicted, expected.predicted)
            assert results[name].losses.dtype == expected.losses.dtype
            assert results[name].texts == expected.texts
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors_of(model).items())
    assert model.training == training
    return found


class Tokens:
    """Sentences of different lengths with a class each, for a BERT."""

    def __init__(self) -> None:
        generator = random(5)
        self.rows = [
            torch.randint(1, 30, (int(size),), generator=generator)
            for size in torch.randint(2, 9, (17,), generator=generator)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Example:
        return {"input_ids": self.rows[index], "labels": torch.tensor(index % 3)}

    @staticmethod
    def collate(examples: list[Example]) -> dict[str, Tensor]:
        ids = nn.utils.rnn.pad_sequence([each["input_ids"] for each in examples], batch_first=True)
        return {
            "input_ids": ids,
            "attention_mask": (ids != 0).long(),
            "labels": torch.stack([each["labels"] for each in examples]),
        }

    @staticmethod
    def predict(model: nn.Module, batch: Batch) -> Tensor:
        logits: Tensor = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
        return logits


def rows(count: int = 23, width: int = 4, classes: int = 3) -> Rows:
    return Rows(normal(count, width), torch.randint(0, classes, (count,), generator=random(1)))


def task(examples: Rows | None = None, **parts: object) -> Task:
    found = examples or rows()
    return Task("t", found, found, list(METRICS.values()), **parts)  # type: ignore[arg-type]


def test_digits(passes: Passes) -> None:
    problem = digits()
    assert_as_one_by_one(problem.model, problem.tasks, stirred(problem.model))
    assert passes == ["_stack_modules"] * 3


def test_a_small_bert(passes: Passes) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertForSequenceClassification(BertConfig(vocab_size=30, num_labels=3, **sizes))
    examples = Tokens()
    sentences = Task("t", examples, examples, [METRICS["accuracy"]], predict=Tokens.predict, collate=Tokens.collate)
    assert_as_one_by_one(model, [sentences], stirred(model))
    assert passes == ["_stack_modules"]


def test_batch_norm_with_statistics_of_its_own(passes: Passes) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    many = stirred(model)
    assert "1.running_var" in many[0]
    assert_as_one_by_one(model, [task()], many)
    assert passes == ["_stack_modules"]


def test_tokens_and_ignored_labels(passes: Passes) -> None:
    labels = torch.randint(0, 3, (9, 5), generator=random(2))
    labels[0, 2:], labels[3] = IGNORED, IGNORED
    examples = Rows(normal(9, 5, 4), labels)
    model = nn.Linear(4, 3)
    words = Task("t", examples, examples, list(SEQUENCE_METRICS.values()), unit="token")
    assert_as_one_by_one(model, [words], stirred(model))
    assert passes == ["_stack_modules"]


def test_tied_params_and_some_of_them(passes: Passes) -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    many = [{"0.weight": each["0.weight"]} for each in stirred(model)]
    assert_as_one_by_one(model, [task(rows(classes=4))], many)
    assert passes == ["_stack_modules"]


def test_bfloat16(passes: Passes) -> None:
    torch.manual_seed(1)  # no example lies at a decision's edge, where bfloat16 may fall to either side
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)).bfloat16()
    examples = Rows(normal(23, 4).bfloat16(), torch.randint(0, 3, (23,), generator=random(1)))
    assert_as_one_by_one(model, [task(examples)], stirred(model), tolerance=3e-2)
    assert len(passes) == 1


class Branching(nn.Module):
    """What it does depends on its numbers, which a stacked pass cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs)
        return found if float(found.sum()) > 0 else -found


class Elsewhere(nn.Module):
    """Computes with params that it finds another way than by its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.held = [self.layer.weight]

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.held[0].T + self.layer.bias


class Drawing(nn.Module):
    """Draws even when it is evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs + 0 * torch.rand_like(inputs))
        return found


@pytest.mark.parametrize("kind", [Branching, Elsewhere])
def test_what_cannot_be_stacked_is_lent(kind: Callable[[], nn.Module], passes: Passes) -> None:
    model = kind()
    assert_as_one_by_one(model, [task()], stirred(model))
    assert passes == ["_lend_modules"]


def test_a_model_that_draws_is_evaluated_all_the_same() -> None:
    model = Drawing()
    assert_as_one_by_one(model, [task()], stirred(model))


class Shared(nn.Module):
    """Meets one layer by two ways, as `foretaste.sources.heads.Heads` does its trunk."""

    def __init__(self, breaks: bool) -> None:
        super().__init__()
        self.trunk, self.last, self.breaks = nn.Linear(4, 4), nn.Linear(4, 3), breaks
        self.again = nn.ModuleDict({"trunk": self.trunk})

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.last(self.again["trunk"](self.trunk(inputs)))
        return found if not self.breaks or float(found.sum()) > 0 else -found


@pytest.mark.parametrize("breaks", [False, True])
def test_modules_that_are_shared_come_back_as_they_were(breaks: bool, passes: Passes) -> None:
    model = Shared(breaks)
    own = dict(model.named_parameters())
    assert_as_one_by_one(model, [task()], stirred(model))
    assert passes == ["_lend_modules" if breaks else "_stack_modules"]
    assert all(parameter is own[name] for name, parameter in model.named_parameters())
    assert model.again["trunk"].weight is model.trunk.weight


def test_large_ones_are_lent(passes: Passes) -> None:
    model = nn.Sequential(nn.Linear(4, 2000), nn.Linear(2000, 300), nn.Linear(300, 3))
    assert_as_one_by_one(model, [task()], stirred(model, 3))
    assert passes == ["_lend_modules"]


def test_heads_of_their_own_are_their_tasks(passes: Passes) -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(4, 5), "a": nn.Linear(5, 3), "b": nn.Linear(5, 2)})

    def predict(head: str) -> Callable[[nn.Module, Batch], Tensor]:
        return lambda model, batch: model.get_submodule(head)(model.get_submodule("trunk")(batch["inputs"]))

    tasks = [
        Task(head, examples, examples, [METRICS["accuracy"]], predict=predict(head))
        for head, examples in (("a", rows()), ("b", rows(classes=2)))
    ]
    assert_as_one_by_one(model, tasks, stirred(model))
    assert passes == ["_stack_modules"] * 2


def test_texts_and_judges_go_one_by_one(passes: Passes) -> None:
    model = nn.Linear(4, 3)

    def write(model: nn.Module, examples: Sequence[Example]) -> list[tuple[str, str]]:
        with torch.no_grad():
            found = model(torch.stack([each["inputs"] for each in examples])).argmax(-1).tolist()
        return [(str(guess), str(int(each["labels"]))) for guess, each in zip(found, examples, strict=True)]

    examples = rows()
    same = TextMetric(
        "same", lambda written, wanted: sum(a == b for a, b in zip(written, wanted, strict=True)) / len(wanted)
    )
    size = ModelMetric("size")

    def judge(model: nn.Module, names: object, most: int | None) -> dict[str, float]:
        return {"size": float(next(model.parameters()).detach().norm())}

    writes = Task("w", examples, examples, [METRICS["accuracy"], same], write=write)
    judged = Task("j", examples, examples, [METRICS["accuracy"], size], judge=judge)
    assert_as_one_by_one(model, [writes, task()], stirred(model))
    assert passes == ["_stack_modules"]
    found = assert_as_one_by_one(model, [writes, judged], stirred(model))
    assert passes == ["_stack_modules"]
    assert len({results["j"].metrics["size"] for results in found}) == COUNT


def test_params_of_another_model_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"no tensor 9\.weight"):
        evaluate_each(nn.Linear(4, 3), [{"9.weight": torch.zeros(1)}] * 3, [task()])


def test_it_can_be_stopped_between_batches() -> None:
    calls = []

    def on_batch() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Stopped("enough")

    model = nn.Linear(4, 3)
    before = snapshot(tensors_of(model))
    with pytest.raises(Stopped):
        evaluate_each(model, stirred(model), [task()], batch_size=2, on_batch=on_batch)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors_of(model).items())


def test_one_is_evaluated_as_ever() -> None:
    model = nn.Linear(4, 3)
    assert_as_one_by_one(model, [task()], stirred(model, 1))
    (seen,) = predict_examples_of_each(model, stirred(model, 1), task(), rows(), 7)
    assert seen.losses.shape == (23, 1)


def test_how_many_at_once_depends_on_params_and_data() -> None:
    assert at_once(nn.Linear(4, 3), [task()]) == 64
    assert at_once(nn.Linear(1000, 1000), [task()]) == 16  # 4 MB each
    assert at_once(nn.Linear(1000, 2000), [task()]) == 1
    many = Rows(torch.zeros(1, 1).expand(1_000_000, 1), torch.zeros(1_000_000, dtype=torch.long))
    assert at_once(nn.Linear(100, 500), [task(many)]) == 1
    assert predict_inputs(nn.Identity(), {"inputs": torch.ones(1)}) == 1
