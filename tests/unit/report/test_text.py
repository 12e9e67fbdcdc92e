"""Text of any study fits a terminal and has the numbers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from foretaste.report.summary import Summary, summarise
from foretaste.report.text import agreements, confirmed_table, costs, previews, recommended, render, verdicts
from foretaste.report.wording import number
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import uniform

Study = Callable[..., Summary]
NAMES = ("movies", "news", "questions", "toxicity", "a-task-with-a-very-long-name")


def _text(part: RenderableType, width: int = 120) -> str:
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(part)
    return capture.get()


@pytest.mark.parametrize("width", [50, 60, 80, 120])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("joint", [None, ()])
def test_fits_the_terminal(make: Study, width: int, count: int, joint: tuple[()] | None) -> None:
    found = make(NAMES[:count], joint=joint)
    text = _text(render(found), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert found.recommendation is not None
    assert "single-task" in text
    for value in found.recommendation.expected.values():
        assert f"{value:.3f}" in text
    words = " ".join(text.split())
    assert ("rank correlation of the" in words or "Too few" in words or "nothing to choose" in words) is (joint is None)


def test_the_panel_has_weights_metrics_and_change(make: Study) -> None:
    text = _text(recommended(make(("a", "b"))))
    line = next(line for line in text.splitlines() if " a " in line and "50%" in line)
    found = make(("a", "b")).recommendation
    assert found is not None
    expected = found.expected["a"]
    interval = [number(found.low["a"]), "to", number(found.high["a"])]
    assert line.split()[-7:-1] == [number(expected), *interval, "0.920", number(expected - 0.92)]
    assert "metric: accuracy" in text
    assert "as equal weights." in " ".join(text.replace("│", " ").split())
    assert "Runners-up:" in text


def test_floors_that_are_missed_are_said(make: Study) -> None:
    text = _text(recommended(make(("a", "b"), floors=["all>=0.99"])))
    assert "Floors not met:" in text
    assert "Why:" not in text


def test_metrics_that_differ_are_all_named(make: Study) -> None:
    plain = make(("a", "b"), joint=())
    heads = {"a": Headline("accuracy"), "b": Headline("loss", higher_is_better=False)}
    found = summarise(
        Surface(heads, plain.surface.rows), name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    assert "metrics: a accuracy, b loss (less is better)" in _text(render(found))


def test_previews_are_sorted_limited_and_marked(make: Study) -> None:
    lines = _text(previews(make(("a", "b")), limit=2)).splitlines()
    rows = [line for line in lines if "%" in line]
    assert [row.split()[1] for row in rows] == ["0.783", "0.773"]
    assert rows[0].startswith(">*")
    assert rows[1].startswith(" *")
    assert any("\u2026 and 3 more." in line for line in lines)
    assert "more." not in _text(previews(make(("a", "b"))))


def test_agreement_has_a_row_per_method(make: Study) -> None:
    rows = [line.split() for line in _text(agreements(make(("a", "b")))).splitlines()]
    assert ["simple", "5", "0.020", "1.00", "1.00", "1.00", "0.000", "0.000", "0.083"] in rows
    assert [row[0] for row in rows if len(row) == 9 and row[1] == "5"] == ["simple", "diagonal"]


def test_verdicts_judge_every_method(make: Study) -> None:
    text = _text(verdicts(make(("a", "b"))))
    assert "simple: Trust" in text
    assert "diagonal: Trust" in text


def test_confirmation_beside_the_preview(make: Study) -> None:
    rows = [line.split() for line in _text(confirmed_table(make(("a", "b")))).splitlines()]
    assert ["a", "0.783", "0.803", "+0.020"] in rows
    assert ["the", "mean", "over", "tasks", "0.783", "0.803", "+0.020"] in rows
    assert "Not confirmed" in _text(confirmed_table(make(("a", "b"), joint=())))


def test_costs_are_durations(make: Study) -> None:
    assert "1 min 15 s" in _text(costs(make(("a", "b"))))


def test_names_are_never_markup(make: Study) -> None:
    found = make(("[red]a[/red]", "[/]b"), name="[bold]x", joint=[uniform(("[red]a[/red]", "[/]b"))])
    text = _text(render(found))
    assert "[red]a[/red]" in text
    assert "[/]b" in text
    assert "[bold]x: recommendation" in text


def test_an_empty_study_says_what_to_run() -> None:
    surface = Surface({"a": Headline("accuracy")}, ())
    found = summarise(surface, name="new", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    assert _text(render(found)).strip() == "new: nothing evaluated yet; run `foretaste run RECIPE`"


def test_joint_runs_alone_are_enough_to_recommend(make: Study) -> None:
    text = _text(render(make(("a", "b"), methods=())))
    assert "rests on 3 joint runs, 2 single-task models." in " ".join(text.replace("│", " ").split())
    assert "Runners-up" in text


def test_each_tasks_error_and_rank_are_shown(make: Study) -> None:
    summary = make(("a", "b"))
    rows = [line.split() for line in _text(agreements(summary)).splitlines()]
    for task in summary.tasks:
        expected = [task]
        for found in summary.agreements:
            rank = found.rank[task]
            assert rank is not None
            expected += [number(found.error[task]), f"{rank:.2f}"]
        assert expected in rows


@pytest.mark.parametrize("width", [50, 60, 80, 100, 130])
@pytest.mark.parametrize("methods", [("simple", "anchored"), ("simple", "diagonal", "kronecker", "lowrank", "anchored", "mixture")])
def test_no_number_of_an_agreement_is_cut(make: Study, width: int, methods: tuple[str, ...]) -> None:
    text = _text(agreements(make(NAMES[:5], resolution=2, methods=methods)), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("0.020") == len(methods) * 6
    assert "a-task-with-a-ver" in text
    assert "anchored: without its anchor" not in text  # equal weights were neither previewed nor trained


def test_an_anchor_is_said(make: Study) -> None:
    found = make(("a", "b"), methods=("simple", "anchored"))
    assert "anchored: without its anchor" in " ".join(_text(agreements(found)).split())
    text = _text(confirmed_table(found))
    assert "This joint run anchored the preview" in text
    assert "difference" not in text


def test_unlike_metrics_are_minded(make: Study) -> None:
    made = make(("a", "b"))
    found = replace(
        made, surface=replace(made.surface, headlines={"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy")})
    )
    assert "Mind: The tasks have different metrics" in _text(recommended(found))
    assert "Mind:" not in _text(recommended(made))
