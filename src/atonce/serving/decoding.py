"""Decoding untrusted pictures: everything that their headers announce is checked before it is believed."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from atonce.data.images import DAMAGE, hush_pillow, to_rgb, what_instead
from atonce.data.images import FORMATS as READ_FROM_FILES
from atonce.data.pure_python_pictures import decode_with_numpy, slow_decoder
from atonce.errors import DataError
from atonce.inference.pixel_limit import PixelLimit
from atonce.serving.jpeg_scans import MAX_SCANS, has_too_many_scans
from atonce.serving.picture_headers import header_problem
from atonce.serving.request_errors import RequestError
from atonce.text import words_of

FORMATS = tuple(name for name in READ_FROM_FILES if name != "JPEG2000")
"""Those that `atonce predict` reads, without JPEG 2000: its decoder has no bound but the file's own word."""

_TIFF_TILE = (322, 323)

_SLOW_BYTES = _SLOW_PIXELS = 1_000_000
"""The most of a file that Pillow decodes in Python: a second's work. Run lengths of 0 and comments take time, too."""

_SLOW_COMMENTS = 5000
"""Each moves the rest of a megabyte."""


def decode_picture(file: bytes, limit: PixelLimit) -> NDArray[np.uint8]:
    """Decode the file of a picture to uint8 (H, W, 3) RGB, upright, as `data.images.read_image` does.

    Args:
        limit: on its size and on the work for it, known from its header before it is decoded.

    Raises:
        RequestError: 413 too many pixels; 415 not a picture, or of a format that is not read; 422 damaged.
    """
    hush_pillow()
    if problem := header_problem(file):
        raise RequestError(422, problem, "a picture with little beside it", "export it again")
    try:
        with Image.open(BytesIO(file), formats=FORMATS) as image:
            _require_few_pixels(image, limit)
            _require_cheap_decoding(image, file)
            decode_with_numpy(image)
            image.load()
            return to_rgb(image)
    except UnidentifiedImageError:
        raise _unknown(file) from None
    except (Image.DecompressionBombError, MemoryError):
        raise RequestError(413, "the picture is too large", _at_most(limit.pixels), "scale it down") from None
    except RequestError:
        raise
    except DataError as error:
        raise RequestError(415, error.found, error.expected, error.remedy) from None
    except DAMAGE as error:
        reason = words_of(error)
        raise RequestError(422, f"the picture cannot be read ({reason})", "an intact one", "export it again") from None


def _require_few_pixels(image: Image.Image, limit: PixelLimit) -> None:
    width, height = image.size
    if problem := limit.problem(height, width):
        raise RequestError(413, *problem)


def _require_cheap_decoding(image: Image.Image, file: bytes) -> None:
    """Raise RequestError for a small picture that takes much memory or time to decode, or for one of several."""
    slow = slow_decoder(image)
    comments = file.count(b"#") if image.format == "PPM" else 0
    if slow and (len(file) > _SLOW_BYTES or math.prod(image.size) > _SLOW_PIXELS or comments > _SLOW_COMMENTS):
        size = f"{len(file) / 1e6:.1f} MB and {math.prod(image.size) / 1e6:.1f} megapixels"
        raise RequestError(422, f"a {slow} of {size}", "at most 1 of each", "export it as PNG")
    if image.format == "TIFF":
        # A tile is decoded whole, however little of it lies in the picture.
        tile = [image.tag_v2.get(tag, 0) for tag in _TIFF_TILE]  # type: ignore[attr-defined]
        padded = math.prod(side + 1024 for side in image.size)
        if all(isinstance(side, int) for side in tile) and math.prod(tile) > padded:
            raise RequestError(422, f"a TIFF with tiles of {tile[0]}x{tile[1]}", "tiles no larger than the picture")
    elif image.format in ("JPEG", "MPO"):
        if has_too_many_scans(file):
            raise RequestError(422, "a JPEG of too many scans", f"at most {MAX_SCANS}", "export it again")
    elif image.format in ("GIF", "PNG", "WEBP") and getattr(image, "is_animated", False):
        # The first of a TIFF's pages or a camera's previews (MPO) is the picture; of an animation no frame is.
        raise RequestError(415, f"an animated {image.format}", "one picture", "send a frame of it")


def _unknown(file: bytes) -> RequestError:
    found, expected, _ = what_instead(file[:64], FORMATS)
    if "damaged" in found:
        return RequestError(422, f"the file {found}", expected, "export it again")
    return RequestError(415, f"the file {found}", expected)


def _at_most(pixels: int) -> str:
    return f"at most {pixels / 1e6:g} megapixels"
