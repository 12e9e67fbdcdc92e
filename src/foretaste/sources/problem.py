"""Problems, which every source returns: a model with its pretrained params, and the tasks."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from torch import nn

from foretaste.digests import digest, examples_digest
from foretaste.errors import TaskError
from foretaste.one_line import one_line
from foretaste.params import Params, buffers_of, first_nonfinite, parameters_of, snapshot, tensors_of
from foretaste.quantized import scales_of
from foretaste.sources.expert import Expert, read_tensors
from foretaste.sources.rows_view import RowsView, TensorRows
from foretaste.sources.space import OWN, Space
from foretaste.task import Task

if TYPE_CHECKING:
    from foretaste.sources.data import RawRows

__all__ = ["Problem", "examples_digest", "save_tensors", "text_digest"]


def save_tensors(model: nn.Module, folder: Path) -> None:
    """Save parameters and buffers as one safetensors file, which suits any model.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tensors(nn.Linear(1, 1), Path(folder))
    ...     [path.name for path in Path(folder).iterdir()]
    ['model.safetensors']
    """
    save_file(
        snapshot(parameters_of(model) | dict(model.named_buffers())),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


@dataclass(frozen=True)
class Problem:
    """A pretrained model and the tasks that it should learn.

    Args:
        model: The model, with the pretrained params.
        tasks: The tasks, in the study's order.
        facts: Lines for the provenance of results, by name.
        save: Function that writes the model into a folder, with all that is needed to use it.
        read: Function that reads a task's params from a model that was trained elsewhere.
        own_name: Function from a tensor's name in this model to its name in a task's own model.
        fresh: Names of new parameters, such as a classification head's; LoRA trains them whole.
        rows: Each task's rows as they were read, if they have columns.
        warnings: Lines about data that make results look better or worse than they are.
        space: The coordinates in which the tasks' models are merged.
        view: The tasks' rows, to look at.

    Raises:
        TaskError: There are no tasks, two have one name, the model has NaN, or tasks name parameters that it lacks.
    """

    model: nn.Module
    tasks: tuple[Task, ...]
    facts: tuple[tuple[str, str], ...] = ()
    save: Callable[[nn.Module, Path], None] = save_tensors
    read: Callable[[nn.Module, Task, Expert], Params] = read_tensors
    own_name: Callable[[str], str] = str
    fresh: frozenset[str] = frozenset()
    rows: "Mapping[str, RawRows]" = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    space: Space = OWN
    view: RowsView = field(default_factory=TensorRows)

    __repr__ = one_line

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if len(names) < 2:
            raise TaskError(f"{len(names)} tasks were given; weighting needs at least two")
        if len(set(names)) != len(names):
            raise TaskError(f"two tasks have one name: {', '.join(sorted(names))}; give each its own")
        if len({task.unit for task in self.tasks}) > 1:
            raise TaskError(
                "tasks of different units (example, token) cannot be weighed against each other; choose one unit"
            )
        bad = first_nonfinite(tensors_of(self.model))
        if bad is not None:
            raise TaskError(f"the pretrained model holds NaN or infinity in {bad}; its checkpoint is damaged")
        own = set(parameters_of(self.model))
        for task in self.tasks:
            if task.names is not None and not task.names <= own:
                raise TaskError(
                    f"task {task.name!r} names parameters that the model lacks:"
                    f" {', '.join(sorted(task.names - own)[:3])}"
                )
        if not self.fresh <= own:
            raise TaskError(f"fresh names parameters that the model lacks: {', '.join(sorted(self.fresh - own)[:3])}")

    @property
    def names(self) -> list[str]:
        """List the tasks' names."""
        return [task.name for task in self.tasks]

    @property
    def trained(self) -> frozenset[str]:
        """Name the parameters that some task has; all others stay as they are."""
        return frozenset().union(*(self.names_of(task) for task in self.tasks))

    def names_of(self, task: Task) -> frozenset[str]:
        """Name the parameters that a task has."""
        return frozenset(parameters_of(self.model)) if task.names is None else task.names

    @property
    def has_private_heads(self) -> bool:
        """Tell whether some parameters belong to some tasks only, so that joint runs without these never train them."""
        return len({self.names_of(task) for task in self.tasks}) > 1

    def base(self) -> str:
        """Hash the content of the pretrained params."""
        return digest(parameters_of(self.model) | buffers_of(self.model) | scales_of(self.model))


def text_digest(parts: Iterable[object]) -> str:
    """Hash the text of some values.

    >>> text_digest(["a", 1]) == text_digest(["a", "1"])
    False
    """
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{part!r}\0".encode())
    return total.hexdigest()
