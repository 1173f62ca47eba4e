"""Augmentation: pictures and masks move together, and everything about a sample follows from its position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from atonce.data.augmentation import augment, largest_sides
from atonce.data.batches import Batch, Size
from atonce.data.input_size import InputSize
from atonce.recipes.schema import AugmentConfig

FILL = torch.full((3,), 127.5)
CPU = torch.device("cpu")
OFF = AugmentConfig(scale=(1.0, 1.0), flip=0.0)
EVERYTHING = AugmentConfig(scale=(0.6, 1.7), flip=0.5, rotate=15, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5)


def batch_of(images: Tensor, masks: Tensor, positions: tuple[int, ...], target: Size | None = None) -> Batch:
    size = (masks.shape[1], masks.shape[2])
    return Batch(
        images=images,
        masks=masks,
        sizes=(size,) * len(masks),
        targets=(target or size,) * len(masks),
        positions=positions,
    )


def random_batch(height: int, width: int, count: int = 1, first: int = 0) -> Batch:
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.integers(0, 256, (count, 3, height, width), dtype=np.uint8))
    masks = torch.from_numpy(rng.choice(np.array([0, 3, 7, 10, 255], np.uint8), (count, height, width)))
    return batch_of(images, masks, tuple(range(first, first + count)))


def coded(height: int, width: int, cell: int) -> Batch:
    """Cells of ids 0..3, and pictures whose grey is 40 times their id plus 40."""
    rows, columns = torch.arange(height) // cell, torch.arange(width) // cell
    mask = ((rows[:, None] * 3 + columns) % 4).to(torch.uint8)
    image = (mask * 40 + 40)[None].expand(3, -1, -1)
    return batch_of(image[None].contiguous(), mask[None], (11,))


@pytest.mark.parametrize("size", [(48, 64), (37, 53), (1, 64), (64, 1), (1, 1), (2, 2)])
def test_with_everything_off_nothing_changes(size: Size) -> None:
    batch = random_batch(*size, count=2)
    images, labels = augment(batch, OFF, crop=size, seed=0, fill=FILL, device=CPU)
    assert torch.equal(labels, batch.masks.long())
    torch.testing.assert_close(images, batch.images.float(), rtol=0, atol=0.02)


@pytest.mark.parametrize("size", [(48, 64), (37, 53), (1, 7)])
def test_a_flip_is_the_exact_mirror_image(size: Size) -> None:
    batch = random_batch(*size)
    images, labels = augment(batch, OFF.model_copy(update={"flip": 1.0}), crop=size, seed=0, fill=FILL, device=CPU)
    assert torch.equal(labels, batch.masks.flip(-1).long())
    torch.testing.assert_close(images, batch.images.flip(-1).float(), rtol=0, atol=0.02)


def test_a_flip_happens_as_often_as_asked_for() -> None:
    batch = random_batch(4, 6, count=400)
    _, labels = augment(batch, OFF.model_copy(update={"flip": 0.25}), crop=(4, 6), seed=0, fill=FILL, device=CPU)
    flipped = (labels == batch.masks.flip(-1)).flatten(1).all(1).float().mean()
    assert 0.18 < float(flipped) < 0.32


@pytest.mark.parametrize("seed", range(12))
def test_picture_and_mask_stay_together(seed: int) -> None:
    config = AugmentConfig(scale=(0.5, 2.0), flip=0.5, rotate=20)
    images, labels = augment(coded(64, 80, cell=16), config, crop=(48, 56), seed=seed, fill=FILL, device=CPU)
    grey, mask = images[0, 0], labels[0]
    inside = mask != 255
    assert inside.float().mean() > 0.1
    # Bilinear values mix neighbours; where all pixels around have one id, the colour is that id's exactly.
    ids = torch.nn.functional.pad(mask.float()[None, None], (1,) * 4, value=-1)
    calm = (torch.nn.functional.max_pool2d(ids, 3, 1) == -torch.nn.functional.max_pool2d(-ids, 3, 1))[0, 0] & inside
    assert calm.float().mean() > 0.05
    torch.testing.assert_close(grey[calm], mask[calm].float() * 40 + 40, rtol=0, atol=0.1)


@pytest.mark.parametrize("zoom", [0.7, 1.0, 1.3, 2.0])
def test_an_edge_lies_at_the_same_place_in_both_to_half_a_pixel(zoom: float) -> None:
    # Left black and class 0, right white and class 1: where the grey crosses one half, the mask must change.
    mask = torch.zeros(1, 40, 60, dtype=torch.uint8)
    mask[..., 30:] = 1
    images = (mask * 255)[:, None].expand(-1, 3, -1, -1).contiguous()
    batch = batch_of(images, mask, (3,))
    crop = (round(40 * zoom), round(60 * zoom))
    config = AugmentConfig(scale=(zoom, zoom), flip=0)
    pictures, labels = augment(batch, config, crop=crop, seed=1, fill=FILL, device=CPU)
    row = crop[0] // 2
    grey, ids = pictures[0, 0, row] / 255, labels[0, row]
    below, above = int((grey < 0.5).nonzero().max()), int((ids == 1).nonzero().min())
    share = (0.5 - grey[below]) / (grey[below + 1] - grey[below])
    assert abs(below + float(share) + 0.5 - above) <= 0.5 + 1e-3
    # And both at the place that the zoom gives it.
    assert abs(above - 30 * zoom) <= 0.5 + 1e-6


def test_a_whole_zoom_repeats_pixels_exactly() -> None:
    batch = random_batch(20, 30)
    _, labels = augment(batch, AugmentConfig(scale=(3.0, 3.0), flip=0), crop=(60, 90), seed=0, fill=FILL, device=CPU)
    assert torch.equal(labels, batch.masks.repeat_interleave(3, 1).repeat_interleave(3, 2).long())


@pytest.mark.parametrize("seed", range(5))
def test_a_crop_is_a_window_of_the_picture(seed: int) -> None:
    rows, columns = torch.arange(40), torch.arange(60)
    mask = ((rows[:, None] * 7 + columns * 3) % 251).to(torch.uint8)[None]
    _, labels = augment(
        batch_of(mask[:, None].expand(-1, 3, -1, -1).contiguous(), mask, (seed,)),
        OFF,
        crop=(16, 24),
        seed=0,
        fill=FILL,
        device=CPU,
    )
    windows = mask[0].long().unfold(0, 16, 1).unfold(1, 24, 1)
    assert bool((windows == labels[0]).flatten(2).all(2).any())


def test_what_lies_outside_is_void_and_has_the_mean_colour() -> None:
    batch = random_batch(10, 12)
    batch.masks.fill_(4)
    images, labels = augment(batch, OFF, crop=(30, 40), seed=0, fill=FILL, device=CPU)
    assert int((labels == 4).sum()) == pytest.approx(120, abs=25)  # the picture lies between whole pixels
    assert set(labels.unique().tolist()) == {4, 255}
    far = torch.nn.functional.max_pool2d((labels == 4).float()[:, None], 5, 1, 2)[0, 0] == 0
    assert torch.equal(images[0, :, far], torch.full((3, int(far.sum())), 127.5))


@pytest.mark.parametrize("seed", range(6))
def test_masks_only_ever_hold_their_own_ids_and_colours_stay_in_range(seed: int) -> None:
    images, labels = augment(
        random_batch(50, 70, count=4, first=seed * 100), EVERYTHING, crop=(45, 45), seed=seed, fill=FILL, device=CPU
    )
    assert labels.dtype == torch.int64
    assert set(labels.unique().tolist()) <= {0, 3, 7, 10, 255}
    assert images.isfinite().all()
    assert float(images.min()) >= 0
    assert float(images.max()) <= 255


def test_colour_changes_leave_masks_and_black_alone() -> None:
    batch = random_batch(20, 20)
    batch.images[..., :5] = 0
    config = OFF.model_copy(update={"brightness": 0.5, "saturation": 0.5})
    images, labels = augment(batch, config, crop=(20, 20), seed=3, fill=FILL, device=CPU)
    assert torch.equal(labels, batch.masks.long())
    assert float(images[..., :4].abs().max()) < 0.05
    assert float((images - batch.images).abs().max()) > 5


def test_hue_turns_both_ways_to_its_full_reach() -> None:
    red = torch.zeros(300, 3, 2, 2, dtype=torch.uint8)
    red[:, 0] = 200
    batch = batch_of(red, torch.zeros(300, 2, 2, dtype=torch.uint8), tuple(range(300)))
    images, _ = augment(batch, OFF.model_copy(update={"hue": 0.5}), crop=(2, 2), seed=0, fill=FILL, device=CPU)
    strongest = images[:, :, 0, 0].argmax(1).bincount(minlength=3) / 300
    # All hues alike often: a third of the pictures is reddest, greenest, bluest.
    assert all(0.25 < share < 0.42 for share in strongest.tolist()), strongest


def test_a_sample_does_not_depend_on_its_batch() -> None:
    whole = random_batch(40, 50, count=4, first=20)
    images, labels = augment(whole, EVERYTHING, crop=(32, 48), seed=9, fill=FILL, device=CPU)
    for index in range(4):
        alone = augment(whole.part(index, index + 1), EVERYTHING, crop=(32, 48), seed=9, fill=FILL, device=CPU)
        torch.testing.assert_close(alone[0][0], images[index], rtol=0, atol=2e-3)
        assert torch.equal(alone[1][0], labels[index])


def test_seed_and_position_decide() -> None:
    batch = random_batch(40, 50)
    moved = batch_of(batch.images, batch.masks, (77,))
    one, same, other_seed, other_place = (
        augment(b, EVERYTHING, crop=(32, 48), seed=seed, fill=FILL, device=CPU)[0]
        for b, seed in ((batch, 1), (batch, 1), (batch, 2), (moved, 1))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other_seed)
    assert not torch.equal(one, other_place)


def test_a_smaller_picture_on_a_larger_canvas_leaves_its_neighbours_padding_outside() -> None:
    # The canvas is as large as the batch's largest picture; what is padding there is void here.
    images = torch.zeros(1, 3, 30, 30, dtype=torch.uint8)
    masks = torch.full((1, 30, 30), 255, dtype=torch.uint8)
    images[..., :10, :10], masks[..., :10, :10] = 200, 2
    batch = Batch(images=images, masks=masks, sizes=((10, 10),), targets=((10, 10),), positions=(0,))
    found, labels = augment(batch, OFF, crop=(10, 10), seed=0, fill=FILL, device=CPU)
    assert bool((labels == 2).all())
    torch.testing.assert_close(found, torch.full((1, 3, 10, 10), 200.0), rtol=0, atol=0.02)


@pytest.mark.parametrize("size", [(48, 64), (37, 53), (1, 7)])
def test_a_vertical_flip_is_the_exact_mirror_image(size: Size) -> None:
    batch = random_batch(*size)
    config = OFF.model_copy(update={"flip_vertical": 1.0})
    images, labels = augment(batch, config, crop=size, seed=0, fill=FILL, device=CPU)
    assert torch.equal(labels, batch.masks.flip(-2).long())
    torch.testing.assert_close(images, batch.images.flip(-2).float(), rtol=0, atol=0.02)


def test_quarter_turns_are_exact_and_each_as_likely() -> None:
    config, seen = OFF.model_copy(update={"quarter_turns": 1.0}), []
    batch = random_batch(13, 21, count=90)
    # Turned by a quarter or by three it fits this crop, by two the picture itself.
    for crop, fitting in (((21, 13), (1, 3)), ((13, 21), (2,))):
        images, labels = augment(batch, config, crop=crop, seed=0, fill=FILL, device=CPU)
        for image, mask, before, truth in zip(images, labels, batch.images, batch.masks, strict=True):
            for turns in fitting:
                if torch.equal(mask, truth.rot90(turns, (-2, -1)).long()):
                    torch.testing.assert_close(image, before.rot90(turns, (-2, -1)).float(), rtol=0, atol=0.02)
                    seen.append(turns)
    assert len(seen) == 90
    assert all(20 <= seen.count(turns) <= 40 for turns in (1, 2, 3))


def test_three_quarters_of_turns_make_four_directions_equally_frequent() -> None:
    config = OFF.model_copy(update={"quarter_turns": 0.75})
    batch = random_batch(6, 6, count=400)
    _, labels = augment(batch, config, crop=(6, 6), seed=0, fill=FILL, device=CPU)
    for turns in range(4):
        share = (labels == batch.masks.rot90(turns, (-2, -1))).flatten(1).all(1).float().mean()
        assert 0.18 < float(share) < 0.32, turns


def spotted(count: int) -> Batch:
    """Pictures of class 0 with one small spot of class 1 in a corner, and void beside it."""
    masks = torch.zeros(count, 60, 80, dtype=torch.uint8)
    masks[:, 3:6, 70:73], masks[:, 40:] = 1, 255
    return batch_of(torch.zeros(count, 3, 60, 80, dtype=torch.uint8), masks, tuple(range(count)))


def share_with_spot(config: AugmentConfig, count: int = 300) -> float:
    _, labels = augment(spotted(count), config, crop=(20, 24), seed=0, fill=FILL, device=CPU)
    return float((labels == 1).flatten(1).any(1).float().mean())


@pytest.mark.parametrize("others", [{}, {"flip": 0.5, "flip_vertical": 0.5, "quarter_turns": 0.75, "rotate": 20.0}])
def test_balanced_crops_show_a_small_class_as_often_as_a_large_one(others: dict[str, float]) -> None:
    plain = OFF.model_copy(update=others)
    assert share_with_spot(plain) < 0.2
    half = share_with_spot(plain.model_copy(update={"balanced_crops": 0.5}))
    always = share_with_spot(plain.model_copy(update={"balanced_crops": 1.0}))
    # Of two classes, every second crop is placed on the spot; void is none.
    assert 0.2 < half < 0.42 and 0.45 < always < 0.72


def test_balanced_crops_stay_within_the_picture() -> None:
    batch = random_batch(60, 80, count=50)
    batch.masks[batch.masks == 255] = 0
    config = AugmentConfig(scale=(1.0, 1.7), flip=0.5, balanced_crops=1.0, quarter_turns=0.5)
    _, labels = augment(batch, config, crop=(20, 24), seed=0, fill=FILL, device=CPU)
    assert not (labels == 255).any()


def test_a_mask_of_void_has_crops_like_any_other() -> None:
    batch = random_batch(60, 80)
    batch.masks.fill_(255)
    config = OFF.model_copy(update={"balanced_crops": 1.0})
    one, other = (augment(batch, c, crop=(20, 24), seed=0, fill=FILL, device=CPU)[0] for c in (config, OFF))
    assert torch.equal(one, other)


def test_a_balanced_crop_follows_from_seed_and_position_alone() -> None:
    config = EVERYTHING.model_copy(update={"balanced_crops": 0.5, "quarter_turns": 0.5, "flip_vertical": 0.5})
    whole = random_batch(40, 50, count=4)
    images, labels = augment(whole, config, crop=(24, 24), seed=3, fill=FILL, device=CPU)
    for index in range(4):
        one, mask = augment(whole.part(index, index + 1), config, crop=(24, 24), seed=3, fill=FILL, device=CPU)
        assert torch.equal(mask[0], labels[index])
        torch.testing.assert_close(one[0], images[index], rtol=0, atol=1e-3)


def test_the_largest_sides_are_those_of_the_most_zoom_and_the_steepest_rotation() -> None:
    sizes = [(160, 120), (100, 140)]
    assert largest_sides(sizes, InputSize(), OFF) == (140, 160)
    assert largest_sides(sizes, InputSize(0.5), AugmentConfig(scale=(0.6, 1.5))) == (105, 120)
    assert largest_sides([(30, 40)], InputSize(), AugmentConfig(rotate=90)) == (50, 50), "the diagonal"
    assert largest_sides([(160, 120)], InputSize(), AugmentConfig(quarter_turns=0.1)) == (160, 160)
    height, width = largest_sides([(200, 100)], InputSize(), AugmentConfig(rotate=10))
    assert (height, width) == (134, 215)


def test_a_picture_fits_into_crops_of_the_largest_sides() -> None:
    """No pixel of a white picture is cut off, whatever is drawn."""
    white = batch_of(
        torch.full((8, 3, 20, 30), 255, dtype=torch.uint8), torch.ones(8, 20, 30, dtype=torch.uint8), tuple(range(8))
    )
    config = AugmentConfig(scale=(1.0, 1.3), flip=0.5)
    _, labels = augment(
        white, config, crop=largest_sides([(30, 20)], InputSize(), config), seed=1, fill=FILL, device=CPU
    )
    areas = (labels == 1).flatten(1).sum(1)
    assert (areas >= 0.95 * 600).all()
