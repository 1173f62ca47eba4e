"""Label Studio's brush codes: what its own encoder writes is read, and what is damaged is said and takes no memory."""

from __future__ import annotations

import numpy as np
import pytest

from atonce.data.brush_codes import decode_brush
from tests.data.annotation_trees import CAR, ROAD, box_mask, brush_code
from tests.data.trees import HEIGHT, WIDTH


def bits(*fields: tuple[int, int]) -> bytes:
    """(number, width) after another."""
    text = "".join(f"{number:0{width}b}" for number, width in fields)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))


def header(words: int, word_size: int = 8) -> list[tuple[int, int]]:
    return [(words, 32), (word_size - 1, 5), (2, 4), (3, 4), (7, 4), (15, 4)]


@pytest.mark.parametrize(
    "mask",
    [
        box_mask(ROAD),
        box_mask(ROAD) & ~box_mask(CAR),
        np.zeros((3, 5), bool),
        np.ones((300, 300), bool),
        np.random.default_rng(0).random((57, 91)) < 0.5,
    ],
    ids=["box", "hole", "nothing", "longer than a run", "noise"],
)
def test_what_was_encoded_is_decoded(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_brush(bytes(brush_code(mask)), *mask.shape), mask)


def test_what_label_studio_writes_is_read() -> None:
    """By mask2rle of label-studio-sdk 2.1.2, whose encoder joins single bytes to pieces."""
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:7] = True
    mask[2, 4] = False
    code = [
        0,
        0,
        0,
        192,
        57,
        27,
        254,
        39,
        0,
        194,
        127,
        246,
        192,
        39,
        255,
        140,
        2,
        127,
        251,
        96,
        24,
        79,
        255,
        33,
        128,
        0,
    ]
    np.testing.assert_array_equal(decode_brush(bytes(code), 6, 8), mask)


def test_pieces_of_single_bytes_wherever_they_begin() -> None:
    """By hand: 2 x 3 pixels, of which the second and the last have alpha; runs end within a pixel."""
    data = [9, 8, 7, 0, 1, 2, 3, 255, *[0] * 13, 5, 6, 255]
    fields = [*header(24), (0, 1), (0, 2), (7, 3), *((byte, 8) for byte in data[:8])]
    fields += [(1, 1), (1, 2), (12, 4), (0, 8)]
    fields += [(0, 1), (0, 2), (2, 3), *((byte, 8) for byte in data[21:])]
    found = decode_brush(bits(*fields), 2, 3)
    assert found.tolist() == [[False, True, False], [False, False, True]]


def test_the_beginning_of_a_real_export() -> None:
    """alkzar90/cell_benchmark, 3332x2527: four bytes a pixel, bytes as words, runs of 3, 4, 8 and 16 bits."""
    beginning = bytes([2, 1, 233, 240, 57, 27, 255])
    assert beginning[:6] == bits(*header(3332 * 2527 * 4))[:6]
    with pytest.raises(ValueError, match="ends too early"):
        decode_brush(beginning, 2527, 3332)


@pytest.mark.parametrize("level", [1, 100, 128, 200, 255])
def test_soft_strokes_are_cut_at_the_middle_and_faint_ones_count(level: int) -> None:
    fields = [*header(8), (0, 1), (0, 2), (7, 3), *((byte, 8) for byte in [0, 0, 0, level, 0, 0, 0, 0])]
    assert decode_brush(bits(*fields), 1, 2).tolist() == [[True, False]]
    fields = [*header(8), (0, 1), (0, 2), (7, 3), *((byte, 8) for byte in [0, 0, 0, level, 0, 0, 0, 255])]
    assert decode_brush(bits(*fields), 1, 2).tolist() == [[level >= 128, True]]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"", "without its beginning"),
        (bytes(brush_code(box_mask(ROAD)))[:-1], "ends too early"),
        (bytes(brush_code(box_mask(ROAD)))[:9], "ends too early"),
        (bits(*header(4 * WIDTH * HEIGHT + 4)), "3460 bytes for 36x24 pixels"),
        (bits(*header(0xFFFFFFFF)), "4294967295 bytes for 36x24"),
        (bits(*header(4 * WIDTH * HEIGHT, 4)), "of 4 bits"),
        (bits(*header(4 * WIDTH * HEIGHT), (1, 1), (3, 2), (65535, 16), (0, 8)), "more than 3456 bytes"),
    ],
)
def test_damaged_codes_are_told(code: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_brush(code, HEIGHT, WIDTH)


def test_any_cut_or_changed_code_is_refused_or_gives_a_mask() -> None:
    whole = bytes(brush_code(np.random.default_rng(1).random((9, 13)) < 0.5))
    rng = np.random.default_rng(2)
    for _ in range(300):
        changed = bytearray(whole[: rng.integers(len(whole) + 1)])
        for at in rng.integers(0, max(1, len(changed)), 3) if changed else ():
            changed[at] = rng.integers(256)
        try:
            assert decode_brush(bytes(changed), 9, 13).shape == (9, 13)
        except ValueError as error:
            assert "brush code" in str(error)
