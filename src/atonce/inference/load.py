"""`atonce.load`: a run folder, a model file or an exported file becomes a `Predictor`."""

from __future__ import annotations

from os import PathLike

import torch

from atonce.inference.engines import choose_engine
from atonce.inference.exported_predictor import ExportedPredictor
from atonce.inference.network_predictor import NetworkPredictor, usable_device
from atonce.inference.predictor import Predictor
from atonce.model_file import find_model_file, load_model_file

EXPORTED_SUFFIXES = frozenset({".onnx", ".xml"})
"""Suffixes of files of `atonce export`; every other file is read as a model file."""

Model = str | PathLike[str] | Predictor
"""A run folder, a model file, an exported file, what `atonce.train` returned, or a `Predictor`."""


def load(model: Model, device: str | torch.device | None = None, engine: str | None = None) -> Predictor:
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
    path = find_model_file(model)
    if path.suffix.lower() in EXPORTED_SUFFIXES:
        return ExportedPredictor(path, device=device, engine=engine)
    # Before the file is read: both may be mistyped.
    choose_engine(engine, device)
    chosen = usable_device(device)
    return NetworkPredictor(load_model_file(path), device=chosen, engine=engine)
