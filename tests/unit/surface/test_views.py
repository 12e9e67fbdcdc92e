"""Tables that notebooks, terminals and documents share."""

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.surface.views import metrics_of, rows_table, weights_table
from foretaste.weights import TaskWeights

METRICS = {"movies": {"loss": 0.25, "accuracy": 0.9375}, "news": {"loss": 1.5, "f1": 0.5}}
ROW = Evaluation(TaskWeights(["movies", "news"], [0.25, 0.75]), METRICS, Fidelity.PREVIEW, "diagonal")


def test_rows_have_weights_and_all_metrics_the_headline_first() -> None:
    table = rows_table([ROW])
    assert [(column.name, column.parts) for column in table.columns] == [
        ("made by", ()),
        ("movies", ("weight", "accuracy", "loss")),
        ("news", ("weight", "f1", "loss")),
    ]
    assert [cell.parts for cell in table.rows[0]] == [
        ("diagonal",),
        ("25%", "0.938", "0.250"),
        ("75%", "0.500", "1.500"),
    ]


def test_a_headline_may_be_named() -> None:
    assert metrics_of([ROW], "movies", "loss") == ["loss", "accuracy"]
    assert metrics_of([ROW], "movies", "f1") == ["accuracy", "loss"]


def test_metrics_that_only_some_rows_have_are_missing_in_others() -> None:
    fewer = Evaluation(
        ROW.weights, {task: {"loss": found["loss"]} for task, found in METRICS.items()}, Fidelity.PREVIEW, "predictive"
    )
    assert rows_table([fewer, ROW]).rows[0][1].parts == ("25%", "\u2014", "0.250")


def test_long_lists_are_cut_and_counted() -> None:
    table = rows_table([ROW] * 40, hint="--json has all")
    assert (len(table.rows), table.caption) == (30, "\u2026 and 10 more; --json has all.")
    assert rows_table([ROW] * 30).caption == ""


def test_weights_have_intervals_and_changes() -> None:
    weights = {"a": 1.0, "b": 0.0}
    table = weights_table(
        weights, {"a": 0.9, "b": 0.5}, {"a": 0.8, "b": 0.4}, {"a": 0.95, "b": 0.6}, {"a": 0.92}, "title"
    )
    assert [cell.parts[0] for cell in table.rows[0]] == ["a", "100%", "0.900", "0.800 to 0.950", "0.920", "-0.020"]
    assert [cell.parts[0] for cell in table.rows[1]][-2:] == ["\u2014", "\u2014"]
    assert [row[1].share for row in table.rows] == [1.0, 0.0]
    assert len(weights_table(weights, weights, weights, weights).columns) == 4
