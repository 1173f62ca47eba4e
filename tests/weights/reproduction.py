"""Weights from elsewhere give the activations that the tool they come from computes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from atonce.model import FCN, initialise
from atonce.recipes import FCNConfig
from atonce.weights import LoadReport, load_weights
from tests.weights.pattern import HEAD, picture


@torch.inference_mode()
def assert_reproduces(path: Path, activations: dict[str, Tensor], tool: str, *, head: bool = True) -> LoadReport:
    """Load weights into a network and compare its pools and fc7 with a tool's, for a picture of the size that it had.

    Args:
        activations: the fixture `expected`.
        head: compare fc7; otherwise the file should hold none.
    """
    theirs = {key.partition("/")[2]: value for key, value in activations.items() if key.startswith(f"{tool}/")}
    model = initialise(FCN(FCNConfig(head_width=HEAD), 2)).eval()
    report = load_weights(model, path)
    for name in sorted(theirs.keys() - {"fc7"}):
        # The pool's own size tells the picture's.
        stride = 2 ** int(name[-1])
        image = image_tensor(*(side * stride for side in theirs[name].shape[1:]))
        pools = model.trunk(model.pad(model.normalise(image)))
        assert theirs[name].std() > 0.5, "the tool's activations are flat: the comparison would show nothing"
        torch.testing.assert_close(pools[int(name[-1])][0, ::16], theirs[name], atol=3e-4, rtol=1e-5)
    assert ("head.fc6" in report.loaded) == head
    if head:
        single = theirs["fc7"].shape[1:] == (1, 1)
        image = image_tensor(224, 224) if single else image
        fc7 = model.head(model.trunk(model.pad(model.normalise(image)))[5])[0]
        # Of a 224x224 picture there is one position at which the 7x7 kernel sees all of pool5 and no padding.
        ours = fc7[:, 3:4, 3:4] if single else fc7
        assert theirs["fc7"].std() > 0.5
        torch.testing.assert_close(ours, theirs["fc7"], atol=3e-4, rtol=1e-5)
    return report


def image_tensor(height: int, width: int) -> Tensor:
    """The picture of the fixtures, uint8 (1, 3, H, W)."""
    return torch.from_numpy(picture(height, width)).permute(2, 0, 1)[None]
