"""Operators that make random numbers.

The same seed gives the same numbers. A node without one gets a seed of its own, which is made of its name: so a model
draws the same numbers each time it is run, wherever that is, and what was compiled once can be used again. In a loop
each iteration draws others.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.operators.constant import checked_shape
from glowpy.onnx.operators.movement import without_dropping
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.elementwise import Mul, Splat
from glowpy_ir.ops.logic import Select
from glowpy_ir.ops.random import Bernoulli, Multinomial, RandomNormal, RandomUniform
from glowpy_ir.types import Kind

MOST_COMPARED = 1 << 31
"""A multinomial draw compares each sample with each class; more than so many are refused."""


def _seed(c: NodeContext) -> int:
    seed = c.attributes.float("seed", None)
    if seed is None:
        return _own_seed(c)
    return int(struct.unpack("<I", struct.pack("<f", seed))[0]) | c.draw() << 33


def _own_seed(c: NodeContext) -> int:
    return zlib.crc32(str(c.b.origin and c.b.origin.node).encode()) | 1 << 32 | c.draw() << 33


def load_random_normal(c: NodeContext) -> Value:
    return _normal(c, _shape(c), c.attributes.kind("dtype", Kind.F32))


def load_random_normal_like(c: NodeContext) -> Value:
    return _normal(c, c.type(0).shape, _kind_like(c))


def _normal(c: NodeContext, shape: tuple[Dim, ...], kind: Kind) -> Value:
    mean, deviation = c.attributes.float("mean", 0.0), c.attributes.float("scale", 1.0)
    return c.b.add(RandomNormal(shape, _seed(c), mean, deviation, kind))


def load_random_uniform(c: NodeContext) -> Value:
    return _uniform(c, _shape(c), c.attributes.kind("dtype", Kind.F32))


def load_random_uniform_like(c: NodeContext) -> Value:
    return _uniform(c, c.type(0).shape, _kind_like(c))


def _uniform(c: NodeContext, shape: tuple[Dim, ...], kind: Kind) -> Value:
    low, high = c.attributes.float("low", 0.0), c.attributes.float("high", 1.0)
    return c.b.add(RandomUniform(shape, _seed(c), low, high, kind))


def _shape(c: NodeContext) -> tuple[Dim, ...]:
    return checked_shape(c.attributes.ints("shape"))


def _kind_like(c: NodeContext) -> Kind:
    return c.attributes.kind("dtype", c.type(0).kind)


def load_bernoulli(c: NodeContext) -> Value:
    return c.b.add(Bernoulli(_seed(c), _kind_like(c)), c.input(0))


def load_multinomial(c: NodeContext) -> Value:
    count = c.attributes.int("sample_size", 1)
    if count < 1:
        raise BadModel(f"{count} samples cannot be drawn")
    if c.type(0).is_static and c.type(0).count * count > MOST_COMPARED:
        raise Unsupported(f"{count} samples of {c.type(0)} are too many to be drawn at once")
    return c.b.add(Multinomial(count, _seed(c), c.attributes.kind("dtype", Kind.I32)), c.input(0))


def load_dropout_12(c: NodeContext) -> tuple[Value, ...]:
    """In training, elements are dropped with a probability; with a seed, those that NumPy's generator says.

    (The standard's own cases are made so.)
    """
    seed = c.attributes.int("seed", None)
    if c.optional(2) is None or not c.known(2).any():
        return without_dropping(c)
    ratio = 0.5 if c.optional(1) is None else float(c.known(1).reshape(-1)[0])
    if not 0 <= ratio < 1:
        raise TypeMismatch(f"the ratio of what is dropped must be in [0, 1), but is {ratio}")
    if ratio == 0:
        return without_dropping(c)
    input, type = c.input(0), c.type(0)
    if seed is None or not type.is_static:
        own = _own_seed(c) if seed is None else seed
        mask = c.b.add(Bernoulli(own, Kind.BOOL), c.b.add(Splat(1 - ratio, Kind.F32, type.shape)))
    else:
        mask = c.constant(np.random.RandomState((seed + c.draw()) % (1 << 32)).uniform(0, 1, type.extents) >= ratio)
    kept = c.b.add(Mul(), input, c.b.add(Splat(1 / (1 - ratio), type.kind)))
    return c.b.add(Select(), mask, kept, c.b.add(Splat(0, type.kind))), mask


LOADERS: Table = {
    ("RandomNormal", 1): load_random_normal,
    ("RandomNormalLike", 1): load_random_normal_like,
    ("RandomUniform", 1): load_random_uniform,
    ("RandomUniformLike", 1): load_random_uniform_like,
    ("Bernoulli", 15): load_bernoulli,
    ("Multinomial", 7): load_multinomial,
    ("Dropout", 12): load_dropout_12,
}
