"""Who is let in."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from foretaste.web.guard import HEADER, LARGEST, Guard, Rules, new_token

TOKEN = "b" * 32


async def answer(request: Request) -> Response:
    return PlainTextResponse(f"read {len(await request.body())}")


def client(*, open_reading: bool = True, hosts: tuple[str, ...] = ("here:1",), framed: bool = False) -> TestClient:
    rules = Rules(TOKEN, frozenset(hosts), open_reading, framed)
    routes = [Route(path, answer, methods=["GET", "POST", "DELETE"]) for path in ("/", "/api/state", "/static/{name}")]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, rules=rules)])
    return TestClient(app, base_url="http://here:1")


def test_reading_is_open_on_this_machine_alone() -> None:
    assert client().get("/").text == "read 0"
    shut = client(open_reading=False, hosts=())
    assert shut.get("/").status_code == 401
    assert shut.get("/", headers={HEADER: TOKEN}).status_code == 200
    assert shut.get("/", params={"token": TOKEN}).status_code == 200
    assert shut.get("/", params={"token": TOKEN + "x"}).status_code == 401


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
def test_whatever_may_change_something_needs_the_token_in_a_header(method: str) -> None:
    assert client().request(method, "/").status_code == 401
    assert client().request(method, "/", params={"token": TOKEN}).status_code == 401
    assert client().request(method, "/", headers={HEADER.encode(): b"\xe9"}).status_code == 401
    assert client().request(method, "/", headers={HEADER: TOKEN}).status_code in (200, 405)


@pytest.mark.parametrize("host", ["evil.example", "here", "here:2", "127.0.0.1", ""])
def test_another_name_for_this_server_is_refused(host: str) -> None:
    found = client().get("/", headers={"host": host})
    assert found.status_code == 421
    assert "foretaste explore" in found.json()["error"]


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://here", "null", "http://here:2", "http://[", "http://[::1", "", "x" * 3000],
)
def test_another_sites_page_is_refused(origin: str) -> None:
    assert client().get("/", headers={"origin": origin}).status_code == 403
    assert client().post("/", headers={"origin": origin, HEADER: TOKEN}).status_code == 403
    assert client().post("/", headers={"origin": "http://here:1", HEADER: TOKEN}).status_code == 200


def test_a_cross_site_request_without_an_origin_is_refused() -> None:
    assert client().post("/", headers={"sec-fetch-site": "cross-site", HEADER: TOKEN}).status_code == 403
    assert client().get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_to_the_page_may_be_followed_from_anywhere_and_nothing_else_be_read(site: str) -> None:
    link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client().get("/", headers=link).status_code == 200
    assert client().get("/", headers=link, params={"token": TOKEN}).status_code == 200
    for path in ("/?floor=all%3E%3D1%25", "/?prefer=worst", "/api/state", "/static/map.js"):
        assert client().get(path, headers=link).status_code == 403
    for changed in ({"sec-fetch-dest": "iframe"}, {"sec-fetch-mode": "no-cors"}):
        assert client().get("/", headers=link | changed).status_code == 403
    assert client().post("/", headers=link | {HEADER: TOKEN}).status_code == 403


def test_scripts_need_no_token() -> None:
    """A browser asks for them without one; hosts and origins are looked at all the same."""
    shut = client(open_reading=False)
    assert shut.get("/static/map.js").status_code == 200
    assert shut.get("/static/map.js", headers={"origin": "http://evil.example"}).status_code == 403
    assert shut.get("/static/map.js", headers={"host": "evil.example"}).status_code == 421
    assert shut.post("/static/map.js").status_code == 401
    assert shut.get("/api/state").status_code == 401


def test_large_bodies_are_refused() -> None:
    assert client().post("/", content=b"x" * LARGEST, headers={HEADER: TOKEN}).text == f"read {LARGEST}"
    assert client().post("/", content=b"x" * (LARGEST + 1), headers={HEADER: TOKEN}).status_code == 413
    for length in ("many", "9" * 5000, "-1"):
        assert client().post("/", content=b"x", headers={HEADER: TOKEN, "content-length": length}).status_code == 413


def test_a_body_without_a_length_is_refused_where_it_is_too_large() -> None:
    found = client().post("/", content=iter([b"x" * LARGEST, b"x"]), headers={HEADER: TOKEN})
    assert found.status_code == 413
    assert found.json() == {"error": f"a request may have at most {LARGEST} bytes"}
    assert (
        client().post("/", content=iter([b"x" * (LARGEST - 1), b"x"]), headers={HEADER: TOKEN}).text
        == f"read {LARGEST}"
    )


def test_every_answer_has_the_headers() -> None:
    for found in (client().get("/"), client().post("/")):
        assert "script-src 'self';" in found.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cache-control"] == "no-store"


def test_tokens_differ() -> None:
    assert new_token() != new_token()


FRAME = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}


def test_a_notebook_frames_the_page_by_its_address_with_the_token() -> None:
    found = client(framed=True).get("/", headers=FRAME, params={"token": TOKEN})
    assert (found.status_code, found.text) == (200, "read 0")
    policy = found.headers["content-security-policy"]
    assert policy.endswith("; frame-ancestors http://localhost:* http://127.0.0.1:*")
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    unframed = client().get("/").headers["content-security-policy"]
    assert unframed == f"{policy.partition('frame-ancestors')[0]}frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("method", "path", "token", "headers"),
    [
        ("GET", "/", "", {}),
        ("GET", "/", TOKEN + "x", {}),
        ("GET", "/", TOKEN, {"origin": "http://evil.example"}),
        ("GET", "/", TOKEN, {"origin": "null"}),
        ("GET", "/api/state", TOKEN, {}),
        ("GET", "/static/map.js", TOKEN, {}),
        ("POST", "/", TOKEN, {HEADER: TOKEN}),
        ("GET", "/", TOKEN, {"sec-fetch-dest": "object"}),
    ],
)
def test_a_frame_reaches_nothing_else(method: str, path: str, token: str, headers: dict[str, str]) -> None:
    found = client(framed=True).request(method, path, headers=FRAME | headers, params={"token": token})
    assert found.status_code == 403


def test_a_page_that_may_not_be_framed_refuses_frames() -> None:
    assert client().get("/", headers=FRAME, params={"token": TOKEN}).status_code == 403
