"""The generated streets: same seed same bytes, masks that mean what the picture shows, a folder that is not remade."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from atonce.data.dataset import Sample
from atonce.labels import CAMVID
from atonce.streets import render_scene
from atonce.streets.canvas import PEDESTRIAN, ROAD, SKY, VOID

SMALL = (60, 80)


@pytest.fixture(scope="module")
def scenes() -> list[Sample]:
    return [render_scene(seed) for seed in range(30)]


def masks(scenes: list[Sample]) -> NDArray[np.uint8]:
    return np.stack([s.mask for s in scenes if s.mask is not None])


def test_a_scene_is_uint8_and_named_after_its_seed() -> None:
    sample = render_scene(42, (50, 70))
    assert sample.mask is not None
    assert sample.image.shape == (50, 70, 3) and sample.image.dtype == np.uint8
    assert sample.mask.shape == (50, 70) and sample.mask.dtype == np.uint8
    assert sample.name == "street_000042"


def test_same_seed_same_bytes_other_seed_other_scene() -> None:
    first, again, other = render_scene(7, SMALL), render_scene(7, SMALL), render_scene(8, SMALL)
    assert first.mask is not None and again.mask is not None and other.mask is not None
    assert first.image.tobytes() == again.image.tobytes() and first.mask.tobytes() == again.mask.tobytes()
    assert first.image.tobytes() != other.image.tobytes() and (first.mask != other.mask).mean() > 0.05


@pytest.mark.parametrize(("seed", "size"), [(-1, (60, 80)), (0, (31, 80)), (0, (60, 8))])
def test_impossible_seeds_and_sizes_are_refused(seed: int, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected a seed"):
        render_scene(seed, size)


def test_masks_hold_the_eleven_classes_and_void_only(scenes: list[Sample]) -> None:
    assert set(np.unique(masks(scenes))) == {*range(CAMVID.num_classes), VOID}


def test_every_class_has_its_share(scenes: list[Sample]) -> None:
    share = np.bincount(masks(scenes).ravel(), minlength=256) / masks(scenes).size
    assert share[: CAMVID.num_classes].min() > 0.001, dict(zip(CAMVID.names, share, strict=False))
    assert 0.005 < share[VOID] < 0.10


def test_no_single_class_fills_a_scene(scenes: list[Sample]) -> None:
    for scene, mask in zip(scenes, masks(scenes), strict=True):
        assert np.bincount(mask.ravel()).max() / mask.size < 0.75, scene.name
        assert len(np.unique(mask)) >= 6, scene.name


def test_edges_of_the_mask_are_edges_of_the_picture(scenes: list[Sample]) -> None:
    """Shifting the mask must make it fit worse: picture and mask are aligned to the pixel."""
    steps = [np.abs(np.diff(s.image.astype(np.float32).mean(axis=2), axis=1)) for s in scenes]

    def contrast(shift: int) -> float:
        edges = np.diff(np.roll(masks(scenes), shift, axis=2).astype(int), axis=2) != 0
        return float(np.mean(np.stack(steps)[:, :, 8:-8][edges[:, :, 8:-8]]))

    aligned = contrast(0)
    assert aligned > 2 * float(np.mean(np.stack(steps)))
    assert all(aligned > 1.2 * contrast(shift) for shift in (-2, -1, 1, 2))


def test_repainting_by_mask_explains_the_picture(scenes: list[Sample]) -> None:
    """Each class in its own mean colour leaves far less variance than one colour for all."""
    left = before = 0.0
    for scene, mask in zip(scenes, masks(scenes), strict=True):
        image = scene.image.astype(np.float64)
        flat = np.zeros_like(image)
        for label in np.unique(mask):
            flat[mask == label] = image[mask == label].mean(axis=0)
        left += float(((image - flat) ** 2).sum())
        before += float(((image - image.mean(axis=(0, 1))) ** 2).sum())
    assert left < 0.6 * before


def test_sky_is_above_road(scenes: list[Sample]) -> None:
    rows = np.arange(180)[None, :, None] * np.ones_like(masks(scenes), dtype=float)
    assert rows[masks(scenes) == SKY].mean() < 70 < 110 < rows[masks(scenes) == ROAD].mean()


def test_people_are_several_pixels_wide(scenes: list[Sample]) -> None:
    runs = [
        len(run)
        for mask in masks(scenes)
        for row in mask == PEDESTRIAN
        for run in "".join("x" if v else " " for v in row).split()
    ]
    assert np.mean(runs) > 3
