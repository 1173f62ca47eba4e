"""CVAT's "Segmentation mask 1.1" as its import reads it: one archive of a class mask and an instance mask for each
picture.

Source: CVAT's documentation of the format (Dataset management, Formats, Segmentation Mask), which is Pascal VOC's
layout with a labelmap.txt; instances have the colours of VOC's colour map, in the order of their numbers.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.formats.voc import voc_colour
from atonce.errors import UserError, option
from atonce.inference.own_results import SOFTWARE
from atonce.inference.result import Result
from atonce.labels import Colour, LabelSpec
from atonce.polygons import paint_polygon
from atonce.text import readable_name
from atonce.untrusted_files import LARGEST, is_ordinary

_CLASSES, _OBJECTS, _LIST = "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation/default.txt"
_LABELMAP = "labelmap.txt"
_MOST_INSTANCES = 254
"""The last of VOC's 256 colours is that of borders, the first that of the background."""

_BLACK: Colour = (0, 0, 0)
_DATE = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive, so that the same results are the same bytes."""


@dataclass(frozen=True)
class CvatPicture:
    """The files of one picture in the archive: two PNG files."""

    class_mask: bytes
    instance_mask: bytes


def require_names(spec: LabelSpec, pictures: Sequence[str]) -> None:
    """Raise UserError where classes or pictures have names that the format cannot tell apart.

    Args:
        pictures: their paths below the folder that was given, with suffixes.
    """
    elsewhere = f"rename it, or use {option('write', 'coco')}"
    for name in spec.names:
        if ":" in name or name.startswith("#") or name != name.strip():
            raise UserError(f"a class called '{name}'", "a name that labelmap.txt of CVAT's masks can hold", elsewhere)
    seen: dict[str, str] = {}
    for picture in pictures:
        if (other := seen.setdefault(name_of(picture), picture)) != picture:
            found = f"{other} and {picture} have one name in CVAT's masks, which know no suffix"
            raise UserError(found, "names that differ", elsewhere)


def name_of(picture: str) -> str:
    """Return the name of a picture in the archive: its path without suffix."""
    return readable_name(picture[: -len(suffix)] if (suffix := Path(picture).suffix) else picture)


def labelmap(spec: LabelSpec) -> str:
    """Write the classes and their colours; background is among them, and the first, as in what CVAT exports."""
    background = "background" if spec.background is None else spec.names[spec.background]
    lines = ["# label:color_rgb:parts:actions", f"{background}:0,0,0::"]
    for name, (red, green, blue) in zip(spec.names, _colours(spec), strict=True):
        if name != background:
            lines.append(f"{name}:{red},{green},{blue}::")
    return "\n".join(lines) + "\n"


def _colours(spec: LabelSpec) -> tuple[Colour, ...]:
    """The colour of each class: the model's, where they tell all classes and the background apart; else VOC's."""
    others = [colour for i, colour in enumerate(spec.palette) if i != spec.background]
    if len({*others, _BLACK}) == len(others) + 1:
        chosen = iter(others)
    else:
        chosen = (voc_colour(i) for i in range(1, 1 + len(others)))
    return tuple(_BLACK if i == spec.background else next(chosen) for i in range(spec.num_classes))


def draw_masks(result: Result, *, only: Sequence[str] | None = None, min_area: float = 0.0) -> CvatPicture:
    """Draw the masks of a result: an instance for each connected area.

    Where a picture has more areas than the format has instances (254), the smallest of each class are one instance.

    Args:
        only: the classes; None takes all but background.
        min_area: areas of fewer pixels are left to the background.

    Raises:
        UserError: there is no such class.
    """
    size = result.image.shape[:2]
    classes, instances = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    regions = sorted(result.polygons(only=only, min_area=min_area), key=lambda region: -region.area)
    spec = result.label_spec
    single = len(regions) if len(regions) <= _MOST_INSTANCES else max(0, _MOST_INSTANCES - spec.num_classes)
    for number, region in enumerate(regions, 1):
        paint_polygon(classes, region, 1 + region.class_id)
        paint_polygon(instances, region, number if number <= single else 1 + single + region.class_id)
    class_colours = np.array([_BLACK, *_colours(spec)], np.uint8)
    instance_colours = np.array([voc_colour(i) for i in range(256)], np.uint8)
    return CvatPicture(_png(class_colours[classes]), _png(instance_colours[instances]))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=6)
    return file.getvalue()


def is_own_archive(path: Path) -> bool:
    """Tell whether an archive was written here, by its comment."""
    if not is_ordinary(path):
        return False  # a pipe would have to be waited for
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == SOFTWARE.encode()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def can_go_on(path: Path, spec: LabelSpec) -> bool:
    """Tell whether an archive of ours is intact and of the same classes, in the same colours: what `_read` reads."""
    try:
        with zipfile.ZipFile(path) as archive:
            if max((entry.file_size for entry in archive.infolist()), default=0) > LARGEST:
                return False
            if archive.testzip() is not None or archive.read(_LABELMAP).decode() != labelmap(spec):
                return False
            for name in _listed(archive):
                _read_picture(archive, name)
    # RuntimeError: encrypted. NotImplementedError, one of these: a compression method that nobody knows.
    except (OSError, ValueError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError):
        return False
    return True


def write_archive(
    path: Path, spec: LabelSpec, pictures: Mapping[str, CvatPicture], *, before: Path | None = None
) -> None:
    """Write the archive.

    Args:
        pictures: by their paths below the folder that was given.
        before: an archive of ours, whose other pictures are taken over.

    Raises:
        OSError: it cannot be written.
    """
    new = {name_of(picture): masks for picture, masks in pictures.items()}
    with path.open("wb") as file:
        _write(file, spec, new, {} if before is None else _read(before, set(new)))


def _read(path: Path, without: set[str]) -> dict[str, CvatPicture]:
    with zipfile.ZipFile(path) as archive:
        return {name: _read_picture(archive, name) for name in _listed(archive) if name not in without}


def _listed(archive: zipfile.ZipFile) -> list[str]:
    return archive.read(_LIST).decode().splitlines()


def _read_picture(archive: zipfile.ZipFile, name: str) -> CvatPicture:
    class_mask, instance_mask = (archive.read(f"{folder}/{name}.png") for folder in (_CLASSES, _OBJECTS))
    return CvatPicture(class_mask, instance_mask)


def _write(
    file: BinaryIO, spec: LabelSpec, pictures: Mapping[str, CvatPicture], before: Mapping[str, CvatPicture]
) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = SOFTWARE.encode()
        together = {**before, **pictures}
        archive.writestr(zipfile.ZipInfo(_LABELMAP, _DATE), labelmap(spec))
        archive.writestr(zipfile.ZipInfo(_LIST, _DATE), "".join(f"{name}\n" for name in together))
        for name, masks in together.items():
            # PNG files are compressed already.
            archive.writestr(zipfile.ZipInfo(f"{_CLASSES}/{name}.png", _DATE), masks.class_mask)
            archive.writestr(zipfile.ZipInfo(f"{_OBJECTS}/{name}.png", _DATE), masks.instance_mask)
