"""The blocked layout as operators: channels in blocks of one vector, ``[N, C/b, H, W, b]``.

A blocked tensor is an ordinary value. ``Pack`` makes it, ``Unpack`` unmakes it, and ``Blocked`` is any operator on
``[N, C, H, W]`` that works on blocks instead. The channels may be in equal ``parts``, the groups of a convolution, each
of which begins at a block of its own. Lanes of the last block of a part that have no channel hold anything finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Composite, Emitter, Op, Primitive, T
from glowpy_ir.ops.movement import Concat, Pad, Reshape, Slice, Transpose
from glowpy_ir.types import Array, TensorType


def blocks(channels: int, lanes: int, parts: int = 1) -> int:
    """How many blocks hold so many channels."""
    return parts * -(-channels // (parts * lanes))


def places(channels: int, lanes: int, parts: int = 1) -> NDArray[np.int64]:
    """The lane that holds each channel, counted through all blocks."""
    size = channels // parts
    part, within = np.divmod(np.arange(channels), max(1, size))
    return part * blocks(size, lanes) * lanes + within


@dataclass(frozen=True)
class Pack(Composite):
    """``input [N, C, *spatial]`` as ``[N, C/b, *spatial, b]``, with zeros in the lanes that have no channel."""

    lanes: int
    parts: int = 1

    def expand(self, e: Emitter[T], input: T) -> T:
        batch, channels, *spatial = e.type_of(input).extents
        size = channels // self.parts
        missing = -size % self.lanes
        if missing:
            none = (0,) * len(spatial)
            input = e.add(Reshape((batch, self.parts, size, *spatial)), input)
            input = e.add(Pad((0, 0, 0, *none), (0, 0, missing, *none)), input)
        count = blocks(channels, self.lanes, self.parts)
        input = e.add(Reshape((batch, count, self.lanes, *spatial)), input)
        rank = len(spatial)
        return e.add(Transpose((0, 1, *range(3, 3 + rank), 2)), input)


@dataclass(frozen=True)
class Unpack(Composite):
    """``input [N, C/b, *spatial, b]`` as ``[N, C, *spatial]``."""

    channels: int
    parts: int = 1

    def expand(self, e: Emitter[T], input: T) -> T:
        batch, count, *spatial, lanes = e.type_of(input).extents
        if count != blocks(self.channels, lanes, self.parts):
            raise TypeMismatch(f"{e.type_of(input)} does not hold {self.channels} channels in {self.parts} parts")
        rank = len(spatial)
        input = e.add(Transpose((0, 1, 2 + rank, *range(2, 2 + rank))), input)
        shape = (batch, self.channels, *spatial)
        if count * lanes == self.channels:
            return e.add(Reshape(shape), input)
        if self.parts == 1 and self.channels > lanes:
            return e.add(Concat(1), *self._whole_and_rest(e, input))
        parts = e.add(Reshape((batch, self.parts, count * lanes // self.parts, *spatial)), input)
        held = (batch, self.parts, self.channels // self.parts, *spatial)
        return e.add(Reshape(shape), e.add(Slice((0,) * len(held), held, (1,) * len(held)), parts))

    def _whole_and_rest(self, e: Emitter[T], blocks: T) -> Iterator[T]:
        """The channels of whole blocks, and those of the last, of ``[N, C/b, b, *spatial]``.

        Either is copied to its place in the result at once; all lanes together would be copied before lanes are left
        out.
        """
        batch, count, lanes, *spatial = e.type_of(blocks).extents
        rest = self.channels - (count - 1) * lanes
        for first, part in ((0, (count - 1, lanes)), (count - 1, (1, rest))):
            held = (batch, *part, *spatial)
            cut = e.add(Slice((0, first, *(0 for _ in held[2:])), held, (1,) * len(held)), blocks)
            yield e.add(Reshape((batch, math.prod(part), *spatial)), cut)


def packed_type(type: TensorType, lanes: int, parts: int = 1) -> TensorType:
    """The type of ``Pack(lanes, parts)`` of a tensor ``[N, C, *spatial]``."""
    batch, channels, *spatial = type.extents
    return type.with_shape(batch, blocks(channels, lanes, parts), *spatial, lanes)


def unpacked_type(type: TensorType) -> TensorType:
    """The type of ``[N, C/b, *spatial, b]`` with every lane as a channel."""
    batch, count, *spatial, lanes = type.extents
    return type.with_shape(batch, count * lanes, *spatial)


def pack(array: Array, lanes: int, parts: int = 1) -> Array:
    """``Pack(lanes, parts)`` in NumPy."""
    batch, channels, *spatial = array.shape
    count = blocks(channels, lanes, parts)
    if count * lanes != channels:
        padded = np.zeros((batch, count * lanes, *spatial), array.dtype)
        padded[:, places(channels, lanes, parts)] = array
        array = padded
    return np.moveaxis(array.reshape(batch, count, lanes, *spatial), 2, -1)


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


NO_CHANNEL = -1
"""What stands in the sources of ``Rearrange`` for a lane that is zero."""


@dataclass(frozen=True)
class Rearrange(Primitive):
    """Blocks made of the lanes of other blocks: lane ``i`` of the result, counted through all blocks, is lane
    ``sources[i]``, counted through all blocks of all operands.

    Operands are ``[N, blocks, H, W, b]`` and differ in the number of blocks only.
    """

    sources: tuple[int, ...]

    def infer(self, *inputs: TensorType) -> TensorType:
        given = ", ".join(map(str, inputs))
        if not inputs or any(type.rank != 5 for type in inputs):
            raise TypeMismatch(f"Rearrange takes blocked images, not {given}")
        batch, _, height, width, lanes = inputs[0].extents
        if any(type != inputs[0].with_shape(batch, type.extents[1], height, width, lanes) for type in inputs):
            raise TypeMismatch(f"{given} differ in more than the number of blocks")
        total = sum(type.extents[1] for type in inputs) * lanes
        if len(self.sources) % lanes or any(not NO_CHANNEL <= source < total for source in self.sources):
            raise TypeMismatch(f"the sources must fill blocks of {lanes} lanes from the {total} that there are")
        return inputs[0].with_shape(batch, len(self.sources) // lanes, height, width, lanes)

    def evaluate(self, *inputs: Array) -> Array:
        channels = np.concatenate([unpack(array) for array in inputs], 1)
        result = channels[:, list(self.sources)]
        result[:, [source == NO_CHANNEL for source in self.sources]] = 0
        return pack(result, inputs[0].shape[-1])
