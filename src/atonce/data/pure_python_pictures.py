"""Pictures that Pillow decodes in Python, a value at a time: a thousand times slower than any other.

25 megapixels of a PGM with the maximum 1 take it 20 seconds. Such files in binary are decoded here with NumPy, to the
same values; those as text, and bitmaps of run lengths, are known by `slow_decoder`, for whoever has to refuse them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFile

_SLOW = {"ppm_plain": "PPM as text", "bmp_rle": "BMP of run lengths"}
_PPM = "atonce_ppm"


class PpmDecoder(ImageFile.PyDecoder):
    """A decoder of binary PGM and PPM whose maximum is neither 255 nor 65535."""

    _pulls_fd = True

    def decode(self, buffer: object) -> tuple[int, int]:
        """Decode the rest of the file; a value is `round(value / maximum * 255)`, of wide grey 65535."""
        assert self.fd is not None
        maximum = int(self.args[-1])
        dtype = np.dtype(np.uint8) if maximum < 256 else np.dtype(">u2")
        wide = self.mode == "I"
        count = self.state.xsize * self.state.ysize * Image.getmodebands(self.mode)
        file = self.fd.read(count * dtype.itemsize)
        values = np.frombuffer(file, dtype, len(file) // dtype.itemsize)
        largest = 65535 if wide else 255
        table = np.minimum(np.rint(np.arange(2 ** (8 * dtype.itemsize)) / maximum * largest), largest)
        scaled = table.astype("<i4" if wide else np.uint8)[values]
        self.set_as_raw(scaled.tobytes(), "I;32" if wide else self.mode)
        return -1, 0


Image.register_decoder(_PPM, PpmDecoder)


def decode_with_numpy(image: Image.Image) -> None:
    """Let an opened picture that is not loaded yet be decoded here, where Pillow would decode it in Python."""
    tiles = getattr(image, "tile", [])
    if tiles and tiles[0][0] == "ppm":
        image.tile = [(_PPM, *tile[1:]) for tile in tiles]  # type: ignore[attr-defined]


def slow_decoder(image: Image.Image) -> str | None:
    """Return what kind of file an opened picture is that is decoded in Python all the same; None for other files."""
    tiles = getattr(image, "tile", [])
    return _SLOW.get(tiles[0][0]) if tiles else None
