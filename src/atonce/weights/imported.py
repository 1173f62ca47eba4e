"""What every importer gives, and the checks that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.preprocessing import Preprocessing
from atonce.model.vgg import BLOCKS, TRUNK_LAYERS
from atonce.recipes import FCNConfig
from atonce.weights.tensor_files import WeightsFile

_OUTPUTS = tuple(channels for channels, count in BLOCKS for _ in range(count))

VGG16_CHANNELS = dict(zip(TRUNK_LAYERS, zip(_OUTPUTS, (3, *_OUTPUTS[:-1]), strict=True), strict=True))
"""(outputs, inputs) of each convolution of VGG-16."""

POOL5 = (512, 7, 7)
"""What VGG-16's first fully connected layer sees of a 224x224 picture: pool5, (C, H, W)."""


@dataclass(frozen=True)
class ImportedWeights:
    """Weights from elsewhere under atonce's names and shapes, and what they expect.

    Attributes:
        tensors: `trunk.conv1_1.weight` ...; `head.fc6.weight` ... where there is a head;
            score and upsampling layers where it is a complete network.
        preprocessing: what the weights expect of RGB values 0..255.
        layout: the importer that read them.
        head_scale: the factor on pool5 that fc6 was trained with.
        network: the variant that the tensors are, where they make a complete one.
    """

    tensors: Mapping[str, Tensor]
    preprocessing: Preprocessing
    layout: str
    head_scale: float = 1.0
    network: FCNConfig | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the network."""
        return tuple(dict.fromkeys(key.rpartition(".")[0] for key in self.tensors))

    @property
    def head_width(self) -> int | None:
        """Channels of fc6 and fc7; None without them."""
        bias = self.tensors.get("head.fc6.bias")
        return None if bias is None else len(bias)


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Take:
    """One tensor to take from a file.

    Attributes:
        target: its name here.
        key: its name in the file.
        shape: in the file; None where the network that it goes into decides.
        convert: from the file's arrangement to ours.
    """

    target: str
    key: str
    shape: tuple[int, ...] | None
    convert: Callable[[Tensor], Tensor] = as_it_is


def take_all(
    file: WeightsFile, takes: Iterable[Take], ignored: Callable[[str], bool], what: str, remedy: str = ""
) -> dict[str, Tensor]:
    """Tensors of a file under atonce's names, after all checks.

    Args:
        ignored: whether a key that is not taken may be there.
        what: the network that the file should hold, for messages.
        remedy: what to do about shapes that are wrong.

    Raises:
        WeightsError: keys missing or unexpected, shapes wrong, values not finite; all of them are named.
    """
    takes = list(takes)
    wanted = {take.key for take in takes}
    missing = [take.key for take in takes if take.key not in file.tensors]
    unexpected = [key for key in file.tensors if key not in wanted and not ignored(key)]
    if missing or unexpected:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"holds the unexpected {', '.join(unexpected)}"] if unexpected else []
        raise WeightsError(f"{file.path} {' and '.join(parts)}", f"the tensors of {what}")
    shapes = {take.key: tuple(file.tensors[take.key].shape) for take in takes}
    wrong = [f"{t.key} is {shapes[t.key]} instead of {t.shape}" for t in takes if t.shape not in (None, shapes[t.key])]
    if wrong:
        raise WeightsError(f"{file.path}: {'; '.join(wrong)}", f"the shapes of {what}", remedy)
    broken = [take.key for take in takes if not file.tensors[take.key].isfinite().all()]
    if broken:
        raise WeightsError(f"{file.path} holds NaN or infinity in {', '.join(broken)}", "finite weights")
    return {take.target: take.convert(file.tensors[take.key]).float().contiguous() for take in takes}


def reverse_inputs(kernel: Tensor) -> Tensor:
    """(O, 3, H, W) kernel over BGR -> the same kernel over RGB."""
    return kernel.flip(1)
