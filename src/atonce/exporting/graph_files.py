"""Files of an export: an .onnx file, or OpenVINO's pair of .xml and .bin, in float32 or INT8."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atonce.data.picture_index import holds_all
from atonce.errors import option
from atonce.extras import require_extra
from atonce.inference.engines import EngineName
from atonce.model_file import ModelFile
from atonce.onnx_graph import METADATA_KEY
from atonce.openvino_core import one_core_for_all, openvino_core
from atonce.text import words_of

_NEARLY_FULL = 16 << 20
"""Bytes free on a disk on which a model could not be written: less is most likely the reason."""

ImageLoader = Callable[[], NDArray[np.uint8]]
"""Reads one picture, uint8 (H, W, 3) RGB."""


class Target(str, Enum):
    """The two formats that a graph can be shipped in."""

    ONNX = "onnx"
    OPENVINO = "openvino"

    @property
    def suffix(self) -> str:
        """The suffix of the file that is opened; OpenVINO's .bin lies beside it."""
        return ".onnx" if self is Target.ONNX else ".xml"

    @property
    def engine(self) -> EngineName:
        """The engine that the format is made for."""
        return "onnxruntime" if self is Target.ONNX else "openvino"


def write_graph(
    model_file: ModelFile,
    target: Target,
    path: Path,
    *,
    probabilities: bool = False,
    calibration_images: Sequence[ImageLoader] = (),
) -> None:
    """Write the graph from picture to labels to `path` and, for OpenVINO, the .bin beside it.

    Args:
        probabilities: give float32 probabilities (N, C, H, W) as well.
        calibration_images: pictures for INT8 calibration, from which it takes the ranges of the activations; none
            gives float32.

    Raises:
        UserError: a package of the extra `export` is missing.
        OSError: the disk is full.
    """
    what = f"the export to {target.value}"
    onnx = require_extra("onnx", what, "export")
    from atonce.onnx_graph.whole_graphs import picture_graph

    description = json.dumps(model_file.describe())
    model: Any = picture_graph(model_file, probabilities=probabilities)
    if target is Target.ONNX:
        if calibration_images:
            model = _quantized(model, calibration_images, lambda batch: {"image": batch})
            onnx.helper.set_model_props(model, {METADATA_KEY: description})
        onnx.save(model, str(path))
        return
    openvino = require_extra("openvino", what, "export")
    model = openvino_core(what).read_model(model.SerializeToString())
    if calibration_images:
        model = _quantized(model, calibration_images, lambda batch: batch)
    model.set_rt_info(description, [METADATA_KEY])
    # By default it would round the weights to fp16.
    try:
        openvino.save_model(model, str(path), compress_to_fp16=False)
    except RuntimeError as error:
        # It says "iostream error" and no more; the disk tells the rest.
        full = shutil.disk_usage(path.parent).free < _NEARLY_FULL
        code = errno.ENOSPC if full else errno.EIO
        raise OSError(code, f"{os.strerror(code)} ({words_of(error, 80)})") from error


def is_graph(path: Path) -> bool:
    """Tell whether a file is a graph that was exported here: it holds its own description."""
    return holds_all(path, (METADATA_KEY.encode(), b"format_version", b"input_size"))


def _quantized(model: Any, pictures: Sequence[ImageLoader], to_input: Callable[[NDArray[np.uint8]], Any]) -> Any:
    """Quantize the weights and activations of all convolutions to eight bits, by post-training quantization of NNCF.

    Args:
        pictures: for INT8 calibration.
        to_input: a batch (1, H, W, 3) -> what the model's engine is called with.
    """
    nncf = require_extra("nncf", option("int8", value=True), "export")
    nncf.set_log_level(logging.ERROR)
    dataset = nncf.Dataset(pictures, lambda load: to_input(load()[None]))
    # Mixed: activations may be asymmetric, which the normalised picture needs; ReLU's are anyway.
    # NNCF draws progress bars on stdout, which belongs to the command line.
    with redirect_stdout(io.StringIO()), one_core_for_all():
        return nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(pictures))
