import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from commands import contents, foretaste
from foretaste.errors import Stopped, TaskError
from foretaste.metrics import METRICS
from foretaste.sources.problem import Problem
from foretaste.task import Batch, Example, Rows, Task
from foretaste.work.context import Unwatched
from foretaste.workflow.trial import try_batches, try_labels
from problems import blobs, linear

SECOND = blobs("b", 2)


def problem(second: Task = SECOND) -> Problem:
    """Two tasks of three classes, 20 rows each."""
    return Problem(linear(), (blobs("a", 1), second))


class Spoilt(Rows):
    """Rows of which one is read otherwise."""

    def __init__(self, place: int, make: Callable[[Example], Example], rows: Rows) -> None:
        super().__init__(rows.inputs, rows.labels)
        object.__setattr__(self, "place", place)
        object.__setattr__(self, "make", make)

    def __getitem__(self, index: int, /) -> Example:
        example = super().__getitem__(index)
        place, make = (vars(self)[name] for name in ("place", "make"))
        made: Example = make(example) if index == place else example
        return made


class Listed:
    """Examples that are no tensors of rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Example:
        return self.rows[index]


def rows_of(name: str = "b", seed: int = 2) -> Rows:
    rows = blobs(name, seed).train
    assert isinstance(rows, Rows)
    return rows


def test_a_sound_problem_says_how_many_classes_each_task_has() -> None:
    assert try_batches(problem(), 8, 100).classes == {"a": 3, "b": 3}


def test_every_module_is_in_the_mode_that_it_had() -> None:
    tried = problem()
    tried.model.train()
    tried.model.add_module("still", nn.Dropout().eval())
    before = [module.training for module in tried.model.modules()]
    assert len(set(before)) == 2
    try_batches(tried, 4, 4)
    assert [module.training for module in tried.model.modules()] == before


@pytest.mark.parametrize(("place", "size", "caught"), [(1, 4, True), (7, 8, True), (8, 8, False), (19, 128, True)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_anywhere_in_a_full_batch(place: int, size: int, caught: bool, value: float) -> None:
    """Of the sizes that the study has: a row further on is not in it."""
    rows = Spoilt(place, lambda example: {**example, "inputs": torch.full((4,), value)}, rows_of())
    for part, sizes in (("train", (size, 2)), ("validation", (2, size))):
        broken = problem(replace(SECOND, train=rows) if part == "train" else replace(SECOND, validation=rows))
        if not caught:
            try_batches(broken, *sizes)
            continue
        with pytest.raises(TaskError, match="NaN") as error:
            try_batches(broken, *sizes)
        assert error.value.field == ("tasks", "b", part)


def test_the_row_of_nan_is_named() -> None:
    rows = Spoilt(5, lambda example: {**example, "inputs": torch.full((4,), float("nan"))}, rows_of())
    with pytest.raises(
        TaskError, match=r"outputs on task 'b' hold NaN or infinity, first at row 6 of 10; look at that row's values"
    ):
        try_batches(problem(replace(SECOND, train=rows)), 10, 10)


def test_losses_that_are_not_finite() -> None:
    def certain(model: nn.Module, batch: Batch) -> Tensor:
        return torch.tensor([[-3e38, 3e38, 0.0]]).expand(len(batch["labels"]), 3) * 1.0

    with pytest.raises(TaskError, match="losses on task 'b' hold NaN or infinity, first at row 1 of 2"):
        try_batches(problem(replace(SECOND, predict=certain)), 8, 8)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (ValueError("bad pixel"), TaskError, "trying task 'b' on 8 train rows failed: ValueError: bad pixel"),
        (SystemExit(3), TaskError, r"trying task 'b' on 8 train rows called sys\.exit\(3\); raise an error instead"),
        (KeyboardInterrupt(), Stopped, "interrupted while trying task 'b' on 8 train rows; nothing was written"),
    ],
)
def test_user_code_that_fails_leaves_or_is_interrupted(
    fault: BaseException, kind: type[Exception], message: str
) -> None:
    def fail(example: Example) -> Example:
        raise fault

    with pytest.raises(kind, match=message):
        try_batches(problem(replace(SECOND, train=Spoilt(6, fail, rows_of()))), 8, 8)


@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("as_rows", [True, False])
def test_a_label_outside_the_classes_beyond_the_first_batch(label: int, as_rows: bool) -> None:
    rows = rows_of()
    labels = rows.labels.clone()
    labels[17] = label
    spoilt = Rows(rows.inputs, labels)
    broken = problem(replace(SECOND, validation=spoilt if as_rows else Listed(spoilt)))
    assert try_batches(broken, 4, 4).classes == {"a": 3, "b": 3}
    where = "the validation examples" if as_rows else "validation example 18"
    with pytest.raises(
        TaskError, match=f"^{where} of task 'b': label {label} is not one of the 3 classes, 0 to 2"
    ) as error:
        try_labels(broken, {"a": 3, "b": 3})
    assert error.value.field == ("tasks", "b", "validation")


def test_an_example_that_cannot_be_read() -> None:
    class Short(Listed):
        def __getitem__(self, index: int, /) -> Example:
            if index > 12:
                raise OSError("disk is gone")
            return super().__getitem__(index)

    with pytest.raises(TaskError, match=r"^train example 14 of task 'b' cannot be read: OSError: disk is gone"):
        try_labels(problem(replace(SECOND, train=Short(rows_of()))), {"a": 3, "b": 3})


def test_one_class_is_a_warning_where_a_metric_needs_more() -> None:
    rows = rows_of()
    one = Rows(rows.inputs, torch.ones_like(rows.labels))
    (said,) = try_labels(
        problem(replace(SECOND, validation=one, metrics=[METRICS["accuracy"], METRICS["f1"]])), {"a": 3, "b": 3}
    )
    assert (
        said == "all 20 validation rows of task 'b' have the label 1: f1 says nothing there; add rows of other labels"
    )
    assert try_labels(problem(replace(SECOND, validation=one)), {"a": 3, "b": 3}) == ()


CODE = """
import torch
from torch import nn
from foretaste.metrics import METRICS
from foretaste.task import Rows, Task

class Later(Rows):
    def __getitem__(self, index):
        {late}
        return super().__getitem__(index)

def predict(model, batch):
    logits = model(batch["inputs"])
    {predict}
    return logits

def made():
    torch.manual_seed(0)
    rows = Rows(torch.randn(40, 4), torch.arange(40) % {labels})
    {made}
    tasks = [Task(name, rows, rows, [METRICS["accuracy"], METRICS["mcc"]], predict=predict) for name in ("a", "b")]
    return nn.Linear(4, 2), tasks
"""

RECIPE = (
    "name: tiny\nsnapshot_seconds: 20\nmodel: {source: function, call: 'MODULE:made'}\n"
    "finetune: {steps: 4, batch_size: 8}\njoint: {points: 0}\n"
    "preview: {points: 3, methods: [simple], prior_precision: 1.0, batch_size: 16}\n"
)


@pytest.mark.parametrize(
    ("parts", "code", "words"),
    [
        ({"predict": "logits = logits / 0"}, 2, "tasks.a.train: the model's outputs on task 'a' hold NaN or infinity"),
        ({"labels": "3"}, 2, "is not one of the 2 classes, 0 to 1"),
        ({"predict": "raise ValueError('user code')"}, 2, "failed: ValueError: user code"),
        ({"predict": "raise SystemExit(0)"}, 2, "called sys.exit(0); raise an error instead"),
        ({"made": "raise SystemExit(0)"}, 2, "called sys.exit(0)"),
        ({"made": "raise KeyboardInterrupt"}, 130, "interrupted while 'MODULE:made' was at work"),
        (
            {"predict": "assert not model.training, 'only in training'"},
            1,
            "predict in PATH, line 14, failed: AssertionError: only in training",
        ),
        ({"predict": "model.training and exit(0)"}, 1, "predict in PATH, line 14, called sys.exit(0)"),
    ],
)
def test_a_run_of_user_code_ends_without_a_traceback(
    tmp_path: Path, parts: dict[str, str], code: int, words: str
) -> None:
    """Whatever fails in it, and with nothing written where `check` sees it."""
    name = f"user_code_{abs(hash(str(parts)))}"
    filled = CODE.format(**{"late": "pass", "predict": "pass", "made": "pass", "labels": "2", **parts})
    (tmp_path / f"{name}.py").write_text(filled)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.replace("MODULE", name))
    before = {path for path in contents(tmp_path) if "__pycache__" not in path}
    found = foretaste("run", recipe, "--study", tmp_path / "study")
    assert (found.code, found.out) == (code, "")
    assert "Traceback" not in found.err
    assert words.replace("MODULE", name).replace("PATH", str(tmp_path / f"{name}.py")) in found.err
    if code != 1:
        assert {path for path in contents(tmp_path) if "__pycache__" not in path} == before
    del sys.modules[name]


class Slow(nn.Module):
    """A model whose forward pass takes a known time."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear()

    def forward(self, inputs: Tensor) -> Tensor:
        time.sleep(0.02)
        result: Tensor = self.inner(inputs)
        return result


def test_times_are_those_of_forward_passes() -> None:
    trial = try_batches(Problem(Slow(), (blobs("a", 1), SECOND)), 8, 5)
    assert 0.06 <= trial.training_seconds < 0.5  # three times .02 s
    batches = (len(blobs("a", 1).validation) + len(SECOND.validation)) / 5
    assert batches * 0.02 <= trial.evaluation_seconds < batches * 0.2


class SlowByRow(Slow):
    """A model that takes a known time for each row, and counts the rows of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        time.sleep(0.1 * len(inputs))
        self.batches.append(len(inputs))
        result: Tensor = self.inner(inputs)
        return result


def test_a_slow_model_is_tried_on_fewer_rows_and_its_time_is_estimated() -> None:
    model = SlowByRow()
    trial = try_batches(Problem(model, (blobs("a", 1), SECOND)), 20, 5)
    assert max(model.batches) == 8
    assert 3 * 20 * 0.1 <= trial.training_seconds < 1.5 * 3 * 20 * 0.1


def test_every_batch_is_shown_as_progress() -> None:
    watch = Recording()
    try_batches(Problem(linear(), (blobs("a", 1), SECOND)), 8, 5, watch)
    assert watch.seen == ["begin trying batches 4", "a", "a", "b", "b"]


class Recording(Unwatched):
    """Keeps what it is told of stages."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin(self, label: str, total: int) -> None:
        self.seen.append(f"begin {label} {total}")

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        self.seen.append(note)
