"""The explorer of a study, served by a process of its own while a notebook or a program goes on."""

import atexit
import json
import subprocess
import sys
import tempfile
import webbrowser
from html import escape
from pathlib import Path
from typing import IO, Any

from foretaste.errors import StudyError
from foretaste.report.notebook import in_notebook

__all__ = ["Explorer", "start_explorer"]

_HEIGHT = 760
_SECONDS = 5.0  # that a server has to end by itself


class Explorer:
    """An explorer that is being served; close it to end the server, which ends with this program too.

    Args:
        url: The page's address, with its token.
        process: The server.
    """

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url, self._process = url, process

    def close(self) -> None:
        """End the server; work that was requested on the page goes on."""
        _end(self._process)
        atexit.unregister(self.close)

    def __enter__(self) -> "Explorer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Explorer({self.url!r})"

    def _repr_html_(self) -> str:
        source = escape(self.url, quote=True)
        frame = f'<iframe src="{source}" width="100%" height="{_HEIGHT}" style="border:0" title="foretaste"></iframe>'
        link = f'<a href="{source}" target="_blank" rel="noopener noreferrer">open the explorer in a tab of its own</a>'
        return f"{frame}<p>If the frame stays empty, {link}. It is served by the machine that the kernel runs on.</p>"


def start_explorer(folder: Path, *, port: int = 0, resume: bool = False, trust: bool = False) -> Explorer:
    """Serve a study's explorer on this machine; a browser opens it, or the notebook that shows the result.

    Args:
        folder: The study's folder.
        port: Port to listen on; any free one for 0.
        resume: Whether work that was requested before and still waits starts at once.
        trust: Whether the study's recipe may run its own Python code, whoever made the study.

    Raises:
        StudyError: The server could not be started; the message is its own.
    """
    framed = in_notebook()
    options = [
        *(["--resume"] if resume else []),
        *(["--trust"] if trust else []),
        *(["--framed"] if framed else []),
    ]
    command = [sys.executable, "-m", "foretaste", "explore", str(folder), "--no-open", "--json", "--port", str(port)]
    with tempfile.TemporaryFile("w+") as log:  # a pipe that nobody reads would block the server and its workers
        process = subprocess.Popen(  # noqa: S603
            [*command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # an interrupted cell does not end it
        )
        try:
            explorer = Explorer(_read_address(process, log), process)
        except BaseException:
            _end(process)
            raise
    atexit.register(explorer.close)
    if not framed:
        webbrowser.open(explorer.url)
    return explorer


def _read_address(process: "subprocess.Popen[str]", log: IO[str]) -> str:
    """Read the address that the server prints once it can be opened.

    Args:
        process: The server.
        log: What the server writes to its standard error.

    Raises:
        StudyError: The server ended before; the message is its own.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:
        record: Any = json.loads(line)
        return str(record["address"])
    process.wait()
    log.seek(0)
    message = log.read().strip().removeprefix("error: ")
    raise StudyError(message or "the explorer ended before it could be opened")


def _end(process: "subprocess.Popen[str]") -> None:
    """End a server, and wait until it is gone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
