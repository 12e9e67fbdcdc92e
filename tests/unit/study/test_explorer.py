"""The explorer runs beside a program, which has its address and ends it."""

import gc
import os
import sys
import time
import urllib.request
import weakref
from pathlib import Path

import pytest

import foretaste as ft
from foretaste.errors import StudyError
from foretaste.study import explorer as module
from foretaste.study.explorer import start_explorer
from in_memory import SMALL


@pytest.mark.slow
def test_it_is_served_until_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    recipe = {"name": "small", "model": {"source": "digits"}, **SMALL}
    with ft.Study(tmp_path / "a.study", recipe, progress=False) as study:
        study.preview(points=3)
        with study.explore() as explorer:
            assert opened == [explorer.url]
            assert explorer.url.startswith("http://127.0.0.1:")
            assert "token=" in explorer.url
            assert f'src="{explorer.url}"' in explorer._repr_html_()
            with urllib.request.urlopen(explorer.url, timeout=30) as page:  # noqa: S310
                assert b"small" in page.read()
        explorer.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(explorer.url, timeout=30)  # noqa: S310


@pytest.mark.slow
def test_what_the_server_says_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a study"):
        start_explorer(tmp_path / "nothing")


PYTHON = sys.executable


def use_server(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Let this code stand for the server; it is started in `folder`."""
    server = folder / "server"
    server.write_text(f"#!{PYTHON}\nimport os, pathlib, sys, time\n{code}\n")
    server.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(server))
    monkeypatch.setattr("webbrowser.open", lambda address: None)
    monkeypatch.chdir(folder)


def wait_for(file: Path) -> str:
    """Read a file that another process writes."""
    end = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < end, f"{file.name} was not written"
        time.sleep(0.02)
    return file.read_text()


ADDRESS = """print('{"address": "http://127.0.0.1:1/"}', flush=True)"""
SLEEP = "time.sleep(60)"


def test_a_server_that_prints_a_lot_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"{ADDRESS}\nsys.stderr.write('x' * 1_000_000)\npathlib.Path('done').write_text('yes')\n{SLEEP}"
    use_server(monkeypatch, tmp_path, code)
    with start_explorer(tmp_path):
        assert wait_for(tmp_path / "done") == "yes"


def test_a_server_is_ended_if_its_address_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> str:
        wait_for(tmp_path / "pid")
        raise KeyboardInterrupt

    use_server(monkeypatch, tmp_path, f"pathlib.Path('pid').write_text(str(os.getpid()))\n{SLEEP}")
    monkeypatch.setattr(module, "_read_address", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start_explorer(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(wait_for(tmp_path / "pid")), 0)


def test_a_closed_explorer_is_not_kept_until_the_program_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, tmp_path, f"{ADDRESS}\n{SLEEP}")
    explorer = start_explorer(tmp_path)
    explorer.close()
    explorer.close()
    reference = weakref.ref(explorer)
    del explorer
    gc.collect()
    assert reference() is None


def test_the_error_is_the_server_s_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, tmp_path, "sys.exit('error: the study is empty')")
    with pytest.raises(StudyError, match=r"^the study is empty$"):
        start_explorer(tmp_path)
    use_server(monkeypatch, tmp_path, "sys.exit(1)")
    with pytest.raises(StudyError, match=r"^the explorer ended before it could be opened$"):
        start_explorer(tmp_path)
