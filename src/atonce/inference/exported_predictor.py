"""A file of `atonce export` as a predictor: its graph takes the picture as it is and gives labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
from atonce.inference.engines import EngineName, Session, described, engines_for, is_cpu, open_session
from atonce.inference.fastest_engine import SIZE, fastest_engine
from atonce.inference.network_predictor import batch_size
from atonce.inference.pixel_limit import computed_pixels
from atonce.inference.predictor import Predictor
from atonce.inference.result import Result, no_probabilities
from atonce.labels import LabelSpec
from atonce.model import FCN, Preprocessing
from atonce.model.preprocessing import Normalise
from atonce.model_file import ModelFile
from atonce.progress import ProgressCallback
from atonce.recipes import FCNConfig
from atonce.text import words_of


class ExportedPredictor(Predictor):
    """A `Predictor` of an .onnx file, with ONNX Runtime or OpenVINO, or of an .xml file of OpenVINO, on the CPU.

    Args:
        logits: whether `outputs` gives the logits inside the graph, too; for checks.

    Raises:
        WeightsError: missing, damaged, or not exported by atonce.
        UserError: an engine or a device that this file cannot run on, or that is not installed.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: str | torch.device | None = None,
        engine: str | None = None,
        logits: bool = False,
    ) -> None:
        if not path.is_file():
            raise WeightsError(f"{path} does not exist", "a model file, or one of `atonce export`")
        self._path, self.engine = path, _engine_for(path, device, engine)
        self._session = open_session(self.engine, path, ("logits",) if logits else ())
        self.model_file = _model_file(described(self._session, path), path)
        self.model, self.labels = self.model_file.model, self.model_file.labels
        self.device = torch.device("cpu")

    @property
    def gives_probabilities(self) -> bool:
        """True where the file was exported with probabilities."""
        return "probabilities" in self._session.outputs

    def segment(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Result:
        """Segment one picture, see `Predictor`; without probabilities unless the file was exported with them.

        Large pictures go through in tiles where the network sees them at their own size.
        """
        large = computed_pixels(self.model_file, image.shape[:2]) > tiles.WHOLE_PIXELS
        if self.model_file.input_size == InputSize() and large:
            return self._in_tiles(image, progress)
        outputs = self.outputs(image)
        return Result(image, self.labels, labels=outputs["labels"], probabilities=outputs.get("probabilities"))

    def outputs(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Run the graph on uint8 (H, W, 3) RGB: `labels` (H, W), perhaps `probabilities` and `logits` (C, H, W)."""
        found = self._run(image[None])
        return {name: values[0] for name, values in found.items()}

    def predict_labels(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Segment a batch, see `Predictor`."""
        if self.batch_size_for(images.shape[1:3]) < 2:
            return np.stack([self(image).labels for image in images])
        labels: NDArray[np.uint8] = self._run(images)["labels"]
        return labels

    def _run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return _run_graph(self._session, self._path, self.engine, images)

    def batch_size_for(self, size: tuple[int, ...]) -> int:
        """Return the number of pictures of (height, width) in a batch, 1 to 8."""
        return batch_size(self.model_file, size)

    def logits(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return the logarithms of the probabilities, float32 (C, H, W). Raises UserError where there are none."""
        return self(image).logits

    def blocks(self, image: NDArray[np.uint8], progress: ProgressCallback | None = None) -> Iterator[tiles.Block]:
        """Raise UserError: an exported file gives labels, and whole probabilities where it was exported with them."""
        raise no_probabilities(image.shape)

    def _in_tiles(self, image: NDArray[np.uint8], progress: ProgressCallback | None) -> Result:
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
        return Result(image, self.labels, labels=labels)


def _run_graph(session: Session, path: Path, engine: str, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Run a file's graph on a batch. Raises WeightsError: it is damaged in a way that only shows when it runs."""
    try:
        found = session.run(np.ascontiguousarray(images))
    except Exception as error:
        # Each engine has exceptions of its own; memory that is full is no fault of the file.
        if isinstance(error, MemoryError) or "alloc" in str(error):
            raise
        reason = words_of(error)
        raise WeightsError(
            f"{path} cannot be run by {engine}: {reason}", "a file of `atonce export`", "export it again"
        ) from None
    labels = found.get("labels")
    if labels is None or labels.dtype != np.uint8 or labels.shape != images.shape[:3]:
        told = "no labels" if labels is None else f"{labels.dtype} of shape {labels.shape} as labels"
        raise WeightsError(f"{path} gives {told}", "a file of `atonce export`", "export it again")
    return found


def _engine_for(path: Path, device: str | torch.device | None, engine: str | None) -> EngineName:
    """Choose the engine of a file: ONNX files run on either, their own first; OpenVINO's files on OpenVINO alone."""
    exact: tuple[EngineName, ...] = ("onnxruntime", "openvino") if path.suffix.lower() == ".onnx" else ("openvino",)
    readers: tuple[EngineName, ...] = (*exact, "openvino-bf16")
    if device is not None and not is_cpu(device):
        found = f"{path} with {option('device', device)}"
        raise UserError(found, "the CPU", "GPUs take the model file (model.safetensors)")
    if engine in (None, "auto"):
        installed = [name for name in exact if find_spec(name)] or exact[:1]
        return _fastest(path, installed) if engine else installed[0]
    chosen = engines_for(engine, "cpu")[0]
    if chosen not in readers:
        wanted = " or ".join(option("engine", reader) for reader in readers)
        raise UserError(f"{path} with {option('engine', engine)}", wanted)
    return chosen


def _fastest(path: Path, engines: Sequence[EngineName]) -> EngineName:
    def open_engine(name: EngineName) -> Callable[[], object]:
        session = open_session(name, path)
        described(session, path)
        return partial(_run_graph, session, path, name, np.zeros((1, *SIZE, 3), np.uint8))

    # What it holds, its size tells well enough: another one of as many bytes is of the same network.
    return fastest_engine(engines, {"file": path.suffix.lower(), "bytes": path.stat().st_size}, open_engine)


def _model_file(data: dict[str, Any], path: Path) -> ModelFile:
    """Build a model file whose network has no weights from the description in an exported file."""
    try:
        labels = LabelSpec.from_json(data["labels"])
        with torch.device("meta"):
            model = FCN(FCNConfig.model_validate(data["architecture"]), labels.num_classes)
        expects = data["preprocessing"]
        model.normalise = Normalise(Preprocessing(tuple(expects["mean"]), tuple(expects["std"])))
        size = InputSize.from_json(data["input_size"])
        about = {key: dict(data[key]) for key in ("training_data", "recipe", "scores")}
    except (ValidationError, ValueError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        reason = words_of(error)
        raise WeightsError(f"{path} describes a network unknown here: {reason}", "a file of `atonce export`") from None
    return ModelFile(model.eval(), labels, size, **about)
