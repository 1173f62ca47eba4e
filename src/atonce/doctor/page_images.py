"""The doctor's pictures: samples with their masks laid over, pairs that resemble each other, masks magnified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.dataset import Dataset, Item, Sample
from atonce.data.images import FileError, open_image, read_image
from atonce.data.sampling import evenly_spaced
from atonce.doctor import Examination
from atonce.doctor.copies import Seen
from atonce.doctor.findings import relative
from atonce.inference.result import blend
from atonce.labels import IGNORE_INDEX, LabelSpec
from atonce.reports.panels import image_figure, row
from atonce.reports.score_tables import swatch

_SAMPLES, _PAIRS, _SUSPECTS = 4, 4, 6
_OPACITY = 0.55
_SUSPICIOUS = ("values", "lossy", "interpolated", "compressed")
_WINDOW, _ZOOM = 48, 8
"""Pixels of a mask that are shown, and how much larger."""


def samples(examination: Examination) -> str:
    """Pictures of each split with masks, evenly spread over it."""
    dataset = examination.dataset
    if dataset is None:
        return ""
    shown = [
        _sample(dataset, split, item)
        for split in examination.statistics
        for item in evenly_spaced([item for item in dataset.splits[split] if item.mask is not None], _SAMPLES)
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
    """Classes in their colours, void darkened: it must not be taken for a class that is left as it is."""
    assert sample.mask is not None
    mixed = blend(sample.image, labels.colour(sample.mask), _OPACITY)
    return Image.fromarray(np.where((sample.mask == IGNORE_INDEX)[..., None], sample.image // 4, mixed))


def _legend(labels: LabelSpec) -> str:
    palette = dict(zip(labels.names, labels.palette, strict=True))
    items = "".join(f"<li>{swatch(palette, name)}{escape(name)}</li>" for name in labels.names)
    void = '<li><i class="swatch" style="background:#000"></i>void (darkened)</li>'
    return f'<ul class="legend" aria-label="Colours of the classes">{items}{void}</ul>'


def alike(examination: Examination) -> str:
    """The nearest pairs across splits side by side: whether it is a leak, a person sees at once."""
    pairs = examination.pairs
    if pairs is None:
        return ""
    couples = [(pairs.seen[a], pairs.seen[b], "the same") for a, b in _same_across(pairs.seen, pairs.same)]
    for number in pairs.across.tolist():
        a, b = (pairs.seen[int(place)] for place in pairs.near[number])
        couples.append((a, b, f"{pairs.bits[number]} of 256 bits differ"))
    cases = []
    for one, other, about in couples[:_PAIRS]:
        shown = [
            image_figure(Image.fromarray(read_image(s.item.image)), f"{s.item.name} ({s.split})", s.item.name)
            for s in (one, other)
        ]
        cases.append(f'<div class="case"><h3>{about}</h3><div class="row steps">{"".join(shown)}</div></div>')
    return f'<div class="samples">{"".join(cases)}</div>' if cases else ""


def _same_across(seen: Sequence[Seen], groups: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    return [(group[0], place) for group in groups for place in group[1:] if seen[place].split != seen[group[0]].split]


def suspects(examination: Examination) -> str:
    """Masks with unknown values, or with rims: the part where most happens, magnified."""
    wrong = [f for finding in examination.findings if finding.kind in _SUSPICIOUS for f in finding.files[:_SUSPECTS]]
    figures = []
    for path in list(dict.fromkeys(file.path for file in wrong))[:_SUSPECTS]:
        try:
            window = _busiest(np.asarray(open_image(path)))
        except FileError:
            continue
        large = Image.fromarray(window).resize((_WINDOW * _ZOOM, _WINDOW * _ZOOM), Image.Resampling.NEAREST)
        figures.append(image_figure(large, relative(path, examination.root), path.name))
    lead = '<p class="lead">Where most happens in the mask, magnified; each value of an index mask has its shade.</p>'
    return f'{lead}<div class="row">{"".join(figures)}</div>' if figures else ""


def _busiest(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The window of a mask (H, W) or (H, W, C) with the most changes from a pixel to the next, uint8 (48, 48, 3)."""
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
    """Colours as they are; numbers by their rank from black to white, so that 3 and 4 can be told apart beside 255."""
    if part.ndim == 3 and part.shape[2] >= 3:
        return part[..., :3].astype(np.uint8)
    numbers = part if part.ndim == 2 else part[..., 0]
    values, ranks = np.unique(numbers, return_inverse=True)
    shades = ranks.reshape(numbers.shape) * (255 // max(1, len(values) - 1))
    return np.repeat(shades.astype(np.uint8)[..., None], 3, axis=2)
