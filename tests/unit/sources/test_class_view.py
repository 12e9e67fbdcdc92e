from pathlib import Path

from checkpoints import Checkpoints, image_folder, table
from foretaste.metrics import METRICS
from foretaste.sources.class_view import ClassView
from foretaste.sources.request import TaskRequest
from foretaste.sources.rows_view import RowView
from foretaste.sources.transformers import load

ACCURACY = (METRICS["accuracy"],)


def test_texts_come_with_their_label(checkpoints: Checkpoints, tmp_path: Path) -> None:
    rows = [{"one": "the film", "other": "fine", "mood": "good"}, {"one": "a book", "other": "dull", "mood": "bad"}]
    file = str(table(tmp_path / "a.jsonl", rows))
    columns: dict[str, str | tuple[str, ...]] = {"text": ("one", "other"), "label": "mood"}
    plans = [TaskRequest(name, file, file, ACCURACY, columns) for name in "ab"]
    problem = load(str(checkpoints.bert), "text-classification", plans, max_length=16)
    assert isinstance(problem.view, ClassView)
    assert problem.view.row(problem.tasks[0], 1) == RowView(
        "one and other and mood", [("a book", False), ("dull", False)], {"tokens": 6, "label": "bad"}
    )


def test_images_are_told_by_their_size(checkpoints: Checkpoints, tmp_path: Path) -> None:
    folder = str(image_folder(tmp_path / "a", 4, 0, ["dark", "light"]))
    plans = [TaskRequest(name, folder, folder, ACCURACY, {"image": "image"}) for name in "ab"]
    problem = load(str(checkpoints.vit), "image-classification", plans)
    assert problem.view.row(problem.tasks[0], 3) == RowView(
        "image and label",
        [],
        {"image": "image of 32 x 32 pixels", "the model sees": "tensor of 3 x 8 x 8", "label": "light"},
    )
