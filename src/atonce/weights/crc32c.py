"""CRC-32C (Castagnoli), the checksum of TensorFlow's checkpoints, in NumPy: about half a gigabyte in two seconds.

A CRC without its initial and final inversion is linear, and zeros in front of the data do not change it. So the data
are cut into rows that are taken through the register side by side, and the registers of neighbouring rows are joined by
crc(a + b) = crc(a) * x^(8 len(b)) + crc(b), in polynomials over GF(2) modulo the generator (reflected: bit 31 is x^0).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78
_ROWS, _ROW = 4096, 1024
"""Rows that are taken through the register side by side, and the bytes of each; both powers of two."""
_MASK = 0xA282EAD8

Registers = NDArray[np.uint32]


def crc32c(data: bytes | memoryview) -> int:
    """Compute the CRC-32C of some bytes: 0xE3069283 for b"123456789"."""
    view = memoryview(data).cast("B")
    register, start = 0, len(view) % (_ROWS * _ROW)
    if start:
        register = _block(bytes(-start % _ROW) + bytes(view[:start]))
    for begin in range(start, len(view), _ROWS * _ROW):
        register = _shifted(register, _ROWS * _ROW) ^ _block(view[begin : begin + _ROWS * _ROW])
    # The inversion of the register at the beginning, brought to the end.
    return register ^ _shifted(0xFFFFFFFF, len(view)) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview) -> int:
    """Compute the CRC-32C as LevelDB and TensorFlow store it: rotated by 15 bits and moved by a constant."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF


def _block(data: bytes | memoryview) -> int:
    """Compute the linear CRC of whole rows."""
    words = np.ascontiguousarray(np.frombuffer(data, "<u4").reshape(-1, _ROW // 4).T)
    low, high = _word_tables()
    registers: Registers = np.zeros(words.shape[1], np.uint32)
    for word in words:
        registers ^= word
        registers = low[registers & 0xFFFF] ^ high[registers >> 16]
    length = _ROW
    while len(registers) > 1:
        # An odd row stands at the front: a row of zeros before it changes nothing.
        registers = np.pad(registers, (len(registers) % 2, 0))
        table = _shift_table(length)
        left, right = registers[::2], registers[1::2]
        shifted = (
            table[0][left & 0xFF] ^ table[1][left >> 8 & 0xFF] ^ table[2][left >> 16 & 0xFF] ^ table[3][left >> 24]
        )
        registers, length = shifted ^ right, 2 * length
    return int(registers[0])


@cache
def _word_tables() -> tuple[Registers, Registers]:
    """The register after four zero bytes, for each value of its lower and of its upper half."""
    table = np.arange(1 << 16, dtype=np.uint32)
    both = [table, table << np.uint32(16)]
    for half, values in enumerate(both):
        for _ in range(32):
            values = values >> 1 ^ np.where(values & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
        both[half] = values
    return both[0], both[1]


@cache
def _shift_table(length: int) -> Registers:
    """The register after `length` zero bytes, for each value of each of its four bytes; (4, 256)."""
    power = _power(8 * length)
    return np.array([[_product(value << 8 * byte, power) for value in range(256)] for byte in range(4)], np.uint32)


def _shifted(register: int, length: int) -> int:
    """Return the register after `length` zero bytes."""
    return _product(register, _power(8 * length))


@cache
def _power(exponent: int) -> int:
    """Compute x^exponent modulo the generator, by squaring."""
    result, base = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            result = _product(result, base)
        base, exponent = _product(base, base), exponent >> 1
    return result


def _product(a: int, b: int) -> int:
    """Multiply two polynomials modulo the generator."""
    result = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            result ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return result
