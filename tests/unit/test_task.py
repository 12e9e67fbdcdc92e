from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import nn

from foretaste.errors import TaskError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.cross_entropy import CrossEntropy, ShapedCrossEntropy
from foretaste.loss.loss import Loss
from foretaste.loss.squared import Squared
from foretaste.loss.token_cross_entropy import TokenCrossEntropy
from foretaste.metric_kinds import AnyMetric, ModelMetric, TextMetric
from foretaste.metrics import METRICS
from foretaste.task import Example, Rows, Task, predict_inputs
from foretaste.weights import uniform

ROWS = Rows(torch.arange(8.0).reshape(4, 2), torch.tensor([0, 1, 0, 1]))
METRIC = [METRICS["accuracy"]]
CPU = torch.device("cpu")


class TestTask:
    @pytest.mark.parametrize("name", ["", "a,b", "a=b", "a.b", "a/b", "a\\b", "a b", "a\tb", "a\n"])
    def test_a_name_that_would_not_survive_a_recipe_or_a_path_is_refused(self, name: str) -> None:
        with pytest.raises(TaskError, match=r"task (has an empty )?name"):
            Task(name, ROWS, ROWS, METRIC)

    @pytest.mark.parametrize("name", ["movies", "news-2", "a_b", "tâche"])
    def test_other_names_are_fine(self, name: str) -> None:
        assert Task(name, ROWS, ROWS, METRIC).name == name

    def test_its_metrics_are_those_of_its_loss_unless_others_are_named(self) -> None:
        assert [metric.name for metric in Task("movies", ROWS, ROWS).metrics] == ["accuracy"]
        assert Task("movies", ROWS, ROWS, loss=Squared()).metrics[0].name == "r2"
        assert Task("movies", ROWS, ROWS, METRIC).metrics == METRIC

    def test_a_loss_of_one_s_own_needs_a_metric(self) -> None:
        with pytest.raises(TaskError, match="task 'movies' has no metric"):
            Task("movies", ROWS, ROWS, loss=cast(Loss, object()))

    def test_it_needs_examples(self) -> None:
        nothing = Rows(torch.zeros(0, 2), torch.zeros(0))
        with pytest.raises(TaskError, match="task 'movies' has no training examples"):
            Task("movies", nothing, ROWS, METRIC)
        with pytest.raises(TaskError, match="task 'movies' has no validation examples"):
            Task("movies", ROWS, nothing, METRIC)

    def test_a_metric_of_texts_needs_a_way_to_write_some(self) -> None:
        judge = TextMetric("length", lambda written, expected: float(len(written[0])))
        with pytest.raises(TaskError, match=r"metric 'length' of task 'movies' judges texts, .* give it write="):
            Task("movies", ROWS, ROWS, [*METRIC, judge])
        writes = [
            Task("movies", ROWS, ROWS, metrics, write=lambda model, rows: []).writes for metrics in (METRIC, [judge])
        ]
        assert writes == [False, True]

    def test_a_metric_of_the_model_needs_a_judge(self) -> None:
        metrics: list[AnyMetric] = [*METRIC, ModelMetric("arc:acc")]
        with pytest.raises(
            TaskError, match=r"metric 'arc:acc' of task 'a' judges the model, which the task cannot; give it judge="
        ):
            Task("a", ROWS, ROWS, metrics)
        assert Task("a", ROWS, ROWS, metrics, judge=lambda model, names, most: {}).judged == ("arc:acc",)

    def test_a_batch_has_the_examples_asked_for_in_order(self) -> None:
        batch = Task("movies", ROWS, ROWS, METRIC).batch(ROWS, [3, 0, 3], CPU)
        assert batch["inputs"].tolist() == [[6.0, 7.0], [0.0, 1.0], [6.0, 7.0]]
        assert batch["labels"].tolist() == [1, 0, 1]

    def test_a_collate_of_ones_own(self) -> None:
        task = Task("movies", ROWS, ROWS, METRIC, collate=lambda examples: {"labels": torch.tensor([len(examples)])})
        assert task.batch(ROWS, [0, 1], CPU)["labels"].tolist() == [2]


class TestLoss:
    def test_by_default_it_is_cross_entropy_of_either_shape(self) -> None:
        assert Task("movies", ROWS, ROWS, METRIC).loss == ShapedCrossEntropy()

    @pytest.mark.parametrize("fingerprint", ["", "given"])
    def test_another_loss_is_another_identity_and_a_form_of_cross_entropy_is_not(self, fingerprint: str) -> None:
        task = Task("movies", ROWS, ROWS, METRIC, fingerprint=fingerprint)
        assert (
            replace(task, loss=CrossEntropy()).identity
            == replace(task, loss=TokenCrossEntropy()).identity
            == task.identity
        )
        assert len({replace(task, loss=loss).identity for loss in (CrossEntropy(), Squared(), Bernoulli())}) == 3


def test_predict_inputs_calls_the_model() -> None:
    layer = nn.Linear(2, 3)
    assert torch.equal(predict_inputs(layer, {"inputs": ROWS.inputs}), layer(ROWS.inputs))


def test_an_evaluation_is_one_row_with_a_fidelity_that_reads_as_text() -> None:
    row = Evaluation(uniform(["a"]), {"a": {"loss": 1.0}}, Fidelity("joint"), "joint")
    assert f"{row.fidelity}" == "joint"
    assert (row.seed, row.cost) == (0, 0.0)


class TestIdentity:
    ROWS = Rows(torch.eye(3), torch.tensor([0, 1, 2]))

    TASK = Task("a", ROWS, ROWS, [METRICS["accuracy"]])

    def test_a_fingerprint_that_is_given_is_taken(self) -> None:
        assert replace(self.TASK, fingerprint="mine").identity == "mine"

    def test_the_same_content_is_the_same(self) -> None:
        other = Rows(torch.eye(3), torch.tensor([0, 1, 2]))
        assert self.TASK.identity == Task("b", other, other, self.TASK.metrics).identity
        assert len(self.TASK.identity) == 64

    @pytest.mark.parametrize(
        "changed",
        [
            lambda task: replace(task, train=Rows(torch.eye(3) + 1e-7, torch.tensor([0, 1, 2]))),
            lambda task: replace(task, train=Rows(torch.eye(3).double(), torch.tensor([0, 1, 2]))),
            lambda task: replace(task, validation=Rows(torch.eye(3), torch.tensor([0, 1, 1]))),
            lambda task: replace(task, validation=Rows(torch.eye(3)[:2], torch.tensor([0, 1]))),
            lambda task: replace(task, unit="token"),
            lambda task: replace(task, classes=("x", "y", "z")),
            lambda task: replace(task, names=frozenset({"weight"})),
            lambda task: replace(task, metrics=[METRICS["f1"]]),
            lambda task: replace(task, predict=lambda model, batch: model(batch["inputs"])),
        ],
        ids=["value", "type", "label", "count", "unit", "classes", "names", "metrics", "predict"],
    )
    def test_other_content_is_another(self, changed: Callable[[Task], Task]) -> None:
        assert changed(self.TASK).identity != self.TASK.identity

    def test_examples_are_read_once(self) -> None:
        reads: list[int] = []

        class Counted(Rows):
            def __getitem__(self, index: int, /) -> Example:
                reads.append(index)
                return super().__getitem__(index)

        task = replace(self.TASK, train=Counted(torch.eye(3), torch.tensor([0, 1, 2])))
        assert task.identity == task.identity == self.TASK.identity
        assert sorted(reads) == [0, 0, 0, 1, 2]

    def test_examples_that_change_every_time(self) -> None:
        class Augmented(Rows):
            def __getitem__(self, index: int, /) -> Example:
                return {"inputs": self.inputs[index] + torch.rand(3), "labels": self.labels[index]}

        with pytest.raises(
            TaskError, match=r"the examples of task 'a' change every time they are read .* give the task a fingerprint="
        ):
            _ = replace(self.TASK, validation=Augmented(torch.eye(3), torch.tensor([0, 1, 2]))).identity


class TestParts:
    @pytest.mark.parametrize(("width", "sizes"), [(0, [4]), (1 << 12, [4]), (1 << 23, [2, 2]), (1 << 30, [1] * 4)])
    def test_a_batch_is_cut_where_its_outputs_would_take_much_memory(self, width: int, sizes: list[int]) -> None:
        labels = torch.zeros(4, 2, dtype=torch.long)
        batch = {"inputs": torch.arange(4), "labels": labels}
        parts = list(Task("a", ROWS, ROWS, METRIC, width=width).parts(batch))
        assert [len(part["labels"]) for part in parts] == sizes
        assert torch.equal(torch.cat([part["inputs"] for part in parts]), batch["inputs"])

    def test_rows_that_give_examples_in_a_way_of_their_own_are_asked_for_each(self) -> None:
        class Doubled(Rows):
            def __getitem__(self, index: int, /) -> Example:
                return {key: 2 * tensor for key, tensor in super().__getitem__(index).items()}

        batch = Task("a", Doubled(ROWS.inputs, ROWS.labels), ROWS, METRIC).batch(
            Doubled(*vars(ROWS).values()), [1, 3], CPU
        )
        assert torch.equal(batch["inputs"], 2 * ROWS.inputs[[1, 3]])
