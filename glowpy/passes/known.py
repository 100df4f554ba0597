"""What rules ask about values: which are known now, which number fills them, and who else takes them."""

from __future__ import annotations

import numpy as np

from glowpy_ir.evaluate import apply
from glowpy_ir.graph import Builder, Constant, Graph, Node, Value
from glowpy_ir.op import Op
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.types import Array, Kind, TensorType


def known(value: Value) -> Array | None:
    """The elements of a constant or a splat (then as a view that repeats one); None if they are not known now."""
    match value:
        case Constant(data=data):
            return data
        case Value(producer=Node(op=Splat(value=int() | float() as number, kind=kind))) if value.type.is_static:
            return np.broadcast_to(np.asarray(number).astype(kind.dtype), value.type.extents)
        case _:
            return None


def is_known(value: Value) -> bool:
    """Whether ``value`` is a constant or a splat."""
    return isinstance(value, Constant) or is_splat(value)


def is_splat(value: Value) -> bool:
    return value.producer is not None and isinstance(value.producer.op, Splat)


def number_in(value: Value) -> float | None:
    """The one number that every element of ``value`` is, if it is known."""
    match value:
        case Constant(data=data):
            return _number_in(data, value.type)
        case Value(producer=Node(op=Splat(value=int() | float() as number))):
            return number
        case _:
            return None


def _number_in(data: Array, type: TensorType) -> float | None:
    if data.size == 0 or type.kind is Kind.STRING or type.quantization:
        return None
    first = data[(0,) * data.ndim]
    if data[(-1,) * data.ndim] != first:
        return None
    patterns = np.ascontiguousarray(data).reshape(-1).view(np.uint8).reshape(data.size, -1)
    if (patterns != patterns[0]).any():  # the bits, so that 0 and -0 stay apart
        return None
    return float(first) if type.kind.is_float else int(first)


def is_used_once(graph: Graph, value: Value) -> bool:
    """Whether one operand of one node is all the use that ``value`` has."""
    return len(value.users) == 1 and graph.use_count(value) == 1


def make_known(b: Builder, data: Array, type: TensorType, name: str) -> Value:
    """The value of ``type`` with these elements: a splat if they are all the same number, else a constant."""
    number = _number_in(data, type)
    if number is not None:
        return b.add(Splat(number, type.kind, type.shape), name=name)
    return b.constant(np.asarray(data, order="C"), name, type)


def combine(b: Builder, op: Op, *operands: Value) -> Value | None:
    """``op`` of known values, computed now.

    None if one is not known, if the result is larger than each operand, or if floats leave their range: what is
    computed in another order than the model's must not become infinite, or zero, by that.
    """
    arrays = [array for value in operands if (array := known(value)) is not None]
    if len(arrays) < len(operands):
        return None
    (data,) = apply(op, *arrays)
    if data.size > max(array.size for array in arrays) or not _keeps_range(data, *arrays):
        return None
    return make_known(b, data, TensorType.of(data), operands[0].name)


def _keeps_range(data: Array, *operands: Array) -> bool:
    if not TensorType.of(data).kind.is_float:
        return True
    nonzero = np.all(np.broadcast_arrays(*(array != 0 for array in operands)), axis=0)
    return bool(np.isfinite(data).all() and not (nonzero & (data == 0)).any())
