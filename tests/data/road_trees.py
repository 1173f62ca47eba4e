"""Small trees of KITTI road with calibrations that a bird's eye view can be computed from."""

from __future__ import annotations

import numpy as np
from PIL import Image

CALIBRATION = (
    "P2: 20 0 18 0 0 20 4 0 0 0 1 0\n"
    "R0_rect: 1 0 0 0 1 0 0 0 1\n"
    # The road lies 1.65 m below the camera, whose y axis points down.
    "Tr_cam_to_road: 1 0 0 0 0 1 0 -1.65 0 0 1 0\n"
)


def data_road(root, part, names, kinds=("road",), size=(24, 36), calibrated=True):
    """data_road/PART with random pictures, ground truth of these kinds (none for testing) and calibration."""
    rng = np.random.default_rng(len(names))
    for folder in ("image_2", "gt_image_2", "calib"):
        (root / part / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(root / part / "image_2" / f"{name}.png")
        if calibrated:
            (root / part / "calib" / f"{name}.txt").write_text(CALIBRATION)
        for kind in kinds if part == "training" else ():
            truth = np.zeros((*size, 3), np.uint8)
            truth[..., 0] = 255 * (rng.random(size) < 0.8)
            truth[..., 2] = 255 * (rng.random(size) < 0.5)  # also where it is not valid
            group, number = name.split("_")
            Image.fromarray(truth).save(root / part / "gt_image_2" / f"{group}_{kind}_{number}.png")
    return root
