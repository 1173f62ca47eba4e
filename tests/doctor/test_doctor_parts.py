"""Hashes, borders of masks, classes files and splits by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atonce.data.classes_file import read_classes
from atonce.data.formats import open_dataset
from atonce.doctor import examine, write_classes_file, write_split
from atonce.doctor.image_hashes import (
    HASH_BYTES,
    connected_components,
    content_digest,
    difference_hash,
    near_pairs,
    thumbnail,
)
from atonce.doctor.interpolation import border_statistics
from atonce.doctor.split_proposal import propose_split
from atonce.errors import DataError
from tests.data import trees
from tests.doctor.test_doctor import BIG, regions, scenes, smooth


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


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_smooth_scaling_leaves_ramps_along_borders(scale: float, how: Image.Resampling, tmp_path: Path) -> None:
    mask = Image.fromarray(regions(0) * 20)
    size = (round(BIG[0] * scale), round(BIG[1] * scale))
    assert border_statistics(tmp_path, mask.resize(size, how)).suspicious
    assert not border_statistics(tmp_path, mask.resize(size, Image.Resampling.NEAREST)).suspicious
    colour = mask.convert("RGB")
    assert border_statistics(tmp_path, colour.resize(size, how)).suspicious
    assert not border_statistics(tmp_path, colour.resize(size, Image.Resampling.NEAREST)).suspicious


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 3)])
def test_masks_too_small_for_borders(shape: tuple[int, int], tmp_path: Path) -> None:
    assert not border_statistics(
        tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 9, shape, np.uint8))
    ).suspicious


class TestClassesFile:
    """What is written can be read, and then means the same."""

    @pytest.mark.parametrize("kind", ["folder", "folder palette", "folder RGB", "folder with splits"])
    def test_of_a_healthy_folder(self, kind: str, tmp_path: Path) -> None:
        trees.HEALTHY[kind][1](tmp_path)
        before = open_dataset(tmp_path)
        text = examine(tmp_path).classes_yaml
        (tmp_path / "classes.csv").unlink(missing_ok=True)
        (tmp_path / "classes.yaml").write_text(text)
        after = open_dataset(tmp_path)
        assert after.labels == before.labels
        for item in before.split("train"):
            one, two = before.load(item).mask, after.load(item).mask
            assert one is not None and two is not None and np.array_equal(one, two)

    def test_of_unknown_values(self, tmp_path: Path) -> None:
        trees.save(scenes(tmp_path) / "train/masks/001.png", np.where(regions(1) == 9, 77, regions(1)).astype("u1"))
        (tmp_path / "new.yaml").write_text(examine(tmp_path).classes_yaml)
        table = read_classes(tmp_path / "new.yaml")
        assert table.labels.names == (*(f"c{i}" for i in range(10)), "unknown 77")
        assert (77, 10) in table.values

    def test_of_unknown_colours(self, tmp_path: Path) -> None:
        trees.folder_rgb(tmp_path)
        mask = trees.colours(trees.ids(0, (0, 1, 2)), {**trees.COLOURS, 2: (9, 8, 7)})
        trees.save(tmp_path / "masks/street1.png", mask)
        (tmp_path / "classes.yaml").write_text(examine(tmp_path).classes_yaml)
        assert open_dataset(tmp_path).labels.palette[-1] == (9, 8, 7) and not examine(tmp_path).wrong

    def test_of_a_layout_with_a_reader_of_its_own(self, tmp_path: Path) -> None:
        assert examine(trees.kitti_road(tmp_path)).classes_yaml == ""
        with pytest.raises(DataError, match="of a layout with classes of its own"):
            write_classes_file(tmp_path, tmp_path / "classes.yaml")

    def test_one_call_writes_it_and_examines_the_folder_with_it(self, tmp_path: Path) -> None:
        trees.folder(tmp_path, values=(0, 50, 100))
        assert examine(str(tmp_path)).wrong
        elsewhere = write_classes_file(tmp_path, tmp_path / "elsewhere.yaml")
        assert elsewhere.wrong and (tmp_path / "elsewhere.yaml").read_text() == elsewhere.classes_yaml
        assert not write_classes_file(str(tmp_path), str(tmp_path / "classes.yaml")).wrong
        with pytest.raises(DataError, match=r"classes\.yaml is there already"):
            write_classes_file(tmp_path, tmp_path / "classes.yaml")


class TestSplit:
    def test_copies_stay_together(self, tmp_path: Path) -> None:
        scenes(tmp_path, train=12, val=4)
        for i in range(4):
            (tmp_path / f"val/images/{i:03}.png").write_bytes((tmp_path / f"train/images/{i:03}.png").read_bytes())
        examination = examine(tmp_path)
        assert examination.similar_images is not None
        for seed in range(5):
            split = propose_split(tmp_path, examination.similar_images, val_fraction=0.25, seed=seed)
            contents = {name: {item.image.read_bytes() for item in items} for name, items in split.items()}
            assert not contents["train"] & contents["val"]
            assert len(split["train"]) + len(split["val"]) == 16 and 2 <= len(split["val"]) <= 4

    def test_lists_are_those_that_camvid_reads(self, tmp_path: Path) -> None:
        root = trees.camvid(tmp_path / "data", train=6, val=0)
        for i in range(6):
            trees.save(root / "train" / f"train_{i:05}.png", smooth(i))
        (root / "val.txt").unlink()
        examination = examine(root)
        (root / "train.txt").unlink()
        write_split(examination, root, val_fraction=0.34)
        again = open_dataset(root)
        assert {name: len(items) for name, items in again.splits.items()} == {"train": 4, "val": 2}

    def test_nothing_is_overwritten(self, tmp_path: Path) -> None:
        examination = examine(trees.folder(tmp_path))
        (tmp_path / "val.txt").write_text("mine")
        with pytest.raises(DataError, match=r"val\.txt is there already"):
            write_split(examination, tmp_path)
        assert (tmp_path / "val.txt").read_text() == "mine" and not (tmp_path / "train.txt").exists()

    def test_one_scene_cannot_be_split(self, tmp_path: Path) -> None:
        scenes(tmp_path, train=3, val=1)
        for path in sorted(tmp_path.glob("*/images/*.png")):
            trees.save(path, smooth(0))
        examination = examine(tmp_path)
        with pytest.raises(DataError, match="resemble each other"):
            write_split(examination, tmp_path / "lists")
        assert not (tmp_path / "lists").exists()
