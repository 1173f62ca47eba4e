"""Hashes of pictures: near pairs are found, and found in groups."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from atonce.doctor.image_hashes import (
    HASH_BYTES,
    connected_components,
    content_digest,
    contrast_bits,
    differ_little,
    difference_hash,
    near_pairs,
    thumbnail,
)
from tests.doctor.scenes import smooth


def test_near_pairs_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (40, HASH_BYTES), dtype=np.uint8)
    flips = np.packbits(rng.random((40, 256)) < np.linspace(0, 0.25, 40)[:, None], axis=1)
    hashes = np.concatenate([base, base ^ flips])
    pairs, bits = near_pairs([row.tobytes() for row in hashes], max_bits=32)
    all_bits = np.unpackbits(hashes[:, None] ^ hashes[None], axis=2).sum(axis=2)
    a, b = np.nonzero(np.triu(all_bits <= 32, 1))
    assert {tuple(pair) for pair in pairs.tolist()} == set(zip(a.tolist(), b.tolist(), strict=True))
    assert bits.tolist() == [all_bits[i, j] for i, j in pairs]


def test_no_pictures_no_pairs() -> None:
    pairs, bits = near_pairs([])
    assert pairs.shape == (0, 2) and bits.shape == (0,)


@pytest.mark.parametrize("change", ["half", "brighter", "jpeg"])
def test_the_hash_survives_what_leaves_a_picture_the_same(change: str, tmp_path: Path) -> None:
    image = Image.fromarray(smooth(0))
    if change == "half":
        other = image.resize((60, 45))
    elif change == "brighter":
        other = image.point(lambda value: value * 0.8)
    else:
        image.save(tmp_path / "x.jpg", quality=50)
        other = Image.open(tmp_path / "x.jpg")
    pair = [difference_hash(thumbnail(np.asarray(i))) for i in (image, other)]
    assert len(near_pairs(pair)[0]) == 1
    assert len(near_pairs([pair[0], difference_hash(thumbnail(smooth(1)))])[0]) == 0


def test_digest_is_of_the_pixels_and_their_shape() -> None:
    one = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert content_digest(one) == content_digest(np.asfortranarray(one))
    assert content_digest(one) != content_digest(one.reshape(6, 4))


def test_connected_components_are_named_by_their_lowest_index() -> None:
    assert connected_components(6, np.array([[4, 5], [1, 4], [2, 3]])).tolist() == [0, 1, 2, 2, 1, 1]


def _on_plain_ground(seed: int) -> NDArray[np.uint8]:
    """Two small discs on a plain background, through JPEG."""
    rng = np.random.default_rng(seed)
    image = np.full((120, 160, 3), rng.integers(60, 220, 3), np.uint8)
    y, x = np.ogrid[:120, :160]
    for _ in range(2):
        image[(y - rng.integers(120)) ** 2 + (x - rng.integers(160)) ** 2 < 80] = rng.integers(0, 255, 3)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=90)
    return np.asarray(Image.open(stream))


def test_small_things_on_plain_ground_are_no_near_duplicates() -> None:
    """Most of their bits say nothing, so that nearly all of them are near each other by the number of bits."""
    small = [thumbnail(_on_plain_ground(seed)) for seed in range(22)]
    hashes = [difference_hash(one) for one in small]
    pairs, _ = near_pairs(hashes)
    assert len(pairs) > 100
    assert not differ_little(hashes, [contrast_bits(one) for one in small], pairs).any()


def test_neighbours_of_a_video_are_still_found(real_data: Path) -> None:
    paths = sorted((real_data / "data" / "camvid" / "train").glob("*.png"))
    small = [thumbnail(np.asarray(Image.open(path).convert("RGB"))) for path in paths]
    hashes = [difference_hash(one) for one in small]
    pairs, _ = near_pairs(hashes)
    assert len(pairs) > 50
    assert differ_little(hashes, [contrast_bits(one) for one in small], pairs).all()
