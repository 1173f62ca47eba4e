"""Any picture in, labels of the same size out."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

import atonce
from atonce.errors import DataError, UserError
from atonce.inference import Predictor, load
from atonce.labels import CAMVID


@pytest.fixture(scope="module")
def segment(tiny_model: Path) -> Predictor:
    return atonce.load(tiny_model)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def grey16(path: Path) -> tuple[int, int]:
    Image.fromarray(noise(31, 45, 1)[..., 0].astype(np.uint16) * 257).save(path)
    return 31, 45


def in_mode(mode: str) -> Callable[[Path], tuple[int, int]]:
    def save(path: Path) -> tuple[int, int]:
        Image.fromarray(noise(31, 45)).convert(mode).save(path)
        return 31, 45

    return save


def of_size(height: int, width: int) -> Callable[[Path], tuple[int, int]]:
    def save(path: Path) -> tuple[int, int]:
        Image.fromarray(noise(height, width)).save(path)
        return height, width

    return save


def rotated(path: Path) -> tuple[int, int]:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # lies on its side: shown, it is as high as it is stored wide
    Image.fromarray(noise(31, 45)).save(path, exif=exif)
    return 45, 31


PICTURES: dict[str, tuple[str, Callable[[Path], tuple[int, int]]]] = {
    "RGB": (".png", of_size(48, 64)),
    "JPEG": (".jpg", of_size(33, 47)),
    "grey": (".png", in_mode("L")),
    "black and white": (".png", in_mode("1")),
    "16 bit": (".png", grey16),
    "16 bit TIFF": (".tif", grey16),
    "RGBA": (".png", in_mode("RGBA")),
    "grey with alpha": (".png", in_mode("LA")),
    "palette": (".png", in_mode("P")),
    "CMYK": (".jpg", in_mode("CMYK")),
    "WebP": (".webp", of_size(20, 30)),
    "EXIF-rotated": (".jpg", rotated),
    "1x1": (".png", of_size(1, 1)),
    "one row": (".png", of_size(1, 200)),
    "one column": (".png", of_size(200, 1)),
    "odd": (".png", of_size(97, 131)),
    "just above 32": (".png", of_size(33, 65)),
}


@pytest.mark.parametrize(("suffix", "save"), PICTURES.values(), ids=PICTURES)
def test_every_kind_of_picture_gives_labels_of_its_size(
    segment: Predictor, tmp_path: Path, suffix: str, save: Callable[[Path], tuple[int, int]]
) -> None:
    path = tmp_path / f"picture{suffix}"
    size = save(path)
    result = segment(path)
    assert result.labels.shape == size
    assert result.labels.dtype == np.uint8
    assert result.labels.max() < 11
    assert result.probabilities.shape == (11, *size)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-5)
    assert (result.probabilities.argmax(0) == result.labels).mean() > 0.999
    assert result.overlay().size == (size[1], size[0])
    assert result.image.shape == (*size, 3)
    assert result.classes == CAMVID.names


def test_path_picture_and_array_give_the_same(segment: Predictor, street_data: Path) -> None:
    path = min((street_data / "val" / "images").iterdir())
    expected = segment(path).probabilities
    with Image.open(path) as picture:
        array = np.asarray(picture)
        # A view that runs through memory backwards, and one that may not be written to.
        reversed_view, read_only = array[:, ::-1].copy()[:, ::-1], array.copy()
        read_only.setflags(write=False)
        assert reversed_view.strides[1] < 0
        for given in (str(path), picture, array, reversed_view, read_only):
            np.testing.assert_array_equal(segment(given).probabilities, expected)


def test_grey_arrays_are_grey_pictures(segment: Predictor) -> None:
    grey = noise(20, 30, 1)[..., 0]
    np.testing.assert_array_equal(segment(grey).labels, segment(np.stack([grey] * 3, 2)).labels)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "dtype float32; expected uint8"),
        (np.zeros((4, 4, 5), np.uint8), r"shape \(4, 4, 5\); expected \(H, W, 3\)"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (np.zeros(4, np.uint8), r"shape \(4,\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(2, 4, 4, 3\)"),
        (None, "dtype object"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(segment: Predictor, array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        segment(array)


def test_the_input_is_left_as_it_was(segment: Predictor) -> None:
    array = noise(20, 30)
    before = array.copy()
    segment(array).overlay()
    np.testing.assert_array_equal(array, before)


def test_the_label_picture_holds_ids_and_their_palette(segment: Predictor, tmp_path: Path) -> None:
    result = segment(noise(20, 30))
    result.label_image().save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), result.labels)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), CAMVID.colour(result.labels))


def test_the_overlay_goes_from_the_picture_to_the_colours(segment: Predictor) -> None:
    result = segment(noise(20, 30))
    np.testing.assert_array_equal(np.asarray(result.overlay(0)), result.image)
    np.testing.assert_array_equal(np.asarray(result.overlay(1)), CAMVID.colour(result.labels))


def test_the_same_picture_gives_the_same_again(segment: Predictor) -> None:
    picture = noise(33, 47)
    np.testing.assert_array_equal(segment(picture).probabilities, segment(picture).probabilities)


def test_dropout_is_off(segment: Predictor) -> None:
    assert not any(module.training for module in segment.model.modules())


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x", "meta"])
def test_a_device_that_is_not_there_is_told(tiny_model: Path, device: str) -> None:
    with pytest.raises(UserError, match=f"there is no device '{device}' here; expected one of cpu"):
        atonce.load(tiny_model, device=device)


def test_a_device_may_be_given_as_torch_has_it(tiny_model: Path) -> None:
    assert load(tiny_model, device=torch.device("cpu")).device == torch.device("cpu")


@pytest.mark.parametrize(
    "size", [(), (1,), (1, 2, 3), (0, 5), 0, -1, 1.5, "x", (1, "x"), 10**30, 10**4000, (10**30, 5)]
)
def test_a_size_that_is_none_is_told(size: Any, tiny_model: Path) -> None:
    with pytest.raises(UserError, match=r"size=.*; expected pixels: the longer side.* up to 1,000,000 each"):
        atonce.load(tiny_model, size=size)


@pytest.mark.parametrize("scale", ["x", 0, -1, 17, 1e9, 10**400, float("nan"), float("inf"), (1, 2), 1j])
def test_a_scale_that_is_none_is_told(scale: Any, tiny_model: Path) -> None:
    with pytest.raises(UserError, match=r"scale=.*; expected a factor above 0, up to 16"):
        atonce.load(tiny_model, scale=scale)


@pytest.mark.parametrize("model", [None, b"model", 5])
def test_a_model_that_is_none_is_told(model: Any) -> None:
    with pytest.raises(UserError, match=r"the model .*; expected a path"):
        atonce.load(model)


def test_more_than_predict_computes_is_refused_in_a_call_too(tiny_model: Path) -> None:
    large = atonce.load(tiny_model, size=100_000)
    message = "the picture has 40x30 pixels, of which the network makes .* megapixels; expected at most 500 megapixels"
    with pytest.raises(DataError, match=f"{message}; .*smaller `scale` or `size`"):
        large(noise(30, 40))
    assert atonce.load(tiny_model, size=100)(noise(30, 40)).labels.shape == (30, 40)


@pytest.mark.parametrize("opacity", [5, -0.1, float("nan"), float("inf"), "x", None, 1j])
def test_an_opacity_that_is_none_is_told(opacity: Any, segment: Predictor) -> None:
    with pytest.raises(UserError, match=r"opacity=.*; expected a weight, 0 to 1"):
        segment(noise(30, 40)).overlay(opacity)


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5000 + ".png", "x" * 300 + "/a.png"])
def test_a_path_that_no_file_can_have_is_told(path: str, segment: Predictor) -> None:
    with pytest.raises(DataError, match="is a name that no file can have; expected a picture file"):
        segment(path)


def test_a_pillow_picture_of_nothing_or_that_is_closed_is_told(segment: Predictor) -> None:
    with pytest.raises(DataError, match="a Pillow picture of 0x0 pixels; expected one pixel"):
        segment(Image.new("RGB", (0, 0)))
    closed = Image.new("RGB", (4, 4))
    closed.close()
    with pytest.raises(DataError, match=r"a Pillow picture that cannot be read \(.*\); expected one that is open"):
        segment(closed)
    ended = io.BytesIO(b"x")
    ended.close()
    with pytest.raises(DataError, match="the open file cannot be read"):
        segment(ended)
