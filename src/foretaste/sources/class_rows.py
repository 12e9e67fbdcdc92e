"""Rows of classification tasks: two files each, their labels, and a digest of everything read."""

from collections.abc import Sequence
from dataclasses import dataclass

from foretaste.errors import DataError
from foretaste.one_line import one_line
from foretaste.sources.data import Label, LabelSet, Part, column, label_set, read_rows, rows_digest
from foretaste.sources.extra import datasets
from foretaste.sources.pretrained import at
from foretaste.sources.problem import text_digest
from foretaste.sources.request import TaskRequest

__all__ = ["ClassRows", "check_rows", "read_parts"]


@dataclass(frozen=True)
class ClassRows:
    """The rows of one classification task, read and checked.

    Args:
        plan: What the recipe asks for.
        train: Training rows.
        validation: Validation rows.
        values: The label of every training row, and of every validation row.
        labels: The task's classes, in order.
        digest: Hash of the rows and of how they are read.
    """

    plan: TaskRequest
    train: "datasets.Dataset"
    validation: "datasets.Dataset"
    values: tuple[list[Label], list[Label]]
    labels: LabelSet
    digest: str

    __repr__ = one_line


def read_parts(plan: TaskRequest) -> list[Part]:
    """Read the training and the validation file of a task.

    Raises:
        DataError: A file is missing or cannot be read; the field is named.
    """
    return [
        Part((field := ("tasks", plan.name, part)), where, at(field, read_rows, where, split, most, quoted=plan.quoted))
        for part, where, split, most in plan.parts
    ]


def check_rows(plan: TaskRequest, parts: Sequence[Part]) -> ClassRows:
    """Find the labels of a task's rows and check that validation rows have no others.

    Args:
        plan: What the recipe asks for.
        parts: Training and validation rows, as `read_parts` returns them.

    Raises:
        DataError: A column cannot be used, or a row has a label that is not allowed; the field is named.
    """
    values_of_parts, sets = [], []
    for part in parts:
        for name in plan.inputs:
            at(part.field, column, part.rows.select([0]), name, part.where)
        values, labels = at(part.field, label_set, part.rows, plan.label, part.where)
        values_of_parts.append(values)
        sets.append(labels)
    allowed = plan.labels or sets[0]
    for part, values in zip(parts, values_of_parts, strict=True):
        _check_labels(values, allowed, part.where, part.field)
    digests = [at(part.field, rows_digest, part.where, part.rows, quoted=plan.quoted) for part in parts]
    digest = text_digest([*digests, plan.inputs, plan.label, allowed])
    train, validation = (part.rows for part in parts)
    return ClassRows(plan, train, validation, (values_of_parts[0], values_of_parts[1]), allowed, digest)


def _check_labels(values: Sequence[Label], allowed: LabelSet, where: str, field: tuple[str, ...]) -> None:
    allowed_set = set(allowed)
    for place, value in enumerate(values):
        if value not in allowed_set:
            names = ", ".join(str(label) for label in allowed[:10]) + (", ..." if len(allowed) > 10 else "")
            raise DataError(
                f"label {value!r} in row {place + 1} of {where} is not one of: {names}; correct the row, or list all"
                " labels under 'labels'"
            ).at(*field)
