"""The rows that a joint run at given weights would see, as a data set that any trainer reads in one pass."""

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, get_args

from torch import nn

from foretaste.errors import DataError, TaskError
from foretaste.export.settings import LoraSettings, Settings
from foretaste.export.trainer_checks import check_trainer
from foretaste.plan import Recipe
from foretaste.sources.plans import TransformersModel
from foretaste.sources.problem import Problem
from foretaste.train.mixture import count_label_tokens
from foretaste.weights import TaskWeights
from foretaste.work.trainings import joint_training
from foretaste.workflow.export import Export, protected_paths
from foretaste.workflow.session import Session

__all__ = ["RowFormat", "TrainerName", "check_mixture", "export_mixture", "layers_with_factors"]

RowFormat = Literal["parquet", "jsonl"]
TrainerName = Literal["trl", "axolotl", "llama-factory", "nemo-automodel"]


def export_mixture(
    session: Session,
    target: Path,
    weights: TaskWeights,
    *,
    form: RowFormat = "parquet",
    names: Sequence[str] = (),
    overwrite: bool = False,
    add_files: Callable[[Path], None] | None = None,
) -> Export:
    """Write the training rows of the joint run at these weights, in its order, with a manifest.

    Args:
        session: The recipe at work.
        target: A folder that does not exist yet.
        weights: alpha.
        form: Of the file.
        names: Of `TrainerName`; trainers whose configuration is written beside it.
        overwrite: Whether a folder that foretaste wrote is replaced, when the new one is complete; never one that the
            study needs.
        add_files: Writes more files into the folder; see `foretaste.export.mixture.write_mixture`.

    Returns:
        The manifest: rows, label tokens and repeats of every task, hashes, and what the order means.

    Raises:
        DataError: The tasks' examples are not rows with columns, or columns do not go together.
        TaskError: A trainer that cannot train this.
        StorageError: The folder exists, or the disk refuses.
    """
    from foretaste.export.mixture import write_mixture  # its extra may be missing
    from foretaste.export.part import Part

    problem, training = session.problem, session.joint_training
    settings = check_mixture(session.recipe, problem, names)
    parts = {}
    for task in problem.tasks:
        raw = problem.rows[task.name]
        counts = count_label_tokens(task) if task.unit == "token" else None
        parts[task.name] = Part(raw.train, counts, raw.source, raw.digest, raw.validation, raw.columns, raw.whole)
    manifest = write_mixture(
        target,
        parts,
        weights,
        unit=problem.tasks[0].unit,
        rows=training.steps * training.batch_size,
        seed=training.seed,
        format=form,
        trainers=[name for name in get_args(TrainerName) if name in names],
        settings=settings,
        overwrite=overwrite,
        keep=protected_paths(session.recipe, session.study.path, target),
        add_files=add_files,
    )
    return Export({"written": str(target), **manifest})


def check_mixture(recipe: Recipe, problem: Problem, names: Sequence[str]) -> Settings:
    """Look whether a mixture can be written for some trainers, before there is any work for it.

    Args:
        recipe: What is studied.
        problem: Its model and tasks.
        names: Of `TrainerName`.

    Returns:
        What a trainer needs to train what the joint run trains.

    Raises:
        DataError: The tasks' examples are not rows with columns.
        TaskError: A trainer that cannot train this.
    """
    if not problem.rows or not isinstance(recipe.model, TransformersModel):
        raise DataError(
            "these tasks' examples are made in memory and have no rows to write; a mixture is for tasks from data files"
        )
    if unknown := [name for name in names if name not in get_args(TrainerName)]:
        raise TaskError(f"there is no trainer {unknown[0]!r}; there are {', '.join(get_args(TrainerName))}")
    settings = _settings(recipe, problem, recipe.model)
    for name in get_args(TrainerName):
        if name in names:
            check_trainer(name, problem.tasks[0].unit, settings)
    return settings


def _settings(recipe: Recipe, problem: Problem, model: TransformersModel) -> Settings:
    plan = recipe.finetune
    lora, trained = None, None
    if plan.method == "lora":
        assert plan.r is not None
        assert plan.alpha is not None
        targets = layers_with_factors(problem.model, problem.trained)
        lora = LoraSettings(
            plan.r,
            plan.alpha,
            targets,
            plan.dropout or 0.0,
            rslora=bool(plan.rslora),
            train_a=plan.train_a is not False,
        )
    elif plan.freeze is not None:
        trained = tuple(sorted(problem.trained))
    lengths = [plan.of_task(name).max_length or model.max_length for name in problem.names]
    training = joint_training(recipe, problem.tasks)
    return Settings(model.path, training, max(lengths), model.kind, lora, trained)


def layers_with_factors(model: nn.Module, trained: Collection[str]) -> tuple[str, ...]:
    """The layers with LoRA factors, as PEFT's ``target_modules``: ends of names where they suffice, else full names.

    Args:
        model: Has the factors.
        trained: Names of its trained parameters.

    >>> import torch
    >>> one = nn.ModuleDict(
    ...     {"q": nn.ModuleDict({"lora_B": nn.ModuleDict({"default": nn.Linear(1, 1)})}), "v": nn.Linear(1, 1)}
    ... )
    >>> layers_with_factors(nn.ModuleDict({"0": one}), ["0.q.lora_B.default.weight"])
    ('q',)
    """
    layers = sorted({re.sub(r"\.lora_(embedding_)?[AB]\..*", "", name) for name in trained if ".lora_" in name})
    modules = [name for name, _ in model.named_modules() if ".base_layer" not in name]
    ends: dict[str, list[str]] = {}
    for layer in layers:
        ends.setdefault(layer.rpartition(".")[2], []).append(layer)
    alike = {end: [name for name in modules if name.rpartition(".")[2] == end] for end in ends}
    return tuple(name for end, own in ends.items() for name in ([end] if sorted(alike[end]) == own else own))
