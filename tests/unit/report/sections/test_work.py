import json
import re

import pytest

from foretaste.document.blocks import Section
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.records import row_record
from foretaste.report.sections.work import check_section, experts_section, mixture_section, rows_section
from foretaste.weights import TaskWeights, uniform
from summaries import shown

METRICS = {"movies": {"loss": 0.25, "accuracy": 0.9375}, "news": {"loss": 1.5, "f1": 0.5}}
ROW = Evaluation(TaskWeights(["movies", "news"], [0.25, 0.75]), METRICS, Fidelity.PREVIEW, "diagonal", seed=3, cost=0.5)


def printed(section: Section, width: int = 140) -> str:
    return shown([section], width)


def test_a_checked_recipe() -> None:
    tasks = {
        "movies": {"train": 1000, "validation": 200, "classes": 2, "metrics": ["accuracy", "mcc"], "epochs": 2.5},
        "news": {"train": 50, "validation": 10, "classes": 0, "metrics": ["f1"], "epochs": 50.0},
    }
    cost = {"training_steps": 1500, "evaluations": 133, "disk_bytes": 34_600_000, "memory_bytes": 2_000_000_000}
    cost["training_bytes"] = 3_210_000_000
    text = printed(check_section(tasks, 1_234_567, (2, 1), 66, cost, 750.0))
    assert "The recipe is fine" in text
    movies, news = (next(line for line in text.splitlines() if name in line) for name in ("movies", "news"))
    assert [word for word in movies.replace("│", " ").split() if word] == [
        "movies",
        "1000",
        "200",
        "2",
        "2.5",
        "accuracy,",
        "mcc",
    ]
    assert " ? " in news
    assert "1,234,567 parameters" in text
    words = " ".join(text.split())
    assert "Training and evaluating take about 12 min 30 s on this machine" in words
    assert "The study has 1,500 training steps and 133 evaluations of all tasks." in words
    assert "It needs 34.6 MB of disk, and 2 GB of memory for params alone." in words
    assert "A training run takes about 3.21 GB of memory, besides that of the program itself." in words
    assert "2 single-task runs, 66 weightings per preview method and at most 1 joint run" in words


def test_rows_of_language_models_are_measured() -> None:
    facts = {"train": 10, "validation": 5, "classes": 0, "metrics": ["perplexity"], "epochs": 1.0}
    lengths = {"rows": 1500, "median": 31, "p95": 64, "longest": 1024, "cut": 7, "learned": 90, "lost": 1003}
    cost = {"training_steps": 1, "evaluations": 1, "disk_bytes": 1, "memory_bytes": 1, "training_bytes": 1}
    tasks = {"chat": {**facts, "form": "ShareGPT chats", "tokens": lengths}, "digits": facts}
    text = printed(check_section(tasks, 1, (1, 1), 1, cost, 1.0))
    table = text[text.index("Rows in tokens") :]
    (line,) = (line for line in table.splitlines() if line.startswith("chat "))
    assert line.split() == ["chat", "ShareGPT", "chats", "31", "64", "1,024", "7", "of", "1,500", "1,003"]
    assert "digits" not in table
    assert "date" not in text
    chat = {"chat": {**tasks["chat"], "date": "2026-01-31"}}
    words = " ".join(printed(check_section(chat, 1, (1, 1), 1, cost, 1.0)).split())
    assert "The chat template writes the day's date. In this study the day is always 2026-01-31; model.date" in words
    assert "Rows in tokens" not in printed(check_section({"digits": facts}, 1, (1, 1), 1, cost, 1.0))


def test_evaluations() -> None:
    joint = Evaluation(ROW.weights, METRICS, Fidelity.JOINT, "joint")
    lines = printed(rows_section([ROW, joint])).splitlines()
    assert lines[0].split() == ["weight", "weight", "movies", "movies", "news", "news"]
    assert lines[1].split() == ["made", "by", "movies", "news", "accuracy", "loss", "f1", "loss"]
    assert lines[3].split() == ["diagonal", "25%", "75%", "0.938", "0.250", "0.500", "1.500"]
    assert lines[4].split()[0] == "joint"


def test_metrics_that_only_some_rows_have() -> None:
    fewer = {task: {"loss": found["loss"]} for task, found in METRICS.items()}
    lines = printed(rows_section([Evaluation(ROW.weights, fewer, Fidelity.PREVIEW, "predictive"), ROW])).splitlines()
    assert lines[3].split() == ["predictive", "25%", "75%", "\u2014", "0.250", "\u2014", "1.500"]
    assert lines[4].split() == ["diagonal", "25%", "75%", "0.938", "0.250", "0.500", "1.500"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 130])
@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_no_number_is_cut_at_any_width(width: int, count: int) -> None:
    names = ["movies", "news", "hotels", "a-task-with-a-very-long-name", "questions", "e", "f", "g"][:count]
    metrics = {
        name: {"loss": 0.1234 + place, "accuracy": 0.101 + place / 10, "f1": 0.9} for place, name in enumerate(names)
    }
    evaluations = [
        Evaluation(uniform(names), metrics, Fidelity.PREVIEW, "anchored"),
        Evaluation(uniform(names), metrics, Fidelity.JOINT, "joint"),
    ]
    text = printed(rows_section(evaluations * 20), width)
    assert max(map(len, text.splitlines())) <= width
    assert all(text.count(f"{metrics[name]['accuracy']:.3f}") == 30 for name in names)
    assert "and 10 more" in " ".join(text.split())
    assert ("0.900" in text) != ("Other metrics: --json" in " ".join(text.split()))
    assert not re.search("[0-9]…", text)


def test_five_tasks_are_one_line_of_two_at_eighty_columns() -> None:
    names = ["movies", "news", "hotels", "food", "sports"]
    row = Evaluation(
        uniform(names), {name: {"loss": 0.5, "accuracy": 0.5} for name in names}, Fidelity.PREVIEW, "anchored"
    )
    lines = printed(rows_section([row]), 80).splitlines()
    assert lines[3].split() == ["anchored", *["20%"] * 5]
    assert lines[4].split() == ["0.500"] * 5


def test_an_evaluation_as_json() -> None:
    found = row_record(ROW)
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "weights": {"movies": 0.25, "news": 0.75},
        "fidelity": "preview",
        "method": "diagonal",
        "seed": 3,
        "metrics": METRICS,
        "cost": 0.5,
    }


def test_many_rows_are_cut_and_counted() -> None:
    assert "and 10 more" in printed(rows_section([ROW] * 40))
    assert "more" not in printed(rows_section([ROW] * 30))


def test_imported_models() -> None:
    text = printed(experts_section({"code": {"kind": "adapter", "curvature": True, "folder": "/models/[red]code"}}))
    assert text.splitlines()[2].split() == ["code", "adapter", "from", "its", "site", "file", "/models/[red]code"]


def test_a_data_mixture() -> None:
    tasks = {"a": {"rows": 6, "repeats": 1.5, "share_of_units": 0.25}}
    text = printed(mixture_section({"tasks": tasks, "meaning": "Read it once.", "notes": ["one"], "warnings": ["two"]}))
    assert text.splitlines()[2].split() == ["a", "6", "1.500", "25%"]
    assert [line.strip() for line in text.splitlines()[3:]] == ["Read it once.", "warning: two", "note: one"]
