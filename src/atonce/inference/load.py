"""`atonce.load`: a run folder, a model file or an exported file becomes a `Predictor`."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from typing import Any

import torch

from atonce.data.input_size import LARGEST_SCALE, LONGEST_SIDE, InputSize
from atonce.devices import usable_device
from atonce.errors import UserError, option
from atonce.inference.engines import engines_for
from atonce.inference.exported_predictor import ExportedPredictor
from atonce.inference.network_predictor import NetworkPredictor
from atonce.inference.predictor import Predictor
from atonce.inference.tta import TTA, AugmentedPredictor, TTAName
from atonce.model_file import load_model_file
from atonce.model_location import require_model_file
from atonce.text import shortened

EXPORTED_SUFFIXES = frozenset({".onnx", ".xml"})
"""Suffixes of files of `atonce export`; every other file is read as a model file."""

Model = str | PathLike[str] | Predictor
"""A run folder, a model file, an exported file, what `atonce.train` returned, the name of a packaged model, the address
of one on a hub, or a `Predictor`."""


def load(
    model: Model,
    device: str | torch.device | None = None,
    engine: str | None = None,
    *,
    scale: float | None = None,
    size: int | tuple[int, int] | None = None,
    tta: TTAName | None = None,
) -> Predictor:
    """Load a network for use.

    Args:
        model: a run folder (its best model), a model file (model.safetensors), a file of `atonce export` (.onnx, .xml),
            what `atonce.train` returned, a packaged model ("camvid-slim"), or one of a hub ("hf://user/name"). A
            `Predictor` is returned as it is.
        device: "cpu", "cuda", "cuda:1", ...; None takes the first GPU, or the CPU.
        engine: "torch", "torch-bf16", "onnxruntime", "openvino", "openvino-bf16" (the two with bf16 products, for
            hardware that has them), or "auto" for the fastest that is installed and keeps to float32, measured once
            and remembered; None is torch for a model file, and the file's own engine for an exported one.
        scale: factor on height and width of each picture before the network sees it; None takes the model's own rule,
            that of its training (`data.scale`, `data.max_side`). For pictures that show things at another size than
            those that it was trained on.
        size: instead, the longer side that the network sees of each picture, in pixels; or the (height, width) that it
            sees, whatever the shape of the picture.
        tta: test-time augmentation, the mean over several views of each picture: "flip" (mirrored, too: twice the
            time), "flip,scales" (at 0.8 and 1.3 of the size, too: about seven times), or factors: "flip,0.75,1.25".
            Its gain is measured on the page "Results: pictures, numbers, polygons, annotations".

    Returns:
        A `Predictor`: call it with a picture.

    Raises:
        WeightsError: missing, damaged, or not a model of atonce.
        UserError: there is no such device or engine, or the engine is not installed; a scale, size or tta
            that is out of range, or for what has it built in: an exported file, a `Predictor`.
    """
    input_size, views = _input_size(scale, size), TTA.parse(tta)
    if isinstance(model, Predictor):
        _require_rule_of_its_own(input_size, "a model that is loaded already")
        _require_one_view(views, "a model that is loaded already", f"give {option('tta')} to `atonce.load`")
        return model
    if not isinstance(model, (str, PathLike)):
        raise UserError(f"the model {shortened(model)}", "a path, a name, an address, or what `atonce.load` returned")
    path = require_model_file(model)
    if path.suffix.lower() in EXPORTED_SUFFIXES:
        _require_rule_of_its_own(input_size, str(path))
        _require_one_view(views, str(path), "an exported file is one pass")
        return ExportedPredictor(path, device=device, engine=engine)
    # Before the file is read: both may be mistyped.
    engines_for(engine, device)
    chosen = usable_device(device)
    model_file = load_model_file(path)
    if input_size is not None:
        model_file = replace(model_file, input_size=input_size)
    if views.views > 1:
        return AugmentedPredictor(model_file, views, device=chosen, engine=engine)
    return NetworkPredictor(model_file, device=chosen, engine=engine)


def _input_size(scale: float | None, size: int | tuple[int, int] | None) -> InputSize | None:
    """Return the rule that a caller wants instead of the model's; None where they want none."""
    if scale is not None and size is not None:
        raise UserError(f"{option('scale', scale)} and {option('size', _shown(size))}", "one of them")
    if scale is not None:
        if not _is_number(scale, most=LARGEST_SCALE, whole=False):
            raise UserError(option("scale", _shown(scale)), f"a factor above 0, up to {LARGEST_SCALE}")
        return InputSize(float(scale))
    if size is not None:
        sides = size if isinstance(size, tuple) else (size, size)
        if len(sides) != 2 or not all(_is_number(side, most=LONGEST_SIDE, whole=True) for side in sides):
            raise UserError(
                option("size", _shown(size)),
                f"pixels: the longer side, such as 640, or width and height, 640x192, up to {LONGEST_SIDE:,} each",
            )
        height, width = map(int, sides)
        # Whatever the picture's size, the limit decides: the longer side is this long.
        return InputSize(size=(height, width)) if isinstance(size, tuple) else InputSize(math.inf, height)
    return None


def _is_number(value: Any, *, most: int, whole: bool) -> bool:
    """Tell whether what a caller gave is a number, NumPy's among them, above 0 and up to `most`."""
    return isinstance(value, Integral if whole else Real) and bool(value <= most and not value <= 0)


def _shown(value: object) -> str:
    """Write what is no scale and no size, perhaps no number either."""
    sides = value[::-1] if isinstance(value, tuple) and len(value) == 2 else (value,)
    return "x".join(shortened(side).strip("'") for side in sides)


def size_text(size: int | tuple[int, int]) -> str:
    """Write a size as pictures' sizes are written everywhere: width x height, or the longer side alone."""
    return f"{size[1]}x{size[0]}" if isinstance(size, tuple) else str(size)


def _require_rule_of_its_own(input_size: InputSize | None, what: str) -> None:
    if input_size is not None:
        raise UserError(
            f"{option('scale')} or {option('size')} for {what}",
            "a model file (model.safetensors) or a run folder",
            "the size at which it sees pictures is built in",
        )


def _require_one_view(views: TTA, what: str, remedy: str) -> None:
    if views.views > 1:
        found = f"{option('tta', views)} for {what}"
        raise UserError(found, "a model file (model.safetensors) or a run folder", remedy)
