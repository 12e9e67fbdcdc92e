"""The explorer in a real browser: Debian's chromium, driven by Playwright."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from commands import foretaste
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.explorer import study_page
from foretaste.report.summary import summarise
from foretaste.simplex import lattice
from foretaste.store.queue import Kind, Queue, State
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import uniform
from pages import NEEDS_CHROMIUM, SIDEWAYS, served
from problems import digits_recipe

pytestmark = NEEDS_CHROMIUM
FAINT = """() => {
  const channel = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const parts = [0.2126, 0.7152, 0.0722];
  const lit = (text) => text.match(/[0-9.]+/g).slice(0, 3).reduce((sum, v, i) => sum + parts[i] * channel(v), 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = "#taste :is(h2, p, th, td, small, button, option, label), #sections :is(h2, h3, p, th, td, figcaption)";
  const ratio = (e) => {
    const [light, dark] = [lit(getComputedStyle(e).color), lit(ground(e))].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const shown = [...document.querySelectorAll(texts)].filter((e) => e.checkVisibility() && e.textContent.trim());
  return shown.filter((e) => ratio(e) < 4.5).map((e) => [ratio(e), e.textContent.slice(0, 40)]);
}"""  # texts with less contrast than WCAG's AA asks for
LONG = 90_000  # milliseconds: a worker starts in seconds, and machines are busy


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explore")
    recipe = digits_recipe(
        folder, finetune_steps="20", preview_points="10", preview_methods="[simple]", joint_points="2"
    )
    assert foretaste("run", recipe, "--study", folder / "study").code == 0
    return folder / "study"


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Iterator[Path]:
    copy = Path(shutil.copytree(finished, tmp_path / "study"))
    yield copy
    _stop_worker(copy)


def _stop_worker(study: Path) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"foretaste.web.worker\0{study}" in (process / "cmdline").read_text():
                os.kill(int(process.name), signal.SIGKILL)


def _numbers(page: Page) -> list[str]:
    return page.locator(".tasting tbody span").all_inner_texts()


def _drag(page: Page, across: float, down: float) -> None:
    box = page.locator(".map").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1.0):
        page.mouse.move(box["x"] + box["width"] * (0.5 + part * across), box["y"] + box["height"] * (0.5 + part * down))
    page.mouse.up()


def test_dragging_typing_and_keys_move_every_number(study: Path, page: Page) -> None:
    with served(study) as server:
        page.goto(server.address)
        before = _numbers(page)
        assert len(before) == 3
        _drag(page, -0.2, 0.2)
        dragged = _numbers(page)
        assert all(left != right for left, right in zip(before, dragged, strict=True))
        assert "#weights=low=" in page.url
        page.get_by_label("weight of low in percent").fill("50")
        page.get_by_label("weight of low in percent").press("Tab")
        shares = [
            float(page.get_by_label(f"weight of {task} in percent").input_value()) for task in ("low", "mid", "high")
        ]
        assert shares[0] == 50
        assert sum(shares) == pytest.approx(100, abs=0.2)
        page.locator(".handle").focus()
        typed = page.url
        page.keyboard.press("Shift+ArrowUp")
        assert page.url != typed
        page.get_by_role("button", name="Equal weights").click()
        expect(page.get_by_label("weight of mid in percent")).to_have_value("33.3")
        page.get_by_role("button", name="Recommended", exact=True).click()
        expect(page.locator(".value")).to_contain_text("the same as at the recommended weights")
        page.get_by_label("what the map shows").select_option("mid")
        expect(page.locator(".map .tick.middle").last).to_have_text("accuracy")
        with page.expect_response("**/api/predict**") as answer:
            page.get_by_role("button", name="Equal weights").click()
        assert answer.value.ok  # the server's exact prediction follows the stored one


def test_a_result_is_pulled_and_two_weightings_are_compared(study: Path, page: Page, tmp_path: Path) -> None:
    assert foretaste("report", study, "--out", tmp_path / "report.html").code == 0
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator("header .headline")).to_contain_text("Choose ")
    page.get_by_role("button", name="Equal weights").click()
    page.get_by_role("button", name="Keep to compare").click()
    expect(page.get_by_label("weights to compare with")).to_have_value("kept weights")
    expect(page.locator(".tasting tbody b").first).to_have_text("0.000")
    expect(page.locator(".map .mark.kept")).to_have_count(1)
    before = float(_numbers(page)[0])
    pull = page.get_by_label("expected metric of low")
    best = float(pull.get_attribute("max") or "nan")
    wish = (before + best) / 2
    pull.evaluate("(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", str(wish))
    assert float(_numbers(page)[0]) == pytest.approx(wish, abs=0.01)
    expect(page.locator(".wished")).to_contain_text("The least change that gives low")
    assert float(page.get_by_label("weight of low in percent").input_value()) != pytest.approx(33.3, abs=0.1)
    assert page.locator(".tasting tbody b").first.inner_text() != "0.000"
    expect(page.locator(".tasting tbody td:last-child small").first).to_contain_text("at 33.3%")
    page.get_by_role("button", name="By data size").click()
    expect(page.get_by_label("weight of mid in percent")).to_have_value("33.3")  # every task has 300 rows


@pytest.mark.slow
@pytest.mark.parametrize("host", [".".join("0000"), "::1", "localhost"])
def test_the_printed_address_works_whatever_it_listens_on(study: Path, page: Page, host: str) -> None:
    refused = list[str]()
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    with served(study, "--host", host) as server:
        page.goto(server.address)
        expect(page.locator(".map")).to_be_visible()
        before = _numbers(page)
        _drag(page, -0.2, 0.2)
        assert _numbers(page) != before
        page.get_by_role("button", name="Preview here").click()
        expect(page.locator(".job.done")).to_have_count(1, timeout=LONG)
        assert refused == []


@pytest.mark.slow
def test_work_that_waits_is_started_from_the_page(study: Path, page: Page) -> None:
    """Opening a study runs nothing; a click does."""
    with Queue(study) as queue:
        queue.add(Kind.PREVIEW, "low=0.2,mid=0.3,high=0.5")
    with served(study) as server:
        page.goto(server.address)
        waiting = page.locator(".job.queued")
        expect(waiting).to_have_count(1)
        time.sleep(3)
        expect(waiting).to_have_count(1)
        waiting.get_by_role("button", name="Start").click()
        expect(page.locator(".job.done")).to_have_count(1, timeout=LONG)


@pytest.mark.slow
def test_dragging_is_quick(study: Path, page: Page) -> None:
    """Numbers follow the pointer before the next frame is due, measured inside the page."""
    with served(study) as server:
        page.goto(server.address)
        took = page.evaluate("""() => {
          const start = performance.now();
          for (let place = 0; place < 50; place++) explorer.choose([place, 50 - place, 10]);
          return (performance.now() - start) / 50;
        }""")
        assert took < 100


@pytest.mark.slow
def test_a_link_holds_the_weights(study: Path, page: Page) -> None:
    with served(study) as server:
        page.goto(f"{server.address}#weights=low=0.25,mid=0.25,high=0.5")
        expect(page.get_by_label("weight of high in percent")).to_have_value("50")
        page.evaluate("location.hash = 'weights=low=1'")
        expect(page.get_by_label("weight of low in percent")).to_have_value("100")
        page.goto(f"{server.address}#weights=nonsense")
        page.reload()
        expect(page.locator(".map")).to_be_visible()


@pytest.mark.slow
def test_work_appears_without_reloading_and_in_another_tab(study: Path, browser: Browser, page: Page) -> None:
    with served(study) as server:
        page.goto(f"{server.address}#weights=low=0.2,mid=0.3,high=0.5")
        other = browser.new_page()
        other.goto(server.address)
        joint, previews = page.locator(".mark.joint").count(), page.locator(".mark.preview").count()
        page.get_by_role("button", name="Preview here").click()
        expect(page.locator(".job.done")).to_contain_text(["done, low 0."], timeout=LONG)
        expect(page.locator(".mark.preview")).to_have_count(previews + 1, timeout=LONG)
        page.get_by_role("button", name="Sharpen here").click()
        page.get_by_role("button", name="Train here").click()
        expect(page.locator(".job.done")).to_have_count(3, timeout=LONG)
        expect(page.locator(".mark.joint")).to_have_count(joint + 1, timeout=LONG)
        expect(page.locator(".mark.sharpened")).to_have_count(1, timeout=LONG)
        expect(other.locator(".mark.joint")).to_have_count(joint + 1, timeout=LONG)
        expect(page.locator("header .facts")).to_contain_text(f"{joint + 1} joint runs", timeout=LONG)
        page.get_by_role("button", name="Export preview").click()
        expect(page.locator(".jobs")).to_contain_text("exports/simple-0.2-0.3-0.5", timeout=LONG)
        assert (study / "exports" / "simple-0.2-0.3-0.5" / "model.safetensors").is_file()
        page.reload()
        expect(page.locator(".job.done")).to_have_count(4)
        other.close()


@pytest.mark.slow
def test_preferences_and_floors_change_the_recommendation(study: Path, page: Page) -> None:
    with served(study) as server:
        page.goto(server.address)
        page.get_by_label("preference", exact=True).fill("low=1")
        page.get_by_label("floors").fill("all>=10%; high>=0.1")
        page.get_by_role("button", name="Recommend", exact=True).click()
        expect(page.locator("#sections")).to_contain_text("Floor: high>=0.1 holds with probability", timeout=LONG)
        expect(page.locator(".value")).to_contain_text("Mean weighted low 100%")
        page.get_by_label("preference", exact=True).fill("best")
        page.get_by_role("button", name="Recommend", exact=True).click()
        expect(page.locator(".panel .note").first).to_contain_text("preference 'best' is not understood")


@pytest.mark.slow
def test_the_page_shows_the_last_recommendation_until_the_new_one_is_ready(study: Path, page: Page) -> None:
    with served(study) as server:
        page.goto(server.address)
        before = page.locator(".value").inner_text()
        held = list[Route]()
        page.route("**/api/state?*", lambda route: held.append(route) if held else _answer_pending(route, held))
        page.get_by_label("preference", exact=True).fill("low=1")
        page.get_by_role("button", name="Recommend", exact=True).click()
        expect(page.locator(".panel .note").first).to_contain_text("is being worked out")
        assert page.locator(".value").inner_text() == before
        expect.soft(page.get_by_label("preference", exact=True)).to_have_value("low=1")
        page.unroute("**/api/state?*")
        for route in held[1:]:
            route.continue_()
        expect(page.locator(".value")).to_contain_text("Mean weighted low 100%", timeout=LONG)
        expect(page.locator(".panel .note").first).to_be_empty()


def _answer_pending(route: Route, held: list[Route]) -> None:
    """The server's own answer, as it is while the preference is being worked out."""
    held.append(route)
    answer = route.fetch()
    route.fulfill(response=answer, status=202)


@pytest.mark.slow
def test_a_server_that_is_restarted_in_mid_run(study: Path, page: Page) -> None:
    with served(study) as server:
        page.goto(f"{server.address}#weights=low=0.6,mid=0.2,high=0.2")
        page.get_by_role("button", name="Train here").click()
        expect(page.locator(".job")).to_have_count(1)
    expect(page.locator(".panel .note").first).to_contain_text("The server does not answer", timeout=LONG)
    page.get_by_role("button", name="Equal weights").click()  # the page goes on by itself
    assert len(_numbers(page)) == 3
    with served(study, "--port", server.port) as again:
        page.goto(again.address)
        expect(page.locator(".job.done")).to_contain_text("train", timeout=LONG)


@pytest.mark.slow
def test_a_killed_worker_and_a_cancelled_job(study: Path, page: Page) -> None:
    with served(study) as server:
        page.goto(f"{server.address}#weights=low=0.7,mid=0.1,high=0.2")
        page.get_by_role("button", name="Train here").click()
        with Queue(study) as queue:
            end = time.monotonic() + 60
            while not queue.jobs() or queue.jobs()[0].state == State.QUEUED:
                assert time.monotonic() < end
                time.sleep(0.02)
        _stop_worker(study)
        expect(page.locator(".job.done")).to_have_count(1, timeout=LONG)  # by the next worker
        _stop_worker(study)
        page.get_by_role("button", name="Preview here").click()
        cancel = page.get_by_role("button", name="Cancel")
        with suppress(Exception):  # it may be done already
            cancel.click(timeout=2000)
        expect(page.locator(".job.done, .job.cancelled")).to_have_count(2, timeout=LONG)


@contextmanager
def _tiny_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, of 8 MiB."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S607


def _fill(folder: Path) -> Path:
    """Write until the disk is full, to the last byte."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as writing:
        for size in (65536, 4096, 1):
            with suppress(OSError):
                while writing.write(bytes(size)):
                    pass
    return file


@pytest.mark.slow
def test_a_full_disk(study: Path, page: Page, tmp_path: Path) -> None:
    """Nothing can be noted down, and everything can be read; with room again, the same click does it."""
    with _tiny_disk(tmp_path / "disk") as disk:
        tight = Path(shutil.copytree(study, disk / "study"))
        with served(tight) as server:
            page.goto(f"{server.address}#weights=low=0.2,mid=0.3,high=0.5")
            expect(page.locator(".jobs")).to_contain_text("No work yet")
            previews = page.locator(".mark.preview").count()
            filler = _fill(disk)
            notice = page.get_by_text("The disk is full. Nothing is lost")
            expect(notice).to_be_visible(timeout=LONG)
            page.get_by_role("button", name="Preview here").click()
            expect(page.locator(".panel .note").first).to_contain_text(
                "Not done, but nothing is lost: the study's database", timeout=LONG
            )
            for path in (
                "",
                "api/state",
                "api/state?prefer=worst",
                "api/sections",
                "api/jobs",
                "api/predict?weights=low=1",
            ):
                answer = httpx.get(f"http://127.0.0.1:{server.port}/{path}", timeout=60)
                assert answer.status_code in (200, 202)  # 202 while a recommendation is being worked out
            before = _numbers(page)
            _drag(page, 0.1, 0.1)
            assert _numbers(page) != before
            filler.unlink()
            expect(notice).to_be_hidden(timeout=LONG)
            page.get_by_role("button", name="Preview here").click()
            expect(page.locator(".job.done")).to_have_count(1, timeout=LONG)
            expect(page.locator(".mark.preview")).to_have_count(previews + 1, timeout=LONG)
        _stop_worker(tight)


@pytest.mark.slow
def test_a_disk_that_fills_while_work_goes_on(study: Path, page: Page) -> None:
    """Exports lie on a disk that is full: the job says what failed, and is asked for again from there."""
    with _tiny_disk(study / "exports") as disk, served(study) as server:
        filler = _fill(disk)
        page.goto(f"{server.address}#weights=low=0.2,mid=0.3,high=0.5")
        page.get_by_role("button", name="Export preview").click()
        failed = page.locator(".job.failed")
        expect(failed).to_contain_text("free some space or choose another place", timeout=LONG)
        expect(failed).to_contain_text("Finished work is kept.")
        page.get_by_role("button", name="Preview here").click()
        expect(page.locator(".job.done")).to_have_count(1, timeout=LONG)  # other work is not kept from being done
        filler.unlink()
        failed.get_by_role("button", name="Ask again").click()
        expect(page.locator(".job.done")).to_have_count(2, timeout=LONG)
        assert (disk / "simple-0.2-0.3-0.5" / "model.safetensors").is_file()


@pytest.mark.slow
def test_a_study_that_is_deleted(study: Path, page: Page) -> None:
    with served(study) as server:
        page.goto(server.address)
        expect(page.locator(".jobs")).to_contain_text("No work yet")
        while study.exists():  # the server looks into it meanwhile
            shutil.rmtree(study, ignore_errors=True)
        expect(page.locator(".panel .note").first).to_contain_text("is not a study", timeout=LONG)
        _drag(page, 0.1, 0.1)
        assert len(_numbers(page)) == 3


def test_the_report_drags_without_a_server(study: Path, page: Page, tmp_path: Path) -> None:
    assert foretaste("report", study, "--out", tmp_path / "report.html").code == 0
    page.goto((tmp_path / "report.html").as_uri())
    before = _numbers(page)
    _drag(page, 0.15, 0.1)
    assert _numbers(page) != before
    expect(page.get_by_role("button", name="Train here")).to_have_count(0)
    for button, ending in (("Map as SVG", ".svg"), ("Map as PNG", ".png"), ("Table as CSV", ".csv")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename.endswith(ending)
        content = Path(download.value.path()).read_bytes()
        assert content[:4] in (b"<svg", b"\x89PNG", b"fide")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()


def test_a_report_has_one_prediction_of_the_same_weights_and_nothing_to_complain_of(page: Page, tmp_path: Path) -> None:
    names = ("a", "b", "c")
    points = lattice(names, 3)  # thirds are not on the lattice that the page interpolates on
    made = [(w, Fidelity.PREVIEW) for w in points] + [
        (w, Fidelity.JOINT) for w in (uniform(names), points[1], points[2])
    ]
    rows = [
        Evaluation(w, {t: {"loss": 1.0, "accuracy": 0.5 + 0.4 * w[t] ** 0.5} for t in names}, how, "simple")
        for w, how in made
    ]
    surface = Surface({task: Headline("accuracy") for task in names}, tuple(rows))
    found = summarise(
        surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    (tmp_path / "report.html").write_text(study_page(found))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"file://{tmp_path}/report.html")
    told = page.locator("#sections table").first.locator("tbody tr").all()
    tasted = page.locator(".tasting tbody tr").all()
    for row, other in zip(told, tasted, strict=True):
        cells = row.locator("td").all_inner_texts()
        assert other.locator("span").first.inner_text() == cells[2]
        assert cells[3] in other.locator("small").first.inner_text()
    page.locator("#tradeoff").scroll_into_view_if_needed()
    expect(page.locator("#tradeoff svg").first).to_be_visible()
    assert said == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (320, "light")])
def test_it_fits_a_phone_and_text_can_be_read(
    study: Path, browser: Browser, width: int, scheme: str, tmp_path: Path
) -> None:
    assert foretaste("report", study, "--out", tmp_path / "report.html").code == 0
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=True)  # type: ignore[arg-type]
    page.goto((tmp_path / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SIDEWAYS) == []
    assert page.evaluate(FAINT) == []
    page.close()


def test_a_finger_pulls_a_result_on_a_phone(study: Path, browser: Browser, tmp_path: Path) -> None:
    assert foretaste("report", study, "--out", tmp_path / "report.html").code == 0
    page = browser.new_page(viewport={"width": 390, "height": 800}, has_touch=True)
    page.goto((tmp_path / "report.html").as_uri())
    page.get_by_role("button", name="Equal weights").tap()
    pull = page.get_by_label("expected metric of low")
    pull.scroll_into_view_if_needed()
    box = pull.bounding_box()
    assert box is not None
    assert box["width"] >= 250
    assert box["height"] >= 40
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 5)  # anywhere in the bar's height
    expect(page.locator(".wished")).to_contain_text("low")
    assert float(page.get_by_label("weight of low in percent").input_value()) > 34
    page.close()
