"""The rows that a joint run at given weights would see, as a data set that any trainer reads in one pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from foretaste.errors import DataError
from foretaste.lazy import lazy
from foretaste.plan import TransformersModel
from foretaste.task import Task, units
from foretaste.weights import TaskWeights
from foretaste.workflow.export import kept_by
from foretaste.workflow.session import Session

if TYPE_CHECKING:
    from foretaste.export import mixture, trainers
else:
    mixture, trainers = lazy("foretaste.export.mixture"), lazy("foretaste.export.trainers")  # their extra may be missing

__all__ = ["RowFormat", "TrainerName", "export_mixture"]

RowFormat = Literal["parquet", "jsonl"]
TrainerName = Literal["trl", "axolotl", "llama-factory"]


def export_mixture(
    session: Session,
    target: Path,
    weights: TaskWeights,
    *,
    form: RowFormat = "parquet",
    names: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, object]:
    """Write the training rows of the joint run at these weights, in its order, with a manifest.

    Args:
        session: The recipe at work.
        target: A folder that does not exist yet.
        weights: alpha.
        form: Of the file.
        names: Of `TrainerName`; trainers whose configuration is written beside it.
        overwrite: Whether a folder that foretaste wrote is replaced, when the new one is complete; never one that the study needs.

    Returns:
        The manifest: rows, label tokens and repeats of every task, hashes, and what the order means.

    Raises:
        DataError: The tasks' examples are not rows with columns, or columns do not go together.
        TaskError: A trainer that cannot train this.
        StorageError: The folder exists, or the disk refuses.
    """
    problem, training, model = session.problem, session.joint_training, session.recipe.model
    if not problem.rows or not isinstance(model, TransformersModel):
        raise DataError("these tasks' examples are made in memory and have no rows to write; a mixture is for tasks from data files")
    parts = {}
    for task in problem.tasks:
        raw = problem.rows[task.name]
        counts = _units_of(task) if task.unit == "token" else None
        parts[task.name] = mixture.Part(raw.train, counts, raw.source, raw.digest, raw.validation, raw.columns, raw.whole)
    return mixture.write_mixture(
        target,
        parts,
        weights,
        unit=problem.tasks[0].unit,
        rows=training.steps * training.batch_size,
        seed=training.seed,
        format=form,
        trainers=[name for name in get_args(TrainerName) if name in names],
        settings=trainers.Settings(model.path, training, model.max_length, model.kind),
        overwrite=overwrite,
        keep=kept_by(session, target),
    )


def _units_of(task: Task) -> list[int]:
    """Label tokens of every training example."""
    return [units(task.train[index]["labels"].unsqueeze(0), "token") for index in range(len(task.train))]
