"""The checksum of TensorFlow's checkpoints, held against RFC 3720's examples and against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from atonce.weights.crc32c import crc32c, masked_crc32c


def by_definition(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        # RFC 3720, appendix B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1023, 1024, 1025, 3 * 1024 + 7, 20_001])
def test_any_length(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == by_definition(data) == crc32c(memoryview(data))


def test_blocks_are_joined() -> None:
    """Beyond a block of 4 MiB: zeros before data change only the register's beginning, and one flipped bit shows."""
    data = bytearray(np.random.default_rng(0).bytes((9 << 20) + 5))
    before = crc32c(bytes(data))
    data[5 << 20] ^= 1
    assert crc32c(bytes(data)) != before
    # crc(a ^ b ^ c) = crc(a) ^ crc(b) ^ crc(c), for any three of one length: it is affine.
    a, b, c = (np.random.default_rng(i).bytes(len(data)) for i in range(3))
    mixed = np.frombuffer(a, np.uint8) ^ np.frombuffer(b, np.uint8) ^ np.frombuffer(c, np.uint8)
    assert crc32c(mixed.tobytes()) == crc32c(a) ^ crc32c(b) ^ crc32c(c)
    # The end of a long one is seen, and its length.
    assert len({crc32c(bytes(n)) for n in range(4 << 20, (4 << 20) + 4)}) == 4


def test_the_mask() -> None:
    """LevelDB's: rotated right by 15, plus 0xa282ead8."""
    crc = crc32c(b"foo")
    assert masked_crc32c(b"foo") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
