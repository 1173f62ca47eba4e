"""Models in packages of their own: found by name, checked, without running their code; what lies at a path comes first."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import atonce as package
from atonce.errors import StorageError, UserError, WeightsError
from atonce.evaluation import evaluate
from atonce.labels import CAMVID
from atonce.model_file import load_model_file, read_metadata
from atonce.model_location import find_model_file, is_named_model
from atonce.packaged_models import find_packaged, packaged_models
from atonce.storage import sha256_of
from models import build_package as builder
from models.build_package import build_package
from tests.commands import Command
from tests.networks import save_model, small_model_file
from tests.pictures import blocks, encoded
from tests.tiny import ENVIRONMENT

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package by hand, as pip would leave it; its code ends the process that runs it."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def make(name: str, module: str = "atonce_of_the_test", **entry: str) -> Path:
        folder = site / module
        folder.mkdir(parents=True)
        model = save_model(folder / "model.safetensors")
        (folder / "__init__.py").write_text("raise SystemExit('code was run')")
        index = {name: {"file": "model.safetensors", "sha256": sha256_of(model), **entry}}
        (folder / "models.json").write_text(json.dumps(index))
        about = site / f"{module}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[atonce.models]\n{name} = {module}\n")
        importlib.invalidate_caches()
        return model

    return make


def test_a_packaged_model_is_the_model(install: Install, atonce: Command, tmp_path: Path) -> None:
    model, image = install("small-road"), blocks(40, 60)
    assert packaged_models()["small-road"] == "atonce_of_the_test"
    assert find_packaged("small-road") == model
    assert (package.load("small-road")(image).labels == package.load(model)(image).labels).all()
    (tmp_path / "street.png").write_bytes(encoded(image))
    assert atonce("predict", "small-road", tmp_path / "street.png", "--out", tmp_path / "out").code == 0
    assert "# small-road\n" in atonce("card", "small-road").out


def test_what_lies_at_a_path_comes_first(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = install("streets")
    monkeypatch.chdir(tmp_path)
    assert find_model_file("streets") == packaged and is_named_model("streets")
    (tmp_path / "streets").mkdir()
    assert find_model_file("streets") == packaged, "a folder of pictures is no model"
    (tmp_path / "streets" / "recipe.yaml").write_text("")
    with pytest.raises(
        WeightsError, match=r"streets holds no model\.safetensors; its run has not come to a validation"
    ):
        find_model_file("streets")
    save_model(tmp_path / "streets" / "model.safetensors")
    assert find_model_file("streets") == Path("streets/model.safetensors") and not is_named_model("streets")
    assert find_model_file("./streets") == Path("streets/model.safetensors")
    assert find_model_file(tmp_path / "nowhere" / "streets") == tmp_path / "nowhere" / "streets"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("small-rod", "small-rod does not exist; expected a model file (model.safetensors), a run folder, hf://user/name "
         "or a packaged model (small-road); did you mean 'small-road'?"),
        ("camvid-slim", "the package atonce-camvid has it, which is not installed: the page "
         '"Models by name, and their cards" tells of it'),
        ("camvid-slm", "did you mean 'camvid-slim'?"),
        ("qqq", "or a packaged model (small-road)"),
    ],
)  # fmt: skip
def test_a_name_that_is_nothing_says_what_is_near(
    install: Install, atonce: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, told: str
) -> None:
    install("small-road")
    monkeypatch.chdir(tmp_path)
    assert told in atonce("predict", word, tmp_path).mistake
    with pytest.raises(WeightsError):
        package.load(word)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"sha256": "0" * 64}, r"has sha256 .*; expected 0000000000000000...; install atonce_of_the_test again"),
        ({"file": "../escape.safetensors"}, r"has no model 'small-road' \(a file outside the package\)"),
        ({"file": "gone.safetensors"}, "has no model 'small-road'"),
    ],
)
def test_a_damaged_package_is_one_line(install: Install, entry: dict[str, str], told: str) -> None:
    install("small-road", **entry)
    with pytest.raises(WeightsError, match=told):
        package.load("small-road")


def test_exports_of_a_packaged_model_are_not_written_into_the_package(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    install("small-road")
    monkeypatch.chdir(tmp_path)
    assert package.export("small-road", to="onnx").path == Path("small-road.onnx")
    assert (tmp_path / "small-road.onnx").is_file()


def test_a_training_goes_on_from_a_packaged_model(install: Install, tmp_path: Path, atonce: Command) -> None:
    from atonce.weights.registry import find_weights, require_weights

    model = install("small-road")
    require_weights("small-road")
    assert find_weights("small-road") == model


@pytest.fixture
def street_model(tmp_path: Path) -> Path:
    """An untrained model of CamVid's classes with scores and the paths of a machine."""
    file = small_model_file(labels=CAMVID)
    scores = {"split": "val", "step": 5, "seed": 3, "commit": "abc1234", "mean_iou": 0.25}
    file.scores, file.recipe = scores, {"weights": "/home/me/vgg.pth", "train": {"seed": 3}}
    file.save(tmp_path / "trained.safetensors")
    return tmp_path / "trained.safetensors"


def test_a_package_holds_the_model_its_card_and_its_licence(
    street_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_STREET_SEEDS", range(900_000, 900_003))
    built = build_package("camvid-slim", street_model, out=tmp_path / "out", wheel=False)
    inside = built.model.parent
    index = json.loads((inside / "models.json").read_text("utf-8"))
    assert index == {"camvid-slim": {"file": "camvid-slim.safetensors", "sha256": sha256_of(built.model)}}
    assert built.model.stat().st_size < 0.6 * street_model.stat().st_size
    card = (built.folder / "README.md").read_text("utf-8")
    assert card == (inside / "README.md").read_text("utf-8")
    assert "# camvid-slim\n" in card and "license: cc-by-nc-4.0" in card and sha256_of(built.model) in card
    assert "step 5, seed 3, commit abc1234" in card and "before they were rounded" in card
    assert "On 3 generated streets, unlike the pictures that it was trained on, its mean IoU is 0." in card
    assert "](streets.jpg)" in card
    with Image.open(inside / "streets.jpg") as picture:
        assert picture.size == (3 * 480, 3 * 360)
    assert "NonCommercial" in (inside / "LICENSE").read_text("utf-8")
    assert b"/home" not in built.model.read_bytes()
    # The same network but for the rounding of its kernels.
    before, after = (package.load(path, device="cpu")(blocks(60, 80)) for path in (street_model, built.model))
    np.testing.assert_allclose(before.probabilities, after.probabilities, atol=0.02)


def test_with_its_data_the_card_has_the_scores_of_the_file_itself(
    street_model: Path, street_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_STREET_SEEDS", range(900_000, 900_001))
    built = build_package("streets", street_model, data=street_data, out=tmp_path / "out", wheel=False)
    expected = evaluate(built.model, street_data, quick=True).mean_iou
    scores = read_metadata(built.model)["scores"]
    assert scores["mean_iou"] == built.mean_iou == pytest.approx(expected)
    assert (scores["seed"], scores["commit"], scores["split"]) == (3, "abc1234", "val")
    assert f"| {expected:.3f} |" in (built.folder / "README.md").read_text("utf-8")


def test_a_package_is_built_again_and_nothing_else_is_replaced(
    street_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_STREET_SEEDS", range(900_000, 900_001))
    one, two = (build_package("streets", street_model, out=tmp_path, wheel=False) for _ in range(2))
    assert one.model.read_bytes() == two.model.read_bytes()
    (one.folder / ".built").unlink()
    with pytest.raises(StorageError, match="is no earlier build"):
        build_package("streets", street_model, out=tmp_path, wheel=False)


def test_what_cannot_be_packed_is_one_line(street_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no package for a model 'x'; expected one of camvid-slim, streets"):
        build_package("x", street_model, out=tmp_path, wheel=False)
    monkeypatch.setattr(builder, "LARGEST_BYTES", 1 << 10)
    with pytest.raises(WeightsError, match="MiB as float16; expected at most"):
        build_package("streets", street_model, out=tmp_path, wheel=False)
    file = load_model_file(street_model)
    file.model.score_fc7.weight.data.fill_(1e5)
    with pytest.raises(WeightsError, match=r"has weights up to 1e\+05; expected at most 65504 for float16"):
        file.save(tmp_path / "half.safetensors", half=True)


def test_the_wheel_works_in_a_fresh_process_without_the_repository(
    street_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    monkeypatch.setattr(builder, "_STREET_SEEDS", range(900_000, 900_001))
    built = build_package("camvid-slim", street_model, out=tmp_path / "out")
    assert built.wheel and built.wheel.name == "atonce_camvid-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        archive.extractall(tmp_path / "site")
    assert {"camvid-slim.safetensors", "models.json", "README.md", "LICENSE", "streets.jpg"} <= names
    Image.fromarray(blocks(48, 64)).save(tmp_path / "street.png")
    library = str(Path(package.__file__).parents[1])
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{library}{os.pathsep}{tmp_path / 'site'}", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "atonce", "predict", "camvid-slim", "street.png", "--out", "seen"],
        capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seen" / "labels" / "street.png").is_file()


@pytest.mark.parametrize("content", [b"[atonce.models]\njunk\n", b"\xff\xfe", b"[atonce.models\nx=y"])
def test_a_package_whose_list_is_damaged_hides_no_other_one(content: bytes, install: Install, tmp_path: Path) -> None:
    install("small-road")
    about = tmp_path / "site" / "another-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1\n")
    (about / "entry_points.txt").write_bytes(content)
    importlib.invalidate_caches()
    assert packaged_models()["small-road"] == "atonce_of_the_test"
