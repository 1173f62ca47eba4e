"""Files that a disk, a kill or a stranger has made: one line that names them, and nothing that takes all memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from atonce.errors import DataError, StorageError, TrainingError, WeightsError
from atonce.exporting import export
from atonce.inference import load
from atonce.metrics.kitti_road.birds_eye import BirdsEye
from atonce.model_file import load_model_file
from atonce.recipes import load_recipe
from atonce.reports.model_card import card
from atonce.storage import file_stem
from atonce.training import run_training
from atonce.training.state import read_progress
from tests.commands import Command
from tests.disks import tiny_disk
from tests.tiny import tiny_recipe


def with_metadata(path: Path, target: Path, key: str, change: Callable[[Any], object] | str) -> Path:
    """A copy of a safetensors file whose JSON under a key has been changed."""
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    data = json.loads(metadata[key])
    metadata[key] = change if isinstance(change, str) else json.dumps(change(data) or data)
    save_file(load_file(path), target, metadata)
    return target


def setting(*path: str | int, value: object) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


PROGRESS: dict[str, Callable[[Any], object] | str] = {
    "step text": setting("step", value="4"),
    "step negative": setting("step", value=-1),
    "step fraction": setting("step", value=1.5),
    "step list": setting("step", value=[]),
    "step truth": setting("step", value=True),
    "seconds text": setting("seconds", value="x"),
    "seconds infinite": setting("seconds", value=float("inf")),
    "best text": setting("best_mean_iou", value="x"),
    "best without validations": setting("validations", value=[]),
    "best step none": setting("best_step", value=None),
    "validations number": setting("validations", value=5),
    "validations of numbers": setting("validations", value=[5]),
    "validation without step": setting("validations", value=[{}]),
    "validation of the future": setting("validations", value=[{"step": 99}]),
    "stage text": setting("stage", value="0"),
    "stage began none": setting("stage_began", value=None),
    "teacher number": setting("teacher", value=5),
    "model list": setting("model", value=[]),
    "model of strangers": setting("model", "stride", value=5),
    "unknown key": setting("more", value=1),
    "list": lambda _: [1],
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("change", PROGRESS.values(), ids=PROGRESS)
def test_a_state_whose_progress_is_none_is_named(
    tiny_run: Path, tmp_path: Path, change: Callable[[Any], object] | str
) -> None:
    path = with_metadata(tiny_run / "state" / "state.safetensors", tmp_path / "s.safetensors", "progress", change)
    with pytest.raises(TrainingError, match=r"s\.safetensors is damaged or not a training state"):
        read_progress(path)


MODELS: dict[str, Callable[[Any], object] | str] = {
    "palette of 300": setting("labels", "palette", 0, value=[300, 0, 0]),
    "names that are no text": setting("labels", "names", 0, value=7),
    "names in one text": setting("labels", "names", value="abcdefghijk"),
    "name empty": setting("labels", "names", 0, value=""),
    "scale text": setting("input_size", "scale", value="2"),
    "scale huge": setting("input_size", "scale", value=1e6),
    "scale zero": setting("input_size", "scale", value=0),
    "scale nan": setting("input_size", "scale", value=float("nan")),
    "side fraction": setting("input_size", "max_side", value=1.5),
    "side negative": setting("input_size", "max_side", value=-5),
    "width huge": setting("architecture", "width", value=1e308),
    "head huge": setting("architecture", "head_width", value=10**30),
    "recipe list": setting("recipe", value=[1]),
    "recipe data list": setting("recipe", "data", value=[1]),
    "recipe without training": setting("recipe", "train", value=None),
    "bands true": setting("recipe", "data", "bands", value=True),
    "bands infinite": setting("recipe", "data", "bands", value=[float("inf")]),
    "bands text": setting("recipe", "data", "bands", value="../x"),
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("change", MODELS.values(), ids=MODELS)
def test_a_strangers_model_file_is_refused_in_one_line(
    tiny_model: Path, tmp_path: Path, change: Callable[[Any], object] | str
) -> None:
    path = with_metadata(tiny_model, tmp_path / "m.safetensors", "atonce", change)
    for read in (load_model_file, load):
        with pytest.raises(WeightsError) as caught:
            read(path)
        assert "m.safetensors describes" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


NO_SIZES: dict[str, Callable[[Any], object]] = {
    "no zoom": setting("recipe", "augment", "scale", value=[]),
    "a scale of infinity": setting("recipe", "data", "scale", value=float("inf")),
    "a size of one side": setting("recipe", "data", "size", value=[[]]),
    "pictures of infinity": setting("training_data", "picture_sizes", "median", 0, value=float("inf")),
}


@pytest.mark.parametrize("change", NO_SIZES.values(), ids=NO_SIZES)
def test_what_a_model_file_says_of_training_does_not_stop_it(
    tiny_model: Path, tmp_path: Path, change: Callable[[Any], object]
) -> None:
    path = with_metadata(tiny_model, tmp_path / "m.safetensors", "atonce", change)
    assert load(path)(np.zeros((48, 64, 3), np.uint8)).labels.shape == (48, 64)
    assert "## The network" in card(path)


def test_whole_numbers_are_no_weights(tiny_model: Path, tmp_path: Path) -> None:
    with safe_open(tiny_model, "pt") as file:
        metadata = dict(file.metadata())
    tensors = {key: tensor.round().int() for key, tensor in load_file(tiny_model).items()}
    save_file(tensors, tmp_path / "m.safetensors", metadata)
    with pytest.raises(WeightsError, match=r"m\.safetensors is of another architecture .* holds no floating point"):
        load(tmp_path / "m.safetensors")


def test_numbers_of_a_recipe_that_no_network_can_have_are_refused() -> None:
    for override in ("model.width=1e308", "model.head_width=1000000000000", "data.scale=1e6"):
        with pytest.raises(Exception, match="expected at most"):
            load_recipe("folder", [override])


def test_a_calibration_whose_product_overflows_is_named(tmp_path: Path) -> None:
    huge = " ".join(["1e200"] * 12)
    (tmp_path / "c.txt").write_text(
        f"P2: {huge}\nR0_rect: {' '.join(['1e200'] * 9)}\nTr_cam_to_road: 1 0 0 0 0 1 0 0 0 0 1 0\n"
    )
    with pytest.raises(DataError, match=r"c\.txt: P2, R0_rect and Tr_cam_to_road multiply to infinity"):
        BirdsEye.from_calibration(tmp_path / "c.txt")
    assert not BirdsEye(np.full((3, 3), 1e308)).valid(100, 100).any()


def test_an_onnx_file_that_fails_when_it_runs_is_named(tiny_model: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = export(tiny_model, to="onnx", out=tmp_path / "m.onnx").path
    model = onnx.load(path)
    # A padding that is longer than the tensor: sound to read, wrong to run.
    reshape = onnx.helper.make_node("Reshape", ["image", "damage_shape"], ["damaged"], name="damage")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([7, 11, 13]), "damage_shape"))
    model.graph.node.insert(0, reshape)
    model.graph.output.append(onnx.helper.make_tensor_value_info("damaged", onnx.TensorProto.UINT8, None))
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=r"m\.onnx cannot be run by onnxruntime: .*; expected .*; export it again"):
        load(path)(np.zeros((30, 40, 3), np.uint8))
    pytest.importorskip("openvino")
    # It is run to see how fast it is.
    with pytest.raises(WeightsError, match=r"m\.onnx (cannot be run|cannot be read) by \w+: "):
        load(path, engine="auto")


def test_openvino_on_a_full_disk_is_told_and_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with tiny_disk(tmp_path / "disk", "300k") as disk:
        with pytest.raises(StorageError, match=r"cannot write .*m\.xml: No space left on device .*; free some space"):
            export(tiny_model, to="openvino", out=disk / "m.xml")
        assert list(disk.iterdir()) == []


@pytest.mark.parametrize("name", ["a/b", "x" * 240, "ü" * 120, "a\\b", "a:b", "..", ""])
def test_names_that_no_file_can_have_are_made_to(tmp_path: Path, name: str) -> None:
    stem = file_stem(name)
    (tmp_path / f"{stem}_000001.jpg").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == [f"{stem}_000001.jpg"]
    assert stem != file_stem(name + "y")
    assert file_stem(stem) == stem


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("um_000003", "Straße 7", "a.b", "0016E5_08159"):
        assert file_stem(name) == name


def test_training_does_not_die_at_its_first_validation_of_pictures_with_long_names(
    street_data: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(street_data, tmp_path / "data"))
    for kind in ("images", "masks"):
        for number, path in enumerate(sorted((data / "val" / kind).iterdir())):
            folder = path.parent / ("f" * 120)
            folder.mkdir(exist_ok=True)
            path.rename(folder / f"{number}{'n' * 130}.png")
    run = run_training(tiny_recipe("train.steps=1"), data, tmp_path / "run")
    assert list(run.folder.pictures.glob("*.jpg"))


def test_training_validates_pictures_of_kitti_in_a_subfolder(street_data: Path, tmp_path: Path) -> None:
    from PIL import Image

    for split, folder in (("image_2", "um_00000{}"), ("gt_image_2", "um_road_00000{}")):
        for number in range(4):
            path = tmp_path / "data" / "training" / split / "drive" / f"{folder.format(number)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[24:] = (255, 0, 255)
            pixels[:24] = (255, 0, 0)
            Image.fromarray(pixels).save(path)
    settings = ("data.format=kitti-road", "train.steps=1", "data.val_fraction=0.5")
    run = run_training(tiny_recipe(*settings), tmp_path / "data", tmp_path / "run")
    assert list(run.folder.pictures.glob("*.jpg"))


def test_a_folder_that_may_not_be_entered_is_one_line(
    atonce: Command, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"

    def refuse(self: Path, *_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied", str(closed))

    for method in ("stat", "is_dir", "iterdir", "exists", "is_file"):
        monkeypatch.setattr(Path, method, refuse)
    for words in (("predict", tiny_model, closed), ("train", closed), ("doctor", closed), ("evaluate", closed, closed)):
        assert f"{closed} cannot be opened: Permission denied" in atonce(*words).mistake
