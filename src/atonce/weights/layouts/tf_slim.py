"""TF-slim's vgg_16.ckpt: `vgg_16/conv1/conv1_1/weights` ..., the original weights, but over RGB.

Also what has been trained from it, below any scope. Source of the mean: slim's preprocessing/vgg_preprocessing.py.
"""

from __future__ import annotations

from atonce.errors import WeightsError
from atonce.model.preprocessing import Preprocessing
from atonce.weights.channels_last import head_specs, trunk_specs
from atonce.weights.imported import ImportedWeights, scope_of, take_tensors
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "tf-slim"

SLIM_VGG = Preprocessing(mean=(123.68, 116.78, 103.94))

_FIRST = "conv1/conv1_1/weights"


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where a variable is called conv1/conv1_1/weights; None otherwise."""
    return None if scope_of(file, _FIRST) is None else LAYOUT


def read(file: WeightsFile) -> ImportedWeights:
    """Read the convolutions, and fc6 and fc7 where they are VGG-16's.

    Raises:
        WeightsError: VGG-19 (vgg_19.ckpt); variables missing, of wrong shape or not finite; two in one checkpoint.
    """
    scope = scope_of(file, _FIRST) or ""
    if f"{scope}conv3/conv3_4/weights" in file.tensors:
        raise WeightsError(f"{file.path} holds VGG-19", "VGG-16")

    def key_of(layer: str, part: str) -> str:
        block = f"{layer.partition('_')[0]}/" if "conv" in layer else ""
        return f"{scope}{block}{layer}/{'weights' if part == 'weight' else 'biases'}"

    specs = [*trunk_specs(key_of, blue_first=False), *head_specs(file, key_of)]
    tensors = take_tensors(file, specs, ignored=lambda key: True, network="VGG-16 as TF-slim has it")
    return ImportedWeights(tensors, SLIM_VGG, LAYOUT)
