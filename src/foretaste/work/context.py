"""The context of work: the study, the recipe, the model and the tasks that a piece of work is done for."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from foretaste.one_line import one_line
from foretaste.plan import Recipe
from foretaste.sources.problem import Problem
from foretaste.store.study import Study
from foretaste.task import Task
from foretaste.train.training import Training

__all__ = ["Context", "Origin", "Unwatched", "Watch", "joint_training"]

_Value = TypeVar("_Value")


class Watch(Protocol):
    """Shows progress to whoever looks on, and may ask to stop."""

    def begin(self, label: str, total: int) -> None:
        """Begin a stage of so many units; stages that began before may go on beside it."""

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        """Count so many more units of a stage as done; of the last one that began if none is named."""

    def say(self, text: str) -> None:
        """Print a line."""

    def stopping(self) -> bool:
        """Whether the user asked to stop."""


class Unwatched:
    """A watch for when nobody looks on."""

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
    """Where a recipe came from: all that another process needs to load its model and tasks again.

    Args:
        text: The recipe file's text, for line numbers in errors.
        file: The recipe file's path, beside which its modules are looked up.
    """

    text: str
    file: str

    __repr__ = one_line


@dataclass(frozen=True)
class Context:
    """What work is done with; it is rebuilt wherever the work runs.

    Args:
        study: Keeps rows and artefacts.
        recipe: Says how to train, estimate and evaluate.
        problem: The model and the tasks.
        base: Content hash of the pretrained params.
        origin: Where the recipe came from; None where the problem was made in memory and cannot be loaded elsewhere.

    Attributes:
        memory: Values that are costly to build, kept by `remember`.
    """

    study: Study
    recipe: Recipe
    problem: Problem
    base: str
    origin: Origin | None = field(default=None, kw_only=True)
    memory: dict[str, tuple[Hashable, object]] = field(default_factory=dict, init=False, repr=False, compare=False)

    __repr__ = one_line

    @property
    def training(self) -> Training:
        """How single-task runs are trained."""
        return Training(**self.recipe.finetune.numbers, seed=self.recipe.seed)

    @property
    def joint_training(self) -> Training:
        """How joint runs are trained."""
        return joint_training(self.recipe)

    @property
    def data(self) -> dict[str, str]:
        """The hash of each task's data."""
        return {task.name: task.identity for task in self.problem.tasks}

    def task(self, name: str) -> Task:
        """The task of this name."""
        return next(task for task in self.problem.tasks if task.name == name)

    def remember(self, slot: str, key: Hashable, build: Callable[[], _Value]) -> _Value:
        """A value that is costly to build; each slot keeps the last one.

        Args:
            slot: What kind of value it is.
            key: Everything that the value depends on.
            build: Builds it, if the slot holds another.
        """
        if slot not in self.memory or self.memory[slot][0] != key:
            self.memory.pop(slot, None)  # so that two never take up memory at once
            self.memory[slot] = (key, build())
        return cast("_Value", self.memory[slot][1])

    def key_in(self, slot: str) -> Hashable:
        """The key of the value that a slot keeps; None where it is empty."""
        return self.memory[slot][0] if slot in self.memory else None


def joint_training(recipe: Recipe) -> Training:
    """How joint runs are trained.

    >>> from foretaste.recipe import parse
    >>> joint_training(parse("{name: a, model: {source: digits}, joint: {steps: 9}}")).steps
    9
    """
    steps = recipe.joint.steps or recipe.finetune.steps
    return Training(**{**recipe.finetune.numbers, "steps": steps}, seed=recipe.seed)
