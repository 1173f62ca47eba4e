"""Layouts of weights files: one file here for each tool whose files are read, and the list of them all.

To add a layout, write `layouts/NAME.py` with

- a docstring whose first line names the tool and its files in the words that people search for;
- `LAYOUT`, its name for users;
- `recognise(file) -> str | None`: the name where the file's keys are this tool's, None where they are not. It looks at
  keys that no other layout has;
- `read(file) -> ImportedWeights`: a `TensorSpec` for each tensor of the network (atonce's name, the file's key and
  shape, the conversion to PyTorch's arrangement over RGB), all taken by one call of `take_tensors`, which checks
  them; and the preprocessing that the weights expect, without which they are worthless.

Then put it into LAYOUTS and its `recognise` into _RECOGNISERS below, and write `tests/weights/layouts/test_NAME.py`: it
compares outputs with those of the tool's own network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from atonce.errors import WeightsError
from atonce.text import did_you_mean
from atonce.weights.imported import ImportedWeights
from atonce.weights.layouts import (
    atonce_files,
    caffe,
    keras,
    keras_3,
    numpy_arrays,
    pytorch_fcn,
    tensorflow_vgg,
    tf_slim,
    timm,
    torchvision,
)
from atonce.weights.tensor_files import WeightsFile


@dataclass(frozen=True)
class Layout:
    """A kind of files that is read.

    Attributes:
        about: a line for `atonce weights list`.
        read: gives the weights in a file; raises WeightsError.
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
    timm.LAYOUT: Layout("timm's and Hugging Face's vgg16.tv_in1k (model.safetensors), with its head", timm.read),
    keras.LAYOUT: Layout("Keras' VGG16 (.h5), with and without top", keras.read),
    keras_3.LAYOUT: Layout("Keras 3's VGG16 (.keras, .weights.h5), with and without top", keras_3.read),
    tensorflow_vgg.LAYOUT: Layout(
        "conv1_1/filter ...: the road project's vgg.zip or folder, checkpoints", tensorflow_vgg.read
    ),
    tf_slim.LAYOUT: Layout("TF-slim's vgg_16.ckpt, old format or new", tf_slim.read),
    numpy_arrays.NPZ: Layout(
        "vgg16_weights.npz: conv1_1_W ..., over RGB", partial(numpy_arrays.read, layout=numpy_arrays.NPZ)
    ),
    numpy_arrays.NPY: Layout(
        "the pickled vgg16.npy: conv1_1 -> [weights, bias], over BGR",
        partial(numpy_arrays.read, layout=numpy_arrays.NPY),
    ),
    caffe.LAYOUT: Layout("Caffe's VGG_ILSVRC_16 and the authors' FCN nets (.caffemodel)", caffe.read),
    pytorch_fcn.LAYOUT: Layout("complete FCN-32s, 16s, 8s of pytorch-fcn, from Caffe or trained", pytorch_fcn.read),
    atonce_files.LAYOUT: Layout("trunk and head of a model file, or of a converted VGG-16", atonce_files.read),
}

_RECOGNISERS = (
    atonce_files.recognise,
    caffe.recognise,
    numpy_arrays.recognise,
    pytorch_fcn.recognise,
    timm.recognise,
    torchvision.recognise,
    keras_3.recognise,
    keras.recognise,
    tensorflow_vgg.recognise,
    tf_slim.recognise,
)
"""Asked in this order: those of one format alone, and those with more special keys, before the others."""

_OBJECT_VARIABLE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""The end of every variable's name where TensorFlow 2 has saved objects."""


def recognise(file: WeightsFile) -> str:
    """Recognise the layout of a file, a name in LAYOUTS.

    Raises:
        WeightsError: it is none of them; the message shows some of the file's keys.
    """
    for find in _RECOGNISERS:
        if name := find(file):
            return name
    if any(key.endswith(_OBJECT_VARIABLE) for key in file.tensors):
        raise WeightsError(
            f"{file.path} is a checkpoint of TensorFlow 2, whose variables are numbered, not named",
            f"one of {', '.join(LAYOUTS)}",
            "load it with Keras and save it anew: model.save_weights('vgg16.weights.h5')",
        )
    some = ", ".join(list(file.tensors)[:4])
    raise WeightsError(
        f"{file.path} has an unknown layout: {len(file.tensors)} tensors ({some}, ...)", f"one of {', '.join(LAYOUTS)}"
    )


def import_weights(file: WeightsFile, layout: str | None = None) -> ImportedWeights:
    """Import the tensors of a file under atonce's names.

    Args:
        layout: one of LAYOUTS; None recognises it.

    Raises:
        WeightsError: there is no such layout, or the file is not of it, damaged, or not a VGG-16.
    """
    name = recognise(file) if layout is None else layout
    if name not in LAYOUTS:
        raise WeightsError(f"no layout '{name}'", f"one of {', '.join(LAYOUTS)}", did_you_mean(name, LAYOUTS))
    return LAYOUTS[name].read(file)
