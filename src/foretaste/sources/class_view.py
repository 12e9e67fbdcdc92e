"""Rows of classification to look at: texts with their labels, and images by their size."""

from collections.abc import Mapping

from foretaste.sources.class_rows import ClassRows
from foretaste.sources.extra import PIL
from foretaste.sources.rows_view import RowsView, RowView
from foretaste.task import Task

__all__ = ["ClassView"]


class ClassView(RowsView):
    """Rows of texts or images with labels.

    Args:
        data: The rows of every task, by its name.
    """

    def __init__(self, data: Mapping[str, ClassRows]) -> None:
        self._data = data

    def row(self, task: Task, index: int) -> RowView:
        data = self._data[task.name]
        row, label = data.train[index], data.values[0][index]
        facts: dict[str, object] = {}
        text = []
        for name in data.plan.inputs:
            value = row[name]
            if isinstance(value, PIL.Image.Image):
                facts[name] = f"image of {value.width} x {value.height} pixels"
            else:
                text.append((str(value), False))
        for name, tensor in task.train[index].items():
            if name == "input_ids":
                facts["tokens"] = len(tensor)
            elif name == "pixel_values":
                facts["the model sees"] = f"tensor of {' x '.join(map(str, tensor.shape))}"
        return RowView(" and ".join([*data.plan.inputs, data.plan.label]), text, {**facts, "label": label})
