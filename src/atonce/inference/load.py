"""`atonce.load`: a run folder, a model file or an exported file becomes a `Predictor`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch

from atonce.errors import WeightsError
from atonce.inference.engines import choose_engine
from atonce.inference.exported_predictor import ExportedPredictor
from atonce.inference.network_predictor import NetworkPredictor, usable_device
from atonce.inference.predictor import Predictor
from atonce.model_file import load_model_file

EXPORTED_SUFFIXES = frozenset({".onnx", ".xml"})
"""Suffixes of files of `atonce export`; every other file is read as a model file."""

Model = str | PathLike[str] | Predictor
"""A run folder, a model file, an exported file, what `atonce.train` returned, or a `Predictor`."""


def load(model: Model, *, device: str | torch.device | None = None, engine: str | None = None) -> Predictor:
    """Load a network for use.

    Args:
        model: a run folder (its best model), a model file (model.safetensors), a file of `atonce export` (.onnx, .xml),
            or what `atonce.train` returned. A `Predictor` is returned as it is.
        device: "cpu", "cuda", "cuda:1", ...; None takes the first GPU, or the CPU.
        engine: "torch", "torch-bf16", "onnxruntime", "openvino", or "auto" for the fastest that is installed and keeps
            to float32; None is torch for a model file, and the file's own engine for an exported one.

    Returns:
        A `Predictor`: call it with a picture.

    Raises:
        WeightsError: missing, damaged, or not a model of atonce.
        UserError: there is no such device or engine, or the engine is not installed.
    """
    if isinstance(model, Predictor):
        return model
    path = find_model(model)
    if path.suffix.lower() in EXPORTED_SUFFIXES:
        return ExportedPredictor(path, device=device, engine=engine)
    # Before the file is read: both may be mistyped.
    choose_engine(engine, device)
    chosen = usable_device(device)
    return NetworkPredictor(load_model_file(path), device=chosen, engine=engine)


def find_model(model: str | PathLike[str]) -> Path:
    """Return the file of a model: a run folder's model.safetensors, or the path as it is.

    Raises:
        WeightsError: a folder without a model.
    """
    path = Path(model)
    if not path.is_dir():
        return path
    if (path / "model.safetensors").is_file():
        return path / "model.safetensors"
    began = "; its run has not come to a validation yet" if (path / "recipe.yaml").is_file() else ""
    raise WeightsError(f"{path} holds no model.safetensors{began}", "a run folder, or a model file")
