"""The part of a recipe that says how every model is trained, with defaults and bounds."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from foretaste import bounds
from foretaste.sources.plans import RecipePart

__all__ = ["LORA", "Finetune", "TaskFinetune"]

_LORA_DEFAULTS: Mapping[str, float] = {"r": 16, "dropout": 0.0, "rslora": False, "train_a": True}
# Fields of `Finetune` that say what is trained.
LORA = ("method", "r", "alpha", "targets", "dropout", "rslora", "train_a")

# Fields that are no settings of a run, or become some once the tasks' rows are counted.
_NO_NUMBERS = ("freeze", "track", "gradient_checkpointing", "epochs", "tasks")


class TaskFinetune(RecipePart):
    """How one task's own run differs from what `Finetune` says for all tasks."""

    steps: int | None = Field(None, ge=1, le=bounds.STEPS, description="optimiser steps of the task's own runs")
    epochs: float | None = Field(
        None, gt=0, le=bounds.EPOCHS, description="instead of steps: passes over the task's training rows"
    )
    learning_rate: float | None = Field(None, gt=0, lt=1e30, description="largest learning rate of the task's own runs")
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description="examples per step of the task's own runs")
    max_length: int | None = Field(
        None,
        ge=4,
        le=bounds.TOKENS,
        description="longest text of the task's rows, in tokens, in every run and evaluation; as in model if left out",
    )


class Finetune(RecipePart):
    """How every model is trained, alone and jointly."""

    steps: int = Field(300, ge=1, le=bounds.STEPS, description="optimiser steps of every run")
    epochs: float | None = Field(
        None, gt=0, le=bounds.EPOCHS, description="instead of steps: passes of every run over the rows of its tasks"
    )
    batch_size: int = Field(32, ge=1, le=bounds.BATCH, description="examples per step, of all tasks together")
    learning_rate: float = Field(5e-5, gt=0, lt=1e30, description="largest learning rate, reached after the warmup")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or stochastic gradient descent")
    weight_decay: float = Field(0.0, ge=0, lt=1e30, description="the optimiser's pull towards zero, at every step")
    prior_precision: float = Field(
        0.0, ge=0, lt=1e30, description="pull towards the pretrained params, on the scale of the mean loss"
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    decay: Literal["linear", "cosine", "constant"] = Field("linear", description="how the learning rate falls")
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient; null for no bound")
    micro_batch: int | None = Field(
        None, ge=1, le=bounds.BATCH, description="examples per backward pass, where a batch does not fit"
    )
    mixed_precision: Literal["no", "bf16", "fp16"] = Field("no", description="number format of the forward pass")
    gradient_checkpointing: bool = Field(
        False, description="compute activations again in the backward pass: less memory, a third more time"
    )
    batch_norm: Literal["update", "freeze"] = Field(
        "update", description="train batch-norm statistics, or keep the pretrained ones"
    )
    freeze: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description=(
            "modules that keep the pretrained params, by the ends of their names, such as embeddings or"
            " encoder.layer.[0-2]"
        ),
    )
    tasks: dict[str, TaskFinetune] | None = Field(
        None, description="what differs in the own runs of some tasks, by task: steps or epochs, learning_rate, ..."
    )
    track: Literal["tensorboard", "wandb", "mlflow"] | None = Field(
        None, description="tracker that every training run is logged to; results do not depend on it"
    )
    method: Literal["full", "lora"] | None = Field(
        None, description="what is trained: all params (full, if left out) or LoRA factors"
    )
    r: int | None = Field(
        None, ge=1, le=bounds.RANK, validate_default=True, description="lora: rank of the factors; 16 if left out"
    )
    alpha: float | None = Field(
        None,
        gt=0,
        lt=1e30,
        validate_default=True,
        description="lora: the update is alpha / r times B A; 2 r if left out",
    )
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="lora: names of layers, or all-linear; PEFT's choice for the architecture if left out"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, validate_default=True, description="lora: before the factors, in training; 0 if left out"
    )
    rslora: bool | None = Field(None, validate_default=True, description="lora: divide alpha by the root of r")
    train_a: bool | None = Field(
        None, validate_default=True, description="lora: false trains B alone; A stays the same in all tasks"
    )

    @field_validator("method")
    @classmethod
    def _omit_usual_method(cls, method: str | None) -> str | None:
        """The usual method is the one left out: recipes from before there was another keep their identity."""
        return None if method == "full" else method

    @field_validator("alpha", *_LORA_DEFAULTS)
    @classmethod
    def _write_out_defaults(cls, value: float | None, info: ValidationInfo) -> float | None:
        """LoRA's defaults are written out, so that a recipe that says them asks the same question."""
        if value is not None or info.data.get("method") != "lora":
            return value
        return 2.0 * info.data.get("r", 1) if info.field_name == "alpha" else _LORA_DEFAULTS[str(info.field_name)]

    @property
    def numbers(self) -> dict[str, Any]:
        """What a run is trained by, whichever params it trains."""
        return self.model_dump(exclude={*LORA, *_NO_NUMBERS})

    def of_task(self, name: str) -> TaskFinetune:
        """Return what differs in a task's own runs.

        >>> Finetune(tasks={"code": TaskFinetune(steps=9)}).of_task("code").steps
        9
        """
        return (self.tasks or {}).get(name, TaskFinetune())
