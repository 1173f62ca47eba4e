"""Reading images of any kind as uint8 RGB, and saying in one line what is wrong with a file."""

from __future__ import annotations

import errno
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from atonce.data.pure_python_pictures import decode_with_numpy
from atonce.data.tiff_bands import TiffLayout, read_tiff_bands, tiff_layout
from atonce.errors import DataError, option

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})

# Aerial pictures of 100 megapixels and up are legitimate: Pillow's own guard against
# decompression bombs (89 megapixels) is raised, not removed.
MAX_PIXELS = 500_000_000
"""Pixels of the largest picture that is read."""
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF", "JPEG2000")
"""The formats that are read, as Pillow calls them: eight of the forty that it knows. Some others run outside programs
(EPS), some take any file for theirs (TGA)."""

_FORMAT_NAMES = {"WEBP": "WebP", "PPM": "PPM (or PGM, PBM)", "JPEG2000": "JPEG 2000"}
"""Their names for people, where these are others."""

ProblemKind = Literal[
    "missing", "unpaired", "no-mask", "duplicate", "leak", "unsupported", "list", "unreadable", "lossy", "mode", "size",
    "values", "void", "one-class", "blank", "range", "bands", "pages", "alpha",
]  # fmt: skip

Bands = Sequence[int]
"""The bands of a picture that are read, counted from 1: three as red, green, blue, or one as grey."""

RGB_BANDS = (1, 2, 3)
"""The bands that are read of a picture with more of them, where nobody chooses."""

_EXIF_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SIDEWAYS = {
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
}  # fmt: skip

DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError,
    AssertionError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip
"""The exceptions that Pillow raises on damaged files: more kinds than its documentation admits."""

_PILLOW_MODULES = re.compile(r"PIL\.")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file of a data set.

    Attributes:
        kind: what sort of trouble; problems of one kind are shown together.
        path: the file (or folder, or list) it is about.
        found: goes on after the file's name ("holds 200 (12 pixels, 0.1 %)").
        expected, remedy: as in `UserError`.
        severity: "error": training would be wrong; "warning": worth mending, training can go on; "note": worth knowing.
    """

    kind: ProblemKind
    path: Path
    found: str
    expected: str = ""
    remedy: str = field(default="", kw_only=True)
    severity: Literal["error", "warning", "note"] = field(default="error", kw_only=True)

    def where(self, root: Path | None = None) -> str:
        """Return the file's name, relative to `root` where it lies below it."""
        if root is not None and self.path != root and self.path.is_relative_to(root):
            return self.path.relative_to(root).as_posix()
        return str(self.path)

    def line(self, root: Path | None = None, *, remedy: bool = True) -> str:
        """Write one line: file, found, expected and (if `remedy`) what to do."""
        parts = [f"{self.where(root)} {self.found}"]
        parts += [f"expected {self.expected}"] if self.expected else []
        parts += [self.remedy] if remedy and self.remedy else []
        return "; ".join(parts)

    def __str__(self) -> str:
        return self.line()


class FileError(DataError):
    """A DataError about one file; `problem` is the same as data."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.path} {problem.found}", problem.expected, problem.remedy)
        self.problem = problem

    def __reduce__(self) -> tuple[type[FileError], tuple[Problem]]:
        # Worker processes send their errors home pickled; the default would pass the message only.
        return (type(self), (self.problem,))


def hush_pillow() -> None:
    """Silence Pillow's own warnings (odd metadata, mostly); all that matters is raised.

    A lasting filter for Pillow's modules, not `warnings.catch_warnings`: that saves and restores what all
    threads share, and leaves other people's filters broken when two threads overlap.
    """
    for category in (UserWarning, Image.DecompressionBombWarning):
        if ("ignore", None, category, _PILLOW_MODULES, 0) not in warnings.filters:
            warnings.filterwarnings("ignore", category=category, module=_PILLOW_MODULES.pattern)


def open_image(path: Path) -> Image.Image:
    """Open and decode fully; of several frames the first.

    Raises:
        FileError: missing, a folder, empty, not a picture, truncated, more than 500 megapixels.
    """
    hush_pillow()
    _require_regular(path)
    try:
        image: Image.Image = Image.open(path, formats=FORMATS)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise FileError(_too_large(path))
            decode_with_numpy(image)
            image.load()
            _orientation(image)  # kept by Pillow: the file is closed when it is asked again
        return image
    except FileNotFoundError:
        raise FileError(_not_there(path)) from None
    except PermissionError:
        found = "cannot be read (permission denied)"
        remedy = "give yourself the right to read it (chmod u+r)"
        raise FileError(Problem("unreadable", path, found, "a file that may be read", remedy=remedy)) from None
    except UnidentifiedImageError:
        raise FileError(_not_a_picture(path)) from None
    except Image.DecompressionBombError:
        raise FileError(_too_large(path)) from None
    except DAMAGE as error:
        if path.is_dir():
            raise FileError(Problem("unreadable", path, "is a folder", "a picture file")) from None
        raise FileError(_damaged(path, error)) from None


def _damaged(path: Path, error: BaseException) -> Problem:
    # What the system says names the file again; what Pillow says does not.
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    reason = " ".join(told.split()) or type(error).__name__
    remedy = "copy or export it again"
    return Problem("unreadable", path, f"cannot be read ({reason})", "an intact picture", remedy=remedy)


def _require_regular(path: Path) -> None:
    """Raise FileError for a pipe, a socket or a device: reading one may wait for ever, or never end.

    So it does for a name that no file can have.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
            raise FileError(Problem("missing", path, "is a name that no file can have", "a picture file")) from None
        return  # the one who opens it says why
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileError(Problem("unreadable", path, "is no ordinary file", "a picture file", remedy="copy it to one"))


def _not_there(path: Path) -> Problem:
    if path.is_symlink():
        found = f"is a link to {path.readlink()}, which does not exist"
        return Problem("missing", path, found, "a picture file", remedy="mend the link, or copy the file there")
    return Problem("missing", path, "does not exist", "a picture file")


def _too_large(path: Path) -> Problem:
    limit = f"at most {MAX_PIXELS // 1_000_000} megapixels"
    return Problem("unreadable", path, "is too large to be decoded safely", limit, remedy="cut it into tiles")


def _not_a_picture(path: Path) -> Problem:
    with path.open("rb") as file:
        head = file.read(64)
    layout = tiff_layout(path)
    if layout is not None and layout.bands > 1:
        found = f"is a TIFF of {layout.bands} bands of {layout.bits} bits"
        return Problem("mode", path, found, "one band of numbers, or 8-bit RGB", remedy="export it as PNG")
    found, expected, remedy = what_instead(head)
    return Problem("unreadable", path, found, expected, remedy=remedy)


def what_instead(head: bytes, formats: Sequence[str] = FORMATS) -> tuple[str, str, str]:
    """Tell what a file that is no picture is instead, as far as its first bytes tell: found, expected, remedy.

    Args:
        formats: those that would have been read.
    """
    if not head:
        return "is empty (0 bytes)", "a picture", "copy or export it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer", "the picture itself", "run `git lfs pull`"
    if head.startswith((b"\x89PNG", b"\xff\xd8", b"II*\x00", b"MM\x00*", b"BM", b"RIFF")):
        return "is a damaged picture", "an intact one", "copy or export it again"
    what = "is not a picture"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        what = "is a web page, not a picture (a failed download?)"
    return what, format_names(formats), "replace or remove it"


def format_names(formats: Sequence[str]) -> str:
    """List formats by their names for people: "PNG, JPEG or WebP"."""
    *names, last = (_FORMAT_NAMES.get(name, name) for name in formats)
    return f"{', '.join(names)} or {last}" if names else last


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 where there is none or the EXIF data are broken."""
    hush_pillow()
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (*DAMAGE, RuntimeError):
        return 1


def is_turned(image: Image.Image) -> bool:
    """Tell whether the EXIF orientation asks for the picture to be shown otherwise than its pixels are stored."""
    return _orientation(image) in _EXIF_TRANSPOSE


def upright(image: Image.Image) -> Image.Image:
    """Return the picture turned as its own EXIF orientation says; pixels are moved, never interpolated."""
    transpose = _EXIF_TRANSPOSE.get(_orientation(image))
    return image if transpose is None else image.transpose(transpose)


def read_size(path: Path) -> tuple[int, int]:
    """Read the (height, width) of a picture, upright by its EXIF orientation, from its header: nothing is decoded.

    Raises:
        FileError: as `open_image` does.
    """
    hush_pillow()
    layout = _banded_tiff(path)
    if layout is not None:
        return layout.size
    try:
        with Image.open(path, formats=FORMATS) as image:
            sideways = _EXIF_TRANSPOSE.get(_orientation(image)) in _SIDEWAYS
            return (image.width, image.height) if sideways else (image.height, image.width)
    except (*DAMAGE, Image.DecompressionBombError):
        image = upright(open_image(path))
        return image.height, image.width


def stored_size(path: Path) -> tuple[int, int] | None:
    """Read the (height, width) of a picture as it is stored, whatever its EXIF orientation; None where it has none.

    Faster than `read_size`: a PNG may keep its EXIF data behind its pixels, which are then decoded to get there.
    """
    hush_pillow()
    try:
        layout = _banded_tiff(path)
        if layout is not None:
            return layout.size
        with Image.open(path, formats=FORMATS) as image:
            return image.height, image.width
    except (*DAMAGE, FileError, Image.DecompressionBombError):
        return None


def to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert any Pillow picture to uint8 (H, W, 3) RGB, turned upright by its EXIF orientation.

    16-bit grey is scaled from 0..65535, float from 0..1 (or 0..255 where it holds more than 1, NaN as 0);
    transparency is dropped, not blended; a palette picture is looked up in its palette.

    Raises:
        DataError: a mode that does not convert to RGB (LAB).
    """
    image = upright(image)
    if image.mode == "RGB":
        return np.asarray(image)
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_as_8_bits(np.asarray(image))[..., None], 3, axis=2)
    if image.mode in ("P", "PA"):
        # Straight to RGB, Pillow warns of transparency that it would lose, which is what is wanted here.
        image = image.convert("RGBA")
    try:
        return np.asarray(image.convert("RGB"))
    except ValueError:
        raise DataError(f"a picture of mode {image.mode}", "RGB, grey, palette or CMYK", "export it as RGB") from None


def _as_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale the numbers of a picture to 0..255: 16 bits and more from 0..65535, floats from 0..1 or 0..255."""
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    scaled = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    if values.dtype.kind == "f":
        scaled *= 255.0 if scaled.max(initial=0.0) <= 1.0 else 1.0
    else:
        scaled /= 257.0
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def read_image(path: Path, bands: Bands | None = None) -> NDArray[np.uint8]:
    """Read a picture file as uint8 (H, W, 3) RGB.

    Args:
        bands: which bands are read, counted from 1: three as red, green and blue, or one as grey; None takes the first
            three, or what the file itself calls red, green and blue.

    Raises:
        FileError: as `open_image`; a LAB picture; a band that there is not.
    """
    layout = _banded_tiff(path)
    if layout is not None or bands is not None:
        values = read_bands(path, bands or (RGB_BANDS if layout and layout.bands > 2 else (1,)))
        return np.repeat(_as_8_bits(values), 3 // values.shape[2], axis=2)
    image = open_image(path)
    try:
        return to_rgb(image)
    except DataError as error:
        raise FileError(Problem("mode", path, f"is {error.found}", error.expected, remedy=error.remedy)) from None


def read_bands(path: Path, bands: Bands) -> NDArray[np.generic]:
    """Read bands of a picture with the numbers that the file holds, upright: (H, W, number of bands).

    Raises:
        FileError: as `open_image`; a band that there is not.
    """
    layout = _banded_tiff(path)
    if layout is None:
        image = upright(open_image(path))
        convert = {"P": "RGBA", "PA": "RGBA", "1": "L"}.get(image.mode)
        pixels = np.asarray(image.convert(convert) if convert else image)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        _require_bands(path, bands, pixels.shape[2])
        return pixels[..., [band - 1 for band in bands]]
    _require_bands(path, bands, layout.bands)
    try:
        return read_tiff_bands(path, layout, bands)
    except FileError:
        raise
    except (*DAMAGE, MemoryError) as error:
        raise FileError(_damaged(path, error)) from None


def _banded_tiff(path: Path) -> TiffLayout | None:
    """Return the layout of a TIFF whose bands Pillow does not give; None for all other files."""
    _require_regular(path)
    try:
        layout = tiff_layout(path)
    except OSError:
        return None  # `open_image` says what is wrong
    if layout is None or not layout.needs_bands:
        return None
    if layout.pixels > MAX_PIXELS:
        raise FileError(_too_large(path))
    return layout


def _require_bands(path: Path, bands: Bands, count: int) -> None:
    if max(bands) > count:
        found = f"has {count} band{'s' if count > 1 else ''}"
        expected = f"{max(bands)} at least, for bands {', '.join(map(str, bands))}"
        raise FileError(Problem("bands", path, found, expected, remedy=f"choose others with {option('bands')}"))


def read_image_bytes(data: bytes, name: str = "the picture") -> NDArray[np.uint8]:
    """Read the bytes of a picture file as uint8 (H, W, 3) RGB, as `read_image` reads the file.

    Args:
        name: what it is called in messages.

    Raises:
        DataError: not a picture, truncated, more than 500 megapixels, or of mode LAB.
    """
    hush_pillow()
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise FileError(_too_large(Path(name)))
            decode_with_numpy(image)
            image.load()
            return to_rgb(image)
    except Image.DecompressionBombError:
        raise FileError(_too_large(Path(name))) from None
    except DataError:
        raise
    except DAMAGE:
        found, expected, remedy = what_instead(data[:64])
        raise DataError(f"{name} {found}", expected, remedy) from None
