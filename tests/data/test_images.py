"""Pictures of every kind come out as the same uint8 RGB; broken files say what they are."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from atonce.data import images
from atonce.data.images import FileError, open_image, read_image, to_rgb
from atonce.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (5, 8, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def test_rgb_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(RGB).save(path)
    assert np.array_equal(read_image(path), RGB)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "YCbCr", "HSV"])
def test_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    array = to_rgb(image)
    assert array.shape == RGB.shape and array.dtype == np.uint8
    assert np.array_equal(array, np.asarray(image.convert("RGB")))


def test_16_bit_grey(tmp_path: Path) -> None:
    values = GREY.astype(np.uint16) * 257
    Image.fromarray(values).save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png"), GREY[..., None].repeat(3, 2))
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert np.array_equal(read_image(tmp_path / "x.tif"), GREY[..., None].repeat(3, 2))


def test_32_bit_grey_is_clipped() -> None:
    image = Image.fromarray(np.array([[-5, 0, 257, 65535, 9_000_000]], np.int32))
    assert to_rgb(image)[0, :, 0].tolist() == [0, 0, 1, 255, 255]


def test_16_bit_rgb(tmp_path: Path) -> None:
    """Pillow cannot write one: made by hand."""
    path = tmp_path / "x.png"
    path.write_bytes(_png_16_bit(RGB.astype(">u2") * 257))
    assert np.array_equal(read_image(path), RGB)


@pytest.mark.parametrize(
    ("values", "expected"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 100.4, 300.0], [0, 100, 255])]
)
def test_float(values: list[float], expected: list[int]) -> None:
    assert to_rgb(Image.fromarray(np.array([values], np.float32)))[0, :, 1].tolist() == expected


def test_float_without_numbers() -> None:
    image = Image.fromarray(np.array([[np.nan, np.inf, -np.inf, 1.0]], np.float32))
    assert to_rgb(image)[0, :, 0].tolist() == [0, 0, 0, 255]


def test_transparency_is_dropped_not_blended(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RGB, np.zeros_like(GREY)])).save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png"), RGB)


def test_palette_with_transparency_warns_nobody(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).convert("P")
    image.save(tmp_path / "x.png", transparency=bytes(range(256)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        array = read_image(tmp_path / "x.png")
    assert np.array_equal(array, np.asarray(image.convert("RGB"))) and not caught


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(RGB).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_image(tmp_path / "x.png"), expected)


@pytest.mark.parametrize(
    "exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\x7f", b"\x00", b"Exif\x00\x00MM"]
)
def test_broken_exif_leaves_the_picture(tmp_path: Path, exif: bytes) -> None:
    Image.fromarray(RGB).save(tmp_path / "x.jpg", exif=exif, quality=100)
    assert read_image(tmp_path / "x.jpg").shape == RGB.shape


def test_warnings_of_pillow_stay_inside(tmp_path: Path) -> None:
    """EXIF data that promise five entries and hold none."""
    path = tmp_path / "x.jpg"
    Image.fromarray(RGB).save(path, exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x05\x00")
    with pytest.warns(UserWarning, match="Corrupt EXIF data"), Image.open(path) as image:
        image.getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).shape == RGB.shape


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full_like(RGB, level)) for level in (10, 200)]
    frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert read_image(tmp_path / "x.webp").max() == 10


def _png_16_bit(array: np.ndarray) -> bytes:
    import struct
    import zlib

    height, width, _ = array.shape
    rows = b"".join(b"\x00" + array[y].astype(">u2").tobytes() for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _truncated(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "empty": (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("hello, I am a text"), "is not a picture"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "web page": (lambda path: path.write_text("<!DOCTYPE html><html>404</html>"), "is a web page"),
    "LFS pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "truncated": (_truncated, "cannot be read .*truncated"),
    "header only": (lambda path: path.write_bytes(_png_16_bit(RGB.astype(">u2"))[:40]), "is a damaged picture"),
    "postscript": (
        lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "is not a picture",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_say_what_they_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "street.png"
    make, message = BROKEN[kind]
    make(path)
    with pytest.raises(FileError, match=message) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.problem.path == path


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (3000, 1000)).save(tmp_path / "x.png")
    for limit in (2_000_000, 1_000_000):  # Pillow warns up to twice its limit, then raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        monkeypatch.setattr(images, "MAX_PIXELS", limit)
        with pytest.raises(FileError, match=r"is too large.*at most .* megapixels"):
            open_image(tmp_path / "x.png")


def test_mode_without_rgb() -> None:
    """Grey with premultiplied transparency: no file holds it, but a caller of the library may."""
    with pytest.raises(DataError, match="a picture of mode La; expected RGB"):
        to_rgb(Image.new("La", (4, 4)))


def test_file_error_survives_pickling(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        open_image(tmp_path / "x.png")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.problem == caught.value.problem


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path in paths:
        Image.fromarray(RGB).save(path)
    read_image(paths[0])
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert all(np.array_equal(array, RGB) for array in pool.map(read_image, paths * 5))
    assert list(warnings.filters) == before


_ENCODED = {}
for _format in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF"):
    _buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(_buffer, _format)
    _ENCODED[_format] = _buffer.getvalue()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(sorted(_ENCODED)),
    edits=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255))),
    cut=st.integers(0, 900),
)
def test_damage_of_any_kind_is_a_data_error(
    tmp_path: Path, format: str, edits: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(_ENCODED[format])
    for place, value in edits:
        data[place % len(data)] = value
    path = tmp_path / "x.png"
    path.write_bytes(data[: max(len(data) - cut, 0)] if cut % 2 else data)
    try:
        array = read_image(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert array.dtype == np.uint8 and array.shape[2] == 3
