"""Plans: what a recipe can say, part by part, with defaults and bounds."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from foretaste import bounds
from foretaste.errors import RecipeError, WeightsError
from foretaste.method_table import METHOD_TABLE, check_method_name
from foretaste.sources.finetune_plan import LORA, Finetune
from foretaste.sources.plans import (
    DigitsModel,
    FunctionModel,
    MemoryModel,
    RecipePart,
    TaskData,
    TransformersModel,
    suit_kind,
)
from foretaste.surface.preference import Floor, Preference

__all__ = [
    "LORA",
    "Curvature",
    "Ensemble",
    "Finetune",
    "Joint",
    "MethodName",
    "Preview",
    "Recipe",
    "Recommend",
    "Resources",
    "Variational",
]

# Fields of parts that one study can change, since results do not depend on them but for roundings.
_FREE = (
    *(("preview", name) for name in ("methods", "points", "batch_size")),
    ("joint", "points"),
    *(("finetune", name) for name in ("track", "gradient_checkpointing")),
    *(("model", name) for name in ("dtype", "attention")),  # the params' hash tells their format
)


class Curvature(RecipePart):
    """How each task's curvature is estimated."""

    estimator: Literal["fisher"] = Field("fisher", description="the Fisher information")
    labels: Literal["sampled", "empirical", "exact"] = Field("sampled", description="the model's, the data's, or all")
    max_examples: int | None = Field(1000, ge=1, le=bounds.ROWS, description="most training rows of a task, or null")
    batch_size: int = Field(32, ge=1, le=bounds.BATCH, description="examples per pass")


class Ensemble(RecipePart):
    """Several runs per task, for the methods that want them (mixture, lowrank and the controls)."""

    members: int = Field(3, ge=1, le=1000, description="runs per task, the first included")
    blocks: Literal["whole", "tensor"] = Field(
        "whole", description="one responsibility for all params, or one for each tensor"
    )
    temperatures: list[Annotated[float, Field(gt=0, lt=1e30)]] = Field(
        [1.0],
        min_length=1,
        description="of the mixture's responsibilities, one merge after the other: falling ones anneal",
    )


class Variational(RecipePart):
    """How the method `variational` trains: IVON, with the batches and steps of `finetune`."""

    learning_rate: float = Field(0.1, gt=0, lt=1e30, description="of a step in units of hessian_init")
    hessian_init: float = Field(0.1, gt=0, lt=1e30, description="first guess of the mean loss's curvature")
    ess: float | None = Field(
        None, gt=0, lt=1e30, description="effective sample size; ten times the task's training examples if left out"
    )


def _check_method(name: str) -> str:
    try:
        return check_method_name(name)
    except RecipeError as error:
        raise PydanticCustomError("method", "{error}", {"error": str(error)}) from None


MethodName = Annotated[
    str, AfterValidator(_check_method), WithJsonSchema({"type": "string", "enum": list(METHOD_TABLE)})
]


class Preview(RecipePart):
    """Which previews are made."""

    methods: list[MethodName] = Field(
        ["simple", "anchored"], min_length=1, description="the last one is recommended from"
    )
    points: int = Field(66, ge=2, le=bounds.POINTS, description="at most so many weightings over the simplex")
    prior_precision: float | Literal["mean", "auto"] = Field(
        "auto",
        description=(
            "delta of the merge: 'auto' by validation loss, per method; 'mean' curvature of the tasks; or a number"
        ),
    )
    batch_norm: Literal["reestimate", "average"] = Field(
        "reestimate", description="statistics from the tasks' data where finetune updates them, or averaged by alpha"
    )
    batch_size: int = Field(128, ge=1, le=bounds.BATCH, description="of evaluation")
    mixed_precision: Literal["no", "bf16"] = Field(
        "no",
        description="of every evaluation; bf16 is faster where the processor computes in it, and moves single examples",
    )

    @field_validator("prior_precision")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        if not isinstance(value, str) and not 0 < value < float("inf"):
            raise ValueError("must be 'auto', 'mean' or a finite number above 0")
        return value


class Joint(RecipePart):
    """The joint runs that previews are checked against."""

    points: int = Field(
        7, ge=0, le=bounds.JOINT_RUNS, description="joint runs, spread over the inside and the edges of the simplex"
    )
    realise: Literal["sampling", "loss"] = Field(
        "sampling", description="alpha as share of examples, or factor of losses"
    )
    steps: Annotated[int, Field(ge=1, le=bounds.STEPS)] | Literal["all"] | None = Field(
        None,
        description=("steps of a joint run; all: as many as the single-task runs together; as in finetune if left out"),
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _number_or_all(cls, value: object) -> object:
        digits = str(value).removesuffix(".0")
        if value in (None, "all") or (digits.isdecimal() and 1 <= int(digits[:20]) <= bounds.STEPS):
            return int(digits) if digits.isdecimal() else value
        raise ValueError(f"should be a whole number from 1 to {bounds.STEPS}, or all")


class Recommend(RecipePart):
    """What to recommend."""

    prefer: str = Field("mean", description="mean, worst, knee, or task=2,other=1")
    floors: list[str] = Field(default_factory=list, description="task>=0.85 or all>=97% (of the single-task metric)")


class Resources(RecipePart):
    """What the work may use; results do not depend on it."""

    workers: int = Field(
        1, ge=1, le=bounds.WORKERS, description="processes of this machine, each on its own device where there are any"
    )


class Recipe(RecipePart):
    """What to study."""

    name: str = Field(min_length=1, max_length=bounds.NAME, description="name of the study in reports")
    seed: int = Field(0, ge=0, lt=bounds.SEED, description="seed of everything that is drawn at random")
    snapshot_seconds: float = Field(20.0, ge=0, lt=1e9, description="time between kept states of unfinished training")
    model: Annotated[TransformersModel | FunctionModel | DigitsModel | MemoryModel, Field(discriminator="source")]
    tasks: dict[Annotated[str, Field(max_length=bounds.NAME)], TaskData] = Field(default_factory=dict)
    finetune: Finetune = Finetune()
    curvature: Curvature = Curvature()
    ensemble: Ensemble = Ensemble()
    variational: Variational = Variational()
    preview: Preview = Preview()
    joint: Joint = Joint()
    recommend: Recommend = Recommend()
    resources: Resources = Resources()

    @field_validator("tasks", mode="before")
    @classmethod
    def _suit_kind(cls, tasks: object, info: ValidationInfo) -> object:
        """Give tasks the default metric of their kind of model, and move columns that only it has to their place."""
        model = info.data.get("model")
        if not isinstance(model, TransformersModel) or not isinstance(tasks, dict):
            return tasks
        return {name: suit_kind(model.row, task) if isinstance(task, dict) else task for name, task in tasks.items()}

    def check_goal(self, tasks: Sequence[str]) -> None:
        """Check that preference and floors are about these tasks.

        Raises:
            WeightsError: They are not; the field is named.
        """
        field = "prefer"
        try:
            Preference.parse(self.recommend.prefer, tasks)
            field = "floors"
            for floor in self.recommend.floors:
                Floor.parse(floor, tasks)
        except WeightsError as error:
            raise error.at("recommend", field) from error.__cause__

    def identity(self) -> dict[str, Any]:
        """The part of the recipe that every number depends on: what one study cannot change.

        Places of files are not in it: a study knows its model and data by their content.
        """
        plan = self.model_dump(mode="json")
        for known_by_content in ("path", "tasks", "date"):
            plan["model"].pop(known_by_content, None)
        if plan["model"].get("harness"):
            identity = {
                name: value for name, value in plan["model"]["harness"].items() if name not in ("tasks", "batch_size")
            }
            plan["model"]["harness"] = {name: value for name, value in identity.items() if value is not None} or None
        for task in plan["tasks"].values():
            del task["train"], task["validation"], task["quoted"]  # the data's hash knows how the files were read
            for later in ("columns", "tools"):  # recipes from before there were these keep their identity
                if not task[later]:
                    del task[later]
        for free in ("name", "recommend", "resources", "snapshot_seconds"):
            del plan[free]
        for part, free in _FREE:
            plan[part].pop(free, None)
        if self.preview.mixed_precision == "no":  # so it was before there was another
            del plan["preview"]["mixed_precision"]
        return plan
