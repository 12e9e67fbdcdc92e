"""Checks of a recipe's model and tasks across fields: columns, metrics and options must suit the kind of model."""

from collections.abc import Mapping

from foretaste.errors import RecipeError
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import column_roles, kinds, list_names
from foretaste.sources.plans import TaskData, TransformersModel

__all__ = ["check_columns", "check_harness", "check_lists", "check_metrics", "check_model"]


def check_lists(task: TaskData, field: tuple[str, str]) -> None:
    """Check that lists repeat nothing, and name one or two text columns and at least two labels.

    Args:
        task: The task's data.
        field: The task's place in the recipe.

    Raises:
        RecipeError: A list is wrong; its field is named.
    """
    for name in ("text", "labels", "metrics"):
        values = getattr(task, name)
        if not isinstance(values, list):
            continue
        repeated = next((value for place, value in enumerate(values) if value in values[:place]), None)
        if repeated is not None:
            raise RecipeError(f"{repeated!r} appears twice; name each once").at(*field, name)
        if name == "text" and len(values) > 2:
            raise RecipeError(f"{len(values)} text columns are named; name one, or two for pairs").at(*field, name)
        if name == "labels" and len(values) < 2:
            raise RecipeError(
                "a task needs at least two labels; name all, or leave this out to take those of the data"
            ).at(*field, name)


def check_columns(kind: ModelKind, task: TaskData, field: tuple[str, str]) -> None:
    """Check that a task names the columns that its kind of model needs, and no others.

    Raises:
        RecipeError: A column is missing, or belongs to another kind of model or form of rows.
    """
    for role in kind.required:
        if not getattr(task, role, None) and role not in task.columns:
            raise RecipeError(f"{kind.name} needs the name of the {role} column in {role!r}").at(*field)
    roles = task.named_roles()
    wrong = next(
        (role for role in (*column_roles(), *task.columns) if role in roles and role not in kind.columns), None
    )
    if wrong is not None:
        raise RecipeError(f"{kind.name} has no use for {wrong!r}; it reads {', '.join(kind.columns)}").at(*field, wrong)
    if not kind.formats:
        return
    if isinstance(task.text, list):
        raise RecipeError(f"{kind.name} reads one text column; for two take 'prompt' and 'completion'").at(
            *field, "text"
        )
    if not any(roles <= {*form, *(("tools",) if "messages" in form else ())} for form in kind.formats):
        by_column = sorted(kind.formats, key=lambda roles: list(kind.columns).index(roles[0]))
        forms = ", or ".join(" and ".join(roles) for roles in by_column)
        raise RecipeError(f"name one kind of rows: {forms}").at(*field)


def check_metrics(kind: ModelKind, task: TaskData, field: tuple[str, str]) -> None:
    """Check that a task's metrics are metrics of its kind of model.

    Raises:
        RecipeError: The kind has no such metric; its field is named.
    """
    for place, metric in enumerate(task.metrics):
        at = (*field, "metrics", str(place))
        if ":" in metric and not kind.harness:
            able = list_names(row for row in kinds() if row.harness)
            raise RecipeError(
                f"{metric} is of lm-evaluation-harness, which is for {able} alone, not {kind.name}; remove this"
            ).at(*at)
        if ":" not in metric and metric not in kind.metrics:
            raise RecipeError(f"{kind.name} is not judged by {metric}; choose from {', '.join(kind.metrics)}").at(*at)


def check_model(model: TransformersModel) -> None:
    """Check that heads, unit, length of answers and the date of chats suit the kind of model.

    Raises:
        RecipeError: An option does not suit it; its field is named.
    """
    if not model.row.has_heads and model.head != "auto":
        raise RecipeError(f"{model.kind} has no heads to share; remove this").at("model", "head")
    if model.unit is not None and model.unit not in model.row.units:
        able = list_names(kind for kind in kinds() if model.unit in kind.units)
        raise RecipeError(f"unit {model.unit!r} is for {able}; remove this").at("model", "unit")
    if model.max_new_tokens is not None and not model.row.writes_text:
        able = list_names(kind for kind in kinds() if kind.writes_text)
        raise RecipeError(f"max_new_tokens {model.max_new_tokens} is for {able}; remove this").at(
            "model", "max_new_tokens"
        )
    if model.date is not None and "messages" not in model.row.columns:
        able = list_names(kind for kind in kinds() if "messages" in kind.columns)
        raise RecipeError(f"date {model.date} is for the chats of {able}; remove this").at("model", "date")


def check_harness(model: TransformersModel, tasks: Mapping[str, TaskData]) -> None:
    """Check that a recipe with options of lm-evaluation-harness has a metric of it.

    Raises:
        RecipeError: No task has such a metric.
    """
    if model.harness is not None and not any(":" in metric for task in tasks.values() for metric in task.metrics):
        advice = "name one among a task's metrics, for example arc_easy:acc, or remove this"
        raise RecipeError(f"no task is judged by a metric of lm-evaluation-harness; {advice}").at("model", "harness")
