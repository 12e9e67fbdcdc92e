import json
from io import StringIO

from rich.console import Console, RenderableType

from foretaste.report.tables import checked, fitted, row_json, rows
from foretaste.task import Evaluation, Fidelity
from foretaste.weights import TaskWeights

METRICS = {"movies": {"loss": 0.25, "accuracy": 0.9375}, "news": {"loss": 1.5, "f1": 0.5}}
ROW = Evaluation(TaskWeights(["movies", "news"], [0.25, 0.75]), METRICS, Fidelity.PREVIEW, "diagonal", seed=3, cost=0.5)


def printed(shown: RenderableType) -> str:
    out = StringIO()
    Console(file=out, width=140).print(shown)
    return out.getvalue()


def test_a_checked_recipe() -> None:
    tasks = {
        "movies": {"train": 1000, "validation": 200, "classes": 2, "metrics": ["accuracy", "mcc"]},
        "news": {"train": 50, "validation": 10, "classes": 0, "metrics": ["f1"]},
    }
    text = printed(checked(tasks, 1_234_567, (2, 1), 66))
    assert "the recipe is fine" in text
    movies, news = (next(line for line in text.splitlines() if name in line) for name in ("movies", "news"))
    assert [word for word in movies.replace("│", " ").split() if word] == ["movies", "1000", "200", "2", "accuracy,", "mcc"]
    assert " ? " in news
    assert "1,234,567 parameters" in text
    words = " ".join(text.split())
    assert "2 single-task runs, 66 weightings per preview method and at most 1 joint run" in words


def test_fitted_tasks() -> None:
    text = printed(fitted({"movies": {"params": "a" * 64, "site": "b" * 64, "seconds": 75.0}}))
    assert f" {'a' * 16} " in text
    assert f" {'b' * 16} " in text
    assert "1 min 15 s" in text


def test_evaluations() -> None:
    joint = Evaluation(ROW.weights, METRICS, Fidelity.JOINT, "joint")
    lines = printed(rows([ROW, joint])).splitlines()
    assert all(heading in lines[1] for heading in ("α movies", "α news", "made by", "movies loss", "movies accuracy", "news f1"))
    first, second = ([cell.strip() for cell in line.split("│")[1:-1]] for line in lines[3:5])
    assert first == ["25%", "75%", "diagonal", "0.250", "0.938", "1.500", "0.500"]
    assert second[2] == "joint"


def test_metrics_that_only_some_rows_have() -> None:
    fewer = {task: {"loss": found["loss"]} for task, found in METRICS.items()}
    lines = printed(rows([Evaluation(ROW.weights, fewer, Fidelity.PREVIEW, "ensemble"), ROW])).splitlines()
    assert all(heading in lines[1] for heading in ("movies loss", "movies accuracy", "news f1"))
    first, second = ([cell.strip() for cell in line.split("│")[1:-1]] for line in lines[3:5])
    assert first == ["25%", "75%", "ensemble", "0.250", "\u2014", "1.500", "\u2014"]
    assert second == ["25%", "75%", "diagonal", "0.250", "0.938", "1.500", "0.500"]


def test_an_evaluation_as_json() -> None:
    found = row_json(ROW)
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "weights": {"movies": 0.25, "news": 0.75},
        "fidelity": "preview",
        "method": "diagonal",
        "seed": 3,
        "metrics": METRICS,
        "cost": 0.5,
    }


def test_many_rows_are_cut_and_counted() -> None:
    shown = printed(rows([ROW] * 40))
    assert "and 10 more" in shown
    assert "more" not in printed(rows([ROW] * 30))
