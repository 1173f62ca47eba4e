"""The layout that a folder is nearest to when none is recognised: one folder too high or too low, or a part missing."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from atonce.data.images import IMAGE_SUFFIXES
from atonce.text import listing

Locate = Callable[[Path], tuple[str, Path] | None]
"""Returns the name of the format whose layout a folder has, and the data set's own folder: it, or one below it."""

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_MOST_ENTRIES = 50
"""The most folders on a level that are looked into."""

_LEVELS = 3
"""The levels below a folder that are looked at: a demo's data lie in runs/demo/data."""

_MOST_GUESSES = 3
"""The most data sets below a folder that are named."""

_MASK_FOLDER_WORDS = ("mask", "label", "annot", "gt", "truth", "seg")
"""Words of which the name of a folder of masks mostly holds one."""


@dataclass(frozen=True)
class _PartialLayout:
    """A layout of which a part is there: a folder that is, one that is not, and what to do."""

    format: str
    there: str
    missing: str
    remedy: str


_PARTIAL = (
    _PartialLayout("kitti-road", "training/image_2", "training/gt_image_2", "unpack data_road.zip again: it is in it"),
    _PartialLayout("kitti-road", "training/gt_image_2", "training/image_2", "unpack data_road.zip again: it is in it"),
    _PartialLayout("kitti-road", "testing/image_2", "training", "there is no ground truth but that of training"),
    _PartialLayout("cityscapes", "leftImg8bit", "gtFine", "unpack gtFine_trainvaltest.zip beside it"),
    _PartialLayout("cityscapes", "gtFine", "leftImg8bit", "unpack leftImg8bit_trainvaltest.zip beside it"),
    _PartialLayout("voc", "JPEGImages", "SegmentationClass", "put the masks there"),
    _PartialLayout("voc", "SegmentationClass", "JPEGImages", "put the pictures there"),
    _PartialLayout("voc", "JPEGImages", "ImageSets/Segmentation", "put train.txt and val.txt there"),
    _PartialLayout("camvid", "trainannot", "train", "put the pictures there"),
    _PartialLayout("camvid", "valannot", "val", "put the pictures there"),
    _PartialLayout("folder", "images", "masks", "put the masks there, each named as its picture"),
    _PartialLayout("folder", "masks", "images", "put the pictures there, each named as its mask"),
    _PartialLayout("folder", "train/images", "train/masks", "put the masks there, each named as its picture"),
    _PartialLayout("folder", "train/masks", "train/images", "put the pictures there, each named as its mask"),
)


def nearest_layout(root: Path, locate: Locate) -> str:
    """Say what a folder that is no data set is nearest to, and what to do; "" where it is near nothing.

    Args:
        locate: see `Locate`.
    """
    return data_set_around(root, locate) or _below(root, locate) or _partial(root) or _contents(root)


def data_set_around(root: Path, locate: Locate) -> str:
    """Say what data set a folder is a part of, and where it is; "" where it is of none.

    Args:
        locate: see `Locate`.
    """
    folder = root.resolve()
    for steps, parent in zip(("one folder", "two folders"), folder.parents, strict=False):
        # The root of the file system is nobody's data set, and may be slow to list.
        found = locate(parent) if parent != parent.parent else None
        # A data set that lies beside the folder is not around it.
        if found is not None and folder.is_relative_to(found[1]):
            name = found[0]
            kind = "a data set" if name == "folder" else f"a {name} data set"
            return f"you are inside {kind}: go {steps} up, to {parent}"
    return ""


def _below(root: Path, locate: Locate) -> str:
    level = [root]
    for _ in range(_LEVELS):
        level = [folder for parent in level for folder in _folders(parent)][:_MOST_ENTRIES]
        found = [folder for folder in level if locate(folder) is not None]
        if found:
            return f"did you mean {listing(found[:_MOST_GUESSES], separator=' or ')}?"
    return ""


def _folders(folder: Path) -> list[Path]:
    try:
        return [p for p in sorted(folder.iterdir())[:_MOST_ENTRIES] if p.is_dir() and not p.name.startswith(".")]
    except OSError:
        return []


def _partial(root: Path) -> str:
    for folder in (root, *_folders(root)):
        for layout in _PARTIAL:
            if not (folder / layout.there).is_dir() or (folder / layout.missing).is_dir():
                continue
            where = "" if folder == root else f" (in {folder.name}/)"
            what = f"{layout.there}/ is there" if layout.format == "folder" else f"it is {layout.format}"
            return f"{what} without {layout.missing}/{where}: {_renamed(folder, layout)}{layout.remedy}"
    return ""


def _renamed(folder: Path, layout: _PartialLayout) -> str:
    """The hint where masks lie in a folder of another name."""
    if layout.format != "folder" or not layout.missing.endswith("masks"):
        return ""
    parent = (folder / layout.missing).parent
    like = [f.name for f in _folders(parent) if any(word in f.name.lower() for word in _MASK_FOLDER_WORDS)]
    return f"rename {like[0]}/ to masks/, or " if like else ""


def _contents(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    archives = [name for name in names if name.lower().endswith(_ARCHIVES)]
    if archives:
        return f"unpack {listing(archives, 3)} first"
    if any(Path(name).suffix.lower() in IMAGE_SUFFIXES for name in names):
        return (
            "it holds pictures and no masks: pictures go into images/ and masks into masks/, or "
            f"`atonce predict MODEL {shlex.quote(str(root))}` segments them with a model that there is"
        )
    return ""
