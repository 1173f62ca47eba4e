"""What the machine can multiply: the best matrix product of the libraries that there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

import numpy as np
import torch

from benchmarks.inference import Setting
from benchmarks.results import Report, Section
from benchmarks.timing import Clock, Repetitions, take_turns
from benchmarks.workers import Contestant, Job, crew

NOTE = (
    "Products of two square matrices, before and after everything else. The fastest repetition of them all is the "
    "peak that shares are of."
)


class TorchProduct:
    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    def prepare(self, case: int) -> Job:
        left, right = (torch.randn(case, case, device=self.device).to(self.dtype) for _ in range(2))
        return partial(torch.mm, left, right, out=torch.empty_like(left))


class NumpyProduct:
    def prepare(self, case: int) -> Job:
        left, right = (np.random.default_rng(i).standard_normal((case, case), np.float32) for i in range(2))
        return partial(np.matmul, left, right, out=np.empty_like(left))


class OnnxRuntimeProduct:
    """A graph of one node."""

    def __init__(self) -> None:
        onnx, runtime = import_module("onnx"), import_module("onnxruntime")
        values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["m", "n"]) for n in ("a", "b", "c")]
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["a", "b"], ["c"])], "product", values[:2], values[2:]
        )
        # Versions that every ONNX Runtime of the last years knows.
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = ["CPUExecutionProvider"]
        self.session = runtime.InferenceSession(model.SerializeToString(), options, providers=providers)

    def prepare(self, case: int) -> Job:
        names = enumerate(("a", "b"))
        given = {n: np.random.default_rng(i).standard_normal((case, case), np.float32) for i, n in names}
        return partial(self.session.run, None, given)


def run(
    report: Report, when: str, setting: Setting, sides: tuple[int, ...], clock: Clock, repetitions: Repetitions
) -> None:
    """Add rows and raise the peaks of a report.

    Args:
        when: "before" or "after", for the rows.
    """
    device, section = setting.device, report.section("peak")
    if section is None:
        section = Section("peak", "Peak of the machine", NOTE)
        report.sections.append(section)
    makers: dict[str, Callable[[], Contestant]] = {"torch, fp32": partial(TorchProduct, device, torch.float32)}
    if device == "cpu":
        makers |= {"NumPy, fp32": partial(NumpyProduct), "ONNX Runtime, fp32": partial(OnnxRuntimeProduct)}
    if setting.has_bf16:
        makers["torch, bf16"] = partial(TorchProduct, device, torch.bfloat16)
    arithmetic = {name: name.rpartition(", ")[2] for name in makers}
    failed: dict[str, str] = {}
    with crew(makers, failed) as runners:
        for side in sides:
            seconds = clock.left(f"peak {when}") / (2 * len(sides))
            found = take_turns(runners, side, repetitions, seconds, failed)
            section.add(f"{side}x{side}, {when}", found, operations=2 * side**3, arithmetic=arithmetic)
    section.lose(when, failed)
    for row in section.rows:
        assert row.operations and row.arithmetic
        rate = row.operations / min(row.seconds)
        report.peaks[row.arithmetic] = max(rate, report.peaks.get(row.arithmetic, 0.0))
