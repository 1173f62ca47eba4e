"""Broken folders of one's own, and what the message about each must say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data import trees
from tests.data.broken import Case

FULL = (trees.HEIGHT, trees.WIDTH)


def for_each_mask(root: Path, change: Callable[[Path], object]) -> None:
    for path in sorted((root / "masks").iterdir()):
        change(path)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def _resize_smoothly(path: Path) -> None:
    big = Image.open(path).resize((trees.WIDTH * 5, trees.HEIGHT * 5), Image.Resampling.BICUBIC)
    big.save(path)
    picture = path.parent.parent / "images" / f"{path.stem}.jpg"
    Image.open(picture).resize(big.size).save(picture)


def _rotate(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)


CASES: dict[str, Case] = {
    "RGB masks without classes": (
        lambda root: trees.folder_rgb(root, classes=None),
        lambda root: None,
        (r"5 of 5 masks looked at", r"are RGB", r"\(128, 64, 128\) 25 %", r"write .*classes\.yaml: `classes: \["),
    ),
    "RGB masks with names but no colours": (
        lambda root: trees.folder_rgb(root, classes="[sky, road, car]"),
        lambda root: None,
        (r"classes\.yaml gives no colours", r"\(0, 0, 142\)", r"add `colour"),
    ),
    "masks of 0 and 255": (
        lambda root: trees.folder(root, values=(0, 255)),
        lambda root: None,
        (r"hold 0 and 255 only", r"255 means void", r"\{name: foreground, value: 255\}"),
    ),
    "masks of 255 only": (
        lambda root: trees.folder(root, values=(255,)),
        lambda root: None,
        (r"hold 255 only", r"classes\.yaml"),
    ),
    "masks of one class": (
        lambda root: trees.folder(root, values=(0,)),
        lambda root: None,
        (r"nothing but 0; expected two classes at least",),
    ),
    "grey levels instead of ids": (
        lambda root: trees.folder(root, values=(0, 38, 75, 113)),
        lambda root: None,
        (r"hold the values 0, 38, 75, 113", r"grey levels", r"\{name: class 1, value: 38\}"),
    ),
    "interpolated masks": (
        lambda root: trees.folder(root, values=(0, 100, 200)),
        lambda root: for_each_mask(root, _resize_smoothly),
        (r"different values: interpolated", r"nearest neighbour"),
    ),
    "mask value 200, no classes file": (
        trees.folder,
        lambda root: trees.save(root / "masks" / "street3.png", trees.ids(0, (0, 1, 200))),
        (r"hold the values 0, 1, 2, 200", r"masks/street3\.png", r"stray value"),
    ),
    "mask value 200, with a classes file": (
        lambda root: trees.folder_rgb(root),
        lambda root: trees.save(root / "masks" / "street3.png", trees.ids(0, (0, 1, 1, 200))),
        (r"masks/street3\.png holds 200 \(216 pixels, 25 %\)", r"expected 0\.\.2", r"classes\.yaml"),
    ),
    "a colour of no class": (
        trees.folder_rgb,
        lambda root: trees.save(root / "masks" / "street1.png", np.full((*FULL, 3), 99, np.uint8)),
        (r"masks/street1\.png holds \(99, 99, 99\) \(864 pixels, 100 %\)", r"classes\.yaml"),
    ),
    "JPEG masks": (
        trees.folder,
        lambda root: for_each_mask(root, lambda p: (Image.open(p).save(p.with_suffix(".jpg")), p.unlink())),
        (r"masks/street0\.jpg", r"compressed with loss", r"expected PNG"),
    ),
    "JPEG called .png": (
        trees.folder,
        lambda root: Image.fromarray(trees.ids(0, (0, 1))).save(root / "masks" / "street0.png", "JPEG"),
        (r"masks/street0\.png .*compressed with loss",),
    ),
    "truncated picture": (
        trees.folder_palette,
        lambda root: cut_short(root / "images" / "street2.png"),
        (r"images/street2\.png cannot be read .*truncated",),
    ),
    "text called .png": (
        trees.folder,
        lambda root: (root / "masks" / "street2.png").write_text("no picture"),
        (r"masks/street2\.png is not a picture",),
    ),
    "empty mask file": (
        trees.folder,
        lambda root: (root / "masks" / "street2.png").write_bytes(b""),
        (r"masks/street2\.png is empty \(0 bytes\)",),
    ),
    "mask larger than its picture": (
        trees.folder,
        lambda root: trees.save(root / "masks" / "street4.png", trees.ids(0, (0, 1), (40, 30))),
        (r"masks/street4\.png is 40x30; expected the size of its picture street4\.jpg, 36x24", "nearest neighbour"),
    ),
    "no picture has the name of a mask": (
        trees.folder,
        lambda root: [
            path.rename(path.with_name(f"{i}-{i}.png")) for i, path in enumerate(sorted((root / "masks").iterdir()))
        ],
        (
            r"images/street0\.jpg has no mask; expected a mask named street0\.png",
            r"none of 5 pictures and 5 masks pair: give both the same names",
        ),
    ),
    "a picture's mask that is named a little otherwise": (
        trees.folder,
        lambda root: (root / "masks" / "street0.png").rename(root / "masks" / "street-0.png"),
        (r"images/street0\.jpg has no mask; expected a mask named street0\.png", r"street-0\.png has no picture"),
    ),
    "mask without picture": (
        trees.folder,
        lambda root: (root / "images" / "street0.jpg").unlink(),
        (r"masks/street0\.png has no picture",),
    ),
    "two pictures of one name": (
        trees.folder,
        lambda root: trees.save(root / "images" / "street0.png", trees.picture(0)),
        (r"images/street0\.png has the same name as street0\.jpg",),
    ),
    "picture of a type not read": (
        trees.folder,
        lambda root: (root / "images" / "x.heic").write_bytes(b"1"),
        (r"images/x\.heic is of a type that is not read \(\.heic\)",),
    ),
    "a palette that changes": (
        trees.folder_palette,
        lambda root: trees.save(root / "masks" / "street1.png", trees.ids(0, (0, 1)), [1, 1, 1, 2, 2, 2]),
        (r"palette masks disagree: index [01] .*street0\.png .*street1\.png",),
    ),
    "two classes files": (
        trees.folder_rgb,
        lambda root: (root / "classes.csv").write_text("name,r,g,b\n"),
        (r"holds classes\.yaml and classes\.csv; expected one",),
    ),
    "EXIF-rotated picture, mask drawn without": (
        trees.folder,
        lambda root: _rotate(root / "images" / "street0.jpg"),
        (r"masks/street0\.png is 36x24", r"street0\.jpg, 24x36", r"EXIF orientation"),
    ),
    "no pictures": (
        lambda root: root,
        lambda root: [(root / kind).mkdir() for kind in ("images", "masks")],
        (r"holds no pictures", r"images/ masks/"),
    ),
    "every mask void": (
        lambda root: trees.folder_rgb(
            root, classes="ignore_index: 0\nclasses: [{name: a, value: 1, colour: [1, 1, 1]}]"
        ),
        lambda root: for_each_mask(root, lambda p: trees.save(p, np.zeros(FULL, np.uint8))),
        (r"has no labelled pixel in split 'train' \(4 masks\)",),
    ),
}
