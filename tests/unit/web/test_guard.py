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


def client(*, open_reading: bool = True, hosts: tuple[str, ...] = ("here:1",)) -> TestClient:
    rules = Rules(TOKEN, frozenset(hosts), open_reading)
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST", "DELETE"])], middleware=[Middleware(Guard, rules=rules)])
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


@pytest.mark.parametrize("origin", ["http://evil.example", "https://here", "null", "http://here:2"])
def test_another_sites_page_is_refused(origin: str) -> None:
    assert client().get("/", headers={"origin": origin}).status_code == 403
    assert client().post("/", headers={"origin": origin, HEADER: TOKEN}).status_code == 403
    assert client().post("/", headers={"origin": "http://here:1", HEADER: TOKEN}).status_code == 200


def test_a_cross_site_request_without_an_origin_is_refused() -> None:
    assert client().post("/", headers={"sec-fetch-site": "cross-site", HEADER: TOKEN}).status_code == 403
    assert client().get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # a link


def test_large_bodies_are_refused() -> None:
    assert client().post("/", content=b"x" * LARGEST, headers={HEADER: TOKEN}).text == f"read {LARGEST}"
    assert client().post("/", content=b"x" * (LARGEST + 1), headers={HEADER: TOKEN}).status_code == 413
    assert client().post("/", content=b"x", headers={HEADER: TOKEN, "content-length": "many"}).status_code == 413


def test_a_body_without_a_length_ends_where_it_is_too_large() -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 (the connection is dropped)
        client().post("/", content=iter([b"x" * LARGEST, b"x"]), headers={HEADER: TOKEN})


def test_every_answer_has_the_headers() -> None:
    for found in (client().get("/"), client().post("/")):
        assert "script-src 'self';" in found.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in found.headers["content-security-policy"]
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cache-control"] == "no-store"


def test_tokens_differ() -> None:
    assert new_token() != new_token()
