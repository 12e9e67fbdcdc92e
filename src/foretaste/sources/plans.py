"""The parts of a recipe for the model and the tasks' data, with defaults and bounds."""

import datetime
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
)
from pydantic_core import PydanticCustomError

from foretaste import bounds
from foretaste.errors import MissingExtra, RecipeError
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import column_description, column_roles, kind_named, kinds, metric_names
from foretaste.sources.request import Attention, Dtype, Format, HarnessOptions, ModelRequest, Quantization, TaskRequest

__all__ = [
    "DigitsModel",
    "DigitsTasks",
    "FunctionModel",
    "Harness",
    "MemoryModel",
    "RecipePart",
    "TaskData",
    "TransformersModel",
    "suit_kind",
]

DigitsTasks = Literal["groups", "views"]

_HARNESS_METRIC = r"^[^\s:]+:[^\s:]+(:[^\s:]+)?$"


def _check_metric(name: str) -> str:
    """Check that a metric belongs to some kind of model, or has the form of one of lm-evaluation-harness."""
    if name not in metric_names() and not re.match(_HARNESS_METRIC, name):
        metrics = ", ".join(repr(metric) for metric in metric_names())
        advice = "or, of lm-evaluation-harness, TASK:METRIC or TASK:METRIC:FILTER"
        raise PydanticCustomError("metric", "Input should be {listed}; {advice}", {"listed": metrics, "advice": advice})
    return name


def _check_kind(name: str) -> str:
    """Check that the table of kinds has a name."""
    try:
        return kind_named(name).name
    except RecipeError as error:
        raise PydanticCustomError("kind", "{message}", {"message": str(error)}) from None


def _list_metrics(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"enum": list(metric_names())}, {"type": "string", "pattern": _HARNESS_METRIC}]
    del schema["type"]


def _list_kinds(schema: dict[str, Any]) -> None:
    schema["enum"] = [kind.name for kind in kinds()]


_Metric = Annotated[str, AfterValidator(_check_metric), Field(json_schema_extra=_list_metrics)]


_Kind = Annotated[str, AfterValidator(_check_kind), Field(json_schema_extra=_list_kinds)]


class RecipePart(BaseModel):
    """A part of a recipe, which is immutable and allows no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Harness(RecipePart):
    """The options of lm-evaluation-harness for all of its metrics."""

    tasks: str | None = Field(None, description="folder with YAML files of tasks of your own (relative to this file)")
    num_fewshot: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="examples in a prompt, unless a task allows none; as the task says if left out",
    )
    limit: int | None = Field(
        None, ge=1, le=bounds.ROWS, description="at most so many documents of each task; all if left out"
    )
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description="requests per forward pass; 8 if left out")
    chat_template: bool | None = Field(
        None, description="put prompts into the tokenizer's chat template; bare if left out"
    )


class TransformersModel(RecipePart):
    """A Hugging Face model, from a folder or the hub."""

    source: Literal["transformers"]
    path: str = Field(description="checkpoint folder (relative to this file) or hub id")
    kind: _Kind
    head: Literal["auto", "shared", "private"] = Field(
        "auto", description="one head per distinct label set, one for all, or one each"
    )
    max_length: int = Field(
        128,
        ge=4,
        le=bounds.TOKENS,
        description="longest text, in tokens: a prompt and its completion together, a source and its target each",
    )
    unit: Literal["example", "token"] | None = Field(
        None, description="what a language model's losses are means over: label tokens if left out, or examples"
    )
    max_new_tokens: int | None = Field(
        None, ge=1, le=bounds.TOKENS, description="most tokens written for bleu and chrf; 64 if left out"
    )
    dtype: Dtype = Field(
        "auto",
        description=(
            "number format of the params that LoRA leaves frozen: auto keeps bfloat16 where the checkpoint has it and"
            " the device is fast in it; what is trained is float32"
        ),
    )
    attention: Attention | None = Field(None, description="how attention is computed; transformers' choice if left out")
    quantization: Quantization | None = Field(
        None,
        description=(
            "bits of the linear layers' weights that LoRA leaves frozen: nf4 for 4, int8 for 8; as dtype if left out"
        ),
    )
    date: datetime.date | None = Field(
        None,
        description=(
            "the day that chats are of where their template writes one; if left out, that which the template names, or"
            " 2024-07-26"
        ),
    )
    harness: Harness | None = Field(None, description="how metrics of lm-evaluation-harness are measured")

    @property
    def row(self) -> ModelKind:
        """Look up the kind's row in the table of kinds."""
        return kind_named(self.kind)

    def request(self, seed: int, *, frozen: bool = False) -> ModelRequest:
        """Make the request for this model.

        Args:
            seed: Seed of new parameters.
            frozen: Whether the pretrained params stay as they are, so that they can have the format of `dtype`.

        Raises:
            RecipeError: The params are trained, and should have fewer bits than float32.
        """
        if self.dtype == "bfloat16" and not frozen:
            raise RecipeError(
                "dtype bfloat16 is for params that LoRA leaves frozen, and this recipe trains them all; leave it out,"
                " and set finetune.mixed_precision: bf16 to compute in bfloat16"
            ).at("model", "dtype")
        if self.quantization is not None and not frozen:
            raise RecipeError(
                f"quantization {self.quantization} is for weights that LoRA leaves frozen, and this recipe trains them"
                " all; remove this, or set finetune.method: lora"
            ).at("model", "quantization")
        options = None if self.harness is None else HarnessOptions(**self.harness.model_dump())
        return ModelRequest(
            self.path,
            self.head,
            self.max_length,
            self.unit,
            self.max_new_tokens,
            options,
            seed,
            form=Format(self.dtype if frozen else "float32", self.attention, self.quantization),
            date=self.date,
        )


class FunctionModel(RecipePart):
    """A Python function that returns a model and its tasks."""

    source: Literal["function"]
    call: str = Field(pattern=r"^[\w.]+:\w+$", description="module:function")
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the call")


class MemoryModel(RecipePart):
    """A model and tasks that a program had in memory: `foretaste.Study(folder, model=..., tasks=[...])`."""

    source: Literal["memory"]
    architecture: str = Field(description="class of the model, and a hash of its layers")


class DigitsModel(RecipePart):
    """The embedded digits, three tasks with one small network."""

    source: Literal["digits"]
    tasks: DigitsTasks = Field(
        "groups", description="groups of classes, or views: the same digits upright, turned and flipped"
    )


class TaskData(RecipePart):
    """The data, columns and metrics of one task."""

    train: str = Field(description="data file, image folder, or hub id")
    validation: str = Field(description="the same; never trained on")
    text: str | list[str] | None = Field(None, description=column_description("text"))
    image: str | None = Field(None, description=column_description("image"))
    prompt: str | None = Field(None, description=column_description("prompt"))
    completion: str | None = Field(None, description=column_description("completion"))
    messages: str | None = Field(None, description=column_description("messages"))
    tools: str | None = Field(None, description=column_description("tools"))
    source: str | None = Field(None, description=column_description("source"))
    target: str | None = Field(None, description=column_description("target"))
    label: str = Field("label", description="label column")
    labels: list[StrictStr | StrictInt] | None = Field(
        None, description="all labels, in order; taken from the data if left out"
    )
    metrics: list[_Metric] = Field(
        ["accuracy"],
        min_length=1,
        description=(
            "the first is the headline; the kind's own headline if left out; TASK:METRIC is one of"
            " lm-evaluation-harness"
        ),
    )
    max_train: int | None = Field(None, ge=1, le=bounds.ROWS, description="use at most so many training rows")
    max_validation: int | None = Field(None, ge=1, le=bounds.ROWS, description="use at most so many validation rows")
    splits: tuple[str, str] = Field(("train", "validation"), description="names of the splits of a hub data set")
    quoted: bool = Field(
        False, description=".tsv files: fields may stand in quotation marks; if left out, these are text"
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="columns of other roles, which kinds of your own read, by role"
    )

    def request(self, name: str, kind: ModelKind) -> TaskRequest:
        """Make the request for this task's data.

        Args:
            name: The task's name.
            kind: The model's kind, which has the columns and metrics.

        Raises:
            MissingExtra: A metric needs a library that is not installed; the field is named.
        """
        try:
            metrics = tuple(kind.metric_named(metric) for metric in self.metrics)
        except MissingExtra as error:
            raise error.at("tasks", name, "metrics") from error.__cause__
        return TaskRequest(
            name,
            self.train,
            self.validation,
            metrics,
            {role: columns for role in kind.columns if role != "labels" and (columns := self._column(role))},
            tuple(self.labels) if self.labels else None,
            self.max_train,
            self.max_validation,
            self.splits,
            self.quoted,
        )

    def named_roles(self) -> set[str]:
        """Return the roles whose columns the recipe names."""
        return {role for role in column_roles() if role in self.model_fields_set} | set(self.columns)

    def _column(self, role: str) -> str | tuple[str, ...] | None:
        """Return the column of a role, several for pairs of texts, or None if the recipe names none."""
        column = self.columns.get(role) if role not in TaskData.model_fields else getattr(self, role)
        return tuple(column) if isinstance(column, list) else column


def suit_kind(kind: ModelKind, task: Mapping[str, object]) -> dict[str, object]:
    """Add the kind's headline metric to a task, and move columns of the kind's own roles to ``columns``."""
    own = {role: task[role] for role in kind.columns if role in task and role not in TaskData.model_fields}
    rest = {name: value for name, value in task.items() if name not in own}
    usual = [kind.headline] == TaskData.model_fields["metrics"].default
    return {**({} if usual else {"metrics": [kind.headline]}), **rest, **({"columns": own} if own else {})}
