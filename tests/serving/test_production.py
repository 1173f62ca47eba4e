"""The server as an operator runs it: health, metrics, a token, other origins, logs, polygons, the environment."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atonce.errors import UserError
from atonce.serving import serve
from atonce.serving.access_log import ACCESS, JsonFormatter, WithoutProbes, log_config
from atonce.serving.bearer_token import read_token, require_token
from atonce.serving.host_check import require_origin
from atonce.serving.limits import Limits
from tests.commands import Command
from tests.pictures import encoded, noise
from tests.serving.live import FORM, Gated, Live, Reply, serving, until

TOKEN = "0123456789abcdef-not-guessed"
PAGE = "https://app.example"
PICTURE = encoded(noise(40, 40))


@pytest.fixture(scope="module")
def guarded(tiny_model: Path) -> Iterator[Live]:
    """A server with a token, for the pages of one other origin."""
    with serving(tiny_model, Limits(upload_bytes=300_000), token=TOKEN, allowed_origins=[PAGE]) as live:
        yield live


def samples(live: Live) -> dict[str, float]:
    """The metrics, by name and labels."""
    reply = live.ask("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_alive_and_ready(live: Live) -> None:
    for path in ("/livez", "/readyz"):
        reply = live.ask("GET", path)
        assert (reply.status, reply.json) == (200, {"status": "ok"})
        assert live.ask("HEAD", path).status == 200


def test_not_ready_when_the_queue_is_full_or_the_server_ends(tiny_model: Path) -> None:
    with serving(tiny_model, Limits(queue=0)) as live, ThreadPoolExecutor(2) as pool:
        gate = Gated(live.service.predictor)
        live.service.predictor = gate  # type: ignore[assignment]
        waiting = [pool.submit(live.send, PICTURE) for _ in range(2)]
        try:
            until(lambda: live.service.queue.in_progress == 2)
            full = live.ask("GET", "/readyz")
            assert (full.status, "in work or waiting" in full.error) == (503, True)
            assert int(full.headers["retry-after"]) >= 1
            assert live.ask("GET", "/livez").status == 200
        finally:
            gate.gate.set()
        assert [reply.result().status for reply in waiting] == [200, 200]
        assert live.ask("GET", "/readyz").status == 200
        live.service.stop()
        ending = live.ask("GET", "/readyz")
        assert (ending.status, ending.headers["retry-after"]) == (503, "10")
        assert "stopped" in ending.error
        assert live.ask("GET", "/livez").status == 200


def test_requests_steps_and_the_queue_are_counted(tiny_model: Path) -> None:
    with serving(tiny_model, Limits(queue=5)) as live:
        assert [live.send(PICTURE).status, live.send(PICTURE).status, live.send(b"no picture").status] == [
            200,
            200,
            415,
        ]
        live.ask("GET", "/nowhere-" + "x" * 50)
        live.ask("BREW", "/")
        found = samples(live)
        assert found['atonce_requests_total{method="POST",path="/predict",status="200"}'] == 2
        assert found['atonce_requests_total{method="POST",path="/predict",status="415"}'] == 1
        assert found['atonce_refusals_total{reason="kind"}'] == 1
        # What strangers make up is no label: memory would grow with it.
        assert found['atonce_requests_total{method="GET",path="other",status="404"}'] == 1
        assert not any("nowhere" in name or "BREW" in name for name in found)
        for step in ("queue", "decode", "wait", "network", "encode"):
            assert found[f'atonce_step_seconds_count{{step="{step}"}}'] == 2
        assert found['atonce_request_seconds_count{path="/predict"}'] == 3
        assert (found["atonce_queue_capacity"], found["atonce_pictures_waiting"]) == (5, 0)
        (model,) = (name for name in found if name.startswith("atonce_model_info"))
        assert f'fingerprint="{live.service.model["fingerprint"]}"' in model
        assert 'engine="torch"' in model


def test_refusals_are_counted_by_reason(tiny_model: Path) -> None:
    with serving(tiny_model, Limits(queue=0)) as live, ThreadPoolExecutor(3) as pool:
        gate = Gated(live.service.predictor)
        live.service.predictor = gate  # type: ignore[assignment]
        waiting = [pool.submit(live.send, PICTURE) for _ in range(2)]
        try:
            until(lambda: live.service.queue.in_progress == 2)
            assert live.send(PICTURE).status == 503
            found = samples(live)
        finally:
            gate.gate.set()
        assert all(reply.result().status == 200 for reply in waiting)
        assert found['atonce_refusals_total{reason="full"}'] == 1
        assert found["atonce_pictures_in_progress"] == 2
        live.service.stop()
        assert live.send(PICTURE).status == 503
        assert samples(live)['atonce_refusals_total{reason="stopping"}'] == 1


def test_a_probe_that_is_answered_no_is_no_refusal(tiny_model: Path) -> None:
    with serving(tiny_model) as live:
        live.service.stop()
        assert [live.ask("GET", "/readyz").status for _ in range(3)] == [503] * 3
        found = samples(live)
        assert found['atonce_requests_total{method="GET",path="/readyz",status="503"}'] == 3
        assert not [name for name in found if name.startswith("atonce_refusals_total{")]
        # Somebody who may not ask at all is refused, whatever the path.
        assert live.ask("GET", "/readyz", headers={"Host": "evil.example"}).status == 400
        assert samples(live)['atonce_refusals_total{reason="host"}'] == 1


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer \xff"],
)
def test_without_the_token_nothing_is_answered(guarded: Live, header: str | None) -> None:
    given = {} if header is None else {"Authorization": header}
    for method, path in (("GET", "/model"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/nowhere")):
        reply = guarded.ask(method, path, headers=given)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="atonce"')
        assert TOKEN not in reply.error
    assert guarded.ask("POST", "/predict", PICTURE, {"Content-Type": "image/png", **given}).status == 401


def test_with_the_token_everything_is(guarded: Live) -> None:
    for scheme in ("Bearer", "bearer"):
        given = {"Authorization": f"{scheme} {TOKEN}"}
        assert guarded.send(PICTURE, **given).status == 200
        assert guarded.ask("GET", "/model", headers=given).status == 200


def test_the_page_and_the_health_checks_need_no_token(guarded: Live) -> None:
    for path in ("/", "/livez", "/readyz", "/healthz"):
        assert guarded.ask("GET", path).status == 200
    page = guarded.ask("GET", "/").body.decode()
    assert 'id="key"' in page  # where it is asked for
    assert TOKEN not in page


def test_a_body_is_not_read_without_the_token(guarded: Live) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 200000\r\n\r\n"
    with guarded.open() as client:
        client.sendall(head)
        assert client.recv(100).startswith(b"HTTP/1.1 401")


def test_tokens_are_compared_in_constant_time(guarded: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
    guarded.ask("GET", "/model", headers={"Authorization": "Bearer x"})
    guarded.ask("GET", "/model", headers={"Authorization": f"Bearer {'x' * 5000}"})
    assert compared == [(32, 32), (32, 32)]


def test_a_token_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"  {TOKEN}\n")
    assert read_token(tmp_path / "token") == TOKEN
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        read_token(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 20)
    with pytest.raises(UserError, match="not a text"):
        read_token(tmp_path / "binary")
    for weak in ("", "short", "with a space in it"):
        with pytest.raises(UserError, match="16 or more") as refused:
            require_token(weak, "ATONCE_TOKEN")
        assert not weak or weak not in str(refused.value)


def preflight(live: Live, origin: str, method: str = "POST") -> Reply:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Sec-Fetch-Site": "cross-site"}
    return live.ask("OPTIONS", "/predict", headers={**asked, "Access-Control-Request-Headers": "authorization"})


def test_pages_of_an_origin_that_is_allowed_may_use_it(guarded: Live) -> None:
    asked = preflight(guarded, PAGE)
    assert asked.status == 200
    assert asked.headers["access-control-allow-origin"] == PAGE
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    sent = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {TOKEN}"}
    reply = guarded.send(PICTURE, **sent)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)
    assert reply.headers["vary"].lower() == "origin"
    refused = guarded.send(PICTURE, Origin=PAGE)
    # A page may read why it was refused.
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, PAGE)


@pytest.mark.parametrize("origin", ["https://other.example", "http://app.example", f"{PAGE}:8443", "null"])
def test_pages_of_other_origins_may_not(guarded: Live, origin: str) -> None:
    asked = preflight(guarded, origin)
    assert (asked.status, "another origin" in asked.error) == (403, True)
    sent = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {TOKEN}"}
    reply = guarded.send(PICTURE, **sent)
    assert reply.status == 403
    assert "access-control-allow-origin" not in reply.headers


def test_without_origins_nothing_is_said_to_pages_elsewhere(live: Live) -> None:
    assert preflight(live, PAGE).status == 405
    assert "access-control-allow-origin" not in live.ask("GET", "/model", headers={"Origin": PAGE}).headers


def test_any_origin(tiny_model: Path) -> None:
    with serving(tiny_model, allowed_origins=["*"]) as live:
        reply = live.send(PICTURE, Origin="https://any.example", Sec_Fetch_Site="cross-site")
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Example.org", "https://example.org"),
        ("https://example.org:443/", "https://example.org"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[0:0::0001]:80", "http://[::1]"),
        ("http://192.168.1.7:8080", "http://192.168.1.7:8080"),
        ("https://XN--bcher-kva.example", "https://xn--bcher-kva.example"),
        (" * ", "*"),
        ("*", "*"),
    ],
)
def test_an_origin_is_written_as_browsers_do(text: str, origin: str) -> None:
    assert require_origin(text) == origin


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("example.org", ""),
        ("https://example.org/page", ""),
        ("https://example.org//", ""),
        ("https://example.org?", ""),
        ("https://exam\nple.org", ""),
        ("https://exam ple.org", ""),
        ("ftp://x", ""),
        ("https://", ""),
        ("http://x:99999", ""),
        ("http://[::g]", ""),
        ("http://1.2.3.999", ""),
        ("http://127.1", ""),
        ("null", ""),
        ("", ""),
        ("https://bücher.example", "; write the name in punycode, xn--..."),
        ("https://user:word@example.org", "; leave out the user before the @"),
        ("https://*", "; name each origin with a `cors_origin` of its own"),
        ("https://*.example.org", "; name each origin with a `cors_origin` of its own"),
    ],
)
def test_what_no_browser_sends_is_no_origin(text: str, remedy: str) -> None:
    with pytest.raises(UserError) as refused:
        require_origin(text)
    expected = "scheme://host or scheme://host:port as browsers send it, such as https://example.org, or * for any"
    assert str(refused.value).endswith(f"; expected {expected}{remedy}")


def lines_of(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    formatter, chosen = JsonFormatter(), WithoutProbes()
    texts = [formatter.format(record) for record in caplog.records if record.name == ACCESS and chosen.filter(record)]
    assert all("\n" not in text for text in texts)
    return [json.loads(text) for text in texts]


def test_the_access_log_is_json(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tiny_model, access_log="json", token=TOKEN) as live:
        logging.getLogger(ACCESS).addHandler(caplog.handler)
        try:
            live.send(PICTURE, "format=labels", Authorization=f"Bearer {TOKEN}")
            live.send(PICTURE, Authorization="Bearer wrong-token-of-someone")
            live.ask("GET", "/livez")
            live.ask("GET", "/%0A%22forged%22")
            until(lambda: len(lines_of(caplog)) == 3)
        finally:
            logging.getLogger(ACCESS).removeHandler(caplog.handler)
    good, refused, forged = lines_of(caplog)
    assert good.items() >= {"method": "POST", "path": "/predict", "status": 200, "client": "127.0.0.1"}.items()
    assert set(good["steps"]) == {"queue", "decode", "wait", "network", "encode", "total"}
    assert good["bytes"] > 50
    assert (refused["status"], refused["refused"]) == (401, "token")
    assert forged["path"] == '/\n"forged"'
    assert "wrong-token" not in json.dumps([good, refused, forged])


def test_the_answer_to_head_is_logged_without_the_body_that_is_not_sent(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tiny_model, access_log="json") as live:
        logging.getLogger(ACCESS).addHandler(caplog.handler)
        try:
            whole = live.ask("GET", "/model")
            assert live.ask("HEAD", "/model").headers["content-length"] == str(len(whole.body))
            until(lambda: len(lines_of(caplog)) == 2)
        finally:
            logging.getLogger(ACCESS).removeHandler(caplog.handler)
    assert [(line["method"], line["bytes"]) for line in lines_of(caplog)] == [("GET", len(whole.body)), ("HEAD", 0)]


def test_libraries_put_no_lines_of_their_own_among_the_objects(
    tiny_model: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    so_far: list[str] = []
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    with serving(tiny_model, access_log="json") as live:
        capsys.readouterr()
        assert live.send(b"no form at all", "", FORM).status == 422
        assert live.ask("GET", "/model", headers=upgrade).status == 200

        def both_are_there() -> bool:
            so_far.append(capsys.readouterr().err)
            return "".join(so_far).count('"path"') == 2

        until(both_are_there)
    assert [json.loads(line)["status"] for line in "".join(so_far).splitlines()] == [422, 200]
    assert not [record for record in caplog.records if record.name.startswith("python_multipart")]


def test_a_path_with_a_slash_too_many_is_none(tiny_model: Path) -> None:
    with serving(tiny_model) as live:
        reply = live.ask("GET", "/model/")
    assert reply.status == 404 and "location" not in reply.headers and "Not Found" in reply.error


def test_a_failure_is_one_json_object_too() -> None:
    try:
        raise RuntimeError("ours")
    except RuntimeError as error:
        record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "failed", (), (type(error), error, None))
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["message"]) == ("error", "failed")
    assert "RuntimeError: ours" in line["traceback"]


def test_probes_that_went_well_are_left_out_of_the_log() -> None:
    def written(path: str, status: int) -> bool:
        given = ("127.0.0.1:1", "GET", path, "1.1", status)
        return WithoutProbes().filter(logging.LogRecord("uvicorn.access", 20, "", 0, "%s %s %s %s %d", given, None))

    assert [written("/livez", 200), written("/readyz?x", 200), written("/readyz", 503), written("/model", 200)] == [
        False, False, True, True,
    ]  # fmt: skip
    with pytest.raises(UserError, match="one of text, json, none"):
        log_config("xml")  # type: ignore[arg-type]


def test_options_come_from_the_environment(
    atonce: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr("atonce.serving.serve", lambda model, **given: asked.update(given, model=model))
    values = {
        "MODEL": tiny_model, "HOST": "0.0.0.0", "PORT": "0", "ENGINE": "torch", "DEVICE": "cpu", "THREADS": "2",
        "MAX_MEGAPIXELS": "4", "MAX_UPLOAD_MB": "8", "QUEUE": "3", "ALLOW_HOST": "a.example b.example",
        "CORS_ORIGIN": PAGE, "TOKEN": TOKEN, "TOKEN_FILE": tmp_path / "token", "ACCESS_LOG": "json",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(f"ATONCE_{name}", str(value))
    assert atonce("serve").code == 0
    assert asked.pop("limits") == Limits(upload_bytes=8_000_000, pixels=4_000_000, queue=3)
    assert callable(asked.pop("on_ready"))
    assert asked == {
        "model": tiny_model, "host": "0.0.0.0", "port": 0, "engine": "torch", "device": "cpu", "threads": 2,
        "allow_host": ["a.example", "b.example"], "cors_origin": [PAGE], "token": TOKEN,
        "token_file": tmp_path / "token", "access_log": "json",
    }  # fmt: skip
    # What is typed counts for more; a mistake names the variable.
    assert atonce("serve", "--queue", "7", "-q").code == 0
    assert (asked["limits"].queue, asked["access_log"]) == (7, "none")
    monkeypatch.setenv("ATONCE_PORT", "tcp://10.0.0.1:8000")
    assert "ATONCE_PORT" in atonce("serve").mistake


def test_a_weak_token_is_refused_before_the_model_is_loaded(
    atonce: Command, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATONCE_TOKEN", "secret")
    outcome = atonce("serve", tiny_model, "--port", "0")
    assert "the token in ATONCE_TOKEN has 6 characters; expected 16 or more" in outcome.mistake
    assert "secret" not in outcome.err
    with pytest.raises(UserError, match="the token in `token` has 6 characters"):
        serve(tiny_model, port=0, token="secret")


def test_a_token_and_a_file_of_one_are_a_mistake(
    atonce: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    monkeypatch.setenv("ATONCE_TOKEN", TOKEN[::-1])
    outcome = atonce("serve", tiny_model, "--port", "0", "--host", "nowhere.invalid", "--token-file", file)
    assert outcome.mistake == (
        "atonce: both ATONCE_TOKEN and --token-file are given; expected one of them; leave the other out"
    )
    with pytest.raises(UserError, match="both `token` and `token_file` are given"):
        serve(tiny_model, port=0, host="nowhere.invalid", token=TOKEN, token_file=file)
