"""Models of a hub: downloaded once, checked, used offline; pushed with their card. The hub runs on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import atonce as package
from atonce import hub_models
from atonce.errors import UserError, WeightsError
from atonce.hub_models import HubAddress, parse_address
from atonce.model_file import load_model_file, read_metadata
from atonce.storage import sha256_of
from tests.commands import Command
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
