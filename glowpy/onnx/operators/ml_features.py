"""Operators of ai.onnx.ml that prepare features: choose, scale, replace, join."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.ml_scores import as_kind, number
from glowpy_ir.dims import product
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.graph import Value
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Div, Mul, Sub
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.logic import Equal, Less, Select
from glowpy_ir.ops.lookup import IsKey
from glowpy_ir.ops.movement import Concat, Pad, Reshape, full_slice
from glowpy_ir.ops.reduction import ReduceL1, ReduceL2, ReduceMax
from glowpy_ir.types import Array, Kind

DOMAIN = "ai.onnx.ml"


def load_array_feature_extractor(c: NodeContext) -> Value:
    """Some places of the last dimension; a vector is one row."""
    input, places = c.input(0), c.input(1)
    if not input.type.rank:
        raise TypeMismatch("a scalar has no features")
    count = product(places.type.shape)
    chosen = c.b.add(Gather(input.type.rank - 1), input, c.b.add(Reshape((count,)), places))
    return chosen if input.type.rank > 1 else c.b.add(Reshape((1, count)), chosen)


def load_binarizer(c: NodeContext) -> Value:
    input = c.input(0)
    threshold = c.attributes.float("threshold", 0.0)
    if input.type.kind.is_integer:  # above a fraction is above what lies below it
        threshold = math.floor(threshold)
    return c.b.add(Cast(input.type.kind), c.b.add(Less(), number(c, threshold, input), input))


def load_scaler(c: NodeContext) -> Value:
    input = as_kind(c, c.input(0), Kind.F32)
    offset, scale = (_per_feature(c, input, name, neutral) for name, neutral in (("offset", 0.0), ("scale", 1.0)))
    return c.b.add(Mul(), c.b.add(Sub(), input, offset), scale)


def _per_feature(c: NodeContext, input: Value, name: str, neutral: float) -> Value:
    values = c.attributes.floats(name, ()) or (neutral,)
    return _list(c, input, name, np.array(values, input.type.kind.dtype))


def _list(c: NodeContext, input: Value, name: str, values: Array) -> Value:
    """One number, or one for each feature."""
    width = input.type.shape[-1] if input.type.rank else 1
    if isinstance(width, int) and len(values) not in (1, width):
        raise BadModel(f"attribute '{name}' has {len(values)} numbers for {width} features")
    return c.constant(values if len(values) > 1 else values.reshape(()))


class Norm(Enum):
    """What the elements of a row are divided by."""

    MAX = "MAX"
    L1 = "L1"
    L2 = "L2"


_NORMS = {Norm.MAX: ReduceMax, Norm.L1: ReduceL1, Norm.L2: ReduceL2}


def load_normalizer(c: NodeContext) -> Value:
    """A row whose norm is zero stays."""
    norm, input = c.attributes.choice("norm", Norm, Norm.MAX), as_kind(c, c.input(0), Kind.F32)
    if input.type.rank not in (1, 2):
        raise TypeMismatch(f"a row or rows are needed, not {input.type}")
    size = c.b.add(_NORMS[norm]((input.type.rank - 1,)), input)
    is_zero = c.b.add(Equal(), size, number(c, 0, size))
    return c.b.add(Div(), input, c.b.add(Select(), is_zero, number(c, 1, size), size))


def load_imputer(c: NodeContext) -> Value:
    """Another value in place of those that are missing, one for all features or one for each."""
    a, input = c.attributes, c.input(0)
    floats, integers = a.floats("imputed_value_floats", ()), a.ints("imputed_value_int64s", ())
    replaced: tuple[float, int] = a.float("replaced_value_float", 0.0), a.int("replaced_value_int64", 0)
    values: Sequence[float] = floats if input.type.kind.is_float else integers
    if not values:
        raise BadModel(f"there are no values for {input.type}")
    kind = input.type.kind.dtype
    missing = np.array([replaced[0] if input.type.kind.is_float else replaced[1]], kind)
    is_missing = c.b.add(Reshape(input.type.shape), c.b.add(IsKey(), input, c.constant(missing)))
    return c.b.add(Select(), is_missing, _list(c, input, "imputed_values", np.array(values, kind)), input)


def load_feature_vectorizer(c: NodeContext) -> Value:
    """Rows of several tensors side by side, each cut or filled up with zeros to a width."""
    inputs, widths = c.operands(), c.attributes.ints("inputdimensions", None)
    if widths is None:
        widths = tuple(math.prod(value.type.extents[1:]) for value in inputs)
    if len(widths) != len(inputs) or min(widths) < 0:
        raise BadModel(f"{len(widths)} widths are given for {len(inputs)} inputs")
    parts = []
    for value, width in zip(inputs, widths, strict=True):
        rows = as_kind(c, value, Kind.F32)
        if rows.type.rank not in (1, 2):
            raise TypeMismatch(f"rows are needed, not {rows.type}")
        rows = c.b.add(Reshape((rows.type.shape[0], product(rows.type.shape[1:]))), rows)
        given = rows.type.extents[1]
        if given > width:
            rows = c.b.add(full_slice(rows.type.shape, 1, 0, width), rows)
        elif given < width:
            rows = c.b.add(Pad((0, 0), (0, width - given)), rows)
        parts.append(rows)
    return c.b.add(Concat(1), *parts)


LOADERS: Table = {
    ("ArrayFeatureExtractor", 1): load_array_feature_extractor,
    ("Binarizer", 1): load_binarizer,
    ("FeatureVectorizer", 1): load_feature_vectorizer,
    ("Imputer", 1): load_imputer,
    ("Normalizer", 1): load_normalizer,
    ("Scaler", 1): load_scaler,
}
