import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretaste.errors import WeightsError
from foretaste.weights import TaskWeights, corners, even_rows, uniform
from laws import quick

TASKS = ("movies", "news", "sport")


@st.composite
def points(draw: st.DrawFn) -> TaskWeights:
    numbers = draw(st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda numbers: sum(numbers) > 1e-3))
    total = math.fsum(numbers)
    return TaskWeights([f"t{index}" for index in range(len(numbers))], [number / total for number in numbers])


class TestTaskWeights:
    def test_it_is_a_mapping_in_the_order_given(self) -> None:
        weights = TaskWeights(TASKS, (0.5, 0.3, 0.2))
        assert dict(weights) == {"movies": 0.5, "news": 0.3, "sport": 0.2}
        assert list(weights) == list(TASKS)
        assert len(weights) == 3
        assert "news" in weights
        assert "other" not in weights

    @pytest.mark.parametrize(
        ("names", "values", "match"),
        [
            ((), (), "0 tasks and 0 weights"),
            (TASKS, (0.5, 0.5), "3 tasks and 2 weights"),
            (("a", "a"), (0.5, 0.5), "named twice.*a, a"),
            (("a", "b"), (-0.1, 1.1), "weight of task 'a' is -0.1"),
            (("a", "b"), (0.0, math.nan), "weight of task 'b' is nan"),
            (("a", "b"), (math.inf, 0.0), "weight of task 'a' is inf"),
            (("a", "b"), (0.5, 0.6), "sum to 1.1, not 1; divide each by 1.1"),
            (("a",), (0.0,), "sum to 0, not 1"),
            (("a", "b"), (0.5, 0.50001), "sum to 1.00001, not 1"),
        ],
    )
    def test_what_is_no_point_of_the_simplex_is_refused(
        self, names: Sequence[str], values: Sequence[float], match: str
    ) -> None:
        with pytest.raises(WeightsError, match=match):
            TaskWeights(names, values)

    def test_rounding_is_forgiven(self) -> None:
        assert TaskWeights(("a", "b"), (1 / 3, 0.6666667)).shares == (1 / 3, 0.6666667)

    def test_an_unknown_task_is_told_the_known_ones(self) -> None:
        with pytest.raises(WeightsError, match="no task 'books' in the weights; the tasks are movies, news, sport"):
            uniform(TASKS)["books"]

    def test_equal_weights_are_one_key(self) -> None:
        left, right = TaskWeights(("a", "b"), (0.1 + 0.2, 0.7)), TaskWeights(("a", "b"), (0.3, 0.7))
        assert left == right
        assert len({left, right}) == 1
        assert left.key == str(right) == "a=0.3,b=0.7"

    def test_other_weights_other_tasks_and_other_things_are_unequal(self) -> None:
        weights = TaskWeights(("a", "b"), (0.3, 0.7))
        assert weights != TaskWeights(("a", "b"), (0.7, 0.3))
        assert weights != TaskWeights(("a", "c"), (0.3, 0.7))
        assert weights != {"a": 0.3, "b": 0.7}

    def test_minus_zero_is_zero(self) -> None:
        assert TaskWeights(("a", "b"), (-0.0, 1.0)) == TaskWeights(("a", "b"), (0.0, 1.0))
        assert repr(TaskWeights(("a", "b"), (-0.0, 1.0))) == "TaskWeights(a=0,b=1)"

    def test_corner_is_exact(self) -> None:
        assert TaskWeights(("a", "b"), (0.0, 1.0)).corner == "b"
        assert TaskWeights(("a", "b"), (1e-7, 1 - 1e-7)).corner is None
        assert uniform(["a"]).corner == "a"

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            uniform(TASKS).names = ()  # type: ignore[misc]


class TestParse:
    @quick
    @given(points())
    def test_the_key_reads_back(self, weights: TaskWeights) -> None:
        assert TaskWeights.parse(weights.key, weights.names) == weights

    def test_spaces_and_order_do_not_matter_and_the_rest_weighs_nothing(self) -> None:
        assert TaskWeights.parse(" sport = 0.75, movies=.25 ", TASKS).shares == (0.25, 0.0, 0.75)

    def test_uniform_is_a_word(self) -> None:
        assert TaskWeights.parse(" uniform", TASKS) == uniform(TASKS)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("books=1", "unknown task 'books' in weights 'books=1'; the tasks are movies, news, sport"),
            ("", "weights '' are not understood at ''; write for example movies=1, or uniform"),
            ("movies=1,", "not understood at ''"),
            ("movies:0.5,news=0.5", "not understood at 'movies:0.5'"),
            ("movies=0.5,movies=0.5", "task 'movies' is given twice"),
            ("movies", "not understood at 'movies'"),
            ("movies=", "weight of task 'movies' in 'movies=' is ''; write a number, for example movies=0.5"),
            ("movies=half", "is 'half'; write a number"),
            ("movies=50%", "is '50%'; write a number"),
            ("movies=0.5", "sum to 0.5, not 1; divide each by 0.5"),
            ("movies=nan,news=1", "weight of task 'movies' is nan"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, text: str, match: str) -> None:
        with pytest.raises(WeightsError, match=match):
            TaskWeights.parse(text, TASKS)


def test_uniform_and_corners() -> None:
    assert uniform(TASKS).shares == (1 / 3, 1 / 3, 1 / 3)
    assert [corner.corner for corner in corners(TASKS)] == list(TASKS)
    with pytest.raises(WeightsError, match="0 tasks"):
        uniform([])


def test_a_task_that_is_not_there_has_another_weight_if_one_is_given() -> None:
    weights = TaskWeights(("a", "b"), (0.25, 0.75))
    assert (weights.get("a"), weights.get("c"), weights.get("c", 0.0)) == (0.25, None, 0.0)


@quick
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(0, 40))
def test_even_rows_fill_the_batch_and_differ_by_one_at_most(weights: list[float], batch_size: int) -> None:
    names = {str(place): weight for place, weight in enumerate(weights)}
    rows = even_rows({**names, "none": 0.0}, batch_size)
    assert rows.pop("none") == 0
    assert sum(rows.values()) == batch_size
    assert max(rows.values()) - min(rows.values()) <= 1
    assert sorted(rows.values(), reverse=True) == list(rows.values())
