from foretaste.sources.request import ModelRequest, TaskRequest

TASK = TaskRequest(
    "a", "train.csv", "valid.csv", (), {"text": ("premise", "hypothesis"), "label": "class", "prompt": "question"}
)


def test_columns_by_role() -> None:
    assert TASK.inputs == ("premise", "hypothesis", "question")
    assert TASK.label == "class"
    assert TASK.single_columns == {"label": "class", "prompt": "question"}


def test_the_label_column_has_a_usual_name() -> None:
    assert TaskRequest("a", "t", "v", ()).label == "label"


def test_the_two_files_of_a_task() -> None:
    assert TASK.parts == (("train", "train.csv", "train", None), ("validation", "valid.csv", "validation", None))


def test_requests_are_shown_in_one_line() -> None:
    assert "\n" not in repr(TASK) + repr(ModelRequest("gpt2"))
