import numpy as np
import pytest

from foretaste.errors import StudyError, WeightsError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.surface.preference import Floor, Preference, caution, measure, shortfalls, zero_metric_caution
from foretaste.surface.table import Headline, Surface, oriented
from foretaste.weights import corners

TASKS = ("a", "b")
MEAN = Preference("mean", {})


class TestPreference:
    def test_parse(self) -> None:
        assert Preference.parse("mean", TASKS) == Preference("mean", {})
        assert Preference.parse("worst", TASKS) == Preference("worst", {})
        assert Preference.parse(" b = 3 ", TASKS) == Preference("weighted", {"a": 0.0, "b": 1.0})
        assert Preference.parse("b=1,a=3", TASKS) == Preference("weighted", {"a": 0.75, "b": 0.25})

    @pytest.mark.parametrize("text", ["", "best", "a", "a=1=2", "a=x", "a=1,,b=2"])
    def test_what_cannot_be_read_shows_how(self, text: str) -> None:
        with pytest.raises(WeightsError, match="is not understood; write mean, worst, knee, or for example a=2,b=1"):
            Preference.parse(text, TASKS)

    @pytest.mark.parametrize("text", ["a=0", "a=-1,b=2", "c=1", "a=nan", "a=inf", "a=1,c=0"])
    def test_numbers_that_say_nothing_are_refused(self, text: str) -> None:
        with pytest.raises(WeightsError, match="needs numbers of at least 0, one above 0, for tasks among a, b"):
            Preference.parse(text, TASKS)

    def test_of(self) -> None:
        values = np.array([[0.2, 0.8], [0.6, 0.6]])
        np.testing.assert_allclose(MEAN.of(values), [0.5, 0.6])
        np.testing.assert_allclose(Preference("worst", {}).of(values), [0.2, 0.6])
        np.testing.assert_allclose(Preference.parse("b=3,a=1", TASKS).of(values), [0.65, 0.6])
        np.testing.assert_allclose(
            Preference("worst", {}).of(np.stack([values, values])), np.array([[0.2, 0.6], [0.2, 0.6]])
        )

    def test_as_text(self) -> None:
        assert str(MEAN) == "the mean over tasks"
        assert str(Preference("worst", {})) == "the worst task"
        assert str(Preference.parse("b=3,a=1", TASKS)) == "the mean weighted a 25%, b 75%"


class TestKnee:
    """At the corners: a alone .9 and .1, b alone .5 and .3; so a loses .4, b .2, and b counts twice as much."""

    def surface(self, *tasks: str) -> Surface:
        made = {"a": (0.9, 0.1), "b": (0.5, 0.3)}
        rows = [
            Evaluation(
                w,
                {t: {"accuracy": v} for t, v in zip(TASKS, made[str(w.corner)], strict=True)},
                Fidelity.PREVIEW,
                "simple",
            )
            for w in corners(TASKS)
            if w.corner in tasks
        ]
        return Surface({task: Headline("accuracy") for task in TASKS}, tuple(rows))

    def test_tasks_count_in_units_of_what_they_can_lose(self) -> None:
        found = Preference.parse("knee", TASKS).resolve_knee(self.surface("a", "b"))
        assert found.importance == pytest.approx({"a": 1 / 3, "b": 2 / 3})
        assert str(found) == "the knee of the front (tasks weighted a 33%, b 67%)"
        assert found.resolve_knee(self.surface()) == found

    def test_it_is_where_the_front_is_farthest_from_the_line_between_its_ends(self) -> None:
        found = Preference.parse("knee", TASKS).resolve_knee(self.surface("a", "b"))
        front = np.array([[0.9, 0.1], [0.8, 0.25], [0.5, 0.3]])
        ends = front[2] - front[0]
        distance = np.abs(
            np.cross(np.broadcast_to([*ends, 0.0], (3, 3)), np.pad(front - front[0], ((0, 0), (0, 1))))
        ).sum(1)
        assert found.of(front).argmax() == distance.argmax() == 1

    def test_every_single_task_model_is_needed(self) -> None:
        with pytest.raises(StudyError, match="lacks b's; preview the corners first"):
            Preference.parse("knee", TASKS).resolve_knee(self.surface("a"))

    def test_other_preferences_are_settled(self) -> None:
        assert MEAN.resolve_knee(self.surface()) is MEAN

    def test_as_text_before(self) -> None:
        assert str(Preference("knee", {})) == "the knee of the front"


class TestFloor:
    @pytest.mark.parametrize(
        ("text", "expected", "shown"),
        [
            ("b>=0.85", Floor("b", 0.85, False), "b>=0.85"),
            (" all >= 97% ", Floor("all", 0.97, True), "all>=97% of its single-task metric"),
            ("a>=97.5%", Floor("a", 0.975, True), "a>=97.5000% of its single-task metric"),
            ("a>=-1e-1", Floor("a", -0.1, False), "a>=-0.1"),
            ("all>=0", Floor("all", 0.0, False), "all>=0"),
        ],
    )
    def test_parse_and_back(self, text: str, expected: Floor, shown: str) -> None:
        found = Floor.parse(text, TASKS)
        assert found.task == expected.task
        assert found.bound == pytest.approx(expected.bound)
        assert found.relative == expected.relative
        assert str(found) == shown

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "b",
            "b>0.85",
            "b=0.85",
            "b>=",
            "b>=x",
            "b>=1e",
            "b>=1e999",
            "c>=0.5",
            "b>=0.5 a>=0.5",
            "all>=0%",
            "a>=-5%",
        ],
    )
    def test_what_cannot_be_read_shows_how(self, text: str) -> None:
        with pytest.raises(WeightsError, match=r"is not understood; write a>=0\.85 or all>=97%, with tasks among a, b"):
            Floor.parse(text, TASKS)

    def test_of(self) -> None:
        assert Floor("a", 0.5, relative=False).of("a", Headline("accuracy"), {}) == 0.5
        assert Floor("a", 0.5, relative=True).of("a", Headline("accuracy"), {"a": 0.8}) == pytest.approx(0.4)
        assert Floor("a", 0.5, relative=True).of(
            "a", Headline("loss", higher_is_better=False), {"a": 0.8}
        ) == pytest.approx(1.6)
        with pytest.raises(StudyError, match="needs the preview at weights a=1"):
            Floor("a", 0.5, relative=True).of("a", Headline("accuracy"), {"b": 0.8})


class TestShortfalls:
    def test_each_floor_by_its_worst_task(self) -> None:
        heads = {"a": Headline("accuracy"), "b": Headline("loss", higher_is_better=False)}
        floors = [
            Floor("a", 0.5, relative=False),
            Floor("all", 0.5, relative=True),
        ]  # a at least .5; a at least .45, b at most .4
        values = np.array([[0.6, 0.3], [0.4, 0.5], [0.48, 0.45]])
        found = shortfalls(floors, heads, {"a": 0.9, "b": 0.2}, values)
        np.testing.assert_allclose(found, np.array([[0, 0], [0.1, 0.1], [0.02, 0.05]]), atol=1e-12)

    def test_no_floors(self) -> None:
        assert shortfalls([], {"a": Headline("accuracy")}, {}, np.zeros((3, 2, 1))).shape == (3, 2, 0)


LESS = Headline("perplexity", higher_is_better=False)


def test_a_value_says_where_it_is_negated() -> None:
    assert measure(MEAN, dict.fromkeys(TASKS, Headline("f1"))) == "value"
    assert (
        measure(Preference("worst", {}), dict.fromkeys(TASKS, LESS)) == "value (minus the worst task's log perplexity)"
    )
    assert (
        measure(Preference.parse("a=1", TASKS), dict.fromkeys(TASKS, LESS))
        == "value (minus the weighted mean log perplexity)"
    )
    assert measure(MEAN, {"a": LESS, "b": Headline("f1")}) == "value (log perplexity counts with a minus)"
    assert (
        measure(MEAN, {"a": LESS, "b": Headline("loss", False)}) == "value (log perplexity and loss count with a minus)"
    )


def test_unlike_metrics_are_minded_where_they_are_added_as_they_are() -> None:
    unlike = {"a": LESS, "b": Headline("f1")}
    assert "--prefer a=1,b=10" in caution(MEAN, unlike)
    assert caution(Preference("worst", {}), unlike, [Floor.parse("all>=95%", TASKS)]) == ""
    assert caution(MEAN, unlike, [Floor.parse("all>=95%", TASKS)]) != ""
    assert "count as they are in the worst task: the one with the largest numbers decides" in caution(
        Preference("worst", {}), unlike
    )
    assert caution(Preference("knee", {}), unlike) == caution(Preference.parse("a=1,b=9", TASKS), unlike) == ""
    assert caution(MEAN, {"a": LESS, "b": LESS}) == ""
    for pair in (("accuracy", "f1"), ("exact_match", "token_accuracy")):
        assert caution(MEAN, {task: Headline(metric) for task, metric in zip("ab", pair, strict=True)}) != ""


def test_perplexities_are_averaged_as_logarithms() -> None:
    """Of 4 and 16,000 the geometric mean; a tenth less of either is worth the same."""
    heads = {"a": LESS, "b": LESS}
    values = np.array([[4.0, 16000.0], [3.6, 16000.0], [4.0, 14400.0]])
    found = MEAN.of(oriented(values, heads))
    assert found[0] == pytest.approx(-np.log(np.sqrt(4.0 * 16000.0)))
    assert found[1] == pytest.approx(found[2])
    assert found[1] - found[0] == pytest.approx(-np.log(0.9) / 2)
    assert np.argmax(Preference("worst", {}).of(oriented(values, heads))) == 2


def test_a_headline_that_says_nothing_is_named() -> None:
    heads = {"a": Headline("exact_match"), "b": Headline("exact_match"), "c": LESS}
    assert zero_metric_caution(heads, {"a": 0.0, "b": 0.2, "c": 0.0}).startswith(
        "The exact_match of a is 0 even for its own single-task model"
    )
    assert zero_metric_caution(heads, {"a": 0.0, "b": 0.0}).startswith(
        "The exact_match of a and exact_match of b are 0 even for their own"
    )
    assert (
        zero_metric_caution(heads, {"b": 0.1})
        == zero_metric_caution({"a": Headline("loss", higher_is_better=False)}, {"a": 0.0})
        == ""
    )
