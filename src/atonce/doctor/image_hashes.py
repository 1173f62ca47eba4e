"""Hashes that find duplicates and near duplicates: a digest of the pixels, and a perceptual hash (dHash)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from atonce.data.image_checks import thumbnail

__all__ = ["HASH_BYTES", "MAX_NEAR_BITS", "Digest", "connected_components", "content_digest", "contrast_bits",
           "differ_little", "difference_hash", "near_pairs", "thumbnail"]  # fmt: skip

Digest = bytes

_SIDE = 16
HASH_BYTES = _SIDE * _SIDE // 8

# Bits of 256 in which the hashes of two pictures differ. Of all pairs of a training and a validation picture of
# CamVid the nearest is at 79, of KITTI road's different scenes 81, of generated streets 74; chance is 128. The same
# picture at half its size, through JPEG at quality 50 or a third brighter: 16 at most. Frames of one video that
# follow upon each other: 10 to 40.
MAX_NEAR_BITS = 32

# Small things on a plain background differ in few bits, too, since most say nothing: 60 such pictures, each drawn by
# itself, have 1743 near pairs of 1770 without noise, 601 with a little. They have 7 to 60 bits with contrast in a pair,
# of which half differ. The 213 near pairs among CamVid's 468 pictures have 127 at least, of which at most 16.5 % do.
_CONTRAST, _FEWEST_CONTRASTS, _MAX_DIFFERENT = 6, 64, 0.2

_BLOCK_ROWS = 2048
_MAX_PAIRS = 100_000


def content_digest(pixels: NDArray[np.uint8]) -> Digest:
    """Return 16 bytes that tell pixels (H, W) or (H, W, C) from others, whatever file they were in."""
    digest = blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def difference_hash(thumbnail: NDArray[np.uint8]) -> bytes:
    """Return 256 bits: is a value brighter than its left neighbour (dHash, Krawetz 2013, at 16x16 instead of 8x8).

    Scaling, compression and exposure leave nearly all bits as they are. With 8x8 the nearest of CamVid's unrelated
    pictures differ in 8 bits and consecutive frames in up to 6: too close to tell apart.
    """
    return np.packbits(thumbnail[:, 1:] > thumbnail[:, :-1]).tobytes()


def contrast_bits(thumbnail: NDArray[np.uint8]) -> bytes:
    """Return 256 bits: does a value differ from its left neighbour by more than noise and compression do.

    Where it does not, as on a plain background, the bit of `difference_hash` says nothing about the picture.
    """
    levels = thumbnail.astype(np.int16)
    return np.packbits(np.abs(levels[:, 1:] - levels[:, :-1]) >= _CONTRAST).tobytes()


def differ_little(hashes: Sequence[bytes], contrasts: Sequence[bytes], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of pairs (P, 2) of pictures whether they are alike where either of them has contrast, and there is enough
    of it to tell: bool (P,)."""
    packed, contrast = (
        np.frombuffer(b"".join(each), np.uint8).reshape(len(hashes), HASH_BYTES) for each in (hashes, contrasts)
    )
    a, b = pairs[:, 0], pairs[:, 1]
    counted = contrast[a] | contrast[b]
    tell = np.unpackbits(counted, axis=1).sum(1)
    differ = np.unpackbits((packed[a] ^ packed[b]) & counted, axis=1).sum(1)
    return np.asarray((tell >= _FEWEST_CONTRASTS) & (differ <= _MAX_DIFFERENT * tell), bool)


def near_pairs(hashes: Sequence[bytes], max_bits: int = MAX_NEAR_BITS) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find all pairs of hashes that differ in at most `max_bits` bits.

    Returns:
        int64 (P, 2) indices, the lower one first, and int64 (P,) bits that differ; no more than 100,000 pairs.

    A product of +-1 vectors counts equal bits at the speed of a matrix product: about a minute on one core for
    100,000 pictures, in 30 MB.
    """
    packed = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), HASH_BYTES)
    pairs, bits, count = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)], 0
    for rows, columns in _blocks(len(packed)):
        # Both in +-1: the product is (equal bits) - (different bits), exact in float32.
        product = _signs(packed[rows]) @ _signs(packed[columns]).T
        a, b = np.nonzero(product >= 8 * HASH_BYTES - 2 * max_bits)
        distance = (8 * HASH_BYTES - product[a, b].astype(np.int64)) // 2
        keep = a + rows.start < b + columns.start
        pairs.append(np.stack([a + rows.start, b + columns.start], axis=1)[keep])
        bits.append(distance[keep])
        count += len(bits[-1])
        if count > _MAX_PAIRS:
            break
    return np.concatenate(pairs)[:_MAX_PAIRS], np.concatenate(bits)[:_MAX_PAIRS]


def _blocks(count: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of square blocks that cover the upper triangle of all pairs."""
    for top in range(0, count, _BLOCK_ROWS):
        for left in range(top, count, _BLOCK_ROWS):
            yield slice(top, min(top + _BLOCK_ROWS, count)), slice(left, min(left + _BLOCK_ROWS, count))


def _signs(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def connected_components(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64 (count,): for each index the lowest one that pairs (P, 2) connect it with (union-find)."""
    parent = np.arange(count)

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    for a, b in pairs.tolist():
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return np.array([root(index) for index in range(count)], np.int64)
