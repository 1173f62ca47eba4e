"""Results as annotations: COCO, labelme, plain JSON, and rows of a table.

Sources: COCO's data format (cocodataset.org/#format-data) and its run-length encoding (pycocotools.mask); labelme's
file format (labelme/label_file.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atonce.extras import require_extra
from atonce.inference.result import Region, Result
from atonce.labels import LabelSpec
from atonce.polygons import Ring, join_holes, run_lengths
from atonce.storage import nan_to_none

_LABELME_VERSION = "5.5.0"
"""The version of labelme whose files these are; later ones read them."""

TABLE_COLUMNS = ("picture", "class_id", "class", "pixels", "share", "confidence")

UNKNOWN_CONFIDENCE = "confidence is unknown: of this picture there are labels but no probabilities"
"""The note of a result whose confidences are None for all classes."""


def class_confidences(result: Result) -> list[float | None]:
    """Compute the mean probability of each class where it is, in the order of the ids.

    None where a class is absent, or where only labels are known.
    """
    count = result.label_spec.num_classes
    if result.labels_only:
        return [None] * count
    labels = result.labels.reshape(-1)
    total = np.bincount(labels, weights=result.confidence.reshape(-1), minlength=256)[:count]
    pixels = np.bincount(labels, minlength=256)[:count]
    return [round(float(t) / int(n), 4) if n else None for t, n in zip(total, pixels, strict=True)]


def as_dict(
    result: Result,
    *,
    simplify: float = 1.0,
    only: Sequence[str] | None = None,
    min_area: float = 0.0,
    picture: str | None = None,
    confidences: Sequence[float | None] | None = None,
) -> dict[str, Any]:
    """Build what `Result.to_dict` returns.

    Args:
        picture: what the picture is called; None takes its `source`.
        confidences: by class, where the result does not know its probabilities any more.
    """
    known = class_confidences(result) if confidences is None else confidences
    notes = [*result.notes, UNKNOWN_CONFIDENCE] if confidences is None and result.labels_only else list(result.notes)
    spec, areas = result.label_spec, result.areas
    classes = [
        {
            "id": class_id,
            "name": name,
            "colour": list(spec.palette[class_id]),
            "pixels": areas[name].pixels,
            "share": areas[name].share,
            "confidence": known[class_id],
        }
        for class_id, name in enumerate(spec.names)
    ]
    polygons = [
        {
            "id": region.class_id,
            "name": region.name,
            "area": region.area,
            "bbox": list(region.bbox),
            "exterior": _points(region.exterior),
            "holes": [_points(hole) for hole in region.holes],
        }
        for region in result.polygons(simplify=simplify, only=only, min_area=min_area)
    ]
    return {
        "picture": result.source if picture is None else picture,
        "width": result.image.shape[1],
        "height": result.image.shape[0],
        "notes": notes,
        "classes": nan_to_none(classes),
        "polygons": polygons,
    }


def _points(ring: Ring) -> list[list[float]]:
    points: list[list[float]] = np.round(ring, 2).tolist()
    return points


def as_coco(
    result: Result,
    *,
    file_name: str | None = None,
    image_id: int = 1,
    only: Sequence[str] | None = None,
    min_area: float = 0.0,
    compressed: bool = True,
) -> dict[str, Any]:
    """Build what `Result.to_coco` returns."""
    height, width = result.image.shape[:2]
    name = file_name or (Path(result.source).name if result.source else "")
    annotations = [
        {
            "id": number,
            "image_id": image_id,
            "category_id": region.class_id + 1,
            # What COCO calls a crowd is, to its readers, an annotation by run lengths.
            "iscrowd": 1,
            "area": round(region.area),
            "bbox": [round(value) for value in region.bbox],
            "segmentation": _encoded(region, height, width, compressed=compressed),
        }
        for number, region in enumerate(result.polygons(only=only, min_area=min_area), 1)
    ]
    image = {"id": image_id, "file_name": name, "width": width, "height": height}
    return {"images": [image], "annotations": annotations, "categories": categories(result.label_spec, only)}


def categories(spec: LabelSpec, only: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """List the classes as COCO's categories, all but background or those asked for; ids begin at 1."""
    ids = range(spec.num_classes) if only is None else spec.ids_of(only)
    chosen = [i for i in ids if only is not None or i != spec.background]
    return [{"id": i + 1, "name": spec.names[i], "supercategory": ""} for i in chosen]


def _encoded(region: Region, height: int, width: int, *, compressed: bool) -> dict[str, Any]:
    counts = run_lengths(region, height, width)
    if not compressed:
        return {"size": [height, width], "counts": counts}
    require_extra("pycocotools", "a compressed mask of COCO", "coco")
    from pycocotools import mask as coder

    encoded = coder.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def as_labelme(
    result: Result,
    *,
    image_path: str | None = None,
    simplify: float = 1.0,
    only: Sequence[str] | None = None,
    min_area: float = 0.0,
) -> dict[str, Any]:
    """Build what `Result.to_labelme` returns."""
    # The small ones last: where outlines overlap by a pixel, they are drawn over the large ones.
    regions = sorted(result.polygons(simplify=simplify, only=only, min_area=min_area), key=lambda region: -region.area)
    shapes: list[dict[str, Any]] = [
        {
            "label": region.name,
            "points": _points(join_holes(region)),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for region in regions
    ]
    height, width = result.image.shape[:2]
    return {
        "version": _LABELME_VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path or (Path(result.source).name if result.source else ""),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def labelme_digest(data: dict[str, Any]) -> str:
    """Return a digest of the polygons and names in a labelme file: another one once a person has corrected it."""
    keys = ("label", "shape_type", "points")
    shapes = [[shape.get(key) for key in keys] for shape in data["shapes"]]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()[:16]


def table_rows(result: Result, picture: str, confidences: Sequence[float | None] | None = None) -> list[dict[str, Any]]:
    """List a row of `TABLE_COLUMNS` for each class, those included that are not there.

    Args:
        confidences: as in `as_dict`.
    """
    known = class_confidences(result) if confidences is None else confidences
    return [
        {
            "picture": picture,
            "class_id": class_id,
            "class": name,
            "pixels": area.pixels,
            "share": f"{area.share:.6f}",
            "confidence": "" if known[class_id] is None else known[class_id],
        }
        for class_id, (name, area) in enumerate(result.areas.items())
    ]
