"""Operators that make tensors of what the model says: constants, counts and shapes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy_ir.dims import Dim, maximum, product
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.counting import Iota
from glowpy_ir.ops.elementwise import Add, Mul, Splat
from glowpy_ir.ops.logic import Equal
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.types import Array, Kind, TensorType


def _texts(texts: tuple[str, ...]) -> Array:
    return np.array(texts, object)


def load_constant(c: NodeContext) -> Value:
    """Exactly one of the attributes holds the value."""
    a = c.attributes
    readers: dict[str, Callable[[str], Array]] = {
        "value": a.tensor,
        "value_int": lambda name: np.array(a.int(name), np.int64),
        "value_ints": lambda name: np.array(a.ints(name), np.int64),
        "value_float": lambda name: np.array(a.float(name), np.float32),
        "value_floats": lambda name: np.array(a.floats(name), np.float32),
        "value_string": lambda name: _texts((a.string(name),)).reshape(()),
        "value_strings": lambda name: _texts(a.strings(name)),
    }
    if "sparse_value" in a:
        raise Unsupported("sparse constants are not supported")
    given = [name for name in readers if name in a]
    if len(given) != 1:
        raise BadModel(f"exactly one value is needed; given: {', '.join(given) or 'none'}")
    return c.constant(readers[given[0]](given[0]))


def load_constant_of_shape(c: NodeContext) -> Value:
    value = c.attributes.tensor("value", np.zeros(1, np.float32))
    if value.size != 1:
        raise BadModel(f"attribute 'value' must hold one element, but is {TensorType.of(value)}")
    return c.b.add(Splat(value.item(), TensorType.of(value).kind, checked_shape(c.dims(0))))


def checked_shape(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """``dims``; TypeMismatch if an extent is negative."""
    if any(isinstance(dim, int) and dim < 0 for dim in dims):
        raise TypeMismatch(f"a tensor cannot have the shape [{','.join(map(str, dims))}]")
    return dims


def load_shape(c: NodeContext) -> Value:
    shape = c.type(0).shape
    return c.b.dims(shape[c.attributes.int("start", 0) : c.attributes.int("end", len(shape))])


def load_size(c: NodeContext) -> Value:
    return c.b.add(Reshape(()), c.b.dims((product(c.type(0).shape),)))


def load_range(c: NodeContext) -> Value:
    """``start``, ``start + delta``, … up to but without ``limit``; how many is known now."""
    kind = c.type(0).kind
    if any(c.type(index).shape not in ((), (1,)) for index in range(3)):
        raise TypeMismatch("start, limit and delta must be scalars")
    start, delta = (c.b.add(Reshape(()), c.input(index)) for index in (0, 2))
    numbers = c.b.add(Iota(_range_count(c), kind))
    return c.b.add(Add(), c.b.add(Mul(), numbers, delta), start)


def _range_count(c: NodeContext) -> Dim:
    if not c.type(0).kind.is_integer:
        start, limit, delta = (c.known(index).item() for index in range(3))
        _check_delta(delta)
        count: int = math.ceil((limit - start) / delta)
        return max(0, count)
    (first,), (last,), (step,) = c.dims(0), c.dims(1), c.known_ints(2)
    _check_delta(step)
    extent = last - first if step == 1 else -((first - last) // step)
    return maximum(extent, 0) if isinstance(extent, int) else extent


def _check_delta(delta: float) -> None:
    if delta == 0:
        raise BadModel("a range cannot advance by 0")


def load_eye_like(c: NodeContext) -> Value:
    type = c.type(0)
    if type.rank != 2:
        raise TypeMismatch(f"EyeLike needs a matrix, not {type}")
    kind, shift = c.attributes.kind("dtype", type.kind), c.attributes.int("k", 0)
    rows, columns = type.shape
    row = c.b.add(Reshape((rows, 1)), c.b.add(Iota(rows)))
    edge = c.b.add(Add(), row, c.b.add(Splat(shift, Kind.I64)))
    return c.b.add(Cast(kind), c.b.add(Equal(), edge, c.b.add(Iota(columns))))


LOADERS: Table = {
    ("Constant", 1): load_constant,
    ("ConstantOfShape", 9): load_constant_of_shape,
    ("Shape", 1): load_shape,
    ("Size", 1): load_size,
    ("Range", 11): load_range,
    ("EyeLike", 9): load_eye_like,
}
