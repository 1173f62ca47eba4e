"""The model file (model.safetensors): tensors, and metadata that say all that is needed to use the network.

Nothing is inferred from its name.
"""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from atonce.data.input_size import InputSize
from atonce.errors import WeightsError, option
from atonce.labels import LabelSpec
from atonce.model import FCN
from atonce.recipes import FCNConfig
from atonce.safetensors_writer import save_tensors
from atonce.text import listing, words_of
from atonce.untrusted_files import parse_json
from atonce.version import __version__

FORMAT_VERSION = 1
_KEY = "atonce"


@dataclass
class ModelFile:
    """A network with all that is needed to use it and to know where it comes from.

    Attributes:
        model: the network; its preprocessing is a part of it.
        labels: names and colours of its classes, and the values that the user's masks have for them.
        input_size: the size at which it takes pictures.
        training_data: format, fingerprint, split and sizes of the pictures of the data it was trained on; sha256 of its
            teacher, if it had one; the file it was converted from, if it was.
        recipe: the full resolved recipe; empty where it was not trained by atonce.
        scores: measured on the validation split at the pictures' own size.
    """

    model: FCN
    labels: LabelSpec
    input_size: InputSize = field(default_factory=InputSize)
    _: KW_ONLY
    training_data: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Describe the network as it stands in the file's metadata, ready for JSON."""
        normalise = self.model.normalise
        return {
            "format_version": FORMAT_VERSION,
            "atonce_version": __version__,
            "architecture": self.model.config.model_dump(mode="json"),
            "skip_scales": {f"pool{pool}": scale for pool, scale in self.model.scales.items()},
            "labels": self.labels.to_json(),
            "preprocessing": {
                "order": "RGB",
                "range": [0, 255],
                "mean": normalise.mean.flatten().tolist(),
                "std": normalise.std.flatten().tolist(),
            },
            "input_size": self.input_size.to_json(),
            "training_data": self.training_data,
            "recipe": self.recipe,
            "scores": self.scores,
        }

    @property
    def bands(self) -> tuple[int, ...] | None:
        """The bands of pictures that the network was trained on, counted from 1; None for the first three."""
        given = self.recipe.get("data", {}).get("bands")
        return tuple(int(band) for band in given) if given else None

    def save(self, path: Path, *, half: bool = False) -> None:
        """Write the model file atomically.

        Args:
            half: whether kernels are written as float16, for half the bytes; they are float32 again when it is loaded.

        Raises:
            StorageError: `path` cannot be written; it is then as it was before.
            WeightsError: with `half`, a weight that float16 cannot hold.
        """
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        if half:
            # Biases and the preprocessing are few, and worth their digits.
            tensors = {k: _as_half(k, v) if v.ndim == 4 else v for k, v in tensors.items()}
        metadata = {"format": "pt", _KEY: json.dumps(self.describe())}
        save_tensors(path, tensors, metadata)


def _as_half(name: str, tensor: torch.Tensor) -> torch.Tensor:
    rounded = tensor.half()
    if not torch.isfinite(rounded).all():
        raise WeightsError(f"{name} has weights up to {float(tensor.abs().max()):.3g}", "at most 65504 for float16")
    return rounded


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the description in a model file, as `ModelFile.describe` gives it, without its tensors.

    Raises:
        WeightsError: the file is missing, damaged, not atonce's, or of a later format.
    """
    if not path.is_file():
        raise WeightsError(f"{path} does not exist", "a model file (model.safetensors)")
    try:
        with safe_open(path, "pt") as file:
            metadata = (file.metadata() or {}).get(_KEY)
    except (SafetensorError, OSError):
        raise WeightsError(f"{path} is not a safetensors file or is damaged", "a model file of atonce") from None
    if metadata is None:
        raise WeightsError(
            f"{path} holds tensors but no description of a network",
            "a model file of atonce",
            f"pretrained VGG-16 weights are given to `atonce train` with {option('weights')}",
        )
    try:
        data: dict[str, Any] = dict(parse_json(metadata))
    except (ValueError, TypeError):
        raise WeightsError(f"{path} describes itself in broken JSON", "a model file of atonce") from None
    if data.get("format_version") != FORMAT_VERSION:
        raise WeightsError(
            f"{path} has model file format {data.get('format_version')}", str(FORMAT_VERSION), "use a newer atonce"
        )
    return data


def load_model_file(path: Path) -> ModelFile:
    """Read a model file; its network is on the CPU, in evaluation mode.

    Raises:
        WeightsError: the file is missing, damaged, not atonce's, or of a later format; its tensors are not those of the
            network that it describes.
    """
    data = read_metadata(path)
    try:
        labels = LabelSpec.from_json(data["labels"])
        with torch.device("meta"):
            model = FCN(FCNConfig.model_validate(data["architecture"]), labels.num_classes)
        size = InputSize.from_json(data["input_size"])
        about = {key: dict(data[key]) for key in ("training_data", "recipe", "scores")}
        for section in ("data", "train"):
            dict(about["recipe"].get(section, {}))
        made = ModelFile(model, labels, size, **about)
        _ = made.bands  # a text, or infinity, is none
    except (ValidationError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, AttributeError) as error:
        reason = words_of(error)
        raise WeightsError(f"{path} describes a network unknown here: {reason}", "a model file of atonce") from None
    return replace(made, model=_with_tensors(model, path).eval())


def _is_float(file: Any, key: str) -> bool:
    return str(file.get_slice(key).get_dtype()) in ("F64", "F32", "F16", "BF16")


def _with_tensors(model: FCN, path: Path) -> FCN:
    """Give a network that has no memory yet the tensors of a model file, after checking all names and shapes."""
    target = model.state_dict()
    with safe_open(path, "pt") as file:
        found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        wrong = [f"{k} missing" for k in target if k not in found] + [f"{k} unknown" for k in found if k not in target]
        # Whole numbers would be taken for weights, and give a network of noise.
        wrong += [f"{k} holds no floating point numbers" for k in target if k in found and not _is_float(file, k)]
        wrong += [
            f"{k} is {found[k]} instead of {tuple(v.shape)}"
            for k, v in target.items()
            if k in found and found[k] != tuple(v.shape)
        ]
        if wrong:
            raise WeightsError(f"{path} is of another architecture than it says: {listing(wrong, 6, '; ')}")
        # Not before: what a file says of its network may ask for more memory than there is.
        model = model.to_empty(device="cpu")
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                tensor.copy_(file.get_tensor(key))
    return model
