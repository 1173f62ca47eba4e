"""Pictures as data URIs, cut from the panels (picture, truth, prediction) that training and evaluation leave behind."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from atonce.reports.number_format import score
from atonce.reports.run_files import Source
from atonce.storage import none_to_nan

_PARTS = ("picture", "truth", "prediction")
_MOST_WIDE = 800
"""Pixels across one part: sharp on a dense screen, small enough to send by mail."""
_WIDE = 2.2
"""From this width over height on (KITTI: 3.3) three in a row would be strips."""
_MOST_PROGRESS = 6


def gallery_section(source: Source, rank: str) -> str:
    """The pictures of one rank ("worst" or "best") with their scores; empty where none can be read."""
    entries = [entry for entry in source.gallery if entry.get("rank") == rank]
    return "".join(_gallery_entry(source.folder, entry) for entry in entries)


def _gallery_entry(folder: Path, entry: Mapping[str, Any]) -> str:
    name = str(entry.get("name", "?"))
    parts = _cut(folder, folder / str(entry.get("picture", "")))
    if not parts:
        return ""
    mean_iou, accuracy = (score(none_to_nan(entry.get(key))) for key in ("mean_iou", "pixel_accuracy"))
    scores = f"mean IoU <b>{mean_iou}</b> · pixel accuracy {accuracy}"
    shown = [figure(part, label, f"{name}: {label}") for part, label in zip(parts, _PARTS, strict=True)]
    return f'<div class="case"><h3>{escape(name)} <small>{scores}</small></h3>{row(shown, parts[0])}</div>'


def progress_section(source: Source) -> str:
    """How the prediction of the same pictures changed: first, middle and last validation."""
    cases = []
    for name, files in list(source.progress.items())[:_MOST_PROGRESS]:
        chosen = dict.fromkeys((files[0], files[len(files) // 2], files[-1]))
        panels = [(step, parts) for step, path in chosen if (parts := _cut(source.folder, path))]
        if not panels:
            continue
        picture, truth, _ = panels[-1][1]
        shown = [figure(picture, "picture", f"{name}: picture"), figure(truth, "truth", f"{name}: truth")]
        shown += [figure(parts[2], f"step {step:,}", f"{name}: prediction at step {step}") for step, parts in panels]
        cases.append(f'<div class="case"><h3>{escape(name)}</h3>{row(shown, picture, "steps")}</div>')
    return "".join(cases)


def _cut(folder: Path, path: Path) -> list[Image.Image]:
    """The three parts of a panel; empty when it is missing, broken, or lies outside the folder."""
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return []
        with Image.open(path) as file:
            panel = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return []
    width = panel.width // len(_PARTS)
    if not width:
        return []
    return [panel.crop((i * width, 0, (i + 1) * width, panel.height)) for i in range(len(_PARTS))]


def row(figures: Sequence[str], first: Image.Image, extra: str = "") -> str:
    wide = "wide" if first.width > _WIDE * first.height else ""
    return f'<div class="row {extra} {wide}">{"".join(figures)}</div>'


def figure(picture: Image.Image, caption: str, alt: str) -> str:
    uri, width, height = _data_uri(picture)
    image = f'<img src="{uri}" width="{width}" height="{height}" alt="{escape(alt)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _data_uri(picture: Image.Image) -> tuple[str, int, int]:
    if picture.width > _MOST_WIDE:
        size = (_MOST_WIDE, max(1, round(picture.height * _MOST_WIDE / picture.width)))
        picture = picture.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=86)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}", picture.width, picture.height
