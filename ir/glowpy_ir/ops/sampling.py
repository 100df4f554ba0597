"""Elements at places between those of a grid, and regions of images that are pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

import numpy as np

from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import FLOATS, require_kind, widened
from glowpy_ir.types import Array, Kind, TensorType

FAR = 1 << 30
"""Places that are further out, or NaN, count as being here."""

MOST_SAMPLES = 1 << 12
"""More samples along one dimension of a bin are refused."""

CUBIC = -0.75
"""The slope at distance one of the cubic's weights (Keys, 1981, equation 4)."""


class Interpolation(Enum):
    """What is made of the neighbours of a place."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


TAPS: Mapping[Interpolation, int] = {Interpolation.NEAREST: 1, Interpolation.LINEAR: 2, Interpolation.CUBIC: 4}
"""How many neighbours there are along a dimension."""


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
            result += np.where(weight == 0, 0, elements) * weight.astype(places.dtype)
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


@dataclass(frozen=True)
class RoiAlign(Primitive):
    """Regions of images, each as a grid of means of samples (ONNX RoiAlign; He and others, arXiv 1703.06870)

    ``input [N, C, H, W]``, regions ``[count, 4]`` as left, top, right, bottom, which ``scale`` makes coordinates of
    the image, and the image of each, ``batch [count]`` of i64, make ``[count, C, *pooled]``. A bin has ``ratio`` by
    ``ratio`` samples; if that is 0, about one for each element, but no more than the image has along a dimension.
    With ``shift``, the center of the first element lies at 1/2; else at 0, and regions are at least one element wide.
    With ``largest``, a bin is the largest product of an element and its weight.
    """

    pooled: tuple[int, int]
    ratio: int = 0
    scale: float = 1.0
    shift: bool = True
    largest: bool = False

    def infer(self, input: TensorType, regions: TensorType, batch: TensorType) -> TensorType:
        require_kind(self.name, input.kind, FLOATS)
        _check_regions(self.name, input, regions, 4)
        if batch.kind is not Kind.I64 or batch.shape != regions.shape[:1]:
            raise TypeMismatch(f"each of {regions} needs the number of its image, not {batch}")
        if min(self.pooled) < 1 or not 0 <= self.ratio <= MOST_SAMPLES:
            raise TypeMismatch(f"regions cannot become {self.pooled} with {self.ratio} samples")
        return input.with_shape(regions.shape[0], input.shape[1], *self.pooled)

    def evaluate(self, input: Array, regions: Array, batch: Array) -> Array:
        images, corners = widened(input), widened(regions)
        if batch.size and not (batch.min() >= 0 and batch.max() < len(input)):
            raise UsageError(f"a region from {batch.min()} to {batch.max()} is of no image of {len(input)}")
        result = np.zeros((len(regions), input.shape[1], *self.pooled), images.dtype)
        with np.errstate(all="ignore"):
            for number, (region, image) in enumerate(zip(corners, batch, strict=True)):
                result[number] = self._one(images[image], region)
        return result.astype(input.dtype)

    def _one(self, image: Array, region: Array) -> Array:
        """The grid ``[C, *pooled]`` of one region."""
        type = image.dtype.type
        left, top, right, bottom = region * type(self.scale) - type(0.5 if self.shift else 0)
        rows = self._places(top, bottom, self.pooled[0], image.shape[1])
        columns = self._places(left, right, self.pooled[1], image.shape[2])
        result = np.zeros((image.shape[0], *self.pooled), image.dtype)
        if 0 in (rows.shape[1], columns.shape[1]):
            return result
        for i, j in product(*map(range, self.pooled)):
            parts = []
            for (y, y_inside, v), (x, x_inside, u) in product(
                _neighbours(rows[i], image.shape[1]), _neighbours(columns[j], image.shape[2])
            ):
                weight = np.where(y_inside[:, None] & x_inside[None], v[:, None] * u[None], 0)
                parts.append(image[:, y[:, None], x[None]] * weight)
            count = type(rows.shape[1] * columns.shape[1])
            result[:, i, j] = np.max(parts, (0, 2, 3)) if self.largest else np.sum(parts, (0, 2, 3)) / count
        return result

    def _places(self, start: Array, end: Array, bins: int, extent: int) -> Array:
        """Where the samples of each bin lie along one dimension: ``[bins, count]``."""
        type = start.dtype.type
        size = end - start if self.shift else np.fmax(end - start, type(1))
        step = size / type(bins)
        count = self.ratio or int(np.fmin(np.fmax(np.ceil(step), 0), extent))
        within = (np.arange(count).astype(type) + type(0.5)) * step / type(max(count, 1))
        return np.asarray(start + np.arange(bins).astype(type)[:, None] * step + within)


@dataclass(frozen=True)
class MaxRoiPool(Primitive):
    """Regions of images, each as a grid of largest elements (ONNX MaxRoiPool; Girshick, arXiv 1504.08083)

    ``input [N, C, H, W]`` and regions ``[count, 5]`` as image, left, top, right, bottom, of which ``scale`` makes
    coordinates that are rounded, make ``[count, C, *pooled]``. A bin without elements is zero.
    """

    pooled: tuple[int, int]
    scale: float = 1.0

    def infer(self, input: TensorType, regions: TensorType) -> TensorType:
        require_kind(self.name, input.kind, FLOATS)
        _check_regions(self.name, input, regions, 5)
        if min(self.pooled) < 1:
            raise TypeMismatch(f"regions cannot become {self.pooled}")
        return input.with_shape(regions.shape[0], input.shape[1], *self.pooled)

    def evaluate(self, input: Array, regions: Array) -> Array:
        numbers = widened(regions)
        result = np.zeros((len(regions), input.shape[1], *self.pooled), input.dtype)
        for region, row in enumerate(numbers):
            image = int(np.fmin(np.fmax(row[0], -1), len(input)))
            corners = np.fmin(np.fmax(row[1:] * row.dtype.type(self.scale), -FAR), FAR)
            if not 0 <= image < len(input):
                raise UsageError(f"a region is of image {image}, but there are {len(input)}")
            left, top, right, bottom = (np.trunc(corners + np.copysign(0.5, corners))).astype(np.int64)
            rows, columns = self._bins(top, bottom, 0, input.shape[2]), self._bins(left, right, 1, input.shape[3])
            for i, j in product(*map(range, self.pooled)):
                under = input[image, :, slice(*rows[i]), slice(*columns[j])]
                if under.size:
                    result[region, :, i, j] = under.max((1, 2))
        return result

    def _bins(self, start: int, end: int, axis: int, extent: int) -> Sequence[tuple[int, int]]:
        """The first and one past the last element of each bin along one dimension."""
        bins = self.pooled[axis]
        step = np.float32(max(end - start + 1, 1)) / np.float32(bins)
        edges = np.arange(bins + 1).astype(np.float32) * step
        low, high = np.floor(edges[:-1]).astype(np.int64), np.ceil(edges[1:]).astype(np.int64)
        return list(zip(np.clip(low + start, 0, extent), np.clip(high + start, 0, extent), strict=True))


def _check_regions(name: str, input: TensorType, regions: TensorType, columns: int) -> None:
    if input.rank != 4 or 0 in input.shape[2:]:
        raise TypeMismatch(f"{name} takes images [N, C, H, W], not {input}")
    if regions.kind is not input.kind or regions.rank != 2 or regions.shape[1] != columns:
        raise TypeMismatch(f"regions of {input} are {input.kind.value}[count, {columns}], not {regions}")


def _neighbours(places: Array, extent: int) -> list[tuple[Array, Array, Array]]:
    """The two elements around each place: their numbers, whether the place counts, and their weights.

    What lies less than one beyond the first element is moved to it, and what is not beyond the end to the last.
    """
    inside = (places >= -1) & (places <= extent)
    near = np.where(inside, np.fmax(places, 0), 0)
    base = np.minimum(near.astype(np.int64), extent - 1)
    last = base == extent - 1
    distance = np.where(last, 0, near - base).astype(places.dtype)
    return [(base, inside, 1 - distance), (np.minimum(base + 1, extent - 1), inside, distance)]
