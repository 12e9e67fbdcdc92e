from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch
import transformers

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.metrics import METRICS
from foretaste.params import parameters_of
from foretaste.sources.data import LabelSet
from foretaste.sources.problem import Problem
from foretaste.sources.request import Head, TaskRequest
from foretaste.sources.transformers import heads_of, load

ACCURACY = (METRICS["accuracy"],)
LABELS: Mapping[str, LabelSet] = {"a": (0, 1), "b": (1, 0), "c": ("x", "y", "z")}


def loaded(checkpoints: Checkpoints, plans: list[TaskRequest], head: Head = "auto", seed: int = 0) -> Problem:
    return load(str(checkpoints.bert), "text-classification", plans, head=head, max_length=16, seed=seed)


def test_heads_of() -> None:
    assert heads_of(LABELS, "auto") == {"a+b": (("a", "b"), (0, 1)), "c": (("c",), ("x", "y", "z"))}
    assert heads_of(LABELS, "private") == {"a": (("a",), (0, 1)), "b": (("b",), (1, 0)), "c": (("c",), ("x", "y", "z"))}
    assert heads_of(LABELS, "shared") == {"shared": (("a", "b", "c"), (0, 1, "x", "y", "z"))}


def test_one_label_set_gives_a_plain_model(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    problem = loaded(checkpoints, plans[:2])
    assert isinstance(problem.model, transformers.BertForSequenceClassification)
    assert [task.names for task in problem.tasks] == [None, None]
    assert problem.model.config.id2label == {0: "bad", 1: "good"}
    assert not problem.model.training


def test_a_shared_head_unites_the_labels(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    problem = loaded(checkpoints, plans, "shared")
    assert problem.tasks[2].classes == ("0", "1", "bad", "good")
    assert [problem.tasks[2].train[index]["labels"].item() for index in range(2)] == [0, 1]
    assert [problem.tasks[0].train[index]["labels"].item() for index in range(2)] == [2, 3]


def test_heads_by_label_set(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    problem = loaded(checkpoints, plans)
    first, second, third = (task.names or frozenset() for task in problem.tasks)
    assert first == second != third
    assert first | third == set(parameters_of(problem.model))
    assert {name.split(".")[1] for name in first - third} == {"for_a+b"}
    assert dict(problem.facts)["heads"] == "a, b: 2 classes; c: 2 classes"


@pytest.mark.parametrize("name", ["type", "values", "train", "forward"])
def test_any_task_name_can_have_a_head(checkpoints: Checkpoints, plans: list[TaskRequest], name: str) -> None:
    problem = loaded(checkpoints, [replace(plans[0], name=name), plans[1]], "private")
    own = problem.tasks[0].names or frozenset()
    assert {each for each in own if each.startswith("heads.")} == {
        each for each in own if each.startswith(f"heads.for_{name}.")
    }
    assert not own >= set(parameters_of(problem.model))


def test_a_head_is_the_checkpoint_s_where_it_fits_and_else_new_by_the_seed(
    checkpoints: Checkpoints, plans: list[TaskRequest]
) -> None:
    three = [replace(plans[0], labels=("bad", "good", "fair")), plans[1]]
    first, again, other = (loaded(checkpoints, three, seed=seed) for seed in (0, 0, 1))
    assert first.base() == again.base() != other.base()
    params, others = parameters_of(first.model), parameters_of(other.model)
    changed = {name for name, tensor in params.items() if not torch.equal(tensor, others[name])}
    assert changed
    assert all(name.startswith("heads.for_a.") for name in changed)
    original = transformers.BertForSequenceClassification.from_pretrained(checkpoints.bert).classifier.weight
    assert torch.equal(params["heads.for_b.classifier.weight"], original)


def test_fingerprints_change_with_data_labels_and_preparation(
    checkpoints: Checkpoints, plans: list[TaskRequest]
) -> None:
    def marks(changed: TaskRequest, length: int = 16) -> str:
        return (
            load(str(checkpoints.bert), "text-classification", [changed, plans[1]], max_length=length)
            .tasks[0]
            .fingerprint
        )

    whole = marks(plans[0])
    assert marks(plans[0]) == whole
    changes = [
        replace(plans[0], max_train=4),
        replace(plans[0], max_validation=4),
        replace(plans[0], labels=("good", "bad")),
        replace(plans[0], validation=plans[1].train),
        replace(plans[0], columns={"text": "label"}),
    ]
    found = [whole, marks(plans[0], length=8), *(marks(each) for each in changes)]
    assert len(set(found)) == len(found)
    assert loaded(checkpoints, [replace(plans[0], max_train=4), plans[1]]).tasks[0].validation[0].keys() == {
        "input_ids",
        "attention_mask",
        "labels",
    }


def test_listed_labels_order_the_classes(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    task = loaded(checkpoints, [replace(plans[0], labels=("good", "fair", "bad")), plans[2]]).tasks[0]
    assert task.classes == ("good", "fair", "bad")
    assert [task.train[index]["labels"].item() for index in range(2)] == [2, 0]


def test_faults_name_their_field(checkpoints: Checkpoints, plans: list[TaskRequest], tmp_path: Path) -> None:
    def field(plan: TaskRequest, path: str = str(checkpoints.bert)) -> tuple[str, ...]:
        with pytest.raises(DataError) as caught:
            load(path, "text-classification", [plan, plans[1]])
        return caught.value.field

    assert field(replace(plans[0], train="gone.csv")) == ("tasks", "a", "train")
    assert field(replace(plans[0], validation=plans[2].train)) == ("tasks", "a", "validation")
    assert field(replace(plans[0], columns={"text": "body"})) == ("tasks", "a", "train")
    assert field(plans[0], str(tmp_path)) == ("model", "path")
    assert field(plans[0], "nobody/nothing-at-all/anywhere") == ("model", "path")
    with pytest.raises(
        DataError, match=r"label 0 in row 1 of .* is not one of: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.; correct"
    ):
        load(
            str(checkpoints.bert),
            "text-classification",
            [replace(plans[2], labels=tuple(str(n) for n in range(12))), plans[1]],
        )


@pytest.fixture
def verbosity() -> Iterator[tuple[int, int]]:
    before = transformers.utils.logging.get_verbosity(), datasets.logging.get_verbosity()
    yield before
    transformers.utils.logging.set_verbosity(before[0])
    datasets.logging.set_verbosity(before[1])


def test_the_libraries_are_as_loud_as_before(
    checkpoints: Checkpoints, plans: list[TaskRequest], verbosity: tuple[int, int]
) -> None:
    loaded(checkpoints, plans)
    assert (transformers.utils.logging.get_verbosity(), datasets.logging.get_verbosity()) == verbosity
    with pytest.raises(DataError):
        loaded(checkpoints, [replace(plans[0], train="gone.csv")])
    assert (transformers.utils.logging.get_verbosity(), datasets.logging.get_verbosity()) == verbosity


def test_texts_longer_than_the_model_s_positions_are_refused(
    checkpoints: Checkpoints, plans: list[TaskRequest]
) -> None:
    with pytest.raises(
        DataError, match="max_length 128 are more than the model's 40 positions; lower max_length, to 40 or less"
    ) as caught:
        load(str(checkpoints.bert), "text-classification", plans)
    assert caught.value.field == ("model", "max_length")
    load(str(checkpoints.bert), "text-classification", plans, max_length=40)


def test_all_missing_columns_are_told_at_once(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    with pytest.raises(DataError) as caught:
        loaded(
            checkpoints,
            [
                replace(plans[0], columns={"text": "txt"}),
                plans[1],
                replace(plans[2], columns={"text": "text", "label": "lab"}),
            ],
        )
    assert caught.value.field == ("tasks", plans[0].name, "train")
    assert [line.split(" has no ")[1].split(";")[0] for line in str(caught.value).splitlines()] == [
        "column 'txt'"
    ] * 2 + ["column 'lab'"] * 2


def test_rows_of_both_files_are_a_warning(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    found = loaded(checkpoints, [replace(plans[0], validation=plans[0].train), plans[1]])
    assert f"training rows of task {plans[0].name!r} are in its validation data too" in found.warnings[0]
    assert dict(found.facts)["warning"] == "; ".join(found.warnings)
