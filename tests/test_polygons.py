"""Polygons: what is traced and filled again is the mask it was, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path as PlotPath

from atonce.polygons import Polygon, fill_polygons, join_holes, run_lengths, simplify_ring, trace_mask

RING = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
NESTED = np.pad(np.pad(np.pad(np.pad(np.ones((2, 3), bool), 1), 2, constant_values=True), 1), 2, constant_values=True)


def blobs(seed: int, size: tuple[int, int] = (40, 57), cell: int = 1) -> np.ndarray:
    """Noise: single pixels, saddles, holes in islands in holes, areas that touch the border."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((size[0] // cell + 1, size[1] // cell + 1)) < rng.choice([0.15, 0.5, 0.8])
    return np.repeat(np.repeat(coarse, cell, 0), cell, 1)[: size[0], : size[1]]


def disc(size: int = 200, radius: float = 80.0, hole: float = 30.0) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return (np.hypot(x, y) < radius) & (np.hypot(x, y) > hole)


MASKS = {
    "one pixel": np.array([[0, 0], [0, 1]], bool),
    "all": np.ones((3, 4), bool),
    "ring": RING,
    "island in a hole": NESTED,
    "diagonal": np.eye(5, dtype=bool),
    "checkers": np.indices((6, 7)).sum(0) % 2 == 0,
    "inverse checkers": np.indices((6, 7)).sum(0) % 2 == 1,
    "disc": disc(),
    **{f"noise {seed}": blobs(seed) for seed in range(6)},
    **{f"coarse noise {seed}": blobs(seed, cell=3) for seed in range(6)},
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_filling_what_was_traced_gives_back_the_mask_exactly(mask: np.ndarray) -> None:
    polygons = trace_mask(mask)
    np.testing.assert_array_equal(fill_polygons(polygons, *mask.shape), mask)
    assert sum(polygon.area for polygon in polygons) == mask.sum()
    for polygon in polygons:
        assert np.concatenate(polygon.rings).dtype == np.float64
        assert (np.concatenate(polygon.rings) % 1 == 0).all(), "edges of pixels"
        assert all(len(ring) >= 4 for ring in polygon.rings)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_holes_that_are_joined_by_cuts_fill_the_same_pixels(mask: np.ndarray) -> None:
    joined = [Polygon(join_holes(polygon)) for polygon in trace_mask(mask)]
    np.testing.assert_array_equal(fill_polygons(joined, *mask.shape), mask)


def test_matplotlib_fills_the_same_pixels() -> None:
    mask = blobs(3, cell=3)
    centres = np.argwhere(np.ones_like(mask))[:, ::-1] + 0.5
    inside = np.zeros(len(centres), int)
    for polygon in trace_mask(mask):
        for ring in polygon.rings:
            inside += PlotPath(ring).contains_points(centres)
    np.testing.assert_array_equal((inside % 2).reshape(mask.shape), mask)


def test_nothing_is_traced_as_nothing() -> None:
    assert trace_mask(np.zeros((3, 4), bool)) == []
    assert not fill_polygons([], 3, 4).any()


def test_holes_are_holes_and_islands_are_polygons() -> None:
    (ring,) = trace_mask(RING)
    assert sorted(map(tuple, ring.exterior.tolist())) == [(1, 1), (1, 4), (4, 1), (4, 4)]
    assert (len(ring.holes), ring.area, ring.bbox) == (1, 8, (1, 1, 3, 3))
    assert [len(polygon.holes) for polygon in trace_mask(NESTED)] == [1, 1, 0]


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.0, 5.0])
def test_a_simplified_outline_is_as_near_as_was_asked_and_has_few_points(tolerance: float) -> None:
    mask = disc()
    (exact,), (simple,) = trace_mask(mask), trace_mask(mask, simplify=tolerance)
    assert len(simple.holes) == 1
    assert sum(map(len, simple.rings)) < sum(map(len, exact.rings)) / 3
    for points, radius in ((simple.exterior, 80), (simple.holes[0], 30)):
        np.testing.assert_allclose(np.hypot(*(points - 100).T), radius, atol=1)
    off = fill_polygons([simple], 200, 200) != mask
    assert off.sum() <= tolerance * 2 * np.pi * 110


def test_no_point_left_out_is_further_away_than_the_tolerance() -> None:
    rng = np.random.default_rng(0)
    ring = rng.random((300, 2)) * 50
    kept = simplify_ring(ring, 4.0)
    closed = np.concatenate([kept, kept[:1]])
    for point in ring:
        along = np.diff(closed, axis=0)
        share = np.clip(((point - kept) * along).sum(1) / (along**2).sum(1), 0, 1)
        assert np.hypot(*(kept + share[:, None] * along - point).T).min() <= 4.0 + 1e-9


def test_what_would_collapse_stays_and_specks_are_left_out_where_asked() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2, 2] = mask[10:15, 10:15] = True
    mask[12, 12] = False
    (dot, square) = trace_mask(mask, simplify=3.0)
    assert (dot.area, square.holes) == (1, ())
    (square,) = trace_mask(mask, min_area=2)
    assert (square.area, square.holes) == (25, ())


def test_polygons_beyond_the_picture_are_cut() -> None:
    square = Polygon(np.array([[-5.0, -5], [3, -5], [3, 2], [-5, 2]]))
    filled = fill_polygons([square], 4, 6)
    assert filled.sum() == 6
    assert filled[:2, :3].all()
    assert not fill_polygons([Polygon(square.exterior + 50)], 4, 6).any()


# pycocotools' decode is older than the NumPy here.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_run_lengths_are_those_of_coco() -> None:
    pycocotools = pytest.importorskip("pycocotools.mask")
    for mask in MASKS.values():
        height, width = mask.shape
        found = np.zeros_like(mask)
        for polygon in trace_mask(mask):
            counts = run_lengths(polygon, height, width)
            assert sum(counts) == mask.size
            assert all(counts[1:])
            ours = pycocotools.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
            filled = polygon.mask(height, width)
            assert ours == pycocotools.encode(np.asfortranarray(filled.astype(np.uint8)))
            decoded = pycocotools.decode(ours)
            np.testing.assert_array_equal(decoded, filled)
            found |= decoded.astype(bool)
        np.testing.assert_array_equal(found, mask)


def test_what_lies_beyond_the_picture_is_no_run() -> None:
    square = Polygon(np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]]))
    assert run_lengths(square, 3, 4) == [0, 2, 1, 2, 7]
    assert run_lengths(Polygon(square.exterior + 50), 3, 4) == [12]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_coco_reads_our_outlines_as_the_same_pixels() -> None:
    pycocotools = pytest.importorskip("pycocotools.mask")
    for polygon in trace_mask(disc(hole=-1.0)):
        encoded = pycocotools.frPyObjects([polygon.exterior.ravel().tolist()], 200, 200)
        np.testing.assert_array_equal(pycocotools.decode(encoded)[..., 0], disc(hole=-1.0))
