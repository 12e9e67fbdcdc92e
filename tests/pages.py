"""Pages in a real browser: Debian's chromium, driven by Playwright."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from commands import ENVIRONMENT

__all__ = ["CHROMIUM", "NEEDS_CHROMIUM", "SIDEWAYS", "Served", "browser", "page", "served"]

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium is installed (on Debian: apt-get install chromium)"
)
SIDEWAYS = """() => {
  const moves = (e) => e.scrollWidth > e.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  const found = [...document.querySelectorAll("body *")].filter(moves);
  return found.map((e) => [e.className, e.scrollWidth, e.textContent.slice(0, 40)]);
}"""  # what scrolls sideways


@dataclass
class Served:
    """A server in a process of its own."""

    address: str

    @property
    def port(self) -> str:
        return str(urlsplit(self.address).port)


@contextmanager
def served(study: Path, *options: str) -> Iterator[Served]:
    """Whatever is done with it, it says nothing but its address; SIGTERM ends it."""
    command = [sys.executable, "-m", "foretaste", "explore", str(study), "--no-open", "--json", *options]
    pipe = subprocess.PIPE
    with (
        TemporaryFile() as said,
        subprocess.Popen(command, stdout=pipe, stderr=said, text=True, env=ENVIRONMENT) as process,
    ):
        assert process.stdout is not None
        try:
            yield Served(json.loads(process.stdout.readline())["address"])
        finally:
            process.terminate()
            process.wait(20)
        said.seek(0)
        assert said.read().decode() == ""


@pytest.fixture(scope="module")  # its event loop must end before other modules begin theirs
def browser() -> Iterator[Browser]:
    with (
        sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]) as found,
    ):
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if a script does, or if it asks for what its policy forbids."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    found, errors = context.new_page(), list[str]()
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on(
        "console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None
    )
    yield found
    context.close()
    assert errors == []
