"""Faults of recipes as sentences: the place, what is wrong there, and what is allowed."""

from annotated_types import Le
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from foretaste.field_names import suggestion
from foretaste.located import line_of
from foretaste.plan import Curvature, Ensemble, Finetune, Joint, Preview, Recipe, Recommend, Variational
from foretaste.sources.finetune_plan import TaskFinetune
from foretaste.sources.plans import DigitsModel, FunctionModel, Harness, MemoryModel, TaskData, TransformersModel

__all__ = ["fault_line"]

_CHARACTERS_IN_MESSAGE = 100  # characters of a wrong value
_PLACES = {
    "transformers": "model",
    "function": "model",
    "digits": "model",
    "memory": "model",
    "harness": "model.harness",
    "tasks": "tasks.NAME",
    "finetune.tasks": "finetune.tasks.NAME",
}
_PARTS: dict[str, type[BaseModel]] = {
    "transformers": TransformersModel,
    "harness": Harness,
    "function": FunctionModel,
    "digits": DigitsModel,
    "memory": MemoryModel,
    "tasks": TaskData,
    "finetune": Finetune,
    "finetune.tasks": TaskFinetune,
    "curvature": Curvature,
    "ensemble": Ensemble,
    "variational": Variational,
    "preview": Preview,
    "joint": Joint,
    "recommend": Recommend,
}


def fault_line(fault: ErrorDetails, file: str, text: str) -> str:
    """Write one of pydantic's faults with file, line and field, what was found and what is allowed.

    Args:
        fault: The fault, of the recipe as a whole.
        file: Name of the recipe's file.
        text: The recipe's text.

    >>> from pydantic import ValidationError
    >>> try:
    ...     Recipe.model_validate({"name": "", "model": {"source": "digits"}})
    ... except ValidationError as error:
    ...     fault_line(error.errors()[0], "study.yaml", "{name: '', model: {source: digits}}")
    "study.yaml, line 1, name: String should have at least 1 character; found ''"
    """
    location, value = fault["loc"], fault["input"]
    field = [str(part) for place, part in enumerate(location) if (location[0], place) != ("model", 1)]
    value_text = f"; found {_shorten(value)}" if isinstance(value, str | int | float) else ""
    field_text = f", {'.'.join(field)}" if field else ""
    message = _message(fault).removeprefix("Value error, ")
    return f"{file}, line {line_of(text, field)}{field_text}: {message}{value_text}"


def _message(fault: ErrorDetails) -> str:
    """Write pydantic's message, with the field's bound for a number, and with known fields for an unknown one."""
    if fault["type"] in ("int_parsing", "int_parsing_size"):
        field = _part_of(fault).model_fields.get(str(fault["loc"][-1]))
        bound = (
            next((constraint.le for constraint in field.metadata if isinstance(constraint, Le)), None)
            if field
            else None
        )
        return fault["msg"] if bound is None else f"Input should be a valid integer, less than or equal to {bound}"
    if fault["type"] != "extra_forbidden":
        return fault["msg"]
    note: dict[str, list[str]] = {"": list(Recipe.model_fields)}
    for name, part in _PARTS.items():
        if part is not TaskFinetune:  # its fields are those of other parts, which are meant more often
            note.setdefault(_PLACES.get(name, name), []).extend(part.model_fields)
    name = _part_name(fault)
    return (
        "unknown field;"
        f" {suggestion(str(fault['loc'][-1]), _PLACES.get(name, name), list(_part_of(fault).model_fields), note)}"
    )


def _part_name(fault: ErrorDetails) -> str:
    """Name the part of the recipe that a fault is in, as in `_PARTS`; empty at the top."""
    top, *rest = (str(part) for part in fault["loc"])
    name = rest[-2] if top == "model" and len(rest) > 1 else top
    if top == "finetune" and rest[:1] == ["tasks"] and len(rest) > 2:
        name = "finetune.tasks"
    return name if rest and name in _PARTS else ""


def _part_of(fault: ErrorDetails) -> type[BaseModel]:
    return _PARTS.get(_part_name(fault), Recipe)


def _shorten(value: str | float) -> str:
    """Write a value as Python does, and cut it where it is long."""
    try:
        text = repr(value)
    except ValueError:
        text = "a number of thousands of digits"
    return text if len(text) <= _CHARACTERS_IN_MESSAGE else f"{text[:_CHARACTERS_IN_MESSAGE]}..."
