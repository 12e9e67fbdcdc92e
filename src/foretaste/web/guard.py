"""The guard decides which requests reach the routes.

A page of another site must not reach a study through its reader's browser. So host and origin have to be ours (against
DNS rebinding and cross-site requests), and requests that change anything need the token of the opened address. If other
machines can reach the server, every request needs it, except those for the page's own scripts, which hold nothing of
any study and which a browser requests without it. Bodies are small. Answers forbid all scripts but our own files.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
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
_FOREIGN = (403, "a page of another site may not request this")
_POLICY = (  # plotly sets styles of elements
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src"
    " 'self'; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors "
)
_NO_PAGE = "'none'"
_PAGES_OF_THIS_MACHINE = "http://localhost:* http://127.0.0.1:*"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def new_token() -> str:
    """Make a token that cannot be guessed.

    >>> len(new_token()) >= 32
    True
    """
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Rules:
    """Which requests are let in.

    Args:
        token: The token of the opened address.
        hosts: Our values of the Host header; any value if empty.
        open_reading: Whether reading needs no token, because only this machine can connect.
        framed: Whether pages of this machine, such as a notebook, may show the page in a frame; the frame needs the
            token.
    """

    token: str
    hosts: frozenset[str]
    open_reading: bool
    framed: bool = False

    __repr__ = one_line


class Guard:
    """Middleware that refuses requests that the rules do not let in.

    Args:
        app: The routes.
        rules: Which requests are let in.
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules
        ancestors = _PAGES_OF_THIS_MACHINE if rules.framed else _NO_PAGE
        self._headers = {**_HEADERS, "content-security-policy": _POLICY + ancestors}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            status, message = refusal
            await JSONResponse({"error": message}, status, self._headers)(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, _limit(receive), _with_headers(send_and_note, self._headers))
        except _TooLarge:
            if started:
                raise
            await JSONResponse({"error": _TOO_LARGE}, 413, self._headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers, reads = Headers(scope=scope), scope["method"] in _SAFE
        if self._rules.hosts and headers.get("host", "") not in self._rules.hosts:
            return 421, "this server has another name; open the address that `foretaste explore` printed"
        if _is_foreign(scope, headers) and not self._is_our_frame(scope, headers):
            return _FOREIGN
        if scope["path"].startswith(STATIC) and reads:
            return None
        if not (reads and self._rules.open_reading) and not self._has_token(scope, headers):
            return 401, "the token is missing or wrong; open the address that `foretaste explore` printed"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            return 413, _TOO_LARGE
        return None

    def _is_our_frame(self, scope: Scope, headers: Headers) -> bool:
        """Tell whether a notebook opens the page in a frame, by the address with the token."""
        opens = scope["method"] in _SAFE and scope["path"] == "/" and headers.get("sec-fetch-dest") == "iframe"
        return self._rules.framed and opens and headers.get("origin") is None and self._has_token(scope, headers)

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        token = headers.get(HEADER) or ""
        if not token and scope["method"] in _SAFE:  # a page and an event stream are opened by their address alone
            token = next(iter(parse_qs(scope["query_string"].decode("latin-1")).get("token", [])), "")
        return secrets.compare_digest(token.encode(), self._rules.token.encode())


_TOO_LARGE = f"a request may have at most {LARGEST} bytes"


class _TooLarge(Exception):
    """A body without a length turned out to be too large."""


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Whether another site's page sends a request, as far as its browser says.

    Following a link to the plain page is allowed.
    """
    origin = headers.get("origin")
    if origin is not None and _address_of(origin) != headers.get("host"):
        return True
    if headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
        return False
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    parameters = parse_qs(scope["query_string"].decode("latin-1")).keys() - {"token"}
    return not (scope["method"] in _SAFE and is_link and scope["path"] == "/" and not parameters)


def _address_of(origin: str) -> str | None:
    """Return host and port of an origin; None if it is not an address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _limit(receive: Receive) -> Receive:
    """Limit a body: reading it fails once it is too large, even if it had no length."""
    size = 0

    async def next_message() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST:
            raise _TooLarge
        return message

    return next_message


def _with_headers(send: Send, names: Mapping[str, str]) -> Callable[[Message], Awaitable[None]]:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in names.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
