"""The context of work: the study, the recipe, the model and the tasks."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, cast

from foretaste.one_line import one_line
from foretaste.plan import Recipe
from foretaste.sources.adapter import open_adapter
from foretaste.sources.problem import Problem
from foretaste.sources.space import OWN, Space
from foretaste.store.study import StudyStore
from foretaste.task import Task
from foretaste.train.training import Training
from foretaste.work.imports import latest_imports
from foretaste.work.trainings import joint_training, task_training

__all__ = ["Context", "Origin", "Unwatched", "Watch"]

_Value = TypeVar("_Value")


class Watch(Protocol):
    """Shows progress, and may ask to stop."""

    def begin(self, label: str, total: int) -> None:
        """Begin a stage of so many units, or add them to one of this label; earlier stages may still be going on."""

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        """Count so many more units of a stage as done; of the last one that began if none is named."""

    def say(self, text: str) -> None:
        """Print a line."""

    def stopping(self) -> bool:
        """Tell whether the user asked to stop."""


class Unwatched:
    """A watch that shows nothing and never asks to stop."""

    def begin(self, label: str, total: int) -> None:
        pass

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def stopping(self) -> bool:
        return False


@dataclass(frozen=True)
class Origin:
    """The origin of a recipe: all that another process needs to load its model and tasks again.

    Args:
        text: The text of the recipe's file, for line numbers in errors.
        file: The path of the recipe's file; modules are looked up beside it.
    """

    text: str
    file: str

    __repr__ = one_line


@dataclass(frozen=True)
class Context:
    """Everything that work is done with; each process builds its own.

    Args:
        study: The study, which keeps rows and artefacts.
        recipe: How to train, estimate and evaluate.
        problem: The model and the tasks.
        base: Content hash of the pretrained params.
        origin: Where the recipe came from; None where the problem was made in memory and cannot be loaded elsewhere.

    Attributes:
        memory: Values that are costly to build; see `remember`.
    """

    study: StudyStore
    recipe: Recipe
    problem: Problem
    base: str
    origin: Origin | None = field(default=None, kw_only=True)
    memory: dict[str, tuple[Hashable, object]] = field(default_factory=dict, init=False, repr=False, compare=False)

    __repr__ = one_line

    @property
    def joint_training(self) -> Training:
        """Return how to train jointly."""
        return joint_training(self.recipe, self.problem.tasks)

    @property
    def space(self) -> Space:
        """Return the coordinates in which the tasks' models are merged, those of imported adapters among them."""
        if self.problem.space is OWN:
            return OWN
        imports = [done for done in latest_imports(self.study).values() if done.result.get("kind") == "adapter"]
        if not imports:
            return self.problem.space
        folders = tuple((done.key, done.result["folder"]) for done in imports)
        return self.remember("space", folders, lambda: self._extended([Path(folder) for _, folder in folders]))

    def _extended(self, folders: Sequence[Path]) -> Space:
        modules = {name for folder in folders for name in open_adapter(folder).modules}
        return self.problem.space.extended(modules, self.problem.own_name)

    @property
    def data(self) -> dict[str, str]:
        """Return the hash of each task's data."""
        return {task.name: task.identity for task in self.problem.tasks}

    def training_of(self, name: str) -> Training:
        """Return how to train on one task alone."""
        return task_training(self.recipe, self.task(name))

    def task(self, name: str) -> Task:
        """Return the task of this name."""
        return next(task for task in self.problem.tasks if task.name == name)

    def remember(self, slot: str, key: Hashable, build: Callable[[], _Value]) -> _Value:
        """Return a value that is costly to build, and keep it; each slot keeps its last value.

        Args:
            slot: The kind of value.
            key: Everything that the value depends on.
            build: Builds the value if the slot has no value of this key.
        """
        if slot not in self.memory or self.memory[slot][0] != key:
            self.memory.pop(slot, None)  # two values may not fit into memory together
            self.memory[slot] = (key, build())
        return cast("_Value", self.memory[slot][1])

    def key_in(self, slot: str) -> Hashable:
        """Return the key of the value that a slot keeps, or None if it is empty."""
        return self.memory[slot][0] if slot in self.memory else None
