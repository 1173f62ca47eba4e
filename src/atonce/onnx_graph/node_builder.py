"""Building an ONNX graph by function calls: `b.add("Relu", x)` adds a node and returns the name of its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from atonce.version import __version__

# Shape with `start` came with 15, Range and Pad as they are here before that; OpenVINO and ONNX Runtime know 18.
OPSET, IR_VERSION = 18, 9

Axis = int | str
"""The length of a tensor's axis; a name where it is free."""


class GraphBuilder:
    """Collects the nodes and constants of a graph; `finish` makes them a checked model.

    Attributes:
        nodes: in the order in which they were added.
        constants: the weights and numbers that the nodes use.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one result; returns the result's name, which is also the node's."""
        name = name or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: NDArray[Any] | Tensor, name: str = "") -> str:
        """Add weights, or numbers with a dtype; returns their name."""
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def integers(self, *values: int) -> str:
        """Add a constant int64 (n,); returns its name."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Add a constant float32 (); returns its name."""
        return self.constant(np.array(value, np.float32))

    def as_float(self, x: str) -> str:
        """Add a conversion to float32."""
        return self.add("Cast", x, to=TensorProto.FLOAT)

    def height_width(self, x: str) -> str:
        """Add the height and width of (N, C, H, W), int64 (2,)."""
        return self.add("Shape", x, start=2, end=4)

    def finish(
        self,
        inputs: Sequence[tuple[str, int, Sequence[Axis]]],
        outputs: Sequence[tuple[str, int, Sequence[Axis]]],
        metadata: dict[str, str] | None = None,
    ) -> onnx.ModelProto:
        """Make the nodes a model and check it.

        Args:
            inputs, outputs: (name, TensorProto type, axes) each.
            metadata: texts for ONNX's metadata_props.

        Raises:
            onnx.checker.ValidationError: the nodes do not make a graph, which is a fault here.
        """
        taken, given = ([helper.make_tensor_value_info(*value) for value in side] for side in (inputs, outputs))
        graph = helper.make_graph(self.nodes, "atonce", taken, given, initializer=self.constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="atonce",
            producer_version=__version__,
        )
        helper.set_model_props(model, metadata or {})
        onnx.checker.check_model(model)
        return model
