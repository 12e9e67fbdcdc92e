"""Serving the explorer until it is stopped."""

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from ipaddress import ip_address
from multiprocessing import get_context, parent_process
from pathlib import Path

import uvicorn

from foretaste.errors import StudyError
from foretaste.web.app import create_app
from foretaste.web.guard import Rules, new_token
from foretaste.web.reading import Reader, Wish
from foretaste.web.worker import Waker

__all__ = ["serve"]


def serve(folder: Path, host: str, port: int, opened: Callable[[str], None]) -> None:
    """Serve a study's page until a signal says to stop.

    Args:
        folder: The study's.
        host: Address to listen on; on others than this machine's own, every request needs the token.
        port: 0 for any that is free.
        opened: Called with the page's address, once it can be opened.

    Raises:
        StudyError: The folder is no study, or an empty one, or the address cannot be listened on.
    """
    token, waker = new_token(), Waker(folder)
    waker()  # of jobs that waited when the last server was stopped
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise StudyError(f"cannot listen on {host}, port {port}: {error.strerror or error}; name others with --host and --port") from error
    port = listening.getsockname()[1]
    own = _own(host)
    names = {f"{name}:{port}" for name in (host, "localhost", "127.0.0.1")} if own else set[str]()
    executor = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_with_the_server)
    reader = Reader(folder, executor)
    app = create_app(folder, Rules(token, frozenset(names), open_reading=own), waker, reader)
    shown = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False)
    server = _Server(config, lambda: opened(f"http://{shown}:{port}/?token={token}"))
    try:
        reader.shown(Wish())  # nobody waits for the first
        server.run(sockets=[listening])
    finally:
        listening.close()
        executor.shutdown(wait=False, cancel_futures=True)


def _with_the_server() -> None:
    """The process that works out states ends with the server, however that ends."""

    def leave() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()


def _own(host: str) -> bool:
    """Whether only this machine can ask."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, opened: Callable[[], None]) -> None:
        super().__init__(config)
        self._opened = opened

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._opened()
