"""Models of a hub: downloaded once, checked, used offline; pushed with their card. The hub runs on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

import atonce as package
from atonce import downloads, hub_models
from atonce.errors import UserError, WeightsError
from atonce.hub_models import HubAddress, parse_address
from atonce.model_file import load_model_file, read_metadata
from atonce.storage import sha256_of
from tests.commands import Command
from tests.hostile_servers import (
    Answer,
    answering,
    endless,
    garbage,
    gzip_of_zeros,
    redirect_to,
    trickle,
    trickling_headers,
    without_an_etag,
)
from tests.hub import COMMIT, TOKEN, Hub, hub
from tests.networks import save_model
from tests.pictures import blocks, encoded
from tests.tiny import ENVIRONMENT

__all__ = ["hub"]

# The hub's client uploads in a way that its HTTP library has come to dislike.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model.safetensors")


@pytest.fixture
def stocked(hub: Hub, model: Path) -> Hub:
    hub.add("me/road", "model.safetensors", model.read_bytes())
    return hub


def forget() -> None:
    """Forget what this process has fetched, as another process would not know it."""
    hub_models._fetched.clear()


def test_addresses() -> None:
    assert parse_address("hf://me/road") == parse_address(Path("hf://me/road")) == HubAddress("me/road")
    assert parse_address("hf://me/road@v1.0") == HubAddress("me/road", "v1.0")
    assert parse_address("hf://me/road/small/a.safetensors") == HubAddress("me/road", None, "small/a.safetensors")
    assert str(HubAddress("me/road", "v1", "a.safetensors")) == "hf://me/road@v1/a.safetensors"
    assert parse_address("runs/mine") is None and parse_address("camvid-slim") is None


@pytest.mark.parametrize(
    "text",
    [
        "hf://me",
        "hf://",
        "hf://me/road/model.bin",
        "hf://me/road/x.py",
        "hf://me/../road",
        "hf://me/road/../a.safetensors",
        "hf://me/road@/tmp/mine",
        "hf://me/road//tmp/a.safetensors",
    ],
)
def test_other_addresses_are_one_line(text: str) -> None:
    with pytest.raises(UserError, match="expected hf://user/name, hf://user/name@revision"):
        parse_address(text)


def test_a_model_of_a_hub_is_the_model(stocked: Hub, model: Path, atonce: Command, tmp_path: Path) -> None:
    image = blocks(40, 60)
    expected = package.load(model)(image).labels
    assert (package.load("hf://me/road")(image).labels == expected).all()
    assert (package.load(f"hf://me/road@{COMMIT}")(image).labels == expected).all()
    (tmp_path / "street.png").write_bytes(encoded(image))
    done = atonce("predict", "hf://me/road", tmp_path / "street.png", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "# hf://me/road\n" in atonce("card", "hf://me/road").out


def test_it_is_downloaded_once(stocked: Hub) -> None:
    package.load("hf://me/road")
    package.load("hf://me/road")
    assert [method for method, _ in stocked.asked].count("GET") == 1
    forget()
    package.load("hf://me/road")
    assert [method for method, _ in stocked.asked].count("GET") == 1, "the cache has it"
    assert stocked.asked[-1][0] == "HEAD", "and the hub was asked if there is another one"


def test_offline_the_cache_will_do(stocked: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    package.load("hf://me/road")
    forget()
    before = len(stocked.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    package.load("hf://me/road")
    assert len(stocked.asked) == before
    with pytest.raises(
        WeightsError, match=r"hf://me/other has not been downloaded yet, and http://127.* cannot be reached"
    ):
        package.load("hf://me/other")


def test_where_the_hub_is_down_the_cache_will_do(stocked: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    package.load("hf://me/road")
    forget()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    package.load("hf://me/road")
    with pytest.raises(WeightsError, match=r"has not been downloaded yet, and http://127\.0\.0\.1:9 cannot be reached"):
        package.load("hf://me/other")


def test_a_no_of_the_hub_is_one_line(stocked: Hub, atonce: Command, tmp_path: Path) -> None:
    stocked.gated.add("me/terms")
    stocked.add("me/empty", "README.md", b"nothing here")
    for name, told in (
        ("me/rod", "there is no hf://me/rod on http://127"),
        ("me/road@v9", "hf://me/road@v9: there is no such revision"),
        ("me/empty", "hf://me/empty: there is no such file in it; expected a repository with a model.safetensors"),
        ("me/terms", "hf://me/terms is gated"),
    ):
        assert told in atonce("predict", f"hf://{name}", tmp_path).mistake


def test_a_file_without_bounds_is_not_downloaded(stocked: Hub) -> None:
    stocked.sizes["me/road", "model.safetensors"] = 5 << 30
    with pytest.raises(WeightsError, match=r"hf://me/road is a file of 5\.4 GB; expected a model of at most 4\.3 GB"):
        package.load("hf://me/road")
    assert {method for method, _ in stocked.asked} == {"HEAD"}


@pytest.mark.parametrize(
    "place", ["{outside}/.profile", "../../../../.profile", ".profile", "W/", "{outside}/" + "0" * 64]
)
@pytest.mark.parametrize("where", ["digest", "commit"])
def test_a_hub_names_no_file_of_this_machine(stocked: Hub, place: str, where: str, tmp_path: Path) -> None:
    """Its checksum and its commit become names in the cache, so they are hexadecimal digits or nothing."""
    (tmp_path / "outside").mkdir()
    named = place.format(outside=tmp_path / "outside")
    before = sorted(tmp_path.rglob("*"))
    if where == "digest":
        stocked.digests["me/road", "model.safetensors"] = named
    else:
        stocked.commit = named
    what = {"digest": "checksum", "commit": "commit"}[where]
    with pytest.raises(WeightsError, match=rf"hf://me/road: the hub gives .* as its {what}; expected hexadecimal"):
        package.load("hf://me/road")
    assert sorted(tmp_path.rglob("*")) == before and {method for method, _ in stocked.asked} == {"HEAD"}


@pytest.mark.parametrize(
    ("method", "answer", "told"),
    [
        ("GET", endless, r"cannot be downloaded from http://127.* \(it sends more than \d+ bytes\)"),
        ("GET", gzip_of_zeros, r"the checksum .*; expected .*; try again later"),
        ("GET", trickle, r"it is too slow: its next 64 KiB take more than 0\.5 s"),
        ("GET", trickling_headers, "it is too slow"),
        ("HEAD", trickling_headers, "it is too slow"),
        ("GET", redirect_to("file:///etc/passwd"), "Redirection to .* is not allowed"),
        ("HEAD", redirect_to("file:///etc/passwd"), "it is at no http address|size that the hub does not say"),
        ("HEAD", redirect_to("/me/road/resolve/main/model.safetensors"), "says: .*redirect"),
        ("HEAD", without_an_etag, "the hub gives nothing as its checksum"),
        ("HEAD", garbage, r"hf://me/road: http://127.* says: "),
    ],
)
def test_a_hub_may_send_what_it_likes(
    stocked: Hub, method: str, answer: Answer, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is taken is bounded in bytes and in time, it is told as what it is, and nothing of it is kept."""
    if answer in (trickle, trickling_headers):
        monkeypatch.setattr(downloads, "PATIENCE", 0.5)
    stocked.answers[method, "me/road"] = answer
    with pytest.raises(WeightsError, match=told) as caught:
        package.load("hf://me/road")
    assert "\n" not in str(caught.value) and "HF_HUB_OFFLINE" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_token_stays_with_the_hub(stocked: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    seen: list[str | None] = []

    def serve(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Authorization"])
        content = stocked.files["me/road", "model.safetensors"]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    with answering(serve) as elsewhere:
        stocked.answers["GET", "me/road"] = redirect_to(f"{elsewhere}/blob")
        package.load("hf://me/road")
        stocked.answers["GET", "me/road"] = serve
        forget()
        shutil.rmtree(os.environ["HF_HUB_CACHE"])
        package.load("hf://me/road")
    assert seen == [None, f"Bearer {TOKEN}"]


def test_a_cache_without_links_will_do(stocked: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    package.load("hf://me/road")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget()
    package.load("hf://me/road")
    assert not any(path.is_symlink() for path in Path(os.environ["HF_HUB_CACHE"]).rglob("*"))


def test_the_client_finds_what_lies_in_the_cache(stocked: Hub) -> None:
    """The cache is Hugging Face's own, for its other programs, too."""
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    package.load("hf://me/road")
    assert try_to_load_from_cache("me/road", "model.safetensors", os.environ["HF_HUB_CACHE"], "main") is not None
    found = scan_cache_dir(os.environ["HF_HUB_CACHE"])
    assert not found.warnings and [repo.repo_id for repo in found.repos] == ["me/road"]


def test_other_bytes_than_the_hub_says_are_refused(stocked: Hub) -> None:
    stocked.digests["me/road", "model.safetensors"] = "0" * 64
    with pytest.raises(WeightsError, match=r"hf://me/road has the checksum .*; expected 0000000000000000"):
        package.load("hf://me/road")


def test_what_was_changed_in_the_cache_is_refused_offline_too(stocked: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    package.load("hf://me/road")
    (blob,) = Path(next(iter(hub_models._fetched.values()))).resolve().parent.iterdir()
    blob.write_bytes(blob.read_bytes()[:-1] + b"x")
    forget()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="has the checksum"):
        package.load("hf://me/road")


def test_a_stranger_runs_no_code(stocked: Hub) -> None:
    """Of a repository one file is asked for, and a pickle under its name is not unpickled."""
    import pickle

    class Evil:
        def __reduce__(self):
            return exec, ("raise SystemExit('owned')",)

    stocked.add("me/road", "model.safetensors", pickle.dumps(Evil()))
    stocked.add("me/road", "model.py", b"raise SystemExit('owned')")
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        package.load("hf://me/road")
    assert {path.rpartition("/")[2] for _, path in stocked.asked} == {"model.safetensors"}


def test_pushed_and_loaded_again(hub: Hub, tiny_run: Path, tmp_path: Path, atonce: Command, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    done = atonce("push", tiny_run, "me/streets", "--licence", "CC0-1.0", "--private", "--message", "first")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "pushed   hf://me/streets"
    assert hub.created[0]["visibility"] == "private"
    image = blocks(48, 64)
    loaded = package.load("hf://me/streets")
    assert (loaded(image).labels == package.load(tiny_run)(image).labels).all()
    assert loaded.model_file.scores == read_metadata(tiny_run / "model.safetensors")["scores"]
    card = hub.files["me/streets", "README.md"].decode()
    (pushed,) = [content for (_, path), content in hub.files.items() if path == "model.safetensors"]
    (tmp_path / "pushed").write_bytes(pushed)
    assert "license: cc0-1.0" in card and "# hf://me/streets\n" in card and sha256_of(tmp_path / "pushed") in card
    again = atonce("push", tiny_run, "me/streets")
    assert "hf://me/streets holds a model already" in again.mistake and "--overwrite" in again.mistake
    assert package.push(tiny_run, "hf://me/streets", overwrite=True) == "hf://me/streets"
    done = atonce("push", tiny_run, "me/streets", "--overwrite", "--json")
    assert json.loads(done.out) == {"address": "hf://me/streets"}


def test_a_pushed_file_tells_nothing_of_the_machine(hub: Hub, model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    file = load_model_file(model)
    file.recipe = {"weights": "/home/me/vgg.pth", "data": {"images": "/srv/pictures"}}
    file.training_data = {"notes": ["write /home/me/classes.yaml"], "source": "s3://customer/vgg.pth"}
    file.save(model)
    package.push(model, "me/road")
    told = (b"/home", b"/srv", b"customer")
    assert not any(word in content for content in hub.files.values() for word in told)
    assert b"vgg.pth" in hub.files["me/road", "model.safetensors"]


def test_without_a_login_pushing_says_how(hub: Hub, model: Path, atonce: Command) -> None:
    assert "hf auth login" in atonce("push", model, "me/road").mistake
    assert not hub.files


@pytest.mark.parametrize("repo", ["road", "me/road@v1", "me/road/x.safetensors", "a/b/c", "me/..", ""])
def test_other_names_of_repositories_are_refused(hub: Hub, model: Path, repo: str) -> None:
    with pytest.raises(UserError, match="expected"):
        package.push(model, repo)
    assert not hub.asked


def test_an_export_is_not_pushed(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match="is an exported file; expected the model file"):
        package.push(tmp_path / "model.onnx", "me/road")


def test_a_fresh_process_asks_the_hub_of_its_environment(stocked: Hub, street_data: Path, tmp_path: Path) -> None:
    code = "import atonce, json; print(json.dumps(atonce.load('hf://me/road').classes))"
    environment = {**ENVIRONMENT, "HF_ENDPOINT": stocked.url, "HF_HOME": str(tmp_path / "home")}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["background", "road"]
    assert list((tmp_path / "home" / "hub").glob("models--me--road/snapshots/*/model.safetensors"))
