"""TensorFlow checkpoints with `conv1_1/filter`: the student project's vgg.zip (a SavedModel), and KittiSeg's networks.

The original VGG-16, convolutional already: `conv1_1/filter` (3, 3, 3, 64) ... `conv5_3/biases`, `fc6/weights`
(7, 7, 512, 4096) and `fc7/weights` (1, 1, 4096, 4096). Its graph takes RGB, subtracts the mean and puts blue first, and
pads as our alignment `same` does. A network trained from it has the same names beside its own, below any scope.
"""

from __future__ import annotations

from atonce.model.preprocessing import CAFFE_VGG
from atonce.weights.channels_last import head_specs, trunk_specs
from atonce.weights.imported import ImportedWeights, scope_of, take_tensors
from atonce.weights.tensor_files import WeightsFile

LAYOUT = "tensorflow-vgg"

_FIRST = "conv1_1/filter"


def recognise(file: WeightsFile) -> str | None:
    """The layout's name where a variable is called conv1_1/filter; None otherwise."""
    return None if scope_of(file, _FIRST) is None else LAYOUT


def read(file: WeightsFile) -> ImportedWeights:
    """Read the convolutions, and fc6 and fc7 where they are VGG-16's; other variables belong to other networks.

    Raises:
        WeightsError: variables missing, of wrong shape or not finite; two VGG-16 in one checkpoint.
    """
    scope = scope_of(file, _FIRST) or ""

    def key_of(layer: str, part: str) -> str:
        return f"{scope}{layer}/{'biases' if part == 'bias' else 'filter' if 'conv' in layer else 'weights'}"

    specs = [*trunk_specs(key_of, blue_first=True), *head_specs(file, key_of)]
    tensors = take_tensors(file, specs, ignored=lambda key: True, network="VGG-16")
    return ImportedWeights(tensors, CAFFE_VGG, LAYOUT)
