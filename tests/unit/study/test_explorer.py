"""The explorer runs beside a program, which has its address and ends it."""

import urllib.request
from pathlib import Path

import pytest

import foretaste as ft
from foretaste.errors import StudyError
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
