"""Operators on images that are made of sampling, resampling and products."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import Dim, product
from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.elementwise import Add, Mul, Sub, scalar
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Concat, Pad, Reshape, Slice, Transpose, full_slice
from glowpy_ir.ops.reduction import cast, wide
from glowpy_ir.ops.resampling import Resample
from glowpy_ir.ops.sampling import Interpolation, Outside, Sample
from glowpy_ir.types import Array, Kind
from glowpy_ir.windows import Windows

MOST_PLACES = 1 << 22
"""The largest dimension of an image that is put together by a table of its places."""


@dataclass(frozen=True)
class GridSample(Composite):
    """``input`` at the places that ``grid`` names from -1 to 1 (ONNX GridSample; Jaderberg and others, 1506.02025)

    ``[N, C, n…]`` and a grid ``[N, out…, len(n)]``, whose coordinates stand in the opposite order of dimensions, make
    ``[N, C, out…]``. With ``aligned``, -1 and 1 are the centers of the first and the last element, else their edges.
    """

    interpolation: Interpolation = Interpolation.LINEAR
    outside: Outside = Outside.ZERO
    aligned: bool = False

    def expand(self, e: Emitter[T], input: T, grid: T) -> T:
        type, given = e.type_of(input), e.type_of(grid)
        rank = type.rank - 2
        if rank < 1 or given.rank != type.rank or given.shape[-1] != rank:
            raise TypeMismatch(f"{type} [N, C, …] needs a grid [N, …, {rank}] of as many dimensions, not {given}")
        image = input if type.kind.is_float else cast(e, input, Kind.F64)
        kind = Kind.F64 if e.type_of(image).kind is Kind.F64 else Kind.F32
        backwards = Slice((0,) * (rank + 1) + (rank - 1,), given.shape, (1,) * (rank + 1) + (-1,))
        places = self._places(e, e.add(backwards, cast(e, grid, kind)), type.with_shape(*type.shape[2:]).extents)
        flat = e.add(Reshape((given.shape[0], product(given.shape[1:-1]), rank)), places)
        result = e.add(Sample(self.interpolation, self.outside), image, flat)
        return cast(e, e.add(Reshape((*type.shape[:2], *given.shape[1:-1])), result), type.kind)

    def _places(self, e: Emitter[T], places: T, extents: tuple[int, ...]) -> T:
        """Coordinates of elements for those from -1 to 1."""
        sizes, dtype = np.array(extents), e.type_of(places).kind.dtype

        def each(numbers: Array) -> T:
            return e.constant(numbers.astype(dtype))

        shifted = e.add(Add(), places, scalar(e, 1, places))
        if self.aligned:
            return e.add(Mul(), e.add(Mul(), shifted, scalar(e, 0.5, places)), each(sizes - 1))
        scaled = e.add(Sub(), e.add(Mul(), shifted, each(sizes)), scalar(e, 1, places))
        return e.add(Mul(), scaled, scalar(e, 0.5, places))


@dataclass(frozen=True)
class DeformConv(Composite):
    """A convolution whose taps lie where ``offset`` moves them (ONNX DeformConv; Dai and others, arXiv 1703.06211)

    ``input [N, C, n…]``, weights ``[M, C / groups, k…]`` and offsets ``[N, parts * product(k) * len(k), out…]`` make
    ``[N, M, out…]``, with a bias ``[M]``. Each of ``parts`` groups of channels has offsets of its own, and factors for
    its taps, ``mask [N, parts * product(k), out…]`` (arXiv 1811.11168).
    """

    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int = 1
    parts: int = 1

    def expand(
        self, e: Emitter[T], input: T, weights: T, offset: T, bias: T | None = None, mask: T | None = None
    ) -> T:
        type, (results, inner, *kernel) = e.type_of(input), e.type_of(weights).extents
        windows = Windows(tuple(kernel), self.strides, self.before, self.after, self.dilations)
        counts = windows.count(type)
        batch, channels, rank, taps = type.shape[0], type.extents[1], len(kernel), math.prod(kernel)
        if self.groups < 1 or self.parts < 1 or channels != inner * self.groups:
            raise TypeMismatch(f"{e.type_of(weights)} in {self.groups} groups does not fit the channels of {type}")
        if results % self.groups or channels % self.parts:
            raise TypeMismatch(f"{channels} and {results} channels do not divide into {self.groups} and {self.parts}")
        if e.type_of(offset).shape != (batch, self.parts * taps * rank, *counts):
            raise TypeMismatch(f"the offsets of {type} under {windows} cannot be {e.type_of(offset)}")
        count, elements = product(counts), wide(e, input)
        kind = e.type_of(elements).kind
        image = e.add(Reshape((batch * self.parts, channels // self.parts, *type.shape[2:])), elements)
        columns = e.add(Sample(), image, self._places(e, cast(e, offset, kind), windows, counts))
        if mask is not None:
            if e.type_of(mask).shape != (batch, self.parts * taps, *counts):
                raise TypeMismatch(f"the factors of {type} under {windows} cannot be {e.type_of(mask)}")
            factors = e.add(Reshape((batch * self.parts, 1, taps * count)), cast(e, mask, kind))
            columns = e.add(Mul(), columns, factors)
        columns = e.add(Reshape((batch, self.groups, inner * taps, count)), columns)
        matrix = e.add(Reshape((self.groups, results // self.groups, inner * taps)), cast(e, weights, kind))
        result = e.add(Reshape((batch, results, *counts)), e.add(MatMul(), matrix, columns))
        if bias is not None:
            result = e.add(Add(), result, e.add(Reshape((results, *(1,) * rank)), cast(e, bias, kind)))
        return cast(e, result, type.kind)

    def _places(self, e: Emitter[T], offset: T, windows: Windows, counts: tuple[Dim, ...]) -> T:
        """Where all taps lie: ``[N * parts, product(k) * product(out), len(k)]``."""
        type, rank = e.type_of(offset), len(counts)
        whole = type.shape[0] * self.parts
        shape = (whole, *windows.kernel, *counts)
        by_axis = e.add(Reshape((whole, *windows.kernel, rank, *counts)), offset)
        parts = []
        for d in range(rank):
            one = e.add(full_slice((whole, *windows.kernel, rank, *counts), 1 + rank, d, 1), by_axis)
            first = np.arange(windows.kernel[d]) * windows.dilations[d] - windows.before[d]
            step = np.arange(type.extents[2 + d]) * windows.strides[d]
            for position, numbers in ((1 + d, first), (1 + rank + d, step)):
                along = [len(numbers) if axis == position else 1 for axis in range(len(shape))]
                moved = e.constant(numbers.astype(type.kind.dtype).reshape(along))
                one = e.add(Add(), one if e.type_of(one).shape == shape else e.add(Reshape(shape), one), moved)
            count = math.prod(windows.kernel) * math.prod(type.extents[2:])
            parts.append(e.add(Reshape((whole, count, 1)), one))
        return e.add(Concat(2), *parts)


@dataclass(frozen=True)
class Col2Im(Composite):
    """An image of its windows, which are added up where they overlap (ONNX Col2Im)

    ``[N, C * product(kernel), product(count)]`` makes ``[N, C, *image]``.
    """

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]

    def expand(self, e: Emitter[T], input: T) -> T:
        type, rank = e.type_of(input), len(self.image)
        if max(self.image, default=0) > MOST_PLACES:
            raise Unsupported(f"an image of {self.image} is larger than {MOST_PLACES} along a dimension")
        windows = Windows(self.kernel, self.strides, self.before, self.after, self.dilations)
        counts = type.with_shape(*windows.count(type.with_shape(1, 1, *self.image))).extents
        taps = math.prod(self.kernel)
        if type.rank != 3 or type.extents[1] % taps or type.shape[2] != math.prod(counts):
            raise TypeMismatch(f"{type} does not hold windows {windows} of images {self.image}")
        batch, channels = type.shape[0], type.extents[1] // taps
        result = e.add(Reshape((batch, channels, *self.kernel, *counts)), wide(e, input))
        order = (0, 1, *(d for i in range(rank) for d in (2 + i, 2 + rank + i)))
        pairs = [k * n for k, n in zip(self.kernel, counts, strict=True)]
        result = e.add(Reshape((batch, channels, *pairs)), e.add(Transpose(order), result))
        for d in range(rank):
            after = tuple(int(axis == 2 + d) for axis in range(2 + rank))
            padded = e.add(Pad((0,) * (2 + rank), after), result)  # the zero that missing windows give
            tables = map(e.constant, self._tables(d, pairs[d]))
            result = e.add(Resample(2 + d), padded, *tables)
        return cast(e, result, type.kind)

    def _tables(self, d: int, missing: int) -> tuple[Array, Array]:
        """Which elements of all windows are added up for each place along a dimension: i32 and f32 tables."""
        count = missing // self.kernel[d]
        places = np.arange(self.kernel[d])[:, None] * self.dilations[d] + np.arange(count) * self.strides[d]
        flat = places.reshape(-1) - self.before[d]
        inside = np.flatnonzero((flat >= 0) & (flat < self.image[d]))
        at = flat[inside]
        order = np.argsort(at, kind="stable")
        first = np.searchsorted(at[order], np.arange(self.image[d]))
        number = np.arange(len(at)) - first[at[order]]
        table = np.full((self.image[d], max(1, number.max(initial=0) + 1)), missing, np.int32)
        table[at[order], number] = inside[order]
        return table, np.ones(table.shape, np.float32)
