"""A street seen from above, a bird's eye view (BEV), as the KITTI road benchmark scores it.

Source: Fritsch, Kuehnl, Geiger, ITSC 2013, and the benchmark's development kit. Road coordinates: x to the right, z
ahead, the road in the plane y = 0; a road point X is seen at the pixel x = P2 * R0_rect * Tr_cam_to_road^-1 * X.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from atonce.errors import DataError
from atonce.metrics.ratios import Floats

ROWS, COLUMNS = 800, 400
CELL = 0.05
"""Side of a cell in metres."""
X_MIN, Z_MAX = -10.0, 46.0
"""Left and far edge in metres; the right and near ones are at 10 and 6."""

_SHAPES = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_cam_to_road": (3, 4)}


class BirdsEye:
    """The view from above of pictures of one camera: 800 x 400 cells of the road plane, row 0 far, column 0 left.

    The cell takes the pixel its centre falls on. The kit counts pixels from 1 where P2 counts from 0, so it reads
    the pixel one to the left and one up of that; it does so for ground truth and confidences alike, and so do we.
    The page "What the numbers mean" has the details.

    Source: Fritsch, Kuehnl, Geiger, ITSC 2013, and the benchmark's development kit.

    >>> import numpy as np
    >>> birds_eye = BirdsEye([[20, 0, 201], [0, -20, 921], [0, 0, 1]])  # a camera that looks straight down
    >>> birds_eye(np.ones((801, 401), np.uint8)).shape
    (800, 400)
    >>> bool(birds_eye.valid(height=801, width=401).all())
    True

    Args:
        homography: float (3, 3), from (x, z, 1) on the road, in metres, to a pixel (u, v, w).

    Raises:
        ValueError: the homography has another shape or is not finite.
    """

    def __init__(self, homography: ArrayLike) -> None:
        self.homography: Floats = np.array(homography, np.float64)
        if self.homography.shape != (3, 3) or not np.isfinite(self.homography).all():
            raise ValueError(f"homography is {self.homography.shape}; expected finite numbers (3, 3)")
        self._lookup: tuple[tuple[int, int], NDArray[np.intp], NDArray[np.intp]] | None = None

    @classmethod
    def from_calibration(cls, path: str | PathLike[str]) -> BirdsEye:
        """Read the camera calibration of a picture (data_road/*/calib/*.txt).

        Raises:
            DataError: missing, unreadable, or without usable P2, R0_rect and Tr_cam_to_road.
        """
        values = _read(Path(path))
        rectify, to_road = np.eye(4), np.eye(4)
        rectify[:3, :3] = values["R0_rect"]
        to_road[:3] = values["Tr_cam_to_road"]
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                projection = values["P2"] @ rectify @ np.linalg.inv(to_road)
        except np.linalg.LinAlgError:
            raise DataError(f"{path}: Tr_cam_to_road cannot be inverted", "a rotation and a translation") from None
        if not np.isfinite(projection).all():
            raise DataError(f"{path}: P2, R0_rect and Tr_cam_to_road multiply to infinity", "matrices of a camera")
        return cls(projection[:, [0, 2, 3]])

    def __call__(self, image: ArrayLike) -> NDArray[Any]:
        """Return the view from above.

        Args:
            image: (H, W) or (H, W, channels) of any dtype: a picture, a confidence map or the ground truth.

        Returns:
            (800, 400) or (800, 400, channels) of the same dtype; 0 in cells that the camera does not see.

        Raises:
            ValueError: not two or three axes, or no pixel.
        """
        pixels = np.asarray(image)
        if pixels.ndim not in (2, 3) or 0 in pixels.shape:
            raise ValueError(f"image is {pixels.shape}; expected (H, W) or (H, W, channels)")
        cells, sources = self._indices(pixels.shape[0], pixels.shape[1])
        view = np.zeros((ROWS * COLUMNS, *pixels.shape[2:]), pixels.dtype)
        view[cells] = pixels.reshape(-1, *pixels.shape[2:])[sources]
        return view.reshape(ROWS, COLUMNS, *pixels.shape[2:])

    def valid(self, height: int, width: int) -> NDArray[np.bool_]:
        """The cells, bool (800, 400), that a picture of that size shows."""
        seen = np.zeros(ROWS * COLUMNS, np.bool_)
        seen[self._indices(height, width)[0]] = True
        return seen.reshape(ROWS, COLUMNS)

    def _indices(self, height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The flat indices of the cells that are seen and of the pixel of each, kept for pictures of the same size."""
        if self._lookup is None or self._lookup[0] != (height, width):
            u, v = self._project()
            # Not (u < 1): a cell behind the camera is NaN and must fail too.
            seen = (u >= 1) & (u <= width) & (v >= 1) & (v <= height)
            cells = np.flatnonzero(seen)
            sources = (v[cells].astype(np.intp) - 1) * width + (u[cells].astype(np.intp) - 1)
            self._lookup = ((height, width), cells, sources)
        return self._lookup[1], self._lookup[2]

    def _project(self) -> tuple[Floats, Floats]:
        """Compute the pixel coordinates of the cell centres, float64 (320000,) each; NaN behind the camera."""
        # The kit keeps the centres in float32; so does this, to fall on the same side where one meets a pixel's edge.
        x = (X_MIN + CELL / 2 + CELL * np.arange(COLUMNS)).astype(np.float32)
        z = (Z_MAX - CELL / 2 - CELL * np.arange(ROWS)).astype(np.float32)
        ground = np.ones((3, ROWS, COLUMNS))
        ground[0], ground[1] = x[None, :], z[:, None]
        # What overflows is as far from the picture as what is behind the camera.
        with np.errstate(over="ignore", invalid="ignore"):
            u, v, w = self.homography @ ground.reshape(3, -1)
            w = np.where(w > 0, w, np.nan)
            return u / w, v / w


def _read(path: Path) -> Mapping[str, Floats]:
    """Read the three matrices of a camera calibration file.

    Raises:
        DataError: missing, unreadable, or one of the three missing or malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise DataError(f"{path}: {reason}", "a camera calibration of KITTI road (calib/um_000000.txt)") from error
    entries = {key.strip(): text for key, colon, text in (line.partition(":") for line in lines) if colon}
    missing = [key for key in _SHAPES if key not in entries]
    if missing:
        raise DataError(f"{path}: no {', '.join(missing)}", "lines 'P2: ...', 'R0_rect: ...', 'Tr_cam_to_road: ...'")
    matrices = {}
    for key, shape in _SHAPES.items():
        try:
            matrices[key] = np.array(entries[key].split(), np.float64).reshape(shape)
        except ValueError:
            count = shape[0] * shape[1]
            raise DataError(f"{path}: {key} is '{entries[key].strip()[:40]}'", f"{count} numbers") from None
        if not np.isfinite(matrices[key]).all():
            raise DataError(f"{path}: {key} is not finite", f"{shape[0] * shape[1]} numbers")
    return matrices
