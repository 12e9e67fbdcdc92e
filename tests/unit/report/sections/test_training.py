import math

import pytest

from foretaste.document.blocks import Figures, Section, Table
from foretaste.readable import Record
from foretaste.report.drawing import draw
from foretaste.report.sections.training import fit_section, training_sections
from foretaste.train.curve import RunCurve, training_curve
from summaries import shown

LEARNED: Record = {
    "loss_first": 2.25,
    "loss_last": 0.125,
    "metric": "accuracy",
    "higher_is_better": True,
    "pretrained": 0.1,
    "single_task": 0.9375,
    "seconds": 75.0,
}


def run(name: str, is_joint: bool = False, steps: int = 3, last: float = 1.0) -> RunCurve:
    history = [3.0] * (steps - 1) + [last]
    curve = training_curve(history, {"steps": steps, "learning_rate": 0.1}, 100)
    assert curve is not None
    return RunCurve(name, is_joint, curve, 75.0)


def parts(section: Section) -> tuple[Figures, Table]:
    figures, table = section.blocks
    assert isinstance(figures, Figures)
    assert isinstance(table, Table)
    return figures, table


def test_what_training_did() -> None:
    text = shown([fit_section({"movies": LEARNED})], 80)
    line = next(line for line in text.splitlines() if "movies" in line)
    assert line.split() == ["movies", "2.250", "to", "0.125", "accuracy", "0.100", "0.938", "1", "min", "15", "s"]
    assert "mean of the first tenth of the steps" in " ".join(text.split())
    assert "warning" not in text


def test_an_imported_model_has_dashes() -> None:
    text = shown([fit_section({"movies": LEARNED | {"loss_first": None, "loss_last": None, "pretrained": None}})], 80)
    line = next(line for line in text.splitlines() if "movies" in line)
    assert line.split()[:5] == ["movies", "\u2014", "accuracy", "\u2014", "0.938"]


@pytest.mark.parametrize(
    ("before", "after", "higher", "warns"),
    [
        (0.5, 0.5, True, True),
        (0.5, 0.4, True, True),
        (0.5, 0.6, True, False),
        (2.0, 3.0, False, True),
        (2.0, 1.0, False, False),
        (None, 1.0, True, False),
    ],
)
def test_a_model_that_is_no_better_than_the_pretrained_one(
    before: float | None, after: float, higher: bool, warns: bool
) -> None:
    task = LEARNED | {"pretrained": before, "single_task": after, "higher_is_better": higher}
    text = " ".join(shown([fit_section({"movies": task})]).split())
    assert ("the model of movies is no better than the pretrained model" in text) == warns


def test_nothing_where_no_run_has_a_curve() -> None:
    assert training_sections([]) == []


def test_single_task_runs_have_lines_and_joint_runs_are_one_series() -> None:
    runs = [run("a"), run("b"), run("a 50%, b 50%", True), run("a 25%, b 75%", True)]
    figures, table = parts(training_sections(runs)[0])
    series = figures.figures[0].chart.series
    assert [line.name for line in series] == ["2 joint runs", "a", "b"]
    assert series[1].points == ((1.0, 3.0), (2.0, 3.0), (3.0, 1.0))
    assert series[1].texts[-1] == ("a", "step 3: loss 1.000, learning rate 0.0333")
    assert [math.isnan(loss) for _, loss in series[0].points] == [False, False, False, True, False, False, False]
    assert [row[0].parts[0] for row in table.rows] == ["a", "b", "joint, a 50%, b 50%", "joint, a 25%, b 75%"]
    assert table.folded == "4 runs: steps, training loss, time"
    assert figures.figures[0].caption.startswith("2 single-task runs and 2 joint runs.")
    drawn = draw(figures.figures[0].chart)
    assert [trace.mode for trace in drawn.data] == ["lines"] * 3
    assert "NaN" not in str(drawn.to_json())


def test_points_are_means_of_the_tenth_of_the_run_before_them() -> None:
    curve = training_curve([float(step) for step in range(40)], {}, 100)
    assert curve is not None
    figures, _ = parts(training_sections([RunCurve("a", False, curve, 1.0)])[0])
    points = figures.figures[0].chart.series[0].points
    assert points[:4] == ((1.0, 0.0), (2.0, 0.5), (3.0, 1.0), (4.0, 1.5))
    assert points[-1] == (40.0, 37.5)  # the mean of 36, 37, 38 and 39


def test_a_loss_that_did_not_fall_is_named() -> None:
    figures, _ = parts(training_sections([run("a"), run("b", last=4.0)])[0])
    assert "The loss did not fall for b." in figures.figures[0].caption


@pytest.mark.parametrize(("count", "most"), [(1, 100), (10, 100), (20, 50), (100, 10), (1000, 10)])
def test_the_figure_stays_light(count: int, most: int) -> None:
    figures, _ = parts(training_sections([run(str(number), steps=1000) for number in range(count)])[0])
    for series in figures.figures[0].chart.series:
        assert 1 < len(series.points) <= most
        assert series.points[-1][0] == 1000.0
