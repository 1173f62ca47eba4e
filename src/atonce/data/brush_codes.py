"""Run-length codes of Label Studio's brush: the bits that @thi.ng/rle-pack makes of a picture's RGBA bytes.

Source: the "Encoding format" of that package's README (thi-ng/umbrella). 32 bits say how many words follow, 5 the size
of a word less 1, and four times 4 bits the sizes, less 1, of the fields in which lengths are written. Then, again and
again: 1 bit, set for one word that repeats; 2 bits, which of the four sizes the length has; the length less 1; the word
that repeats, or as many words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HEADER = 32 + 5 + 4 * 4
_CHANNELS = 4
_MIDDLE = 128


def decode_brush(code: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """Decode the region that a brush has painted, bool (H, W): where alpha is half of white at least, or above 0 where
    nothing is as bright as that. It takes no more than the memory of the picture and of the code's bits.

    Raises:
        ValueError: the code is of another size, of words that are no bytes, or ends too early.
    """
    bits = _Bits(code)
    words, word_size = bits.read(32), bits.read(5) + 1
    lengths = [bits.read(4) + 1 for _ in range(4)]
    if word_size != 8:
        raise ValueError(f"a brush code of {word_size} bits instead of bytes")
    if words != height * width * _CHANNELS:
        raise ValueError(f"a brush code of {words} bytes for {width}x{height} pixels of {_CHANNELS}")
    alpha = np.zeros(height * width, np.uint8)
    done = 0
    while done < words:
        kind = bits.read(3)
        end = done + 1 + bits.read(lengths[kind & 3])
        if end > words:
            raise ValueError(f"a brush code of more than {words} bytes")
        # Of the bytes from `done` to `end`, these pixels' alpha, which is the last of their four.
        pixels = slice(done // _CHANNELS, end // _CHANNELS)
        if kind & 4:
            alpha[pixels] = bits.read(8)
        else:
            alpha[pixels] = bits.read_bytes(end - done)[_CHANNELS - 1 - done % _CHANNELS :: _CHANNELS]
        done = end
    mask: NDArray[np.bool_] = alpha >= (_MIDDLE if alpha.size and alpha.max() >= _MIDDLE else 1)
    return mask.reshape(height, width)


class _Bits:
    """Numbers read one after another from bits, the highest first. Raises ValueError: they end too early."""

    def __init__(self, code: bytes) -> None:
        self._code, self._at, self._end = code, 0, 8 * len(code)
        if self._end < _HEADER:
            raise ValueError("a brush code without its beginning")

    def _take(self, count: int) -> int:
        first, self._at = self._at, self._at + count
        if self._at > self._end:
            raise ValueError("a brush code that ends too early")
        return first

    def read(self, count: int) -> int:
        """Read a number of some bits."""
        first = self._take(count)
        last = first + count
        number = int.from_bytes(self._code[first >> 3 : (last + 7) >> 3], "big")
        return number >> (-last & 7) & ((1 << count) - 1)

    def read_bytes(self, count: int) -> NDArray[np.uint8]:
        """Read bytes, wherever between the bits of the code they begin."""
        first = self._take(8 * count)
        part = np.frombuffer(self._code[first >> 3 : (first + 8 * count + 7) >> 3], np.uint8)
        shift = first & 7
        if not shift:
            return part
        return ((part[:-1] << shift) | (part[1:] >> (8 - shift))).astype(np.uint8)
