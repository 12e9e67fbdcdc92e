"""The guard: who may ask what, before any route sees a request.

A page of another site must not reach a study through its reader's browser: the host and the origin have to be ours
(DNS rebinding, cross-site requests), and what changes anything needs the token of the opened address, as does every request
where the server can be reached from other machines. Only the page's own scripts, which say nothing of any study, need none: a
browser asks for them without it. Bodies are small. Answers forbid scripts that are not our files.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foretaste.one_line import one_line

__all__ = ["HEADER", "LARGEST", "STATIC", "Guard", "Rules", "new_token"]

HEADER = "x-foretaste-token"
LARGEST = 16_384  # bytes of a body
STATIC = "/static/"  # path of the page's scripts
_SAFE = ("GET", "HEAD")
_FOREIGN = (403, "another site's page may not ask this")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,  # plotly sets styles of elements
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def new_token() -> str:
    """A token that cannot be guessed.

    >>> len(new_token()) >= 32
    True
    """
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Rules:
    """What is let in.

    Args:
        token: Of the opened address.
        hosts: Values of the Host header that are ours; any if empty.
        open_reading: Whether reading needs no token: where only this machine can ask.
    """

    token: str
    hosts: frozenset[str]
    open_reading: bool

    __repr__ = one_line


class Guard:
    """Middleware that refuses what the rules do not let in.

    Args:
        app: The routes.
        rules: What is let in.
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await JSONResponse({"error": refused[1]}, refused[0], dict(_HEADERS))(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, _limited(receive), _headed(noted))
        except _TooLarge:
            if started:
                raise
            await JSONResponse({"error": _TOO_LARGE}, 413, dict(_HEADERS))(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers, reads = Headers(scope=scope), scope["method"] in _SAFE
        if self._rules.hosts and headers.get("host", "") not in self._rules.hosts:
            return 421, "this server is not called so; open the address that `foretaste explore` printed"
        if _is_foreign(scope, headers):
            return _FOREIGN
        if scope["path"].startswith(STATIC) and reads:
            return None
        if not (reads and self._rules.open_reading) and not self._has_token(scope, headers):
            return 401, "the token is missing or wrong; open the address that `foretaste explore` printed"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            return 413, _TOO_LARGE
        return None

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        given = headers.get(HEADER) or ""
        if not given and scope["method"] in _SAFE:  # a page and an event stream are opened by an address alone
            given = next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("token", [])), "")
        return secrets.compare_digest(given.encode(), self._rules.token.encode())


_TOO_LARGE = f"a request may have {LARGEST} bytes"


class _TooLarge(Exception):
    """A body without a length turned out to be too large."""


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Whether a page of another site asks, as far as its browser says; following a link to the plain page is no such request."""
    origin = headers.get("origin")
    if origin is not None and _place_of(origin) != headers.get("host"):
        return True
    if headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
        return False
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    wished = parse_qs(scope["query_string"].decode("latin-1")).keys() - {"token"}
    return not (scope["method"] in _SAFE and followed and scope["path"] == "/" and not wished)


def _place_of(origin: str) -> str | None:
    """Host and port of an origin; None where it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _limited(receive: Receive) -> Receive:
    """A source of messages that fails where a body without a length becomes too large."""
    seen = 0

    async def next_message() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST:
            raise _TooLarge
        return message

    return next_message


def _headed(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return with_headers
