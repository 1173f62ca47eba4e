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
from atonce.reports.run_files import RunFiles
from atonce.storage import none_to_nan
from atonce.untrusted_files import read_bytes

_PARTS = ("picture", "truth", "prediction")
_MAX_WIDTH = 800
"""The most pixels across one part: sharp on a dense screen, small enough to send by mail."""
_WIDE_ASPECT_RATIO = 2.2
"""Width over height (KITTI: 3.3) from which on three pictures in a row would be strips."""
_MAX_PROGRESS_PICTURES = 6


def gallery_section(files: RunFiles, rank: str) -> str:
    """Show the pictures of one rank ("worst" or "best") with their scores; empty where none can be read."""
    entries = [entry for entry in files.gallery if entry.get("rank") == rank]
    return "".join(_gallery_entry(files.folder, entry) for entry in entries)


def _gallery_entry(folder: Path, entry: Mapping[str, Any]) -> str:
    name = str(entry.get("name", "?"))
    parts = _split_panel(folder, folder / str(entry.get("picture", "")))
    if not parts:
        return ""
    mean_iou, accuracy = (score(none_to_nan(entry.get(key))) for key in ("mean_iou", "pixel_accuracy"))
    scores = f"mean IoU <b>{mean_iou}</b> · pixel accuracy {accuracy}"
    shown = [image_figure(part, label, f"{name}: {label}") for part, label in zip(parts, _PARTS, strict=True)]
    return f'<div class="case"><h3>{escape(name)} <small>{scores}</small></h3>{row(shown, parts[0])}</div>'


def progress_section(files: RunFiles) -> str:
    """Show how the prediction of the same pictures changed: first, middle and last validation."""
    cases = []
    for name, steps in list(files.progress.items())[:_MAX_PROGRESS_PICTURES]:
        chosen = dict.fromkeys((steps[0], steps[len(steps) // 2], steps[-1]))
        panels = [(step, parts) for step, path in chosen if (parts := _split_panel(files.folder, path))]
        if not panels:
            continue
        picture, truth, _ = panels[-1][1]
        shown = [image_figure(picture, "picture", f"{name}: picture"), image_figure(truth, "truth", f"{name}: truth")]
        shown += [
            image_figure(parts[2], f"step {step:,}", f"{name}: prediction at step {step}") for step, parts in panels
        ]
        cases.append(f'<div class="case"><h3>{escape(name)}</h3>{row(shown, picture, "steps")}</div>')
    return "".join(cases)


def _split_panel(folder: Path, path: Path) -> list[Image.Image]:
    """Return the three parts of a panel; empty when it is missing, broken, or lies outside the folder."""
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return []
        with Image.open(io.BytesIO(read_bytes(path))) as file:
            panel = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return []
    width = panel.width // len(_PARTS)
    if not width:
        return []
    return [panel.crop((i * width, 0, (i + 1) * width, panel.height)) for i in range(len(_PARTS))]


def row(figures: Sequence[str], first: Image.Image, extra: str = "") -> str:
    """Put figures side by side, or below each other where the first picture is very wide.

    Args:
        extra: a further CSS class.
    """
    wide = "wide" if first.width > _WIDE_ASPECT_RATIO * first.height else ""
    return f'<div class="row {extra} {wide}">{"".join(figures)}</div>'


def image_figure(picture: Image.Image, caption: str, alt: str) -> str:
    """Return a picture, shrunk where it is large and held inline, with its caption."""
    uri, width, height = _data_uri(picture)
    image = f'<img src="{uri}" width="{width}" height="{height}" alt="{escape(alt)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _data_uri(picture: Image.Image) -> tuple[str, int, int]:
    if picture.width > _MAX_WIDTH:
        size = (_MAX_WIDTH, max(1, round(picture.height * _MAX_WIDTH / picture.width)))
        picture = picture.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=86)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}", picture.width, picture.height
