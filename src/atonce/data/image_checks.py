"""Losses in reading a picture as 8-bit RGB: bands and pages left out, a range of numbers that becomes black."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import DAMAGE, RGB_BANDS, Bands, FileError, Problem, hush_pillow, open_image, read_bands
from atonce.data.tiff_bands import tiff_layout
from atonce.errors import option
from atonce.text import count_of

_THUMBNAIL = (17, 16)
"""Width and height of the thumbnail in which a picture without content is recognised."""

_BLANK_RANGE = 6
"""Grey levels: a picture whose thumbnail spans fewer shows nothing that could be learned from."""

_DARK = 20
"""Grey level: a picture whose thumbnail is nowhere brighter is nearly black."""

_UNUSED = 4
"""A 16-bit picture that uses at most one in so many of the 65,536 levels was made with 14 bits or fewer."""

_MIN_CLIPPED = 0.01
"""Share of the pixels that are cut off at black or white from which on it is said."""

_MODES = {
    "1": "1-bit", "L": "8-bit grey", "P": "palette", "RGB": "RGB", "RGBA": "RGB with alpha", "RGBX": "RGB",
    "LA": "grey with alpha", "PA": "palette with alpha", "CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "LAB", "F": "float",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """The header of a picture file: how its pixels are stored.

    Attributes:
        mode: in words ("RGB", "8-bit grey", "5 bands of 16 bits").
        bands: samples of each pixel; a palette counts as one.
        depth: "8" bits or fewer a sample, "16" bits, "32" bits and more, or "float".
        pages: pages, or frames of an animation; thumbnails and previews are left out.
        alpha: the last band is called alpha by the file.
    """

    mode: str
    bands: int
    depth: Literal["8", "16", "32", "float"]
    pages: int
    alpha: bool


def read_header(path: Path) -> ImageHeader:
    """Read the header of a picture that can be read. Raises FileError as `open_image`."""
    layout = tiff_layout(path)
    if layout is not None and layout.needs_bands:
        depth: Literal["8", "16", "32", "float"] = "8" if layout.bits == 8 else "16" if layout.bits == 16 else "32"
        depth = "float" if layout.floats else depth
        kind = "floats" if layout.floats else f"{layout.bits} bits"
        mode = f"{layout.bands} bands of {kind}"
        return ImageHeader(mode=mode, bands=layout.bands, depth=depth, pages=layout.pages, alpha=False)
    hush_pillow()
    try:
        with Image.open(path) as file:
            # JPEG's further frames are a camera's previews, TIFF's may be thumbnails.
            pages = layout.pages if layout else 1 if file.format in ("JPEG", "MPO") else getattr(file, "n_frames", 1)
            raw_mode = str(file.tile[0][3]) if file.tile else ""
            depth = "float" if file.mode == "F" else "16" if file.mode.startswith("I") or ";16" in raw_mode else "8"
            alpha = file.mode in ("RGBA", "LA", "PA") or ("transparency" in file.info and file.mode == "P")
            mode, bands = mode_in_words(file.mode), len(file.getbands())
            return ImageHeader(mode=mode, bands=bands, depth=depth, pages=pages, alpha=alpha)
    except DAMAGE:
        open_image(path)  # says what is wrong
        raise


def mode_in_words(mode: str) -> str:
    """Write a mode of Pillow in words: "L" is "8-bit grey"."""
    if mode.startswith("I;16"):
        return "16-bit grey"
    return "32-bit grey" if mode.startswith("I") else _MODES.get(mode, mode)


def image_problems(path: Path, image: NDArray[np.uint8], bands: Bands | None = None) -> list[Problem]:
    """Find what went wrong, or was left out, when a picture was read: warnings and notes, never errors.

    Args:
        path: the file; only its header is read again, and its pixels where they are no plain 8 bits.
        image: what `read_image` made of it, uint8 (H, W, 3).
        bands: those that were chosen; None where nobody chose.
    """
    try:
        header = read_header(path)
        return [
            *_range_problems(path, image, header, bands),
            *_band_problems(path, header, bands),
            *page_problems(path, header),
        ]
    except (FileError, OSError):
        return []  # gone, or changed, since it was read


def _range_problems(path: Path, image: NDArray[np.uint8], header: ImageHeader, bands: Bands | None) -> list[Problem]:
    """Find a picture that comes out black, blank or cut off, with the range of the numbers in the file."""
    step = max(1, min(image.shape[:2]) // 128)
    blank = blank_reason(thumbnail(image[::step, ::step]))
    if header.depth == "8":
        remedy = "look at it: was it meant to be so?"
        return [Problem("blank", path, blank, remedy=remedy, severity="warning")] if blank else []
    values = read_bands(path, bands or (RGB_BANDS if header.bands > 2 else (1,))).astype(np.float64)
    if header.depth == "16" and header.mode == "RGB":
        values *= 257  # Pillow gives the high bytes of 16-bit colour alone
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if header.depth == "float":
        largest = 1.0 if high <= 1 else 255.0
        found, whole = f"holds floats of {low:g}..{high:g}", "0..1 (or 0..255)"
        remedy = f"scale the numbers to {whole}, or export it with 8 bits"
    else:
        largest = 65535.0
        found, whole = f"holds numbers of {low:.0f}..{high:.0f}", "0..65535"
        remedy = f"scale the numbers to {whole} (12 bits: times 16), or export it with 8 bits"
    clipped = np.count_nonzero((values < 0) | (values > largest) | ~np.isfinite(values)) / max(1, values.size)
    if blank:
        text = f"{found}, where {whole} is black to white: it {blank}"
        return [Problem("blank", path, text, remedy=remedy, severity="warning")]
    if clipped >= _MIN_CLIPPED:
        text = f"{found}, where {whole} is black to white: {100 * clipped:.0f} % of it is cut off"
        return [Problem("range", path, text, remedy=remedy, severity="warning")]
    if header.depth == "16" and high < 65536 // _UNUSED:
        text = f"{found}, where {whole} is black to white: it is dark, {image.min()} to {image.max()} of 255"
        return [Problem("range", path, text, remedy=remedy, severity="warning")]
    return []


def _band_problems(path: Path, header: ImageHeader, bands: Bands | None) -> list[Problem]:
    """Find bands that nobody chose to leave out."""
    if bands is not None:
        return []
    if header.alpha:
        if not _is_seen_through(path):
            return []
        remedy = "save it without transparency if the colours beneath are not to be seen"
        return [Problem("alpha", path, "has an alpha channel, which is dropped", remedy=remedy, severity="note")]
    if (header.bands <= 3 and not header.mode.startswith("2 bands")) or header.mode == "CMYK":
        return []
    read = "bands 1-3 are read" if header.bands > 2 else "band 1 is read"
    remedy = f"{option('bands')} of `atonce train` chooses others"
    return [Problem("bands", path, f"has {header.bands} bands; {read}", remedy=remedy, severity="warning")]


def _is_seen_through(path: Path) -> bool:
    """Tell whether the alpha channel holds more than one value: one that is the same everywhere tells nothing."""
    alpha = np.asarray(open_image(path).convert("RGBA").getchannel("A"))
    return bool((alpha != alpha[:1, :1]).any())


def page_problems(path: Path, header: ImageHeader | None = None) -> list[Problem]:
    """Find pages, or frames of an animation, of which the first one is read.

    Args:
        header: that of the file, where it is known already.
    """
    try:
        header = header or read_header(path)
    except (FileError, OSError):
        return []
    if header.pages == 1:
        return []
    found = f"has {count_of(header.pages, 'page')}, of which the first is read"
    remedy = "save each page as a picture of its own if the others count, too"
    return [Problem("pages", path, found, remedy=remedy, severity="warning")]


def thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a picture, uint8 (H, W, 3), to grey uint8 (16, 17), each value the mean of what it covers."""
    return np.asarray(Image.fromarray(image).convert("L").resize(_THUMBNAIL, Image.Resampling.BOX))


def blank_reason(small: NDArray[np.uint8]) -> str:
    """Say in words why a picture with this `thumbnail` shows nothing; "" where it shows something."""
    low, high = int(small.min()), int(small.max())
    if high <= _DARK:
        return f"is nearly black (grey levels {low} to {high} of 255)"
    return f"shows nothing (grey levels {low} to {high})" if high - low < _BLANK_RANGE else ""
