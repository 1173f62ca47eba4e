"""--json, -q and -o: one document on stdout with the keys of docs/commands.md, nothing said, one letter."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from atonce.weights import registry
from tests.commands import Command, all_commands
from tests.data.road_trees import data_road
from tests.networks import save_model
from tests.studies.tiny_studies import ablate_words
from tests.tiny import set_options
from tests.weights.torchvision_vgg import TorchvisionVGG

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def documented(command: str) -> set[str]:
    """The keys that the page lists for a command; what stands in brackets is about their values."""
    (row,) = (line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| `{command}` |"))
    text = re.sub(r"\([^()]*\)", "", row.split("|", 2)[2].partition(":")[0])
    return set(re.findall(r"`(\w+)`", text))


def document(outcome: Any) -> dict[str, Any]:
    """The one JSON document of a command, strictly read."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert outcome.code == 0, outcome.err
    read: dict[str, Any] = json.loads(outcome.out, parse_constant=refuse)
    return read


COMMANDS = all_commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_called_the_same_in_every_command(name: str) -> None:
    flags = {frozenset(parameter.opts) for parameter in COMMANDS[name].params}
    assert frozenset({"--quiet", "-q"}) in flags
    # It never ends.
    assert (frozenset({"--json"}) in flags) == (name != "serve")
    assert frozenset({"--out"}) not in flags, "without -o"


@pytest.fixture
def vgg_file(tmp_path: Path) -> Path:
    torch.save(TorchvisionVGG().randomise(1.0).state_dict(), tmp_path / "vgg16.pth")
    return tmp_path / "vgg16.pth"


@pytest.fixture(scope="module")
def road_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("road") / "model.safetensors")


def test_a_training_and_what_it_would_be(atonce: Command, street_data: Path, tmp_path: Path) -> None:
    words = ("train", street_data, "-o", tmp_path / "run", *set_options("train.steps=2"), "--json")
    planned = document(atonce(*words, "--dry-run"))
    assert set(planned) == documented("train --dry-run")
    done = atonce(*words)
    told = document(done)
    assert set(told) == documented("train")
    assert "step 2: loss" in done.err
    assert told["scores"] == json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert (told["steps"], told["folder"], told["data"]) == (2, str(tmp_path / "run"), str(street_data))


def test_an_evaluation(atonce: Command, tiny_model: Path, street_data: Path) -> None:
    done = atonce("evaluate", tiny_model, street_data, "--quick", "--json")
    told = document(done)
    assert documented("evaluate") <= set(told)
    assert "absent" in told
    assert len(told["pictures"]) == 3


def test_predictions_and_what_is_broken(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = atonce("predict", tiny_model, tmp_path, "-o", tmp_path / "out", "--json", "-q")
    assert done.code == 2
    told = json.loads(done.out)
    assert set(told) == documented("predict")
    assert (told["segmented"], [entry["name"] for entry in told["inputs"]]) == (1, ["bad.png", "good.png"])
    assert len(told["broken"]) == 1
    assert done.err == f"atonce: {told['broken'][0]}\n"  # an error is said, however quiet


def test_a_video_for_a_player_leaves_no_place_for_a_document(atonce: Command, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    outcome = atonce("predict", tiny_model, tmp_path / "a.mp4", "-o", "-", "--json")
    assert "--out - with --json" in outcome.mistake
    assert outcome.out == ""


def test_an_export(atonce: Command, tiny_model: Path, street_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    words = ("export", tiny_model, "--to", "onnx", "-o", tmp_path / "m.onnx", "--calibration", street_data, "--json")
    told = document(atonce(*words))
    assert set(told) == documented("export")
    assert told["path"] == str(tmp_path / "m.onnx")
    assert told["parity"]["agreement"] > 0.999
    described = document(atonce("info", tmp_path / "m.onnx", "--json"))
    assert [entry["name"] for entry in described["model"]["classes"]][:2] == ["Sky", "Building"]


def test_a_submission(atonce: Command, road_model: Path, tmp_path: Path) -> None:
    data = data_road(tmp_path / "data_road", "testing", ["um_000000", "uu_000002"])
    words = ("submit", road_model, data, "-o", tmp_path / "s.zip", "--ground-truth", "lane", "--json")
    told = document(atonce(*words))
    assert set(told) == documented("submit")
    assert [entry["name"] for entry in told["entries"]] == ["um_lane_000000.png"]
    assert told["left_out"] == ["uu_000002"]


def test_a_study(atonce: Command, street_data: Path, tmp_path: Path) -> None:
    short = ("train.steps=2", "train.validate_every=2")
    words = ablate_words(street_data, "freeze", tmp_path / "s", "--seeds", "1", "--json", overrides=short)
    done = atonce(*words)
    told = document(done)
    assert set(told) == documented("ablate")
    assert len(told["runs"]) == len(told["variants"]) == 2
    assert "run 1 of 2" in done.err


def test_a_doctor(atonce: Command, street_data: Path) -> None:
    told = document(atonce("doctor", street_data, "--json"))
    assert told["training_would_be_wrong"] is False


def test_recipes_and_their_knobs(atonce: Command) -> None:
    listed = document(atonce("recipes", "--json"))
    assert set(listed) == documented("recipes")
    assert {"name": "folder"}.items() <= next(r for r in listed["recipes"] if r["name"] == "folder").items()
    one = document(atonce("recipes", "streets", "--json"))
    assert set(one) == documented("recipes NAME")
    assert one["recipe"]["optim"]["name"] == "muon"
    knobs = document(atonce("recipes", "streets", "--explain", "--json"))
    assert set(knobs) == documented("recipes NAME --explain")
    (knob,) = (k for k in knobs["knobs"] if k["name"] == "optim.name")
    assert (knob["value"], knob["default"]) == ("muon", "sgd")


def test_weights(atonce: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    told = document(atonce("weights", "list", "--json"))
    assert set(told) == documented("weights list")
    assert [entry["downloaded"] for entry in told["weights"]] == [False] * len(registry.REGISTRY)
    checked = document(atonce("weights", "verify", "--json"))
    assert set(checked) == documented("weights verify")
    # What lies there is another file than was published.
    folder = registry.cache_folder()
    folder.mkdir(parents=True)
    (folder / next(iter(registry.REGISTRY.values())).file_name).write_bytes(b"other")
    done = atonce("weights", "verify", "--json", "-q")
    assert done.code == 2
    assert "sha256" in json.loads(done.out)["weights"][0]["error"]
    assert done.err.startswith("atonce: ")


def test_weights_of_a_file(atonce: Command, vgg_file: Path, tmp_path: Path) -> None:
    looked = document(atonce("weights", "verify", vgg_file, "--json"))
    assert set(looked) == documented("weights verify FILE")
    converted = document(atonce("weights", "convert", vgg_file, "-o", tmp_path / "out.safetensors", "--json"))
    assert set(converted) == documented("weights convert")
    assert load_file(converted["path"])


def test_a_demo(atonce: Command, tmp_path: Path) -> None:
    words = ("demo", "-o", tmp_path / "run", "--train", "4", "--val", "2", "--max-minutes", "0.01", "--json", "-q")
    told = document(atonce(*words))
    assert set(told) == documented("train")  # so says the page
    assert told["folder"] == str(tmp_path / "run")


def test_streets(atonce: Command, tmp_path: Path) -> None:
    words = ("streets", tmp_path / "s", "--train", "1", "--val", "1", "--height", "32", "--width", "32", "--json")
    told = document(atonce(*words))
    assert told == {"folder": str(tmp_path / "s"), "train": 1, "val": 1}
    assert set(told) == documented("streets")


def test_a_mistake_leaves_stdout_empty(atonce: Command, street_data: Path) -> None:
    for words in (("evaluate", "no.safetensors", street_data), ("train", street_data, "--set", "optim.lrr=1")):
        outcome = atonce(*words, "--json")
        assert outcome.mistake
        assert outcome.out == ""


def test_quiet_is_the_result_alone(atonce: Command, street_data: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = atonce("train", street_data, "-o", tmp_path / "run", *set_options("train.steps=2"), "-q")
    assert (done.code, done.err) == (0, "")
    assert "mean IoU" in done.out
    page = atonce("doctor", street_data, "--quiet", "-o", tmp_path / "page.html")
    written = f"page     {tmp_path / 'page.html'}\n"
    assert (page.code, page.err) == (0, written)
    assert "note " not in page.out
    # It ends with the command: the next one is not quiet.
    spoken = atonce("doctor", street_data, "-o", tmp_path / "page.html")
    assert spoken.err == written
    assert "note " in spoken.out
