"""The blocked layout as operators: channels in blocks of one vector, ``[N, C/b, H, W, b]``.

A blocked tensor is an ordinary value. ``Pack`` makes it, ``Unpack`` unmakes it, and ``Blocked`` is any operator on
``[N, C, H, W]`` that works on blocks instead; lanes of the last block beyond ``channels`` hold anything finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Composite, Emitter, Op, Primitive, T
from glowpy_ir.ops.movement import Pad, Reshape, Slice, Transpose
from glowpy_ir.types import Array, TensorType


def blocks(channels: int, lanes: int) -> int:
    """How many blocks hold so many channels."""
    return -(-channels // lanes)


@dataclass(frozen=True)
class Pack(Composite):
    """``input [N, C, *spatial]`` as ``[N, C/b, *spatial, b]``, with zeros in the lanes that have no channel."""

    lanes: int

    def expand(self, e: Emitter[T], input: T) -> T:
        batch, channels, *spatial = e.type_of(input).extents
        missing = -channels % self.lanes
        if missing:
            none = (0,) * len(spatial)
            input = e.add(Pad((0, 0, *none), (0, missing, *none)), input)
        count = blocks(channels, self.lanes)
        input = e.add(Reshape((batch, count, self.lanes, *spatial)), input)
        rank = len(spatial)
        return e.add(Transpose((0, 1, *range(3, 3 + rank), 2)), input)


@dataclass(frozen=True)
class Unpack(Composite):
    """``input [N, C/b, *spatial, b]`` as ``[N, C, *spatial]``."""

    channels: int

    def expand(self, e: Emitter[T], input: T) -> T:
        batch, count, *spatial, lanes = e.type_of(input).extents
        if not 0 <= count * lanes - self.channels < lanes:
            raise TypeMismatch(f"{e.type_of(input)} does not hold {self.channels} channels")
        rank = len(spatial)
        input = e.add(Transpose((0, 1, 2 + rank, *range(2, 2 + rank))), input)
        input = e.add(Reshape((batch, count * lanes, *spatial)), input)
        if count * lanes == self.channels:
            return input
        shape = (batch, self.channels, *spatial)
        return e.add(Slice((0,) * len(shape), shape, (1,) * len(shape)), input)


def packed_type(type: TensorType, lanes: int) -> TensorType:
    """The type of ``Pack(lanes)`` of a tensor ``[N, C, *spatial]``."""
    batch, channels, *spatial = type.extents
    return type.with_shape(batch, blocks(channels, lanes), *spatial, lanes)


def unpacked_type(type: TensorType) -> TensorType:
    """The type of ``[N, C/b, *spatial, b]`` with every lane as a channel."""
    batch, count, *spatial, lanes = type.extents
    return type.with_shape(batch, count * lanes, *spatial)


def pack(array: Array, lanes: int) -> Array:
    """``Pack(lanes)`` in NumPy."""
    batch, channels, *spatial = array.shape
    padding = [(0, 0), (0, -channels % lanes), *((0, 0) for _ in spatial)]
    padded = np.pad(array, padding) if channels % lanes else array
    return np.moveaxis(padded.reshape(batch, -1, lanes, *spatial), 2, -1)


def unpack(array: Array) -> Array:
    """``[N, C/b, *spatial, b]`` in NumPy, with every lane as a channel."""
    batch, count, *spatial, lanes = array.shape
    return np.moveaxis(array, -1, 2).reshape(batch, count * lanes, *spatial)


@dataclass(frozen=True)
class Blocked(Primitive):
    """``op`` on a blocked operand, where ``op`` takes and makes ``[N, C, H, W]`` and keeps the channels apart.

    An operator that looks at neighbouring channels is allowed if no lane is without a channel.
    """

    op: Op

    def infer(self, input: TensorType) -> TensorType:
        (result,) = infer(self.op, unpacked_type(input))
        return packed_type(result, input.extents[-1])

    def evaluate(self, input: Array) -> Array:
        (result,) = apply(self.op, unpack(input))
        return pack(result, input.shape[-1])
