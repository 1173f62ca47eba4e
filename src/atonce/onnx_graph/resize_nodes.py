"""The input-size policy as ONNX nodes: which size the network takes, and the antialiased resampling to it."""

from __future__ import annotations

from fractions import Fraction

from atonce.data.input_size import InputSize
from atonce.onnx_graph.node_builder import GraphBuilder

# Engines compute shapes in 32 bits: larger terms would overflow for pictures of a hundred thousand pixels' width.
_LARGEST_DENOMINATOR = 4096


def add_input_size(b: GraphBuilder, pixels: str, policy: InputSize) -> str:
    """Add the resampling of `pixels`, float32 (N, 3, H, W), to (N, 3, h, w), the size that the network takes.

    It is done by two matrix products with a triangle filter, as torch's antialiased interpolation weighs. ONNX's
    own Resize has an attribute for that, but OpenVINO passes over it and ONNX Runtime filters differently
    (by up to 10 grey levels on noise).
    """
    before = b.height_width(pixels)
    after = network_input_size(b, before, policy)
    rows, columns = (_filter(b, _pick(b, before, axis), _pick(b, after, axis)) for axis in (0, 1))
    narrowed = b.add("MatMul", rows, pixels)
    return b.add("MatMul", narrowed, b.add("Transpose", columns, perm=[1, 0]), name="seen")


def network_input_size(b: GraphBuilder, before: str, policy: InputSize) -> str:
    """Add InputSize.apply in integers: from `before`, height and width as int64 (2,), to those at the network.

    They are round(min(side * scale, side * max_side / longer side)), at least 1. Where Python's product of floats
    falls on the other side of a half, the sizes differ by a pixel. An exact size is a constant.
    """
    if policy.size is not None:
        return b.integers(*policy.size)
    scale = Fraction(str(policy.scale)).limit_denominator(_LARGEST_DENOMINATOR)
    after = _rounded_quotient(b, b.add("Mul", before, b.integers(scale.numerator)), b.integers(scale.denominator))
    if policy.max_side is not None:
        longer = b.add("ReduceMax", before, b.integers(0), keepdims=1)
        limited = _rounded_quotient(b, b.add("Mul", before, b.integers(policy.max_side)), longer)
        after = b.add("Min", after, limited)
    return b.add("Max", after, b.integers(1))


def _rounded_quotient(b: GraphBuilder, dividend: str, divisor: str) -> str:
    """Add the nearest integer of a quotient, halves to the even one, as Python rounds."""
    two, one = b.integers(2), b.integers(1)
    dividend = b.add("Add", b.add("Mul", dividend, two), divisor)
    divisor = b.add("Mul", divisor, two)
    up = b.add("Div", dividend, divisor)
    is_half = b.add("Sub", one, b.add("Min", one, b.add("Mod", dividend, divisor)))
    return b.add("Sub", up, b.add("Mul", is_half, b.add("Mod", up, two)))


def _pick(b: GraphBuilder, pair: str, index: int) -> str:
    """Add one of two integers, as float32 ()."""
    value = b.add("Gather", pair, b.integers(index))
    return b.as_float(b.add("Squeeze", value, b.integers(0)))


def _filter(b: GraphBuilder, before: str, after: str) -> str:
    """Add the resampling along an axis, float32 (after, before): row i holds the weights of the inputs of output i."""
    zero, half, one, ratio = b.number(0), b.number(0.5), b.number(1), b.add("Div", before, after)
    centre = b.add("Mul", b.add("Add", b.add("Range", zero, after, one), half), ratio)
    centre = b.add("Unsqueeze", centre, b.integers(1))
    position = b.add("Add", b.add("Range", zero, before, one), half)
    # Shrinking, the triangle is as wide as the output's pixels, so that no input is left out.
    distance = b.add("Div", b.add("Abs", b.add("Sub", position, centre)), b.add("Max", ratio, one))
    weights = b.add("Relu", b.add("Sub", one, distance))
    return b.add("Div", weights, b.add("ReduceSum", weights, b.integers(1), keepdims=1))
