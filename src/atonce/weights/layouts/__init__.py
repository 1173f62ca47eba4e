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
from atonce.weights.layouts import atonce_files, keras, pytorch_fcn, torchvision
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
    keras.LAYOUT: Layout("Keras' VGG16 (.h5), with and without top", keras.read),
    pytorch_fcn.LAYOUT: Layout("complete FCN-32s, 16s, 8s of pytorch-fcn, from Caffe or trained", pytorch_fcn.read),
    atonce_files.LAYOUT: Layout("trunk and head of a model file, or of a converted VGG-16", atonce_files.read),
}

_RECOGNISERS = (atonce_files.recognise, pytorch_fcn.recognise, torchvision.recognise, keras.recognise)


def recognise(file: WeightsFile) -> str:
    """Recognise the layout of a file, a name in LAYOUTS.

    Raises:
        WeightsError: it is none of them; the message shows some of the file's keys.
    """
    for find in _RECOGNISERS:
        if name := find(file):
            return name
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
