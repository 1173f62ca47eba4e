"""NumPy's files of VGG-16: vgg16_weights.npz (`conv1_1_W`, over RGB) and the pickled vgg16.npy (over BGR).

vgg16_weights.npz is the conversion by Davi Frossard, with `conv1_1_W` ... `fc8_b`. vgg16.npy is the one of
tensorflow-vgg and tensorflow-fcn: a dict, conv1_1 -> [weights, bias]. Both have kernels (H, W, in, out), and a dense
fc6 over pool5 laid flat as (H, W, C).
"""

from __future__ import annotations

from atonce.errors import WeightsError
from atonce.model.preprocessing import CAFFE_VGG
from atonce.weights.channels_last import head_specs, trunk_specs
from atonce.weights.imported import ImportedWeights, take_tensors
from atonce.weights.tensor_files import WeightsFile

NPZ, NPY = "numpy-npz", "numpy-npy"

_FIRST = {NPZ: "conv1_1_W", NPY: "conv1_1.weight"}
"""The first kernel; the dict of a .npy is read as NAME.weight and NAME.bias."""


def recognise(file: WeightsFile) -> str | None:
    """The layout of a file of NumPy with a conv1_1 in it; None for others."""
    return next((name for name, first in _FIRST.items() if file.format == name and first in file.tensors), None)


def read(file: WeightsFile, layout: str) -> ImportedWeights:
    """Read the convolutions, and fc6 and fc7 where they are VGG-16's.

    Raises:
        WeightsError: VGG-19; arrays missing, of wrong shape or not finite.
    """
    if any(key.startswith("conv3_4") for key in file.tensors):
        raise WeightsError(f"{file.path} holds VGG-19", "VGG-16")

    def key_of(layer: str, part: str) -> str:
        return f"{layer}_{'W' if part == 'weight' else 'b'}" if layout == NPZ else f"{layer}.{part}"

    specs = [*trunk_specs(key_of, blue_first=layout == NPY), *head_specs(file, key_of)]
    tensors = take_tensors(file, specs, ignored=lambda key: True, network="VGG-16")
    return ImportedWeights(tensors, CAFFE_VGG, layout)
