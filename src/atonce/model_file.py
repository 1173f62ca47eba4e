"""The model file: one .safetensors that describes itself. Nothing is inferred from its name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from atonce.data.input_size import InputSize
from atonce.errors import WeightsError, option
from atonce.labels import LabelSpec
from atonce.model import FCN
from atonce.recipes import FCNConfig
from atonce.storage import write_atomically
from atonce.text import listing
from atonce.version import __version__

FORMAT_VERSION = 1
_KEY = "atonce"


@dataclass
class ModelFile:
    """A network with all that is needed to use it and to know where it comes from.

    Attributes:
        training_data: format, fingerprint and split of the data it learned from; sha256 of its teacher, if it had one.
        recipe: the full resolved recipe.
        scores: measured on the validation split at the pictures' own size.
    """

    model: FCN
    labels: LabelSpec
    input_size: InputSize = field(default_factory=InputSize)
    training_data: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """The metadata as it stands in the file."""
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
            "input_size": {"scale": self.input_size.scale, "max_side": self.input_size.max_side},
            "training_data": self.training_data,
            "recipe": self.recipe,
            "scores": self.scores,
        }

    def save(self, path: Path) -> None:
        """Write the model file atomically. Raises StorageError."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        metadata = {"format": "pt", _KEY: json.dumps(self.describe())}
        write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def read_metadata(path: Path) -> dict[str, Any]:
    """What a model file says of itself. Raises WeightsError: missing, damaged, not atonce's, of a later format."""
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
        data: dict[str, Any] = dict(json.loads(metadata))
    except (ValueError, TypeError):
        raise WeightsError(f"{path} describes itself in broken JSON", "a model file of atonce") from None
    if data.get("format_version") != FORMAT_VERSION:
        raise WeightsError(
            f"{path} has model file format {data.get('format_version')}", str(FORMAT_VERSION), "use a newer atonce"
        )
    return data


def load_model_file(path: Path) -> ModelFile:
    """Read a model file. Raises WeightsError as `read_metadata`, or when tensors and description disagree."""
    data = read_metadata(path)
    try:
        labels = LabelSpec.from_json(data["labels"])
        with torch.device("meta"):
            model = FCN(FCNConfig.model_validate(data["architecture"]), labels.num_classes)
        size = InputSize(**data["input_size"])
        about = {key: dict(data[key]) for key in ("training_data", "recipe", "scores")}
    except (ValidationError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} describes a network unknown here: {reason}", "a model file of atonce") from None
    return ModelFile(_filled(model, path).eval(), labels, size, **about)


def _filled(model: FCN, path: Path) -> FCN:
    """A network without memory -> with the tensors of a model file, after checking names and shapes all at once."""
    target = model.state_dict()
    with safe_open(path, "pt") as file:
        found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        wrong = [f"{k} missing" for k in target if k not in found] + [f"{k} unknown" for k in found if k not in target]
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
