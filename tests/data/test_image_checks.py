"""What reading a picture as 8-bit RGB loses is said, and bands can be chosen; plain pictures are read as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from atonce.data.image_checks import image_problems, read_header
from atonce.data.images import FileError, read_image
from atonce.data.problem_notes import problem_notes
from tests.data.tiffs import write_tiff

RAMP = np.linspace(0, 255, 96).astype(np.uint8)[None].repeat(64, 0)
FIVE = np.random.default_rng(0).integers(0, 256, (8, 64, 96, 5), dtype=np.uint8)
PLAIN = FIVE[0, ..., :3]

Save = Callable[[Path], object]

LOST: dict[str, tuple[str, Save, str, str, str]] = {
    "12 bits saved as 16": (
        "x.png",
        lambda path: Image.fromarray(RAMP.astype("u2") * 16).save(path),
        "blank",
        "warning",
        "holds numbers of 0..4080, where 0..65535 is black to white: it is nearly black (grey levels 0 to 16 of 255)",
    ),
    "14 bits saved as 16": (
        "x.png",
        lambda path: Image.fromarray(RAMP.astype("u2") * 63).save(path),
        "range",
        "warning",
        "holds numbers of 0..16065, where 0..65535 is black to white: it is dark, 0 to 63 of 255",
    ),
    "12 bits saved as 16, in colour": (
        "x.tif",
        lambda path: write_tiff(path, [PLAIN.astype("u2") * 16], extra=()),
        "blank",
        "warning",
        "holds numbers of 0..3855, where 0..65535 is black to white: it is nearly black",
    ),
    "floats of 12 bits": (
        "x.tif",
        lambda path: Image.fromarray(RAMP.astype("f4") * 16).save(path),
        "range",
        "warning",
        "holds floats of 0..4080, where 0..1 (or 0..255) is black to white: 94 % of it is cut off",
    ),
    "floats around 0": (
        "x.tif",
        lambda path: Image.fromarray(RAMP.astype("f4") / 128 - 1).save(path),
        "range",
        "warning",
        "holds floats of -1..0.992188, where 0..1 (or 0..255) is black to white: 50 % of it is cut off",
    ),
    "five bands": (
        "x.tif",
        lambda path: write_tiff(path, FIVE[:1]),
        "bands",
        "warning",
        "has 5 bands; bands 1-3 are read",
    ),
    "five grey bands": (
        "x.tif",
        lambda path: write_tiff(path, FIVE[:1], rgb=False),
        "bands",
        "warning",
        "has 5 bands; bands 1-3 are read",
    ),
    "a fourth band that is no alpha": (
        "x.tif",
        lambda path: write_tiff(path, FIVE[:1, ..., :4]),
        "bands",
        "warning",
        "has 4 bands; bands 1-3 are read",
    ),
    "a fourth band that is alpha": (
        "x.tif",
        lambda path: write_tiff(path, FIVE[:1, ..., :4], extra=[2]),
        "alpha",
        "note",
        "has an alpha channel, which is dropped",
    ),
    "alpha": (
        "x.png",
        lambda path: Image.fromarray(FIVE[0, ..., :4]).save(path),
        "alpha",
        "note",
        "has an alpha channel, which is dropped",
    ),
    "two pages": (
        "x.tif",
        lambda path: Image.fromarray(PLAIN).save(path, save_all=True, append_images=[Image.fromarray(PLAIN)]),
        "pages",
        "warning",
        "has 2 pages, of which the first is read",
    ),
    "an animation": (
        "x.png",
        lambda path: Image.fromarray(PLAIN).save(
            path, save_all=True, append_images=[Image.fromarray(255 - PLAIN)], duration=100
        ),
        "pages",
        "warning",
        "has 2 pages, of which the first is read",
    ),
    "near black": (
        "x.png",
        lambda path: Image.fromarray(PLAIN // 20).save(path),
        "blank",
        "warning",
        "is nearly black (grey levels ",
    ),
}


@pytest.mark.parametrize("kind", LOST)
def test_what_reading_loses_is_said(kind: str, tmp_path: Path) -> None:
    name, save, expected, severity, found = LOST[kind]
    save(tmp_path / name)
    problems = image_problems(tmp_path / name, read_image(tmp_path / name))
    assert [(p.kind, p.severity) for p in problems] == [(expected, severity)]
    assert problems[0].found.startswith(found)
    (line,) = problem_notes(problems, tmp_path)
    assert line.startswith("warning: ") == (severity == "warning") and name in line


def test_eight_pages_of_five_bands_are_both(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", FIVE)
    kinds = {p.kind: p.found for p in image_problems(path, read_image(path))}
    assert kinds == {"bands": "has 5 bands; bands 1-3 are read", "pages": "has 8 pages, of which the first is read"}


NOTHING: dict[str, tuple[str, Save]] = {
    "RGB": ("x.png", lambda path: Image.fromarray(PLAIN).save(path)),
    "JPEG": ("x.jpg", lambda path: Image.fromarray(PLAIN).save(path)),
    "grey": ("x.png", lambda path: Image.fromarray(RAMP).save(path)),
    "16 bits": ("x.png", lambda path: Image.fromarray(RAMP.astype("u2") * 257).save(path)),
    "floats of 0..1": ("x.tif", lambda path: Image.fromarray(RAMP.astype("f4") / 255).save(path)),
    "floats of 0..255": ("x.tif", lambda path: Image.fromarray(RAMP.astype("f4")).save(path)),
    "palette": ("x.png", lambda path: Image.fromarray(PLAIN).quantize(16).save(path)),
    "an alpha channel that hides nothing": (
        "x.png",
        lambda path: Image.fromarray(np.dstack([PLAIN, np.full_like(RAMP, 255)])).save(path),
    ),
    "a thumbnail beside the picture": (
        "x.tif",
        lambda path: write_tiff(path, [PLAIN, PLAIN[::2, ::2]], thumbnails=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOTHING)
def test_nothing_is_said_where_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    name, save = NOTHING[kind]
    save(tmp_path / name)
    assert image_problems(tmp_path / name, read_image(tmp_path / name)) == []


WAYS: dict[str, dict[str, Any]] = {
    "one pixel after the other": {},
    "grey": {"rgb": False},
    "planes": {"planes": True},
    "tiles": {"tile": 16},
    "tiles of planes, compressed": {"tile": 16, "planes": True, "deflate": True, "predictor": 2},
    "differences": {"deflate": True, "predictor": 2},
    "big endian": {"order": ">"},
    "big endian differences": {"order": ">", "deflate": True, "predictor": 2},
}


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("way", WAYS)
def test_bands_are_read_as_they_were_written(way: str, dtype: str, tmp_path: Path) -> None:
    """53x70 is no multiple of the tiles."""
    pixels = np.random.default_rng(1).integers(0, 256, (53, 70, 5)).astype(np.uint8)
    written = pixels if dtype == "u1" else pixels.astype("u2") * 257
    path = write_tiff(tmp_path / "x.tif", [written], **WAYS[way])
    assert np.array_equal(read_image(path), pixels[..., :3])
    assert np.array_equal(read_image(path, (4, 3, 2)), pixels[..., [3, 2, 1]])
    assert np.array_equal(read_image(path, (5,)), np.repeat(pixels[..., 4:], 3, axis=2))
    assert image_problems(path, read_image(path, (4, 3, 2)), (4, 3, 2)) == []
    assert read_header(path).mode == f"5 bands of {8 * written.itemsize} bits"


def test_floats_in_bands(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).random((20, 30, 4)).astype("f4")
    path = write_tiff(tmp_path / "x.tif", [pixels], rgb=False)
    assert np.array_equal(read_image(path, (1, 2, 3)), np.rint(pixels[..., :3] * 255))
    assert read_header(path).mode == "4 bands of floats"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_bands_are_turned_upright_as_pillow_turns_a_picture(orientation: int, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", FIVE[:1, :20], orientation=orientation)
    plain = write_tiff(tmp_path / "y.tif", [FIVE[0, :20, :, :3]], orientation=orientation)
    assert np.array_equal(read_image(path), read_image(plain))


def test_bands_can_be_chosen_of_any_picture(tmp_path: Path) -> None:
    Image.fromarray(FIVE[0, ..., :4]).save(tmp_path / "x.png")
    assert np.array_equal(read_image(tmp_path / "x.png", (3, 2, 1)), FIVE[0][..., [2, 1, 0]])
    with pytest.raises(FileError, match=r"x\.png has 4 bands; expected 5 at least, for bands 5, 1, 2"):
        read_image(tmp_path / "x.png", (5, 1, 2))


def test_a_damaged_tiff_of_five_bands_is_one_line(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", FIVE[:1], deflate=True)
    data = bytearray(path.read_bytes())
    data[8:400] = b"\0" * 392
    path.write_bytes(bytes(data))
    with pytest.raises(FileError, match=r"x\.tif cannot be read"):
        read_image(path)


def test_sizes_that_a_tiff_only_claims_take_no_memory(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", FIVE[:1])
    data = path.read_bytes()
    entry = b"\0\1\4\0\1\0\0\0"  # ImageWidth, one number of 32 bits
    assert data.count(entry + b"\x60\0\0\0") == 1
    huge = data.replace(entry + b"\x60\0\0\0", entry + b"\xff\xff\xff\x7f")
    path.write_bytes(huge)
    with pytest.raises(FileError, match="too large to be decoded safely"):
        read_image(path)


def test_a_mask_of_five_bands_is_called_so(tmp_path: Path) -> None:
    from atonce.data.masks import open_mask

    path = write_tiff(tmp_path / "x.tif", FIVE[:1], rgb=False)
    with pytest.raises(FileError, match=r"x\.tif is a TIFF of 5 bands of 8 bits; expected one band of numbers"):
        open_mask(path)
