"""Pure functions of the page's scripts, in a real browser."""

import shutil
from collections.abc import Iterator, Sequence
from importlib.resources import files

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from foretaste.simplex import dirichlet
from foretaste.surface.spline import Spline

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium is installed (on Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found = browser.new_page()
        for name in ("simplex", "map"):
            found.add_script_tag(content=(files("foretaste") / "report" / "explore" / f"{name}.js").read_text())
        yield found
        browser.close()


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
