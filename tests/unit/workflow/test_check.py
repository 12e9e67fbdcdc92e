"""Every fault of a recipe is reported before any work."""

import re
import sys
from pathlib import Path

import pytest

from checkpoints import Checkpoints, sentences, table, transformers_recipe
from foretaste.errors import MissingExtra, RecipeError
from foretaste.recipe import parse, read
from foretaste.simplex import lattice
from foretaste.workflow.check import check


def test_check_counts_what_run_will_make() -> None:
    text = "name: a\nmodel: {source: digits}\npreview: {points: 10}\njoint: {points: 2}\n"
    recipe = parse(text)
    found, made = check(recipe, text, "r.yaml")
    assert found.parameters == sum(tensor.numel() for tensor in made.model.parameters())
    assert found.trainings == (3, 3)
    assert found.previews == len(lattice("abc", 3)) == 10
    assert found.tasks["mid"] == {
        "train": 300,
        "validation": len(made.tasks[1].validation),
        "classes": 3,
        "metrics": ["accuracy"],
        "epochs": round(recipe.finetune.steps * recipe.finetune.batch_size / 300, 3),
    }
    assert found.cost.trainings == 6
    assert found.cost.training_steps == 6 * recipe.finetune.steps
    assert found.cost.evaluations == 2 * 10 + 3  # two methods, and a joint run each
    assert found.cost.disk_bytes == 4 * found.parameters * (3 * (1 + 4) + 3)  # float32; four numbers of curvature each
    assert 0 < found.seconds < 3600


def test_check_tries_every_task(tmp_path: Path) -> None:
    """A label that the model has no class for is found before any work."""
    code = (
        "import torch\nfrom dataclasses import replace\nfrom problems import blobs, linear\nfrom foretaste.task import"
        " Rows\ndef made():\n    bad = Rows(torch.randn(4, 4), torch.zeros(4, 2, dtype=torch.long))\n    return"
        " linear(), [blobs('a', 1), replace(blobs('b', 2), validation=bad)]\n"
    )
    (tmp_path / "misfit.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'misfit:made'}\n"
    with pytest.raises(RecipeError, match=r"tasks\.b\.validation: logits \[2, 3\] and labels \[2, 2\] do not fit"):
        check(parse(text), text, str(tmp_path / "r.yaml"))


def test_check_names_the_task_that_the_model_cannot_take(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom dataclasses import replace\nfrom problems import blobs, linear\nfrom foretaste.task import"
        " Rows\ndef made():\n    wide = Rows(torch.randn(4, 7), torch.zeros(4, dtype=torch.long))\n    return linear(),"
        " [blobs('a', 1), replace(blobs('b', 2), train=wide)]\n"
    )
    (tmp_path / "wide.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'wide:made'}\n"
    with pytest.raises(
        RecipeError, match=r"tasks\.b\.train: trying task 'b' on two train rows failed: RuntimeError: mat1 and mat2"
    ):
        check(parse(text), text, str(tmp_path / "r.yaml"))


def test_a_headline_that_no_ensemble_has_is_refused_where_one_is_asked_for(tmp_path: Path) -> None:
    code = (
        "from dataclasses import replace\nfrom problems import blobs, linear\nfrom foretaste.task import"
        " ModelMetric\ndef made():\n    judged = replace(blobs('b', 2), metrics=[ModelMetric('x')], judge=lambda model,"
        " names, most: {'x': 1.0})\n    return linear(), [blobs('a', 1), judged]\n"
    )
    (tmp_path / "judged.py").write_text(code)
    text = "name: a\nmodel: {source: function, call: 'judged:made'}\npreview:\n  methods: [simple]\n"
    assert check(parse(text), text, str(tmp_path / "r.yaml"))
    text = text.replace("[simple]", "[predictive, simple]")
    said = (
        r"r\.yaml, line 4, preview\.methods: metric 'x' of task 'b' is measured from a model itself, and mixed"
        r" predictions come from no model"
    )
    with pytest.raises(RecipeError, match=said):
        check(parse(text), text, str(tmp_path / "r.yaml"))


def test_joint_runs_may_have_other_steps_than_single_task_runs() -> None:
    text = "name: a\nmodel: {source: digits}\nfinetune: {steps: 7}\njoint: {points: 1, steps: 2}\n"
    assert check(parse(text), text, "r.yaml")[0].cost.training_steps == 3 * 7 + 2 * 2


def test_tasks_may_differ_in_steps_and_batches() -> None:
    text = (
        "name: a\nmodel: {source: digits}\njoint: {points: 1, steps: all}\nfinetune: {steps: 7, batch_size: 10, tasks:"
        " {low: {steps: 9}, mid: {epochs: 2, batch_size: 30}}}\n"
    )
    found, _ = check(parse(text), text, "r.yaml")
    assert [task["epochs"] for task in found.tasks.values()] == [0.3, 2.0, 0.233]
    assert found.cost.training_steps == (9 + 20 + 7) * 3


def test_tasks_that_are_the_same_in_everything_are_warned_of(tmp_path: Path, checkpoints: Checkpoints) -> None:
    data = table(tmp_path / "a.jsonl", sentences(8, 0)), table(tmp_path / "b.jsonl", sentences(8, 1))
    recipe = transformers_recipe(tmp_path / "r.yaml", checkpoints.bert, {"a": data, "b": data})
    result, _ = check(*read(recipe), str(recipe))
    assert (
        "tasks 'a' and 'b' are the same in everything, so that one task's weight counts twice; remove one, or name"
        " other data"
    ) in result.warnings


@pytest.mark.parametrize(("fast", "count"), [(True, 0), (False, 1)])
def test_bfloat16_is_warned_of_where_it_is_slow(monkeypatch: pytest.MonkeyPatch, fast: bool, count: int) -> None:
    monkeypatch.setattr("foretaste.workflow.check.bfloat16.is_fast", lambda: fast)
    text = "{name: a, model: {source: digits}, finetune: {mixed_precision: bf16}, preview: {mixed_precision: bf16}}"
    warnings = check(parse(text), text, "r.yaml")[0].warnings
    start = "finetune.mixed_precision and preview.mixed_precision ask for bfloat16, which this processor has no"
    assert sum(line.startswith(start) for line in warnings) == len(warnings) == count


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_created(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as Python does for a package that cannot be imported
    text = "name: a\nmodel: {source: digits}\nfinetune:\n  track: mlflow\n"
    advice = "mlflow is not installed; install it with: pip install 'foretaste[mlflow]'"
    with pytest.raises(MissingExtra, match=re.escape(f"r.yaml, line 4, finetune.track: {advice}")):
        check(parse(text), text, "r.yaml")
