"""Small data sets in the exact published layouts, for any test that needs one on disk.

Each builder fills `root` and returns it. Pictures are noise; masks are blocks of ids that hold every class and void.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.dataset import Dataset, Item
from atonce.data.formats import voc
from atonce.labels import CAMVID, IGNORE_INDEX

WIDTH, HEIGHT = 36, 24
SIZE = (WIDTH, HEIGHT)

CLASSES_YAML = """classes:
  - {name: sky, colour: [70, 130, 180]}
  - {name: road, colour: [128, 64, 128]}
  - {name: car, colour: [0, 0, 142]}
  - {name: void, colour: [0, 0, 0], void: true}
"""
COLOURS = {0: (70, 130, 180), 1: (128, 64, 128), 2: (0, 0, 142), IGNORE_INDEX: (0, 0, 0)}


def picture(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """uint8 (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def ids(seed: int, values: Sequence[int], size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """uint8 (H, W): 2x2 blocks of `values`, each of which occurs."""
    width, height = size[0] // 2, size[1] // 2
    order = np.resize(np.asarray(values, np.uint8), width * height)
    blocks = np.random.default_rng(seed).permutation(order).reshape(height, width)
    return blocks.repeat(2, axis=0).repeat(2, axis=1)


def save(path: Path, array: NDArray[np.generic], palette: Sequence[int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette is not None:
        image.putpalette(list(palette))
    image.save(path)
    return path


def item_names(dataset: Dataset, split: str) -> list[str]:
    return [item.name for item in dataset.split(split)]


def mask_of(dataset: Dataset, item: Item) -> NDArray[np.uint8]:
    """The ids of an item that has a mask, uint8 (H, W)."""
    mask = dataset.load(item).mask
    assert mask is not None
    return mask


def colours(mask: NDArray[np.uint8], table: dict[int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Ids (H, W) -> RGB (H, W, 3)."""
    lookup = np.zeros((256, 3), np.uint8)
    for value, colour in table.items():
        lookup[value] = colour
    return lookup[mask]


def camvid(root: Path, train: int = 4, val: int = 2, lists: bool = True) -> Path:
    """As the SegNet tutorial has it; void is 11."""
    values = range(CAMVID.num_classes + 1)
    for split, count in (("train", train), ("val", val)):
        names = [f"{split}_{i:05}.png" for i in range(count)]
        for i, name in enumerate(names):
            save(root / split / name, picture(i))
            save(root / f"{split}annot" / name, ids(i, values))
        if lists:
            prefix = "/SegNet/CamVid"
            lines = [f"{prefix}/{split}/{name} {prefix}/{split}annot/{name}\n" for name in names]
            (root / f"{split}.txt").write_text("".join(lines))
    return root


def road_truth(seed: int) -> NDArray[np.uint8]:
    """RGB ground truth with road (magenta), not road (red) and not valid (black)."""
    return colours(ids(seed, (0, 1, 2)), {0: (0, 0, 0), 1: (255, 0, 0), 2: (255, 0, 255)})


def kitti_road(root: Path, um: int = 5, umm: int = 4, uu: int = 6, testing: int = 2) -> Path:
    """data_road: lane ground truth for um only."""
    for category, count in (("um", um), ("umm", umm), ("uu", uu)):
        for i in range(count):
            save(root / f"training/image_2/{category}_{i:06}.png", picture(i))
            save(root / f"training/gt_image_2/{category}_road_{i:06}.png", road_truth(i))
            if category == "um":
                save(root / f"training/gt_image_2/um_lane_{i:06}.png", road_truth(i + 100))
            calibration = root / f"training/calib/{category}_{i:06}.txt"
            calibration.parent.mkdir(exist_ok=True)
            calibration.write_text("P2: 1 0 0 0 0 1 0 0 0 0 1 0\n")
    for i in range(testing):
        save(root / f"testing/image_2/umm_{i:06}.png", picture(i))
    return root


def cityscapes_tree(root: Path, train: int = 3, val: int = 2, test: int = 1, train_ids: bool = False) -> Path:
    """leftImg8bit and gtFine with labelIds 0..33, instances, colours and polygons; labelTrainIds on request."""
    for split, city, count in (("train", "aachen", train), ("val", "lindau", val), ("test", "berlin", test)):
        for i in range(count):
            stem = f"{city}_{i:06}_000019"
            truth = root / "gtFine" / split / city
            save(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", picture(i))
            label_ids = ids(i, range(34)) if split != "test" else np.full((HEIGHT, WIDTH), 3, np.uint8)
            save(truth / f"{stem}_gtFine_labelIds.png", label_ids)
            save(truth / f"{stem}_gtFine_instanceIds.png", label_ids.astype(np.uint16))
            save(truth / f"{stem}_gtFine_color.png", picture(i))
            (truth / f"{stem}_gtFine_polygons.json").write_text("{}")
            if train_ids:
                save(truth / f"{stem}_gtFine_labelTrainIds.png", ids(i, (*range(19), 255)))
    return root


VOC_PALETTE = [part for i in range(256) for part in voc.voc_colour(i)]


def voc2012(root: Path, train: int = 3, val: int = 2) -> Path:
    """VOCdevkit/VOC2012 below `root`; returns `root`."""
    base = root / "VOCdevkit" / "VOC2012"
    lists = base / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    both: list[str] = []
    for split, count, year in (("train", train, 2007), ("val", val, 2008)):
        stems = [f"{year}_{i:06}" for i in range(count)]
        for i, stem in enumerate(stems):
            save(base / "JPEGImages" / f"{stem}.jpg", picture(i))
            save(base / "SegmentationClass" / f"{stem}.png", ids(i, (*range(21), 255)), VOC_PALETTE)
        (lists / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        both += stems
    (lists / "trainval.txt").write_text("".join(f"{stem}\n" for stem in both))
    return root


def voc_with_sbd(root: Path, extra: int = 4) -> Path:
    """VOC2012 with SBD masks as PNG, a train_aug.txt that also lists a validation picture, and seg11valid.txt."""
    base = voc2012(root) / "VOCdevkit" / "VOC2012"
    lists = base / "ImageSets" / "Segmentation"
    stems = [f"2009_{i:06}" for i in range(extra)]
    for i, stem in enumerate(stems):
        save(base / "JPEGImages" / f"{stem}.jpg", picture(i))
        save(base / "SegmentationClassAug" / f"{stem}.png", ids(i, (*range(21), 255)))
    train = (lists / "train.txt").read_text().split()
    lines = [*train, "2008_000001", *(f"/JPEGImages/{s}.jpg /SegmentationClassAug/{s}.png" for s in stems)]
    (lists / "train_aug.txt").write_text("".join(f"{line}\n" for line in lines))
    (lists / "seg11valid.txt").write_text("2008_000001\n")
    return root


def folder(root: Path, count: int = 5, values: Sequence[int] = (0, 1, 2, 255)) -> Path:
    """images/ and masks/ with index masks and no classes file."""
    for i in range(count):
        save(root / "images" / f"street{i}.jpg", picture(i))
        save(root / "masks" / f"street{i}.png", ids(i, values))
    return root


def folder_palette(root: Path, count: int = 5) -> Path:
    """images/ and masks/ with palette masks."""
    palette = [part for i in range(256) for part in COLOURS.get(i, (i, i, i))]
    for i in range(count):
        save(root / "images" / f"street{i}.png", picture(i))
        save(root / "masks" / f"street{i}.png", ids(i, (0, 1, 2, 255)), palette)
    return root


def folder_rgb(root: Path, count: int = 5, classes: str | None = CLASSES_YAML) -> Path:
    """images/ and masks/ with RGB masks and a classes.yaml (None: none)."""
    for i in range(count):
        save(root / "images" / f"street{i}.png", picture(i))
        save(root / "masks" / f"street{i}.png", colours(ids(i, (0, 1, 2, 255)), COLOURS))
    if classes is not None:
        (root / "classes.yaml").write_text(classes)
    return root


def folder_splits(root: Path, split_outside: bool = True) -> Path:
    """train/images, train/masks, ...; or images/train, masks/train, ...; test without masks."""
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        for i in range(count):
            inside = "{split}/{kind}" if split_outside else "{kind}/{split}"
            save(root / inside.format(split=split, kind="images") / f"{i:03}.png", picture(i))
            if split != "test":
                save(root / inside.format(split=split, kind="masks") / f"{i:03}.png", ids(i, (0, 1, 2)))
    (root / "classes.csv").write_text("name,r,g,b\nsky,70,130,180\nroad,128,64,128\ncar,0,0,142\n")
    return root


def folder_splits_inside(root: Path) -> Path:
    return folder_splits(root, split_outside=False)


def cityscapes_train_ids(root: Path) -> Path:
    return cityscapes_tree(root, train_ids=True)


def camvid_folders(root: Path) -> Path:
    return camvid(root, lists=False)


HEALTHY: dict[str, tuple[str, Callable[[Path], Path], int]] = {
    "camvid": ("camvid", camvid, 6),
    "camvid without lists": ("camvid", camvid_folders, 6),
    "kitti-road": ("kitti-road", kitti_road, 17),
    "cityscapes": ("cityscapes", cityscapes_tree, 6),
    "cityscapes trainIds": ("cityscapes", cityscapes_train_ids, 6),
    "voc": ("voc", voc2012, 5),
    "voc with SBD": ("voc", voc_with_sbd, 8),
    "folder": ("folder", folder, 5),
    "folder palette": ("folder", folder_palette, 5),
    "folder RGB": ("folder", folder_rgb, 5),
    "folder with splits": ("folder", folder_splits, 8),
    "folder with splits inside": ("folder", folder_splits_inside, 8),
}
"""Name -> format that must be recognised, builder, number of pictures in all splits together."""
