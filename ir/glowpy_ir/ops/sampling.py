"""Elements at places between those of a grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import product

import numpy as np

from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import FLOATS, require_kind, widened
from glowpy_ir.types import Array, Kind, TensorType

FAR = 1 << 30
"""Places that are further out, or NaN, count as being here."""

CUBIC = -0.75
"""The slope at distance one of the cubic's weights (Keys, 1981, equation 4)."""


class Interpolation(Enum):
    """What is made of the neighbours of a place."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


TAPS: Mapping[Interpolation, int] = {Interpolation.NEAREST: 1, Interpolation.LINEAR: 2, Interpolation.CUBIC: 4}
"""How many neighbours there are along a dimension."""

MOST_NEIGHBOURS = 1 << 8
"""More of them around one place are refused."""


class Outside(Enum):
    """What lies outside of a grid: zeros, the elements at the edge, or the grid mirrored about these or the edge."""

    ZERO = "zero"
    EDGE = "edge"
    REFLECT = "reflect"
    SYMMETRIC = "symmetric"


@dataclass(frozen=True)
class Sample(Primitive):
    """What stands at ``places`` of a grid: a weighted sum of the elements around each

    ``[N, C, n…]`` and places ``[N, count, len(n)]``, of f64 or else f32, make ``[N, C, count]``. The first element of
    a dimension lies at 0, the next one at 1. What weighs nothing does not count, even if it is infinite.
    """

    interpolation: Interpolation = Interpolation.LINEAR
    outside: Outside = Outside.ZERO

    def infer(self, input: TensorType, places: TensorType) -> TensorType:
        require_kind(self.name, input.kind, FLOATS)
        wanted = Kind.F64 if input.kind is Kind.F64 else Kind.F32
        rank = input.rank - 2
        if rank < 1 or places.kind is not wanted or places.rank != 3 or places.shape[2] != rank:
            raise TypeMismatch(f"{input} [N, C, …] is sampled at {wanted.value}[N, count, {rank}], not at {places}")
        if TAPS[self.interpolation] ** rank > MOST_NEIGHBOURS:
            raise Unsupported(f"sampling {input} by {self.interpolation.value} interpolation needs too many neighbours")
        if places.shape[0] != input.shape[0] or 0 in input.shape[2:]:
            raise TypeMismatch(f"there is nothing to sample in {input} at {places}")
        return input.with_shape(*input.shape[:2], places.shape[1])

    def evaluate(self, input: Array, places: Array) -> Array:
        image = widened(input)
        axes = [self._taps(places[..., d], extent) for d, extent in enumerate(input.shape[2:])]
        batch = np.arange(len(input))[:, None]
        result = np.zeros((*places.shape[:2], input.shape[1]), places.dtype)
        for taps in product(*axes):
            numbers, inside, weights = zip(*taps, strict=True)
            weight = np.where(np.logical_and.reduce(inside), np.prod(weights, axis=0), 0)[..., None]
            elements = image[(batch, slice(None), *numbers)]
            with np.errstate(all="ignore"):
                result += np.where(weight == 0, 0, elements) * weight.astype(places.dtype)
        with np.errstate(over="ignore"):
            return np.moveaxis(result, 2, 1).astype(input.dtype)

    def _taps(self, places: Array, extent: int) -> list[tuple[Array, Array, Array]]:
        """The neighbours along one dimension: their numbers, whether they exist, and their weights."""
        near = np.fmin(np.fmax(places, -FAR), FAR)
        base = np.rint(near) if self.interpolation is Interpolation.NEAREST else np.floor(near)
        first = base.astype(np.int64)
        weights = tap_weights(self.interpolation, near - base)
        before = (TAPS[self.interpolation] - 1) // 2
        return [(*self._fold(first - before + i, extent), weight) for i, weight in enumerate(weights)]

    def _fold(self, numbers: Array, extent: int) -> tuple[Array, Array]:
        """Which element a number stands for, and whether it is one."""
        everywhere = np.ones(numbers.shape, bool)
        match self.outside:
            case Outside.ZERO:
                return np.clip(numbers, 0, extent - 1), (numbers >= 0) & (numbers < extent)
            case Outside.EDGE:
                return np.clip(numbers, 0, extent - 1), everywhere
            case Outside.REFLECT:
                period = max(2 * (extent - 1), 1)
                return np.minimum(numbers % period, period - numbers % period), everywhere
            case Outside.SYMMETRIC:
                period = 2 * extent
                return np.minimum(numbers % period, period - 1 - numbers % period), everywhere


def tap_weights(interpolation: Interpolation, distance: Array) -> list[Array]:
    """The weights of the neighbours in order, for the distance from the one before a place (or the nearest)."""
    match interpolation:
        case Interpolation.NEAREST:
            return [np.ones_like(distance)]
        case Interpolation.LINEAR:
            return [1 - distance, distance]
        case Interpolation.CUBIC:
            return [_far(1 + distance), _near(distance), _near(1 - distance), _far(2 - distance)]


def _near(distance: Array) -> Array:
    return np.asarray(((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1)


def _far(distance: Array) -> Array:
    return np.asarray(((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC)
