"""DNS rebinding and CSRF are refused, and security headers bind the browser."""

from __future__ import annotations

import re

import pytest

from tests.pictures import encoded, noise
from tests.serving.live import Live

PICTURE = encoded(noise(8, 8))


@pytest.mark.parametrize(
    "host",
    ["localhost:8000", "127.0.0.1", "192.168.1.7:8000", "[::1]:8000", "served.example", "SERVED.example:80"],
)
def test_addresses_and_known_names_are_served(live: Live, host: str) -> None:
    assert live.ask("GET", "/model", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "served.example.evil.example", "127.0.0.1.evil.example:8000", "[::1"),
        *("evil.example@localhost", "localhost/evil.example", "localhost?evil.example", "localhost\\@evil.example"),
    ],
)
def test_names_that_are_not_known_are_refused(live: Live, host: str) -> None:
    reply = live.ask("GET", "/model", headers={"Host": host})
    assert reply.status == 400
    assert "--allow-host" in reply.error


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost:1"},
    ],
)
def test_programs_and_its_own_page_are_served(live: Live, headers: dict[str, str]) -> None:
    told = {"Content-Type": "image/png", "Host": "localhost:1", **headers}
    assert live.ask("POST", "/predict", PICTURE, told).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:2"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
    ],
)
def test_pages_of_others_cannot_make_it_work(live: Live, headers: dict[str, str]) -> None:
    told = {"Content-Type": "image/png", "Host": "localhost:1", **headers}
    reply = live.ask("POST", "/predict", PICTURE, told)
    assert reply.status == 403
    assert "another origin" in reply.error
    # They may look, as with any link, but browsers do not let them read.
    assert live.ask("GET", "/healthz", headers={"Host": "localhost:1", **headers}).status == 200


def test_headers_that_bind_the_browser(live: Live) -> None:
    replies = [
        live.ask("GET", "/"),
        live.ask("GET", "/model"),
        live.ask("GET", "/nowhere"),
        live.ask("GET", "/model", headers={"Host": "evil.example"}),
        live.send(PICTURE, "format=labels"),
        live.send(b"no picture"),
    ]
    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["cache-control"] == "no-store"
        assert not [name for name in reply.headers if name.startswith("access-control")]
        assert "server" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/predict", 405), ("DELETE", "/model", 405), ("OPTIONS", "/predict", 405), ("GET", "/docs", 404)],
)  # fmt: skip
def test_other_paths_and_methods(live: Live, method: str, path: str, status: int) -> None:
    reply = live.ask(method, path)
    assert reply.status == status
    assert path in reply.error


def test_the_page_loads_nothing_from_elsewhere(live: Live) -> None:
    reply = live.ask("GET", "/")
    text = reply.body.decode()
    assert reply.headers["content-type"].startswith("text/html")
    assert not re.findall(
        r"https?:|//[a-z]|@import|url\(|<link(?! rel=\"icon\" href=\"data:,\")", text.replace("// ", "")
    )
    assert "/*style*/" not in text
    assert "/*script*/" not in text
    assert "'unsafe-" not in reply.headers["content-security-policy"]
    assert "innerHTML" not in text
