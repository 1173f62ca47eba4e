"""A file of `atonce export` as a predictor: its graph takes the picture as it is and gives labels."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from atonce.data.input_size import InputSize
from atonce.errors import UserError, WeightsError, option
from atonce.inference import tiles
from atonce.inference.engines import BY_SPEED, EngineName, choose_engine, described, is_cpu, open_session
from atonce.inference.predictor import Picture, Predictor, Progress, as_rgb
from atonce.inference.result import Result
from atonce.labels import LabelSpec
from atonce.model import FCN, Preprocessing
from atonce.model.preprocessing import Normalise
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig


class ExportedPredictor(Predictor):
    """An .onnx file with ONNX Runtime or OpenVINO, or an .xml file of OpenVINO, on the CPU.

    `bundle` describes the network as a model file does; `model` has its layers without their weights, which only
    the engine holds.

    Raises:
        WeightsError: missing, damaged, or not exported by atonce.
        UserError: an engine or a device that this file cannot run on, or that is not installed.
    """

    def __init__(
        self, path: Path, device: str | torch.device | None = None, engine: str | None = None, logits: bool = False
    ) -> None:
        if not path.is_file():
            raise WeightsError(f"{path} does not exist", "a model file, or one of `atonce export`")
        self.engine = _engine_for(path, device, engine)
        self._session = open_session(self.engine, path, ("logits",) if logits else ())
        self.bundle = _bundle(described(self._session, path), path)
        self.model, self.labels = self.bundle.model, self.bundle.labels
        self.device = torch.device("cpu")

    def __call__(self, picture: Picture, progress: Progress | None = None) -> Result:
        """As `Predictor`; without probabilities unless the file was exported with them.

        Large pictures go through in tiles where the network sees them at their own size.
        """
        image = as_rgb(picture)
        if self.bundle.input_size == InputSize() and self._computed(image.shape[:2]) > tiles.WHOLE_PIXELS:
            return self._in_tiles(image, progress)
        outputs = self.outputs(image)
        return Result(image, None, self.labels, outputs["labels"], outputs.get("probabilities"))

    def outputs(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """What the graph gives for uint8 (H, W, 3): `labels` (H, W), perhaps `probabilities` and `logits` (C, H, W)."""
        found = self._session.run(np.ascontiguousarray(image)[None])
        return {name: values[0] for name, values in found.items()}

    def predict_labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As `Predictor.predict_labels`."""
        if self.together(images.shape[1:3]) < 2:
            return np.stack([self(image).labels for image in images])
        labels: NDArray[np.uint8] = self._session.run(np.ascontiguousarray(images))["labels"]
        return labels

    def logits(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """float32 (C, H, W), from the probabilities. Raises UserError where there are none."""
        return self(image).logits

    def blocks(self, image: NDArray[np.uint8], progress: Progress | None = None) -> Iterator[tiles.Block]:
        """Raises UserError: an exported file gives whole results."""
        raise UserError("an exported file has no logits in parts", "a model file (model.safetensors)")

    def _in_tiles(self, image: NDArray[np.uint8], progress: Progress | None) -> Result:
        height, width = image.shape[:2]
        core, margin = tiles.core_side(self.model), tiles.margin(self.model.config)
        labels = np.empty((height, width), np.uint8)
        pieces = [(y, x) for y in tiles.spans(height, core, margin) for x in tiles.spans(width, core, margin)]
        for done, (y, x) in enumerate(pieces, 1):
            found = self.outputs(image[y.first : y.last, x.first : x.last])["labels"]
            kept = found[y.start - y.first : y.stop - y.first, x.start - x.first : x.stop - x.first]
            labels[y.start : y.stop, x.start : x.stop] = kept
            if progress:
                progress(done, len(pieces))
        return Result(image, None, self.labels, labels)


def _engine_for(path: Path, device: str | torch.device | None, engine: str | None) -> EngineName:
    """ONNX files run on either engine, the first choice is its own; OpenVINO's files only on OpenVINO."""
    readers: tuple[EngineName, ...] = ("onnxruntime", "openvino") if path.suffix.lower() == ".onnx" else ("openvino",)
    if device is not None and not is_cpu(device):
        raise UserError(
            f"{path} with {option('device', device)}", "the CPU", "GPUs take the model file (model.safetensors)"
        )
    if engine in (None, "auto"):
        order = [name for name in BY_SPEED if name in readers] if engine else readers
        return next((name for name in order if find_spec(name)), readers[0])
    chosen = choose_engine(engine, "cpu")
    if chosen not in readers:
        raise UserError(f"{path} with {option('engine', engine)}", f"{' or '.join(readers)}")
    return chosen


def _bundle(data: dict[str, Any], path: Path) -> ModelFile:
    """The description in a file -> a bundle whose network has no weights."""
    try:
        labels = LabelSpec.from_json(data["labels"])
        with torch.device("meta"):
            model = FCN(FCNConfig.model_validate(data["architecture"]), labels.num_classes)
        expects = data["preprocessing"]
        model.normalise = Normalise(Preprocessing(tuple(expects["mean"]), tuple(expects["std"])))
        size = InputSize(**data["input_size"])
        about = {key: dict(data[key]) for key in ("training_data", "recipe", "scores")}
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} describes a network unknown here: {reason}", "a file of `atonce export`") from None
    return ModelFile(model.eval(), labels, size, **about)
