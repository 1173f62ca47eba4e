"""VGG-16 written the way other libraries write it, to compare outputs with; nothing here is atonce's code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.weights.torchvision_vgg import HEAD, VGG16

KERAS_NAMES = [f"block{block}_conv{i}" for block, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, n + 1)]


def keras_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Random VGG-16 as Keras keeps it: kernels (H, W, in, out), dense (in, out), for values around +-100."""
    generator = np.random.default_rng(seed)
    arrays, channels = {}, 3
    for name, outputs in zip(KERAS_NAMES, [c for c in VGG16 if isinstance(c, int)], strict=True):
        scale = np.sqrt(2 / (9 * channels)) * (0.01 if channels == 3 else 1)
        arrays[f"{name}/kernel"] = generator.standard_normal((3, 3, channels, outputs), np.float32) * np.float32(scale)
        arrays[f"{name}/bias"] = generator.standard_normal(outputs, np.float32) * np.float32(0.1)
        channels = outputs
    for name, inputs in (("fc1", 25088), ("fc2", HEAD)):
        kernel = generator.standard_normal((inputs, HEAD), np.float32)
        arrays[f"{name}/kernel"] = kernel * np.float32(np.sqrt(2 / inputs))
        arrays[f"{name}/bias"] = generator.standard_normal(HEAD, np.float32) * np.float32(0.1)
    return arrays


def keras_vgg(arrays: dict[str, np.ndarray], image: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Compute as Keras does, of one RGB picture (H, W, 3), 0..255: pool5 (h, w, 512), and fc2 for 224x224.

    Channels last, and blue first: keras.applications.vgg16.preprocess_input (mode "caffe").
    """
    x = torch.from_numpy(image[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32))
    for name in KERAS_NAMES:
        kernel, bias = (torch.from_numpy(arrays[f"{name}/{part}"]) for part in ("kernel", "bias"))
        height, width = x.shape[:2]
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        taps = [padded[i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3)]
        x = torch.relu(torch.stack(taps).sum(0) + bias)
        if name in ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"):
            x = x[: height // 2 * 2, : width // 2 * 2].unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).amax((1, 3))
    if image.shape[:2] != (224, 224):
        return x, None
    flat = x.flatten()
    for name in ("fc1", "fc2"):
        kernel, bias = (torch.from_numpy(arrays[f"{name}/{part}"]) for part in ("kernel", "bias"))
        flat = torch.relu(flat @ kernel + bias)
    return x, flat


def older(name: str, part: str) -> str:
    """An array's name in the published files."""
    return f"{name}/{name}_{'W' if part == 'kernel' else 'b'}_1:0"


def newer(name: str, part: str) -> str:
    """An array's name in the files of Keras 2."""
    return f"{name}/{name}/{part}:0"


def whole_model(name: str, part: str) -> str:
    """An array's name in a model that Keras 2 saved as a whole, with a VGG-16 inside."""
    return f"model_weights/vgg16/{name}/{part}:0"


def write_keras(path: Path, arrays: dict[str, np.ndarray], naming: Callable[[str, str], str] = older) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file[naming(*key.split("/"))] = array
    return path
