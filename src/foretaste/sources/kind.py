"""One kind of model: everything that depends on it, as a frozen row of `foretaste.sources.kinds`.

A reference such as ``"foretaste.loss.cross_entropy:CrossEntropy"`` is imported when it is first needed. So a row costs
nothing, and an optional library may be missing.
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
    """One kind of model, which is a row of the table of kinds.

    Args:
        name: The name in recipes, under ``model.kind``.
        auto_class: Reference to the class whose ``from_pretrained`` loads a checkpoint; it may be any library's.
        load: Function from this row, a `ModelRequest` and the tasks' requests to a `Problem`; or a reference to one.
        preparation: Reference to the function or class that the loader calls for rows, examples and batches.
        predict: Reference to the function from a model and a batch to outputs.
        loss: Reference to the loss, a class without arguments.
        metric: Reference to the function from a metric's name to the metric.
        metrics: Names of the metrics that a recipe may name; the first is the headline if a recipe names none.
        columns: A short description of each column that tasks may have, by role.
        required: Roles whose columns a task must name.
        formats: Sets of roles that make up a row, the usual one first; empty if all roles belong to one form of rows.
        units: The units that losses may be means over; the first is the default.
        has_heads: Whether tasks may have private heads.
        reads_text: Whether its rows are texts, which have a longest length.
        writes_text: Whether a model can write texts, which metrics of texts need.
        harness: Whether lm-evaluation-harness can measure such a model.
        trainers: Other trainers that can be configured for this kind, each with its own word for such training.
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
    reads_text: bool = False
    writes_text: bool = False
    harness: bool = False
    trainers: Mapping[str, str] = field(default_factory=dict)
    peft_type: str | None = None
    template: str | None = None

    __repr__ = one_line

    @property
    def model_class(self) -> "type[transformers.PreTrainedModel]":
        """Import the class whose ``from_pretrained`` loads a checkpoint."""
        return cast("type[transformers.PreTrainedModel]", _resolve(self.auto_class))

    @property
    def headline(self) -> str:
        """Return the metric that tasks are judged by if a recipe names none."""
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
        """Make the object that turns rows into examples, and examples into batches.

        Its arguments and type are a matter of the loader.
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
    """Import the object that a reference ``module:name`` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
