"""Pure functions of the page's scripts, in a real browser."""

from collections.abc import Iterator, Sequence
from importlib.resources import files

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from foretaste.simplex import dirichlet, lattice
from foretaste.surface.spline import Spline
from pages import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    found = browser.new_page()
    for name in ("simplex", "wishes", "map"):
        found.add_script_tag(content=(files("foretaste") / "report" / "explore" / f"{name}.js").read_text())
    yield found
    found.close()


@pytest.mark.parametrize(
    ("values", "less", "expected"),
    [
        (
            [0.1, *([0.9] * 10), *([1.0] * 10)],
            False,
            (0.9, 1.0, "≤ "),
        ),  # one far below: the others would all look alike
        ([0.5, 0.6, 0.7, 0.8, 0.9], False, (0.5, 0.9, "")),
        ([0.1, 0.1, 0.1, 0.1, 0.9], False, (0.1, 0.9, "")),  # the best is never cut off
        ([*([1.0] * 10), *([1.1] * 10), 50.0], True, (1.0, 1.1, "≥ ")),
        ([1.0, 2.0, 3.0], True, (1.0, 3.0, "")),
        ([0.1, *([1.0] * 20)], True, (0.1, 1.0, "")),
        ([0.5, 0.5], False, (0.5, 0.5, "")),
    ],
)
def test_colours_go_over_what_differs(
    page: Page, values: Sequence[float], less: bool, expected: tuple[float, float, str]
) -> None:
    found = page.evaluate("([values, less]) => spread(values, less)", [list(values), less])
    assert (found["low"], found["high"], found["beyond"]) == expected


def test_splines_are_those_of_the_library(page: Page) -> None:
    drawn = np.array([list(weights.values()) for weights in dirichlet("abcd", 80, np.random.default_rng(0))])
    drawn[::3, 1] = 0.0
    known, asked = np.split(drawn / drawn.sum(1, keepdims=True), [60])
    values = np.stack([np.sqrt(known[:, 0]), known[:, 1] - 0.5 * (known[:, 1] == 0)], axis=1)
    spline = Spline.through(known, values)
    own = {"coefficients": spline.coefficients.tolist(), "constants": spline.constants.tolist()}
    state = {"weights": known.tolist(), "splines": dict.fromkeys(("median", "low", "high"), own)}
    found = page.evaluate("([state, asked]) => asked.map(Simplex.predictor(state))", [state, asked.tolist()])
    np.testing.assert_allclose([each["median"] for each in found], spline.at(asked), atol=1e-9)


REACH = """([table, start, wish, task]) => {
    const expected = Simplex.predictor({ resolution: 40, ...table });
    const values = table.median.map((row) => row[task]);
    return Wishes.reach((shares) => expected(shares).median[task], table.weights, values, start, wish);
}"""


def _reach(page: Page, start: Sequence[float], wish: float, task: int) -> tuple[list[float], float, bool]:
    """Reach a wish where metric 0 is the root of the first weight, and metric 1 is 1 less the first two, squared."""
    points = [list(weights.values()) for weights in lattice("abc", 40)]
    median = [[point[0] ** 0.5, 1 - (point[0] - point[1]) ** 2] for point in points]
    table = {"weights": points, "median": median, "low": median, "high": median}
    found = page.evaluate(REACH, [table, list(start), wish, task])
    return found["shares"], found["value"], found["reached"]


@pytest.mark.parametrize(("wish", "task"), [(0.8, 0), (0.3, 0), (0.9, 1), (0.7, 1)])
def test_a_wish_is_reached_by_the_least_change(page: Page, wish: float, task: int) -> None:
    """Compared with every point of a finer lattice."""
    start = (0.2, 0.3, 0.5) if task == 0 else (0.1, 0.6, 0.3)
    shares, value, reached = _reach(page, start, wish, task)
    assert reached
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0
    assert value == pytest.approx(wish, abs=0.002)
    fine = np.array([list(weights.values()) for weights in lattice("abc", 200)])
    metric = fine[:, 0] ** 0.5 if task == 0 else 1 - (fine[:, 0] - fine[:, 1]) ** 2
    now = start[0] ** 0.5 if task == 0 else 1 - (start[0] - start[1]) ** 2
    there = fine[metric >= wish] if wish > now else fine[metric <= wish]
    nearest = np.linalg.norm(there - np.array(start), axis=1).min()
    assert np.linalg.norm(np.array(shares) - np.array(start)) <= nearest + 0.01


def test_an_impossible_wish_says_how_far_it_can_go(page: Page) -> None:
    assert _reach(page, (0.2, 0.3, 0.5), 1.5, 0) == ([1, 0, 0], 1, False)


def test_a_wish_for_what_is_there_changes_nothing(page: Page) -> None:
    start = [0.25, 0.25, 0.5]
    assert _reach(page, start, 0.5, 0)[0] == start
