"""One kind of model: all that depends on what a model does, as a frozen row of `foretaste.sources.kinds`.

A reference such as ``"foretaste.loss.cross_entropy:CrossEntropy"`` is imported when it is first needed, so that a row
costs nothing and an optional library may be missing.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from foretaste.one_line import one_line

if TYPE_CHECKING:
    import transformers

    from foretaste.loss.loss import Loss
    from foretaste.loss.unit import Unit
    from foretaste.metric_kinds import AnyMetric
    from foretaste.sources.problem import Problem
    from foretaste.sources.request import HarnessMetric, ModelRequest, TaskRequest
    from foretaste.task import Predict

__all__ = ["ModelKind"]


@dataclass(frozen=True)
class ModelKind:
    """One kind of model: a row of the table.

    Args:
        name: As recipes write it under ``model.kind``.
        auto_class: Reference to the class whose ``from_pretrained`` loads a checkpoint; any library's.
        load: Function of this row, a `ModelRequest` and the tasks' requests that returns a `Problem`; or a reference to
            one.
        preparation: Reference to what makes examples of rows and batches of examples; the loader calls it.
        predict: Reference to the function from a model and a batch to outputs.
        loss: Reference to the loss, which is made without arguments.
        metric: Reference to the function from a metric's name to the metric.
        metrics: Names of the metrics that a recipe may ask for; the first is the headline where a recipe names none.
        columns: What each role of a task's columns is, in a few words, by role.
        required: Roles whose columns a task must name.
        formats: Sets of roles that make up a row, the usual one first; empty if all roles belong to one form of rows.
        units: What losses may be means over; the first is taken if a recipe does not say.
        has_heads: Whether tasks may have heads of their own.
        writes_text: Whether a model can be asked to write, as metrics of texts need.
        harness: Whether lm-evaluation-harness can measure such a model.
        trainers: Other trainers that can be configured for this kind, each with its own word for this training.
        peft_type: PEFT's ``task_type``; None if PEFT has none for this kind.
        template: Name of the recipe that ``foretaste init`` writes; None if it writes none.
    """

    name: str
    auto_class: str
    load: "str | Callable[[ModelKind, ModelRequest, Sequence[TaskRequest]], Problem]"
    preparation: str
    predict: str
    loss: str
    metric: str
    metrics: tuple[str, ...]
    columns: Mapping[str, str]
    required: tuple[str, ...] = ()
    formats: tuple[tuple[str, ...], ...] = ()
    units: "tuple[Unit, ...]" = ("example",)
    has_heads: bool = False
    writes_text: bool = False
    harness: bool = False
    trainers: Mapping[str, str] = field(default_factory=dict)
    peft_type: str | None = None
    template: str | None = None

    __repr__ = one_line

    @property
    def model_class(self) -> "type[transformers.PreTrainedModel]":
        """The class whose ``from_pretrained`` loads a checkpoint."""
        return cast("type[transformers.PreTrainedModel]", _resolve(self.auto_class))

    @property
    def headline(self) -> str:
        """The metric that tasks are judged by where a recipe names none."""
        return self.metrics[0]

    def load_problem(self, model: "ModelRequest", tasks: "Sequence[TaskRequest]") -> "Problem":
        """Load the model and its tasks.

        Raises:
            DataError: Something cannot be read or does not fit; the recipe's field is named.
        """
        loader = _resolve(self.load) if isinstance(self.load, str) else self.load
        return cast("Callable[[ModelKind, ModelRequest, Sequence[TaskRequest]], Problem]", loader)(self, model, tasks)

    def new_loss(self) -> "Loss":
        """Make the loss that tasks of this kind are trained with."""
        return cast("Callable[[], Loss]", _resolve(self.loss))()

    def new_preparation(self, *arguments: object) -> object:
        """Make what turns rows into examples, and examples into batches.

        The loader knows its arguments and its type.
        """
        return cast("Callable[..., object]", _resolve(self.preparation))(*arguments)

    def predictor(self) -> "Predict":
        """Return the function from a model and a batch to outputs."""
        return cast("Predict", _resolve(self.predict))

    def metric_named(self, name: str) -> "AnyMetric | HarnessMetric":
        """Return one of the kind's metrics.

        Raises:
            MissingExtra: The metric needs a library that is not installed.
        """
        return cast("Callable[[str], AnyMetric | HarnessMetric]", _resolve(self.metric))(name)


def _resolve(reference: str) -> object:
    """Import what a reference ``module:name`` stands for."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
