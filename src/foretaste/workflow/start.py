"""Starting: a recipe's study is made or opened, once everything that it was given has been accepted."""

import platform
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import PartialState

from foretaste import __version__
from foretaste.engines.catalogue import REVISIONS
from foretaste.engines.engine import Engine
from foretaste.engines.here import Here
from foretaste.errors import StudyError
from foretaste.params import buffers_of, parameters_of
from foretaste.plan import Recipe
from foretaste.sources.problem import Problem
from foretaste.store.study import Json, StudyStore, require_space
from foretaste.surface.joint_shares import JointData
from foretaste.surface.table import headlines
from foretaste.train.mixture import units_per_example
from foretaste.work.context import Origin, Unwatched, Watch
from foretaste.workflow.experts import read_experts
from foretaste.workflow.session import Session
from foretaste.workflow.trust import remember_trust
from foretaste.workflow.version import check_revisions, check_version

__all__ = ["start"]


def start(
    recipe: Recipe,
    text: str,
    problem: Problem,
    folder: Path,
    watch: Watch | None = None,
    *,
    file: str | None = None,
    engine: Engine | None = None,
) -> Session:
    """Open the study of a recipe, or make it.

    Args:
        recipe: Checked.
        text: Of the recipe's file.
        problem: What `check` made of it.
        folder: The study's.
        watch: Shows progress.
        file: The recipe's path, so that other processes can load the problem again; None where it was made in memory.
        engine: Does the work; `Here` if left out.

    Raises:
        StudyError: The study was made by another recipe, model or data; the parts are named. Or it has models for other
            tasks.
        DataError: A model that was imported into it does not fit the recipe's.
        StorageError: The folder cannot be written, or lacks space.

    >>> import tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> text = "{name: a, model: {source: digits}}"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(parse(text), text, digits(), Path(folder))
    ...     with session.study:
    ...         session.study.recipe()[0] == text
    True
    """
    base = problem.base()
    problem.model.to(PartialState().device)
    copies = 3 * len(problem.tasks) + recipe.joint.points + 4
    tensors = parameters_of(problem.model, problem.trained) | buffers_of(problem.model)
    require_space(folder, copies * sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()))
    plan = _plan_of(recipe, problem, base)
    if StudyStore.is_earlier(folder):
        with StudyStore.open(folder) as study:
            _check_question(study, plan)  # before it is moved to this version
    with ExitStack() as stack:
        study = stack.enter_context(StudyStore.create(folder))
        origin = None if file is None else Origin(text, file)
        session = Session(study, recipe, problem, base, watch or Unwatched(), engine or Here(), origin=origin)
        _check_question(study, plan)
        read_experts(session)  # so that a model that does not fit is refused before the study knows the recipe
        study.add_recipe(text, {**plan, "joint_data": _joint_data(session, study.recipe())})
        remember_trust(folder, recipe)
        stack.pop_all()
    return session


def _plan_of(recipe: Recipe, problem: Problem, base: str) -> dict[str, object]:
    """What a study remembers of its recipe: the question, and how to answer it."""
    return {
        "name": recipe.name,
        "recipe": recipe.model_dump(mode="json", exclude_unset=True),
        "identity": recipe.identity() | {"task order": problem.names, "revisions": REVISIONS},
        "data": {task.name: task.identity for task in problem.tasks},
        "base": base,
        "unit": problem.tasks[0].unit,
        "headlines": {task: asdict(headline) for task, headline in headlines(problem.tasks).items()},
        "recommend": recipe.recommend.model_dump(),
        "method": recipe.preview.methods[-1],
        "inside": problem.has_private_heads,
        "facts": [list(fact) for fact in problem.facts],
        "versions": _versions(),
    }


def _versions() -> str:
    device = PartialState().device.type
    return f"foretaste {__version__}, torch {torch.__version__}, Python {platform.python_version()}, on {device}"


def _joint_data(session: Session, former: tuple[str, Json] | None) -> Json:
    """Describe the data of joint runs; what was counted for the same data before is not counted again."""
    training, tasks = session.joint_training, session.problem.tasks
    earlier = {} if former is None or former[1]["data"] != session.data else former[1].get("joint_data", {})
    data = JointData(
        training.steps,
        training.batch_size,
        tasks[0].unit,
        session.recipe.joint.realise,
        {task.name: len(task.train) for task in tasks},
        earlier.get("units") or {task.name: units_per_example(task) for task in tasks},
    )
    return asdict(data)


def _check_question(study: StudyStore, plan: Mapping[str, object]) -> None:
    """Refuse another question than the one that a study has begun to answer.

    Raises:
        StudyError: The study was made by a version that cannot be gone on with, or by another recipe, model or data.
    """
    former = study.recipe()
    if former is None:
        return
    changes = [line for part in ("identity", "data", "base") for line in _changes(part, former[1][part], plan[part])]
    if changes and study.is_begun():
        check_version(former[1], study.path)
        if all(line.startswith("revisions.") for line in changes):
            check_revisions(former[1], study.path)
        lines = "\n  ".join(changes)
        raise StudyError(
            f"the study {study.path} was made by another recipe, model or data:\n  {lines}\n"
            "name another folder with --study, or undo the change; the study is untouched"
        )


def _changes(name: str, before: object, now: object) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = (
            before if name == "revisions" else dict.fromkeys([*before, *now])
        )  # a kind of work that is new was not done there
        return [
            line
            for key in keys
            for line in _changes(f"{name}.{key}".removeprefix("identity."), before.get(key), now.get(key))
        ]
    was = "not recorded (the task had no fingerprint)" if before == "" and name.startswith("data.") else repr(before)
    return [] if before == now else [f"{name}: was {was}, is {now!r}"]
