"""Serving the explorer until it is stopped."""

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn

from foretaste.errors import StorageError, StudyError
from foretaste.store.queue import Queue
from foretaste.store.study import Study
from foretaste.web.apart import Apart
from foretaste.web.app import create_app
from foretaste.web.guard import Rules, new_token
from foretaste.web.reading import Reader, Wish, shown
from foretaste.web.worker import Waker
from foretaste.workflow.trust import check_stored_recipe

__all__ = ["serve"]


def serve(folder: Path, host: str, port: int, opened: Callable[[str], None], *, resume: bool = False, trust: bool = False) -> None:
    """Serve a study's page until a signal says to stop.

    Args:
        folder: The study's.
        host: Address to listen on; on others than this machine's own, every request needs the token.
        port: 0 for any that is free.
        opened: Called with the page's address, once it can be opened.
        resume: Whether jobs that wait from before are done at once; otherwise they wait until work is asked for on the page.
        trust: Whether code that the study's recipe runs may run, whoever made the study.

    Raises:
        StudyError: The folder is no study, or an empty one, or the address cannot be listened on.
    """
    token, waker = new_token(), Waker(folder, trust=trust)
    if not host.strip():
        raise StudyError("--host is empty; name an address to listen on, such as 127.0.0.1, or 0.0.0.0 for every address of this machine")
    Queue(folder).close()  # nothing is listened on for what is no study
    if resume and not trust:
        check_stored_recipe(folder)
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise StudyError(f"cannot listen on {host}, port {port}: {error.strerror or error}; name others with --host and --port") from error
    port = listening.getsockname()[1]
    own = _own(host)
    printed = f"[{host}]" if ":" in host else host
    names = {f"{name.lower()}:{port}" for name in (printed, "localhost", "127.0.0.1", "[::1]")} if own else set[str]()
    work = Apart(shown)
    reader = Reader(folder, work)
    app = create_app(
        folder,
        Rules(token, frozenset(names), open_reading=own),
        waker,
        reader,
        lambda: server.should_exit,
        resume=resume,
        check_asking=(lambda: None) if trust else (lambda: check_stored_recipe(folder)),
    )
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False)
    server = _Server(config, lambda: opened(f"http://{printed}:{port}/?token={token}"), work.close)
    with listening, closing(work), Queue(folder), _opened(folder):  # once open, databases can be read though the disk be full
        reader.shown(Wish())  # nobody waits for the first
        server.run(sockets=[listening])


def _opened(folder: Path) -> Study:
    """The study, held open; one of an earlier version is moved first, since a reader would copy it at each look."""
    with suppress(StorageError):  # a full or read-only disk
        Study.upgrade(folder)
    return Study.open(folder)


def _own(host: str) -> bool:
    """Whether only this machine can ask."""
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
        self._leave()  # before anything waits for the answers of those who wait for it
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, at once if asked again. Uvicorn raises the signal anew when it has stopped, which ends the process before `serve` does."""
        self.force_exit, self.should_exit = self.should_exit, True
