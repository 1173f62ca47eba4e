"""Images of the doctor's page: samples with mask overlays, similar pairs across splits, suspicious masks magnified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.dataset import Dataset, Item, Sample
from atonce.data.images import FileError, open_image, read_image
from atonce.data.sampling import evenly_spaced
from atonce.doctor.duplicate_findings import ReadableImage
from atonce.doctor.examination import Examination
from atonce.doctor.findings import relative_path
from atonce.inference.result import OverlayBlender
from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.reports.panels import image_figure, row
from atonce.reports.score_tables import swatch

_MAX_SAMPLES, _MAX_PAIRS, _MAX_MASKS = 4, 4, 6
"""The most samples of a split, similar pairs and suspicious masks that are shown."""
_OPACITY = 0.55
_SUSPICIOUS_KINDS = ("values", "lossy", "interpolated", "compressed")
_WINDOW, _ZOOM = 48, 8
"""Pixels of a mask that are shown on a side, and how much they are magnified."""


def samples_section(examination: Examination) -> str:
    """Show images of each split with masks, evenly spaced over it."""
    dataset = examination.dataset
    if dataset is None:
        return ""
    shown = [
        _sample(dataset, split, item)
        for split in examination.statistics
        for item in evenly_spaced([item for item in dataset.splits[split] if item.mask is not None], _MAX_SAMPLES)
    ]
    wide = " wide" if any("row steps wide" in case for case in shown) else ""
    return _legend(dataset.labels) + f'<div class="samples{wide}">{"".join(shown)}</div>' if any(shown) else ""


def _sample(dataset: Dataset, split: str, item: Item) -> str:
    try:
        sample = dataset.load(item)
    except FileError:
        return ""
    picture = Image.fromarray(sample.image)
    parts = [
        image_figure(picture, "picture", f"{item.name}: picture"),
        image_figure(_overlay(sample, dataset.labels), "mask", f"{item.name}: classes"),
    ]
    title = f"<h3>{escape(item.name)} <small>{escape(split)}</small></h3>"
    return f'<div class="case">{title}{row(parts, picture, "steps")}</div>'


def _overlay(sample: Sample, labels: LabelSpec) -> Image.Image:
    """Lay classes over the image in their colours; void is darkened, not to be taken for a class left as it is."""
    assert sample.mask is not None
    mixed = OverlayBlender(labels, _OPACITY)(sample.image, sample.mask)
    return Image.fromarray(np.where((sample.mask == IGNORE_INDEX)[..., None], sample.image // 4, mixed))


def _legend(labels: LabelSpec) -> str:
    palette = dict(zip(labels.names, labels.palette, strict=True))
    items = "".join(f"<li>{swatch(palette, name)}{escape(name)}</li>" for name in labels.names)
    void = '<li><i class="swatch" style="background:#000"></i>void (darkened)</li>'
    return f'<ul class="legend" aria-label="Colours of the classes">{items}{void}</ul>'


def similar_pairs_section(examination: Examination) -> str:
    """Show the nearest pairs across splits side by side: whether it is leakage, a person sees at once."""
    similar = examination.similar_images
    if similar is None:
        return ""
    images = similar.images
    pairs = [(images[a], images[b], "the same") for a, b in _duplicates_across_splits(images, similar.duplicates)]
    for pair in similar.near_across_splits.tolist():
        a, b = (images[int(index)] for index in similar.near_pairs[pair])
        pairs.append((a, b, f"{similar.near_bits[pair]} of 256 bits differ"))
    cases = []
    for one, other, about in pairs[:_MAX_PAIRS]:
        shown = [
            image_figure(Image.fromarray(read_image(s.item.image)), f"{s.item.name} ({s.split})", s.item.name)
            for s in (one, other)
        ]
        cases.append(f'<div class="case"><h3>{about}</h3><div class="row steps">{"".join(shown)}</div></div>')
    return f'<div class="samples">{"".join(cases)}</div>' if cases else ""


def _duplicates_across_splits(
    images: Sequence[ReadableImage], groups: Iterable[Sequence[int]]
) -> list[tuple[int, int]]:
    return [
        (group[0], index) for group in groups for index in group[1:] if images[index].split != images[group[0]].split
    ]


def suspicious_masks_section(examination: Examination) -> str:
    """Show masks with unknown values, or with ramps along their borders: the part with most changes, magnified."""
    suspicious = [finding for finding in examination.findings if finding.kind in _SUSPICIOUS_KINDS]
    files = [file for finding in suspicious for file in finding.files[:_MAX_MASKS]]
    figures = []
    for path in list(dict.fromkeys(file.path for file in files))[:_MAX_MASKS]:
        try:
            window = _busiest_window(np.asarray(open_image(path)))
        except FileError:
            continue
        large = Image.fromarray(window).resize((_WINDOW * _ZOOM, _WINDOW * _ZOOM), Image.Resampling.NEAREST)
        figures.append(image_figure(large, relative_path(path, examination.root), path.name))
    lead = '<p class="lead">Where most happens in the mask, magnified; each value of an index mask has its shade.</p>'
    return f'{lead}<div class="row">{"".join(figures)}</div>' if figures else ""


def _busiest_window(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return the window, uint8 (48, 48, 3), of a mask (H, W) or (H, W, C) that has most changes between neighbours."""
    changes = np.zeros(pixels.shape[:2], np.int64)
    differ = pixels[:, 1:] != pixels[:, :-1]
    changes[:, 1:] = differ.any(2) if pixels.ndim == 3 else differ
    sums = np.pad(changes.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tall, wide = (min(_WINDOW, side) for side in pixels.shape[:2])
    inside = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    window = np.zeros((_WINDOW, _WINDOW, 3), np.uint8)
    window[:tall, :wide] = _shades(pixels[top : top + tall, left : left + wide])
    return window


def _shades(part: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return colours as they are, numbers by their rank from black to white: so 3 and 4 differ even beside 255."""
    if part.ndim == 3 and part.shape[2] >= 3:
        return part[..., :3].astype(np.uint8)
    numbers = part if part.ndim == 2 else part[..., 0]
    values, ranks = np.unique(numbers, return_inverse=True)
    shades = ranks.reshape(numbers.shape) * (255 // max(1, len(values) - 1))
    return np.repeat(shades.astype(np.uint8)[..., None], 3, axis=2)
