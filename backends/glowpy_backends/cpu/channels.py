"""Layout rules: whatever only moves channels of blocked values becomes one ``Rearrange`` of their lanes.

Channel shuffles, splits and concatenations along channels would unpack and pack again; in registers they cost little
more than a copy, and often no more than a view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glowpy_backends.cpu.blocked import NO_CHANNEL, Pack, Rearrange, Unpack, blocks, places
from glowpy_ir.graph import Builder, Constant, Node, Value
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.movement import Concat, Reshape, Slice, Transpose, full_slice

Numbers = NDArray[np.int64]


def unpacked(value: Value) -> Value | None:
    """The blocked image of which ``value`` is the unpacking."""
    match value:
        case Value(producer=Node(op=Unpack(), inputs=(x,))) if x.type.rank == 5:
            return x
    return None


def parts_of(value: Value) -> int:
    """In how many parts the channels of ``value`` lie in the blocks it comes from; 1 if it comes from none."""
    match value:
        case Value(producer=Node(op=Unpack(parts=parts))):
            return parts
    return 1


@dataclass(frozen=True)
class _Blocks:
    """A blocked image, and how many channels it holds in how many parts."""

    image: Value
    channels: int
    parts: int

    @classmethod
    def of(cls, value: Value) -> _Blocks | None:
        """What ``value`` is the unpacking of."""
        x = unpacked(value)
        return None if x is None else cls(x, value.type.extents[1], parts_of(value))


def pack_of_unpack(node: Node, b: Builder) -> Value | None:
    """pack(unpack(x)) = x, if the channels lie in equal parts, else x rearranged"""
    match node:
        case Node(op=Pack(lanes=lanes, parts=parts), inputs=(value,)) if (x := _Blocks.of(value)) is not None:
            if x.image.type.extents[-1] == lanes:
                return _rearranged(b, [x], np.arange(x.channels), parts)
    return None


def shuffle_of_unpack(node: Node, b: Builder) -> Value | None:
    """reshape(transpose(reshape(unpack(x)))) = unpack(rearrange(x)), where only channels move"""
    match node:
        case Node(
            op=Reshape(),
            inputs=(
                Value(
                    producer=Node(
                        op=Transpose(order=order),
                        inputs=(Value(producer=Node(op=Reshape(), inputs=(value,)), type=apart),),
                    )
                ),
            ),
        ) if (x := _Blocks.of(value)) is not None and node.output.type == value.type:
            pass
        case _:
            return None
    batch, channels, *spatial = value.type.extents
    rank = apart.rank - len(spatial)
    ends = (0, *range(rank, apart.rank))
    fixed = (order[0], *order[rank:]) == ends and [apart.extents[d] for d in ends] == [batch, *spatial]
    if not fixed or rank < 2:
        return None
    wanted = np.arange(channels).reshape(apart.extents[1:rank]).transpose([d - 1 for d in order[1:rank]])
    return _unpacked_again(b, [x], wanted.reshape(-1), x.parts)


def slice_of_unpack(node: Node, b: Builder) -> Value | None:
    """slice(unpack(x)) = unpack(rearrange(slice(x))), the rest of x as a view"""
    match node:
        case Node(op=Slice(shape=shape, steps=steps) as cut, inputs=(value,)) if (x := _Blocks.of(value)) is not None:
            pass
        case _:
            return None
    batch, channels, *spatial = node.output.type.extents
    if not node.output.type.count:
        return None
    wanted = cut.offsets[1] + steps[1] * np.arange(channels)
    whole = len(wanted) == x.channels and steps[1] == 1
    _, count, height, width, lanes = x.image.type.extents
    if (batch, *spatial) != (x.image.type.extents[0], height, width) or min(steps) < 0:
        (first, _, *starts), (_, _, *rest) = cut.offsets, shape
        inner = Slice((first, 0, *starts, 0), (batch, count, *rest, lanes), (steps[0], 1, *steps[2:], 1))
        x = _Blocks(b.add(inner, x.image), x.channels, x.parts)
    return _unpacked_again(b, [x], wanted, x.parts if whole else 1)


def gather_of_unpack(node: Node, b: Builder) -> Value | None:
    """gather(unpack(x), constant) = unpack(rearrange(x)), along channels"""
    match node:
        case Node(op=Gather(axis=1), inputs=(value, Constant(data=indices))) if (x := _Blocks.of(value)) is not None:
            if indices.ndim == 1 and indices.size and -x.channels <= indices.min() and indices.max() < x.channels:
                return _unpacked_again(b, [x], np.asarray(indices, np.int64) % x.channels, 1)
    return None


def concat_of_unpack(node: Node, b: Builder) -> Value | None:
    """concat(unpack(x), unpack(y)) = unpack(concat(x, y)), or unpack(rearrange(x, y)) where blocks are not full"""
    match node:
        case Node(op=Concat(axis=axis), inputs=inputs) if node.output.type.rank == 4:
            pass
        case _:
            return None
    known = [x for value in inputs if (x := _Blocks.of(value)) is not None]
    if not known or 2 * len(known) < len(inputs):
        return None
    lanes = known[0].image.type.extents[-1]
    channels = node.output.type.extents[1]
    parts = max(x.parts for x in known)
    if axis != 1:
        operands = [b.add(Pack(lanes, parts), value) for value in inputs]
        return b.add(Unpack(channels, parts), b.add(Concat(axis), *operands))
    images = [_Blocks.of(value) or _Blocks(b.add(Pack(lanes), value), value.type.extents[1], 1) for value in inputs]
    return _unpacked_again(b, images, np.arange(channels), parts if channels % parts == 0 else 1)


def _unpacked_again(b: Builder, images: Sequence[_Blocks], wanted: Numbers, parts: int) -> Value:
    return b.add(Unpack(len(wanted), parts), _rearranged(b, images, wanted, parts))


def _rearranged(b: Builder, images: Sequence[_Blocks], wanted: Numbers, parts: int) -> Value:
    """The ``wanted`` of the channels of all images laid end to end, as blocks in ``parts``."""
    operands = [x.image for x in images]
    lanes = operands[0].type.extents[-1]
    starts = np.cumsum([0, *(x.type.extents[1] * lanes for x in operands[:-1])])
    held = [start + places(x.channels, lanes, x.parts) for x, start in zip(images, starts, strict=True)]
    sources = np.full(blocks(len(wanted), lanes, parts) * lanes, NO_CHANNEL)
    sources[places(len(wanted), lanes, parts)] = np.concatenate(held)[wanted]
    operands, sources = _through(operands, sources)
    start = int(sources[0])
    if len(operands) == 1 and start % lanes == 0 and _follows(sources, start):
        (x,) = operands
        count = len(sources) // lanes
        return x if count == x.type.extents[1] else b.add(full_slice(x.type.shape, 1, start // lanes, count), x)
    if len(sources) == sum(x.type.extents[1] for x in operands) * lanes and _follows(sources, 0):
        return b.add(Concat(1), *operands)
    return b.add(Rearrange(tuple(sources.tolist())), *operands)


def _follows(sources: Numbers, start: int) -> bool:
    """Whether the lanes that have a channel stand one after the other."""
    return bool(np.all((sources == NO_CHANNEL) | (sources == start + np.arange(len(sources)))))


def _through(operands: Sequence[Value], sources: Numbers) -> tuple[list[Value], Numbers]:
    """Operands that are rearranged themselves replaced by what they were made of; those that are not read left out."""
    lanes = operands[0].type.extents[-1]
    table: list[Numbers] = []
    found: dict[Value, int] = {}
    end = 0

    def place(value: Value) -> Numbers:
        nonlocal end
        if value not in found:
            found[value] = end
            end += value.type.extents[1] * lanes
        return found[value] + np.arange(value.type.extents[1] * lanes)

    used = np.unique(sources[sources != NO_CHANNEL])
    start = 0
    for x in operands:
        size = x.type.extents[1] * lanes
        here = (used >= start) & (used < start + size)
        start += size
        match x:
            case _ if not here.any():
                table.append(np.full(size, NO_CHANNEL))
            case Value(producer=Node(op=Rearrange(sources=inner), inputs=inputs)):
                lanes_of_inputs = np.concatenate([*(place(v) for v in inputs), [NO_CHANNEL]])
                table.append(lanes_of_inputs[list(inner)])
            case _:
                table.append(place(x))
    return list(found), np.concatenate([*table, [NO_CHANNEL]])[sources]
