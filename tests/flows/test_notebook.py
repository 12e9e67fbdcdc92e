"""The explorer inside a notebook: a real kernel shows it, and a real browser opens what is shown."""

import html
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import nbclient
import nbformat
import pytest
from playwright.sync_api import Page, expect

from pages import NEEDS_CHROMIUM
from swarms import made_up_runs, swarm

CELL = """
import foretaste as ft
study = ft.Study("swarm")
study.explore()
"""


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[str]:
    """The HTML that a kernel shows for the explorer; the kernel lives until the test ends."""
    swarm(tmp_path / "swarm", made_up_runs(12)).close()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        client.execute_cell(notebook.cells[0], 0)
        yield notebook.cells[0].outputs[-1].data["text/html"]


def addresses(shown: str) -> list[str]:
    return [html.unescape(address) for address in re.findall(r'(?:src|href)="([^"]*)"', shown)]


@contextmanager
def shown_by_a_page(shown: str, folder: Path) -> Iterator[str]:
    """Serve a page of this machine that has what the kernel showed, as a notebook does; its address."""
    (folder / "index.html").write_text(f"<!doctype html><title>notebook</title>{shown}")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_kernel_shows_a_frame_and_a_link_on_this_machine(shown: str) -> None:
    frame, link = addresses(shown)
    assert frame == link
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", frame)
    with urllib.request.urlopen(frame, timeout=30) as page:  # noqa: S310
        text = page.read().decode()
    assert "<h1>swarm</h1>" in text


@NEEDS_CHROMIUM
def test_the_frame_and_the_link_work_in_a_browser(shown: str, page: Page, tmp_path: Path) -> None:
    with shown_by_a_page(shown, tmp_path) as address:
        page.goto(address)
        frame = page.frame_locator("iframe[title=foretaste]")
        expect(frame.locator(".map")).to_be_visible(timeout=90_000)
        frame.get_by_role("button", name="Equal weights").click()
        expect(frame.get_by_label("weight of web in percent")).to_have_value("33.3")
        with page.expect_popup() as opened:
            page.get_by_role("link", name="open the explorer in a tab of its own").click()
        expect(opened.value.locator(".map")).to_be_visible(timeout=90_000)
