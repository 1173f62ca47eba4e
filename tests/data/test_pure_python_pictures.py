"""Binary PGM and PPM of any maximum: the values that Pillow gives, without its minutes."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.images import read_image, to_rgb


@pytest.mark.parametrize("kind", ["P5", "P6"])
@pytest.mark.parametrize("maximum", [1, 2, 100, 254, 256, 1000, 65534])
def test_the_values_are_those_of_pillow(tmp_path: Path, kind: str, maximum: int) -> None:
    channels, dtype = (3 if kind == "P6" else 1), np.dtype("u1" if maximum < 256 else ">u2")
    # Some values are beyond the maximum, as no file should hold them.
    highest = min(int(maximum * 1.1) + 2, 255 if maximum < 256 else 65535)
    values = np.random.default_rng(maximum).integers(0, highest, (7, 11, channels))
    file = f"{kind} 11 7 {maximum}\n".encode() + values.astype(dtype).tobytes()
    path = tmp_path / "a.ppm"
    path.write_bytes(file)
    with Image.open(BytesIO(file)) as expected:
        np.testing.assert_array_equal(read_image(path), to_rgb(expected))


def test_25_megapixels_take_no_20_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 5000 5000 1\n" + bytes(25_000_000))
    began = time.process_time()
    assert read_image(path).shape == (5000, 5000, 3)
    assert time.process_time() - began < 5


def test_one_that_breaks_off_is_damaged(tmp_path: Path) -> None:
    from atonce.errors import DataError

    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 11 7 9\n" + bytes(100))
    with pytest.raises(DataError, match="cannot be read"):
        read_image(path)
