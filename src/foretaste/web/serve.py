"""Serving the explorer until it is stopped."""

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn

from foretaste.errors import StorageError, StudyError
from foretaste.store.study import StudyStore
from foretaste.web.app import create_app
from foretaste.web.guard import Rules, new_token
from foretaste.web.process import WorkerProcess
from foretaste.web.reading import PreferenceRequest, Reader, view_study
from foretaste.web.worker import Waker
from foretaste.workflow.trust import check_stored_recipe

__all__ = ["serve"]


def serve(
    folder: Path,
    host: str,
    port: int,
    opened: Callable[[str], None],
    *,
    resume: bool = False,
    trust: bool = False,
    framed: bool = False,
) -> None:
    """Serve a study's page until a signal says to stop.

    Args:
        folder: The study's.
        host: Address to listen on. Every request needs the token unless the address is this machine's own.
        port: 0 takes any free one.
        opened: Called with the page's address once it can be opened.
        resume: Whether waiting jobs start at once; otherwise they wait until the page asks for work.
        trust: Whether the study's recipe may run its own Python code, whoever made the study.
        framed: Whether pages of this machine, such as a notebook, may show the page in a frame.

    Raises:
        StudyError: The folder is not a study or is empty, the address cannot be listened on, or other machines could
            frame the page.
    """
    _check_host(host, framed=framed)
    token, waker = new_token(), Waker(folder, trust=trust)
    StudyStore.open_queue(folder).close()  # fails before listening if this is not a study
    if resume and not trust:
        check_stored_recipe(folder)
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    is_local = _is_local(host)
    printed = f"[{host}]" if ":" in host else host
    names = (
        {f"{name.lower()}:{port}" for name in (printed, "localhost", "127.0.0.1", "[::1]")} if is_local else set[str]()
    )
    work = WorkerProcess(view_study)
    reader = Reader(folder, work)
    app = create_app(
        folder,
        Rules(token, frozenset(names), open_reading=is_local, framed=framed),
        waker,
        reader,
        lambda: server.should_exit,
        resume=resume,
        check_asking=(lambda: None) if trust else (lambda: check_stored_recipe(folder)),
    )
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False
    )
    server = _Server(config, lambda: opened(f"http://{printed}:{port}/?token={token}"), work.close)
    with (
        listening,
        closing(work),
        StudyStore.open_queue(folder),
        _open_study(folder),
    ):  # open databases can be read even if the disk is full
        reader.view(PreferenceRequest())  # so that no reader waits for the first page
        server.run(sockets=[listening])


def _check_host(host: str, *, framed: bool) -> None:
    """Check that the address to listen on is named, and is this machine's own if the page may be framed."""
    if not host.strip():
        raise StudyError(
            "--host is empty; name an address to listen on, such as 127.0.0.1, or 0.0.0.0 for every address of this"
            " machine"
        )
    if framed and not _is_local(host):
        raise StudyError("--framed is for this machine alone; leave out --host")


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket that the server listens on."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise StudyError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; name others with --host and --port"
        ) from error


def _open_study(folder: Path) -> StudyStore:
    """Open the study for as long as it is served.

    One of an earlier version is upgraded, since readers would copy it every time.
    """
    with suppress(StorageError):  # a full or read-only disk
        StudyStore.upgrade(folder)
    return StudyStore.open(folder)


def _is_local(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, opened: Callable[[], None], leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._opened, self._leave = opened, leave

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opened()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._leave()  # before waiting for requests that wait for it
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; a second signal stops at once.

        Uvicorn would raise the signal again at the end, before `serve` can clean up.
        """
        self.force_exit, self.should_exit = self.should_exit, True
