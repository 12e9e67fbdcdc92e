"""The explorer of a study whose runs were told, without a model, in a real browser."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from commands import foretaste
from foretaste.simplex import dirichlet
from foretaste.workflow.outside import OutsideQuestion, start_outside
from foretaste.workflow.tell import OutsideRun, tell
from pages import NEEDS_CHROMIUM, SIDEWAYS, served
from swarms import made_up_runs, swarm

pytestmark = NEEDS_CHROMIUM
LONG = 90_000  # milliseconds: machines are busy


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the page writes to its console, and what its server refuses."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("response", lambda answer: found.append(answer.url) if answer.status >= 400 else None)
    return found


def _many(folder: Path, tasks: Sequence[str], count: int) -> Path:
    """Tell a study runs of as many tasks as are named."""
    with start_outside(folder, OutsideQuestion.of(dict.fromkeys(tasks, "accuracy"))) as study:
        points = dirichlet(tasks, count, np.random.default_rng(0))
        tell(
            study,
            [OutsideRun(point, {t: {"accuracy": 0.4 + 0.5 * point[t] ** 0.3} for t in tasks}) for point in points],
        )
    return folder


def test_a_told_study_opens_with_map_and_recommendation(page: Page, complaints: list[str], tmp_path: Path) -> None:
    swarm(tmp_path / "swarm", made_up_runs(12)).close()
    with served(tmp_path / "swarm") as server:
        page.goto(server.address)
        expect(page.locator(".map")).to_be_visible(timeout=LONG)
        expect(page.locator(".map .mark.joint")).to_have_count(12)
        expect(page.locator(".map .mark.star")).to_have_count(1)
        expect(page.locator("header .headline")).to_contain_text("Choose ")
        expect(page.get_by_role("heading", name="Recommendation")).to_be_visible()
        names = page.locator(".tasting tbody td:first-child").all_inner_texts()
        assert names == ["web", "code", "books", "qa", "coding"]
        expect(page.get_by_role("button", name="Train here")).to_have_count(0)  # there is no model to train
        before = page.locator(".tasting tbody span").all_inner_texts()
        page.get_by_label("weight of code in percent").fill("90")
        page.get_by_label("weight of code in percent").press("Tab")
        assert page.locator(".tasting tbody span").all_inner_texts() != before
        expect(page.locator(".js-plotly-plot").first).to_be_visible()
        page.get_by_label("preference").fill("worst")
        page.get_by_role("button", name="Recommend", exact=True).click()
        expect(page.locator(".facts")).to_contain_text("worst task", timeout=LONG)
    assert complaints == []


def test_runs_told_meanwhile_appear(page: Page, complaints: list[str], tmp_path: Path) -> None:
    swarm(tmp_path / "swarm").close()
    with served(tmp_path / "swarm") as server:
        page.goto(server.address)
        expect(page.locator("#taste")).to_contain_text("foretaste ask STUDY says what to run")
        asked = foretaste("ask", tmp_path / "swarm", "-n", "4", "--json")
        assert asked.code == 0
        for place, run in enumerate(json.loads(asked.out)):
            weights = ",".join(f"{name}={share}" for name, share in run["weights"].items())
            metrics = ("--metric", f"qa={0.3 + place / 20}", "--metric", f"coding={0.5 - place / 20}")
            assert foretaste("tell", tmp_path / "swarm", "--weights", weights, *metrics).code == 0
        expect(page.locator(".map .mark.joint")).to_have_count(4, timeout=LONG)
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_report_of_many_tasks_fits(page: Page, complaints: list[str], tmp_path: Path, width: int) -> None:
    folder = _many(tmp_path / "many", [f"task-{number}" for number in range(8)], 30)
    assert foretaste("report", folder, "--out", tmp_path / "report.html").code == 0
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator(".map")).to_be_visible()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 400:
        assert page.evaluate(SIDEWAYS) == []
        texts = page.locator("#tradeoff .annotation").all_text_contents()  # a name by each axis
        assert [text for text in texts if "accuracy" in text] == [f"task-{place} accuracy" for place in range(8)]
    assert complaints == []
