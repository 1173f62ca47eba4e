"""Index, palette and RGB masks are decoded exactly, whatever they hold; the unknown is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from atonce.data.class_statistics import count_values
from atonce.data.images import FileError
from atonce.data.masks import ClassMask, code_colour, colour_code, percent, ranges
from tests.data.trees import save

THREE = ClassMask(values=((0, 0), (1, 1), (2, 2), (255, 255)))
COLOURS = ClassMask(values=((0, 0), (1, 1)), colours=(((1, 2, 3), 0), ((3, 2, 1), 1), ((0, 0, 0), 255)))

_colour = st.tuples(*[st.integers(0, 255)] * 3)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_rgb_masks_decode_to_what_was_encoded(tmp_path: Path, data: st.DataObject) -> None:
    colours = data.draw(st.lists(_colour, min_size=1, max_size=255, unique=True))
    void = data.draw(st.integers(0, min(2, len(colours) - 1)))
    ids = [255 if i < void else i - void for i in range(len(colours))]
    reader = ClassMask(values=(), colours=tuple(zip(colours, ids, strict=True)))
    order = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, len(colours), (7, 5))
    pixels = np.asarray(colours, np.uint8)[order]
    save(tmp_path / "x.png", pixels)
    assert np.array_equal(reader(tmp_path / "x.png"), np.asarray(ids, np.uint8)[order])

    stranger = data.draw(_colour)
    assume(stranger not in colours)
    pixels[3, 2] = stranger
    save(tmp_path / "x.png", pixels)
    with pytest.raises(FileError) as caught:
        reader(tmp_path / "x.png")
    assert str(stranger) in str(caught.value) and "1 pixel," in str(caught.value)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.dictionaries(st.integers(0, 65535), st.integers(0, 255), min_size=1, max_size=40),
    stranger=st.integers(0, 65535),
)
def test_16_bit_masks_decode_to_what_was_encoded(tmp_path: Path, pairs: dict[int, int], stranger: int) -> None:
    reader = ClassMask(values=tuple(pairs.items()))
    raw = np.resize(np.array(list(pairs), np.uint16), (4, 10))
    save(tmp_path / "x.png", raw)
    assert np.array_equal(reader(tmp_path / "x.png"), np.vectorize(pairs.get)(raw))
    assume(stranger not in pairs)
    raw[0, 0] = stranger
    save(tmp_path / "x.png", raw)
    with pytest.raises(FileError, match=f"holds {stranger} \\(1 pixel, 2.5 %\\)"):
        reader(tmp_path / "x.png")


@given(_colour)
def test_colour_codes_can_be_undone(colour: tuple[int, int, int]) -> None:
    assert code_colour(colour_code(colour)) == colour


@given(st.lists(st.integers(0, 9)))
def test_counting_by_runs(values: list[int]) -> None:
    assert count_values(np.array(values, np.int64)) == Counter(values)


def test_a_class_may_have_the_id_254_beside_void(tmp_path: Path) -> None:
    reader = ClassMask(values=(*((i, i) for i in range(255)), (255, 255)))
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(reader(save(tmp_path / "x.png", values)), values)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "I", "LA", "RGB", "RGBA"])
def test_ids_in_any_mode(tmp_path: Path, mode: str) -> None:
    """Also RGB with three equal channels, which is how some tools save a grey picture."""
    values = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    image = Image.fromarray(values)
    if mode == "1":
        image = Image.fromarray(values.astype(bool))
    elif mode == "P":
        image.putpalette([9, 9, 9, 8, 8, 8])
    elif mode.startswith("I"):
        image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    else:
        image = image.convert(mode)
    path = tmp_path / ("x.tif" if mode == "I" else "x.png")
    image.save(path)
    assert np.array_equal(THREE(path), values)


@pytest.mark.parametrize("mode", ["F", "CMYK"])
def test_modes_that_are_no_masks(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (3, 2)).save(tmp_path / "x.tif")
    with pytest.raises(FileError, match=rf"x\.tif is a mask of mode {mode}; expected 8- or 16-bit index"):
        THREE(tmp_path / "x.tif")


def test_negative_and_huge_values_are_unknown(tmp_path: Path) -> None:
    reader = ClassMask(values=((0, 0), (65535, 1)))
    save(tmp_path / "x.tif", np.array([[0, 65535, -1, 70000]], np.int32))
    with pytest.raises(FileError, match=r"holds -1 \(1 pixel, 25 %\), 70000 \(1 pixel, 25 %\); expected 0, 65535"):
        reader(tmp_path / "x.tif")


def test_unknown_values_are_counted(tmp_path: Path) -> None:
    values = np.zeros((10, 10), np.uint8)
    values[0, :3], values[1, 0] = 200, 7
    with pytest.raises(FileError) as caught:
        THREE(save(tmp_path / "x.png", values))
    assert "holds 200 (3 pixels, 3 %), 7 (1 pixel, 1 %); expected 0..2, or 255 for void" in str(caught.value)
    assert caught.value.problem.kind == "values"


def test_rgb_mask_without_colours_names_them(tmp_path: Path) -> None:
    save(tmp_path / "x.png", np.array([[[1, 2, 3], [1, 2, 3], [9, 9, 9]]], np.uint8))
    with pytest.raises(FileError, match=r"is an RGB mask, with the colours \(1, 2, 3\) \(2 pixels, 67 %\)"):
        THREE(tmp_path / "x.png")


def test_palette_masks_by_index_or_colour(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", np.array([[0, 1]], np.uint8), [3, 2, 1, 1, 2, 3])
    assert COLOURS(path).tolist() == [[0, 1]]
    by_colour = ClassMask(COLOURS.values, COLOURS.colours, palette_by_colour=True)
    assert by_colour(path).tolist() == [[1, 0]]


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_jpeg_is_refused_under_any_name(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name, "JPEG")
    with pytest.raises(FileError, match="compressed with loss"):
        THREE(tmp_path / name)


def test_a_mask_is_turned_by_its_own_exif_only(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [2, 2, 2]], np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(values).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(THREE(tmp_path / "x.png"), np.rot90(values, -1))


@pytest.mark.parametrize(
    ("values", "text"), [((), ""), ((3,), "3"), ((1, 0, 2), "0..2"), ((0, 1, 2, 7, 9, 10), "0..2, 7, 9..10")]
)
def test_ranges(values: tuple[int, ...], text: str) -> None:
    assert ranges(values) == text


@pytest.mark.parametrize(
    ("part", "text"), [(1, "under 0.01 %"), (100, "0.1 %"), (2500, "2.5 %"), (25000, "25 %"), (100_000, "100 %")]
)
def test_percent(part: int, text: str) -> None:
    assert percent(part, 100_000) == text
