"""The layouts that weights come in, and which of them a file has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from atonce.errors import WeightsError
from atonce.text import did_you_mean
from atonce.weights.imported import ImportedWeights
from atonce.weights.layouts import atonce_files, keras, pytorch_fcn, torchvision
from atonce.weights.tensor_files import WeightsFile


@dataclass(frozen=True)
class Layout:
    """How to read files of one kind.

    Attributes:
        about: for `atonce weights list`.
        read: raises WeightsError.
    """

    about: str
    read: Callable[[WeightsFile], ImportedWeights]


LAYOUTS: Mapping[str, Layout] = {
    torchvision.V1: Layout(
        "torchvision's vgg16 as it trained it: values 0..1, mean and deviation",
        partial(torchvision.read, layout=torchvision.V1),
    ),
    torchvision.FEATURES: Layout(
        "the original VGG-16 under torchvision's names: values 0..255 minus the mean",
        partial(torchvision.read, layout=torchvision.FEATURES),
    ),
    torchvision.CAFFE: Layout(
        "the same over BGR, with fc6 and fc7: pytorch-fcn's vgg16_from_caffe.pth",
        partial(torchvision.read, layout=torchvision.CAFFE),
    ),
    keras.LAYOUT: Layout("Keras' VGG16 (.h5), with and without top", keras.read),
    pytorch_fcn.LAYOUT: Layout("complete FCN-32s, 16s, 8s of pytorch-fcn, from Caffe or trained", pytorch_fcn.read),
    atonce_files.LAYOUT: Layout("trunk and head of a model file, or of a converted VGG-16", atonce_files.read),
}

_RECOGNISERS = (atonce_files.recognise, pytorch_fcn.recognise, torchvision.recognise, keras.recognise)


def recognise(file: WeightsFile) -> str:
    """The layout of a file. Raises WeightsError, which shows what was found."""
    for find in _RECOGNISERS:
        if name := find(file):
            return name
    some = ", ".join(list(file.tensors)[:4])
    raise WeightsError(
        f"{file.path} has an unknown layout: {len(file.tensors)} tensors ({some}, ...)", f"one of {', '.join(LAYOUTS)}"
    )


def import_weights(file: WeightsFile, layout: str | None = None) -> ImportedWeights:
    """Tensors of a file under atonce's names. Raises WeightsError.

    Args:
        layout: one of LAYOUTS; None recognises it.
    """
    name = recognise(file) if layout is None else layout
    if name not in LAYOUTS:
        raise WeightsError(f"no layout '{name}'", f"one of {', '.join(LAYOUTS)}", did_you_mean(name, LAYOUTS))
    return LAYOUTS[name].read(file)
