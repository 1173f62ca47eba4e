"""The values of the user's masks: known from the data, kept in the model file, written again by predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import atonce
from atonce.data import Dataset, open_dataset
from atonce.data.dataset import MaskReader
from atonce.data.mask_values import labels_with_mask_values
from atonce.data.picture_sizes import summarize_sizes
from atonce.labels import LabelSpec
from atonce.model_file import load_model_file
from tests.data import trees
from tests.networks import save_model
from tests.tiny import SETTINGS


def folder(root: Path, values: list[int], classes: str | None = None, size: tuple[int, int] = (64, 48)) -> Path:
    """Five pictures whose masks hold these values, in stripes."""
    for index in range(5):
        trees.save(root / "images" / f"{index}.png", trees.picture(index, size))
        mask = np.repeat(np.array(values, np.uint8), -(-size[0] // len(values)))[: size[0]]
        trees.save(root / "masks" / f"{index}.png", np.tile(mask, (size[1], 1)))
    if classes:
        (root / "classes.yaml").write_text(classes)
    return root


CLASSES = {
    "ids": ([0, 1, 2], None, (0, 1, 2), 255),
    "binary": ([0, 255], "classes: [{name: land, value: 0}, {name: road, value: 255}]", (0, 255), None),
    "0, 50, 150": (
        [0, 50, 150, 9],
        "classes: [{name: a, value: 0}, {name: b, value: 50}, {name: c, value: 150}, {name: v, value: 9, void: true}]",
        (0, 50, 150),
        9,
    ),
}


@pytest.mark.parametrize(("values", "classes", "found", "void"), CLASSES.values(), ids=CLASSES)
def test_values_are_known_from_the_masks(
    tmp_path: Path, values: list[int], classes: str | None, found: tuple[int, ...], void: int | None
) -> None:
    labels = labels_with_mask_values(open_dataset(folder(tmp_path, values, classes)))
    assert (labels.mask_values, labels.void_value) == (found, void)


def read_by(reader: MaskReader, labels: LabelSpec) -> Dataset:
    return Dataset(format="any", root=Path(), labels=labels, splits={}, read_mask=reader)


def test_cityscapes_results_can_be_written_as_its_benchmark_wants_them() -> None:
    from atonce.data.formats.cityscapes import LABELS, read_mask

    labels = labels_with_mask_values(read_by(read_mask, LABELS))
    assert (labels.mask_values[:3], labels.mask_values[-1], labels.void_value) == ((7, 8, 11), 33, 0)


def test_masks_of_colours_have_no_values() -> None:
    from atonce.data.formats.kitti_road import read_ground_truth
    from atonce.labels import KITTI_ROAD

    assert labels_with_mask_values(read_by(read_ground_truth, KITTI_ROAD)) == KITTI_ROAD


@pytest.mark.parametrize("palette", [False, True])
def test_masks_of_colours_have_no_values_though_their_classes_have_an_order(tmp_path: Path, *, palette: bool) -> None:
    data = trees.folder_rgb(tmp_path)
    if palette:  # the colours, reduced to a palette in any order
        for path in (data / "masks").iterdir():
            with Image.open(path) as mask:
                mask.quantize(8, dither=Image.Dither.NONE).save(path)
    labels = labels_with_mask_values(open_dataset(data))
    assert (labels.mask_values, labels.void_value) == ((), None)


def test_a_binary_mask_comes_back_as_0_and_255(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", *CLASSES["binary"][:2])
    run = atonce.train(data, recipe="streets", overrides=SETTINGS, out=tmp_path / "run", progress=False)
    labels = load_model_file(run.model).labels
    assert (labels.names, labels.mask_values, labels.void_value) == (("land", "road"), (0, 255), None)
    for only in (None, "road"):
        out = tmp_path / f"out {only}"
        summary = atonce.predict(run, data / "images", out=out, labels="values", only=only)
        assert (summary.done, summary.broken) == (5, [])
        for path in (out / "labels").iterdir():
            with Image.open(path) as picture:
                assert picture.mode == "L"
                assert set(np.unique(np.asarray(picture))) <= {0, 255}
                ids = run.load()(data / "images" / path.name).labels
                np.testing.assert_array_equal(np.asarray(picture), np.array([0, 255])[ids])


def test_the_model_file_says_the_values_and_an_exported_one_too(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed")
    spec = LabelSpec(("a", "b"), ((1, 2, 3), (4, 5, 6)), (7, 300), 9)
    path = save_model(tmp_path / "model.safetensors", spec)
    assert load_model_file(path).labels == spec
    atonce.export(path, to="onnx", out=tmp_path / "model.onnx")
    assert atonce.load(tmp_path / "model.onnx").labels == spec


@pytest.mark.parametrize("values", [[1], [1, 1], [1, 70_000], [-1, 2], ["x", 1], 5])
def test_a_model_file_with_impossible_values_is_refused(values: object) -> None:
    data = {**LabelSpec.from_names(["a", "b"]).to_json(), "mask_values": values}
    with pytest.raises((ValueError, TypeError)):
        LabelSpec.from_json(data)


def test_values_that_are_not_known_are_not_written(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model.safetensors")
    picture = trees.save(tmp_path / "a.png", trees.picture(0, (64, 48)))
    with pytest.raises(atonce.UserError, match="does not say which values its masks had"):
        atonce.predict(path, picture, out=tmp_path / "out", labels="values")
    assert not (tmp_path / "out").exists()


def test_sizes_in_short() -> None:
    sizes = {(10, 10): 1, (640, 480): 5, (64, 48): 2, (1000, 10): 3}
    assert summarize_sizes(sizes) == {"smallest": [10, 10], "median": [1000, 10], "largest": [640, 480]}
    assert summarize_sizes({}) == {}
