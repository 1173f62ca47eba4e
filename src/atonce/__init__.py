"""atonce: semantic segmentation with fully convolutional networks (FCN-32s, FCN-16s, FCN-8s on VGG-16).

>>> import atonce
>>> segment = atonce.load("runs/x/model.safetensors")
>>> result = segment("street.jpg")
>>> result.labels, result.probabilities, result.classes, result.overlay()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atonce.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from atonce.data import open_dataset
    from atonce.errors import UserError
    from atonce.inference import Predictor, Result
    from atonce.labels import LabelSpec
    from atonce.model import FCN
    from atonce.recipes import FCNConfig, Recipe, load_recipe

__all__ = [
    "FCN",
    "FCNConfig",
    "LabelSpec",
    "Predictor",
    "Recipe",
    "Result",
    "UserError",
    "__version__",
    "load",
    "load_recipe",
    "open_dataset",
]

_HOMES = {
    "FCN": "atonce.model",
    "FCNConfig": "atonce.recipes",
    "LabelSpec": "atonce.labels",
    "Predictor": "atonce.inference",
    "Recipe": "atonce.recipes",
    "Result": "atonce.inference",
    "UserError": "atonce.errors",
    "load_recipe": "atonce.recipes",
    "open_dataset": "atonce.data",
}


def load(path: str | Path, device: str | None = None, engine: str | None = None) -> Predictor:
    """A model file, or a file of `atonce export` (.onnx, .xml) -> a Predictor.

    Args:
        device: "cpu", "cuda", ...; None takes the first GPU, or the CPU.
        engine: "torch", "torch-bf16", "onnxruntime", "openvino", or "auto" for the fastest that is installed.

    Raises:
        UserError: the file is not a model of atonce, or there is no such device or engine.
    """
    from atonce.inference import Predictor

    return Predictor.from_file(path, device, engine)


def __getattr__(name: str) -> Any:
    # Names load with their first use: `import atonce` and `atonce --help` do not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'atonce' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
