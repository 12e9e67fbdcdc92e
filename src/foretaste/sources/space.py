"""The coordinates in which the tasks' models are merged: by default the params that are trained."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from torch import nn

from foretaste.params import Params, parameters_of, snapshot
from foretaste.task import Task

__all__ = ["OWN", "Space"]


class Space:
    """Coordinates of the tasks' models; these are the trained params themselves.

    Attributes:
        name: A part of the keys of work; empty for the trained params.
    """

    name = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def inputs(self) -> dict[str, object]:
        """Return what keys of work hold of these coordinates.

        >>> OWN.inputs
        {}
        """
        return {"space": self.name} if self.name else {}

    def extended(self, modules: Collection[str], own_name: Callable[[str], str]) -> "Space":
        """Return these coordinates with the layers that imported adapters change.

        Args:
            modules: Names of the layers in the adapters.
            own_name: Function from a tensor's name in the study's model to its name in a task's own model.

        >>> OWN.extended(["q"], str) is OWN
        True
        """
        return self

    def lent(self, model: nn.Module, names: Collection[str] | None, params: Params) -> Params:
        """Return a run's params as a model can be lent them.

        Args:
            model: The pretrained model.
            names: Names of the parameters that the task has; None for all.
            params: What the run came to, as the study keeps it.

        >>> OWN.lent(nn.Linear(1, 1), None, {})
        {}
        """
        return params

    def prior_mean(self, model: nn.Module, trained: Collection[str]) -> Params:
        """Return the pretrained params in these coordinates.

        Args:
            model: The pretrained model.
            trained: Names of the parameters that some task has.

        >>> sorted(OWN.prior_mean(nn.Linear(1, 1), ["bias"]))
        ['bias']
        """
        return snapshot(parameters_of(model, trained))

    def center(self, model: nn.Module, names: Collection[str] | None, params: Params) -> Params:
        """Return a run's params in these coordinates, as far as the task has them.

        Args:
            model: The pretrained model.
            names: Names of the parameters that the task has; None for all.
            params: What the run came to, as the study keeps it.

        >>> import torch
        >>> list(OWN.center(nn.Linear(1, 1), ["bias"], {"bias": torch.ones(1), "weight": torch.ones(1, 1)}))
        ['bias']
        """
        return {name: params[name] for name in parameters_of(model, names)}

    def carried(self, model: nn.Module, params: Params) -> Params:
        """Return a run's buffers.

        >>> OWN.carried(nn.Linear(1, 1), {})
        {}
        """
        own = parameters_of(model)
        return {name: params[name] for name in params if name not in own}

    def check_curvature(self, model: nn.Module) -> None:
        """Check, before any work, that curvature can be estimated in these coordinates.

        Args:
            model: The pretrained model.

        Raises:
            TaskError: It cannot.

        >>> OWN.check_curvature(nn.Linear(1, 1))
        """

    @contextmanager
    def watched(self, model: nn.Module, task: Task) -> Iterator[Task]:
        """Let estimates of curvature see the gradients of these coordinates until the end of the block.

        Args:
            model: The pretrained model.
            task: A task.

        Yields:
            The task, with the names of the tensors in which its curvature is estimated.
        """
        yield task

    def start(self, model: nn.Module, params: Params) -> Params:
        """Return merged params as training starts from them.

        Args:
            model: The pretrained model.
            params: Merged params.

        >>> OWN.start(nn.Linear(1, 1), {})
        {}
        """
        return params


OWN = Space()
