import pytest

from foretaste.metrics import METRICS
from foretaste.sources.class_warnings import one_class_warnings


@pytest.mark.parametrize(
    ("metrics", "labels", "words"),
    [
        (
            ["accuracy", "f1"],
            {"x"},
            "all 5 validation rows of task 't' have the label 'x': f1 says nothing there; add rows of other labels",
        ),
        (
            ["f1", "mcc"],
            {0},
            (
                "all 5 validation rows of task 't' have the label 0: f1 and mcc say nothing there; add rows of other"
                " labels"
            ),
        ),
        (["accuracy"], {"x"}, None),
        (["mcc"], {"x", "y"}, None),
    ],
)
def test_metrics_of_classes_where_there_is_one(metrics: list[str], labels: set[object], words: str | None) -> None:
    assert one_class_warnings("t", [METRICS[name] for name in metrics], labels, 5) == ((words,) if words else ())
