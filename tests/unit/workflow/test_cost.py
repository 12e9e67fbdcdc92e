from pathlib import Path

import pytest

from foretaste.evaluation import Fidelity
from foretaste.params import parameters_of
from foretaste.sources.digits import digits
from foretaste.workflow.cost import StudySize, study_cost
from foretaste.workflow.example import small_study
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.run import run

HEADER = 1000  # bytes of names and shapes in a file of tensors, at most


@pytest.mark.parametrize("method", ["simple", "diagonal"])
def test_a_study_costs_what_was_expected(method: str) -> None:
    """The folder of a finished study holds as many bytes and rows."""
    params = sum(tensor.numel() for tensor in parameters_of(digits().model).values())
    parts = f"finetune: {{steps: 1}}, preview: {{points: 3, methods: [{method}]}}, joint: {{points: 2}}"
    with small_study(parts) as session:
        run(session)
        rows = read_outcome(session.study).surface.rows
        joint = sum(row.fidelity == Fidelity.JOINT and row.weights.corner is None for row in rows)
        previews = sum(row.fidelity == Fidelity.PREVIEW for row in rows)
        files = files_of_params(session.study.path, 4 * params)
    cost = study_cost(StudySize(params, tasks=3, joint_runs=joint, previews=previews, methods=1, curvature=1))
    assert cost.trainings == 3 + joint
    assert cost.evaluations == previews + joint
    assert cost.disk_bytes <= sum(files) <= cost.disk_bytes + HEADER * len(files)


def files_of_params(folder: Path, least: int) -> list[int]:
    """The sizes of the files with tensors that are no smaller than a model."""
    sizes = [path.stat().st_size for path in folder.rglob("*.safetensors")]
    return [size for size in sizes if size >= least]


def test_frozen_params_cost_memory_and_no_disk() -> None:
    whole, thin = (study_cost(StudySize(size, frozen)) for size, frozen in ((1000, 0), (10, 990)))
    assert thin.disk_bytes == whole.disk_bytes / 100
    assert 4 * 990 < thin.memory_bytes < whole.memory_bytes
    assert thin.trainings == whole.trainings


def test_training_needs_more_memory_where_merging_needs_little() -> None:
    assert study_cost(StudySize(1, tasks=2, curvature=0)).memory_bytes == 16
    assert study_cost(StudySize(1, tasks=4, curvature=0)).memory_bytes == 24
    assert study_cost(StudySize(1, steps=10, joint_runs=1)).training_steps == 30
    assert study_cost(StudySize(1, tasks=3, steps=10, joint_runs=4, joint_steps=5)).training_steps == 3 * 10 + 4 * 5
