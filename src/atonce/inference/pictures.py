"""Pictures in all the forms that a caller may have, as uint8 (H, W, 3) RGB."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from atonce.data.images import DAMAGE, Bands, read_image, read_image_bytes, to_rgb
from atonce.errors import DataError
from atonce.text import words_of

Picture = str | PathLike[str] | Image.Image | NDArray[Any] | torch.Tensor | bytes | BinaryIO
"""A path, a Pillow picture, an array (H, W, 3), (H, W) or (H, W, 4), a tensor (C, H, W), bytes of a file, an open file;
see `Predictor.__call__`."""

_LARGEST_DOWNLOAD = 256 << 20
_SECONDS = 30


def as_rgb(picture: Picture, *, bands: Bands | None = None, url: bool = False) -> NDArray[np.uint8]:
    """Convert whatever a caller has to uint8 (H, W, 3) RGB.

    Args:
        bands: those that are read of a file, see `read_image`.
        url: whether a text that is an address is downloaded.

    Raises:
        DataError: it cannot be read or downloaded, or has another shape, dtype or range.
    """
    if is_address(picture):
        assert isinstance(picture, str)
        if not url:
            raise DataError(f"{picture} is an address, not a file", "a file", "ask for its download with url=True")
        return read_image_bytes(_download(picture), picture)
    if isinstance(picture, (str, PathLike)):
        return read_image(Path(picture), bands)
    if isinstance(picture, Image.Image):
        return _from_pillow(picture)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return read_image_bytes(bytes(picture))
    if isinstance(picture, torch.Tensor):
        return _from_tensor(picture)
    if hasattr(picture, "read"):
        try:
            data = picture.read()
        except (OSError, ValueError) as error:  # ValueError: it is closed, or text that is no UTF-8
            raise DataError(f"the open file cannot be read ({error})", "one that is open as bytes") from None
        if not isinstance(data, bytes):
            raise DataError("a picture file that is open as text", "one that is open as bytes: open(path, 'rb')")
        return read_image_bytes(data, str(getattr(picture, "name", "the open file")))
    return _from_array(np.asarray(picture))


def is_address(picture: Picture) -> bool:
    """Tell whether a picture is given by its address, a text that begins with http:// or https://."""
    return isinstance(picture, str) and picture.lower().startswith(("http://", "https://"))


def source_of(picture: Picture) -> str | None:
    """Return the path or address of a picture; None where it is something else."""
    return fspath(picture) if isinstance(picture, (str, PathLike)) else None


def _from_pillow(picture: Image.Image) -> NDArray[np.uint8]:
    if 0 in picture.size:
        raise DataError(f"a Pillow picture of {picture.width}x{picture.height} pixels", "one pixel at least")
    try:
        return to_rgb(picture)
    except DataError:
        raise
    except DAMAGE as error:  # closed, or opened and damaged further on
        found = f"a Pillow picture that cannot be read ({words_of(error)})"
        raise DataError(found, "one that is open, and intact") from None


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise DataError(f"a picture array of dtype {array.dtype}", "uint8, values 0..255", "convert it first")
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4) or 0 in array.shape:
        channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        raise DataError(
            f"a picture array of shape {array.shape}",
            "(H, W, 3) RGB, (H, W) grey or (H, W, 4) RGBA",
            "move the channels to the end, or give it as a tensor" if channels_first else "",
        )
    return np.ascontiguousarray(array[..., :3])


def _from_tensor(tensor: torch.Tensor) -> NDArray[np.uint8]:
    if tensor.ndim == 2:
        tensor = tensor[None]
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4) or 0 in tensor.shape:
        remedy = "give a batch as a list: list(batch)" if tensor.ndim == 4 else ""
        raise DataError(f"a picture tensor of shape {tuple(tensor.shape)}", "(C, H, W) of 1, 3 or 4 channels", remedy)
    values = tensor.detach().cpu()
    if values.is_floating_point():
        values = values.float()
        low, high = float(values.min()), float(values.max())
        # NaN is neither.
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"a picture tensor of floats from {low:.3g} to {high:.3g}",
                "floats of 0..1, or uint8",
                "divide by 255, or undo the normalisation: the model has its own",
            )
        values = (values * 255).round().to(torch.uint8)
    if values.dtype != torch.uint8:
        raise DataError(f"a picture tensor of dtype {values.dtype}", "uint8, or floats of 0..1", "convert it first")
    values = values[:3].expand(3, -1, -1)
    return np.ascontiguousarray(values.permute(1, 2, 0).numpy())


def _download(address: str) -> bytes:
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    try:
        # Some servers refuse programs that do not say who they are.
        request = Request(address, headers={"User-Agent": "atonce"})
        with urlopen(request, timeout=_SECONDS) as response:
            data: bytes = response.read(_LARGEST_DOWNLOAD + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"{address} cannot be downloaded ({error})", "an address of a picture") from None
    if len(data) > _LARGEST_DOWNLOAD:
        raise DataError(f"{address} is larger than {_LARGEST_DOWNLOAD >> 20} MiB", "a picture", "download it yourself")
    return data
