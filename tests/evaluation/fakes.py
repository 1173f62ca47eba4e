"""A network that answers from memory, the pictures it is asked about, and small KITTI trees that can be seen from above."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from atonce.data.dataset import Item, Sample
from atonce.inference.result import Result
from atonce.labels import LabelSpec

CALIBRATION = (
    "P2: 20 0 18 0 0 20 4 0 0 0 1 0\n"
    "R0_rect: 1 0 0 0 1 0 0 0 1\n"
    # The road lies 1.65 m below the camera, whose y axis points down.
    "Tr_cam_to_road: 1 0 0 0 0 1 0 -1.65 0 0 1 0\n"
)


class Memory:
    """Pictures 0..N-1 with masks and logits; picture i is filled with i, by which the network knows it."""

    def __init__(self, masks, logits, names=("a", "b", "c")):
        self.labels = LabelSpec.from_names(names)
        self.masks, self.logits = masks, [np.asarray(one, np.float32) for one in logits]
        self.items = [Item(f"p{i}", Path(f"p{i}.png"), Path(f"p{i}_mask.png")) for i in range(len(masks))]
        self.dataset = SimpleNamespace(labels=self.labels, root=Path("memory"), load=self._load)

    def _load(self, item):
        i = int(item.name[1:])
        return Sample(np.full((*self.masks[i].shape, 3), i, np.uint8), self.masks[i], item.name)

    def __call__(self, picture, /):
        return Result(picture, self.labels, logits=torch.from_numpy(self.logits[picture[0, 0, 0]]))


class Colours:
    """Says of every pixel what its colours are: logits float32 (C, H, W) from the picture itself."""

    def __init__(self, labels):
        self.labels, self.asked = labels, 0

    def __call__(self, picture, /):
        self.asked += 1
        channels = [picture[..., i % 3] / np.float32(20 + 7 * i) for i in range(self.labels.num_classes)]
        return Result(picture, self.labels, logits=torch.from_numpy(np.stack(channels).astype(np.float32)))


def street(root, part, names, kinds=("road",), size=(24, 36), calibrated=True):
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
