"""Imported weights: tensors from elsewhere under atonce's names, and the checks that all importers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from atonce.errors import WeightsError
from atonce.model.preprocessing import Preprocessing
from atonce.recipes import FCNConfig
from atonce.text import count_of, listing
from atonce.weights.tensor_files import WeightsFile

POOL5 = (512, 7, 7)
"""The input of VGG-16's first fully connected layer: pool5 of a 224x224 picture, (C, H, W)."""


@dataclass(frozen=True)
class ImportedWeights:
    """Weights from elsewhere under atonce's names and shapes, and the preprocessing that they expect.

    Attributes:
        tensors: `trunk.conv1_1.weight` ...; `head.fc6.weight` ... where there is a head;
            score and upsampling layers where it is a complete network.
        preprocessing: the mean and standard deviation that they expect to be applied to RGB values 0..255.
        layout: the importer that read them.
        head_scale: the factor on pool5 that fc6 was trained with.
        network: the variant that the tensors are, where they make a complete one.
        classes: the names of the classes of a complete network, in the order of its scores; empty where the file does
            not name them.
        scales_known_from: what in the file says how a complete FCN-8s was trained, so with which skip scales; "" where
            nothing does, and they are an assumption.
    """

    tensors: Mapping[str, Tensor]
    preprocessing: Preprocessing
    layout: str
    head_scale: float = 1.0
    network: FCNConfig | None = None
    classes: tuple[str, ...] = ()
    scales_known_from: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in the order of the network."""
        return tuple(dict.fromkeys(key.rpartition(".")[0] for key in self.tensors))

    @property
    def head_width(self) -> int | None:
        """The channels of fc6 and fc7; None without them."""
        bias = self.tensors.get("head.fc6.bias")
        return None if bias is None else len(bias)

    @property
    def num_classes(self) -> int | None:
        """The channels of the scores; None where the weights are no complete network."""
        return None if self.network is None else len(self.tensors["score_fc7.bias"])

    def to_json(self) -> dict[str, Any]:
        """Return what the weights are; the page "The command line" explains the keys, and they stay."""
        return {
            "layout": self.layout,
            "layers": list(self.layers),
            "head_width": self.head_width,
            "network": self.network.model_dump(mode="json") if self.network else None,
            "classes": list(self.classes),
            "num_classes": self.num_classes,
            "preprocessing": {"mean": list(self.preprocessing.mean), "std": list(self.preprocessing.std)},
        }

    def summary(self) -> str:
        """Say in lines of text what the weights are: layout, layers, network, and the input that they expect."""
        convolutions = sum(layer.startswith("trunk.") for layer in self.layers)
        head = f"fc6 and fc7 of {self.head_width}" if self.head_width else "no fc6 and fc7"
        lines = [f"layout   {self.layout}", f"layers   {convolutions} convolutions, {head}; all values finite"]
        if network := self.network:
            known = f" ({self.scales_known_from})" if self.scales_known_from else ""
            trained = f", skip scales {network.skip_scales}{known}" if network.stride == 8 else ""
            classes = count_of(self.num_classes or 0, "class", "classes")
            lines.append(f"network  FCN-{network.stride}s, {classes}, {network.upsampling} upsampling{trained}")
        expects = self.preprocessing
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (expects.mean, expects.std))
        return "\n".join([*lines, f"input    RGB 0..255, minus ({mean}), divided by ({std})"])


def scope_of(file: WeightsFile, variable: str) -> str | None:
    """The scope below which a checkpoint has a variable, "a/b/", or "" outside of one; None without the variable.

    Raises:
        WeightsError: it is there in several scopes, and not outside of one.
    """
    scopes = [key.removesuffix(variable) for key in file.tensors if key == variable or key.endswith(f"/{variable}")]
    if len(scopes) > 1 and "" not in scopes:
        raise WeightsError(f"{file.path} holds {len(scopes)} of VGG-16, in {' and in '.join(scopes[:4])}", "one VGG-16")
    return "" if "" in scopes else scopes[0] if scopes else None


def unchanged(tensor: Tensor) -> Tensor:
    """The conversion of a tensor that is arranged as atonce's."""
    return tensor


@dataclass(frozen=True)
class TensorSpec:
    """A tensor to be taken from a file.

    Attributes:
        name: atonce's name for it.
        key: its name in the file.
        shape: its shape in the file; None where the network that it goes into decides.
        convert: from the file's arrangement to atonce's.
    """

    name: str
    key: str
    shape: tuple[int, ...] | None
    convert: Callable[[Tensor], Tensor] = unchanged


def take_tensors(
    file: WeightsFile,
    specs: Iterable[TensorSpec],
    *,
    ignored: Callable[[str], bool],
    network: str,
    remedy: str = "",
) -> dict[str, Tensor]:
    """Take tensors from a file, float32 under atonce's names, after all checks.

    Args:
        ignored: tells of a key that is not taken whether it may be there.
        network: the network that the file should hold, for messages.
        remedy: what to do about shapes that are wrong, for messages.

    Raises:
        WeightsError: keys missing or unexpected, shapes wrong, values not finite; all of them are named.
    """
    specs = list(specs)
    wanted = {spec.key for spec in specs}
    missing = [spec.key for spec in specs if spec.key not in file.tensors]
    unexpected = [key for key in file.tensors if key not in wanted and not ignored(key)]
    if missing or unexpected:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"holds the unexpected {', '.join(unexpected)}"] if unexpected else []
        raise WeightsError(f"{file.path} {' and '.join(parts)}", f"the tensors of {network}")
    shapes = {spec.key: tuple(file.tensors[spec.key].shape) for spec in specs}
    wrong = [f"{s.key} is {shapes[s.key]} instead of {s.shape}" for s in specs if s.shape not in (None, shapes[s.key])]
    if wrong:
        raise WeightsError(f"{file.path}: {'; '.join(wrong)}", f"the shapes of {network}", remedy)
    # Quantised to whole numbers, or complex: as they stand they are no weights.
    other = [f"{s.key} is {file.tensors[s.key].dtype}" for s in specs if not file.tensors[s.key].is_floating_point()]
    if other:
        raise WeightsError(f"{file.path}: {listing(other, 3)}", "floating point numbers")
    broken = [spec.key for spec in specs if not file.tensors[spec.key].isfinite().all()]
    if broken:
        raise WeightsError(f"{file.path} holds NaN or infinity in {', '.join(broken)}", "finite weights")
    return {spec.name: spec.convert(file.tensors[spec.key]).float().contiguous() for spec in specs}


def reverse_inputs(kernel: Tensor) -> Tensor:
    """Turn a kernel (O, 3, H, W) over BGR into the same kernel over RGB."""
    return kernel.flip(1)
