"""Engines: torch, or one of those of the extra `export`; the same results, in another time.

Those that end in -bf16 multiply in bf16: faster where the hardware has such products, and labels change where two
classes are nearly as likely. ONNX Runtime has no such convolutions on x86.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from atonce.adaptive_threads import compute_threads
from atonce.devices import default_device, has_bf16
from atonce.errors import UserError, WeightsError, option
from atonce.extras import require_extra
from atonce.model import FCN
from atonce.model_file import FORMAT_VERSION
from atonce.onnx_graph import METADATA_KEY
from atonce.openvino_core import openvino_core
from atonce.text import words_of
from atonce.untrusted_files import parse_json

EngineName = Literal["torch", "torch-bf16", "onnxruntime", "openvino", "openvino-bf16"]
ENGINES: tuple[str, ...] = (*get_args(EngineName), "auto")

Network = Callable[[torch.Tensor], torch.Tensor]
"""A function from (N, 3, h, w) RGB 0..255 to logits (N, C, h, w)."""

IN_TORCH: tuple[EngineName, ...] = ("torch", "torch-bf16")
"""Those that run the network as it is; the others run a graph that is made of it."""

EXACT_GRAPHS: tuple[EngineName, ...] = ("openvino", "onnxruntime")
"""Those that run a graph in float32, on CPUs. Converting a network needs onnx for either."""


def engines_for(engine: str | None, device: str | torch.device | None = None) -> tuple[EngineName, ...]:
    """Return the engines that a user's word allows for a model file: one by its name, torch for None.

    "auto" allows all that are installed and keep to float32, torch first; `fastest_engine` chooses among them.

    Raises:
        UserError: an unknown name, or one that cannot run on `device`.
    """
    if engine not in (*ENGINES, None):
        raise UserError(f"there is no engine '{engine}'", f"one of {', '.join(ENGINES)}")
    on_cpu = is_cpu(default_device() if device is None else device)
    if engine == "auto":
        if not on_cpu or find_spec("onnx") is None:
            return ("torch",)
        return ("torch", *(name for name in EXACT_GRAPHS if find_spec(name)))
    chosen = cast("EngineName", engine or "torch")
    if chosen not in IN_TORCH and device is not None and not on_cpu:
        raise UserError(f"{option('engine', chosen)} with {option('device', device)}", "the engine torch, or the CPU")
    return (chosen,)


def is_cpu(device: str | torch.device) -> bool:
    """Tell by a device's name, which may be mistyped; `usable_device` says so."""
    return str(device).partition(":")[0] == "cpu"


def accelerated(model: FCN, engine: EngineName) -> Network:
    """Convert a network for another engine than torch, on the CPU. Raises UserError: a package is missing."""
    require_extra("onnx", option("engine", engine), "export")
    from atonce.onnx_graph.whole_graphs import network_graph

    session = open_session(engine, network_graph(model).SerializeToString())

    def run(pixels: torch.Tensor) -> torch.Tensor:
        values = np.ascontiguousarray(pixels.float().cpu().numpy())
        return torch.from_numpy(session.run(values)["logits"])

    return run


class Session(Protocol):
    """A loaded graph with one input."""

    @property
    def outputs(self) -> Sequence[str]:
        """The names of what it gives."""

    def run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the graph on its one input; the outputs by name, in memory of their own."""

    def description(self) -> str | None:
        """Return the JSON that atonce wrote into the graph; None where there is none."""


def open_session(engine: EngineName, source: bytes | Path, extra_outputs: tuple[str, ...] = ()) -> Session:
    """Load a graph with onnxruntime or openvino.

    Args:
        source: an ONNX graph, or the path of an .onnx or .xml file.
        extra_outputs: values inside the graph to be given out as well, for checks.

    Raises:
        UserError: the engine is not installed, or the processor does not have its products.
        WeightsError: a file that is no graph.
    """
    what = option("engine", engine)
    library = require_extra("onnxruntime", what, "export") if engine == "onnxruntime" else openvino_core(what)
    if engine == "openvino-bf16" and not has_bf16(torch.device("cpu")):
        found = f"{option('engine', engine)} on a processor without bf16 products"
        raise UserError(found, option("engine", "openvino"), "it needs AVX512-BF16 or AMX")
    try:
        if engine == "onnxruntime":
            return OnnxRuntimeSession(library, source, extra_outputs)
        return OpenVinoSession(library, source, extra_outputs, precision="bf16" if "bf16" in engine else "f32")
    except Exception as error:
        # Each engine has exceptions of its own, most of them plain RuntimeErrors; a graph of ours in memory is sound.
        if isinstance(source, bytes):
            raise
        reason = words_of(error)
        raise WeightsError(f"{source} cannot be read by {engine}: {reason}", "a file of `atonce export`") from None


class OnnxRuntimeSession:
    def __init__(self, library: Any, source: bytes | Path, extra_outputs: tuple[str, ...]) -> None:
        options = library.SessionOptions()
        options.intra_op_num_threads = compute_threads()
        options.log_severity_level = 3
        if extra_outputs:
            source = _with_outputs(source, extra_outputs)
        model = source if isinstance(source, bytes) else str(source)
        self._session = library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.outputs, self._session.run(None, {self._input: values}), strict=True))

    def description(self) -> str | None:
        found: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        return found


def _with_outputs(source: bytes | Path, names: tuple[str, ...]) -> bytes:
    onnx = require_extra("onnx", "checking a graph", "export")
    model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source)
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    serialised: bytes = model.SerializeToString()
    return serialised


class OpenVinoSession:
    def __init__(self, core: Any, source: bytes | Path, extra_outputs: tuple[str, ...], *, precision: str) -> None:
        model = core.read_model(source if isinstance(source, bytes) else str(source))
        if extra_outputs:
            model.add_outputs(list(extra_outputs))
        self._description = _rt_info(model)
        # Left to itself it multiplies in bf16 where the processor can: other results than torch's.
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": compute_threads()}
        self._compiled = core.compile_model(model, "CPU", settings)
        self.outputs = [name for port in self._compiled.outputs for name in port.get_names()]

    def run(self, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        # By default the outputs are views of buffers that the next run overwrites.
        outputs = self._compiled(values, share_inputs=True, share_outputs=False)
        return {name: array for port, array in outputs.items() for name in port.get_names()}

    def description(self) -> str | None:
        return self._description


def _rt_info(model: Any) -> str | None:
    # Of an ONNX file, OpenVINO keeps the metadata one level deeper than where atonce writes it in its own format.
    for place in ([METADATA_KEY], ["framework", METADATA_KEY]):
        if model.has_rt_info(place):
            return str(model.get_rt_info(place).astype(str))
    return None


def described(session: Session, path: Path) -> dict[str, Any]:
    """Read the description in an exported file, as `model_file.read_metadata`. Raises WeightsError: not atonce's."""
    text = session.description()
    try:
        data: dict[str, Any] = dict(parse_json(text or ""))
    except (ValueError, TypeError):
        raise WeightsError(f"{path} has no description of a network by atonce", "a file of `atonce export`") from None
    if data.get("format_version") != FORMAT_VERSION:
        found = data.get("format_version")
        raise WeightsError(f"{path} has model format {found}", str(FORMAT_VERSION), "use a newer atonce")
    return data
