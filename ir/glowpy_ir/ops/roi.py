"""Regions of images, which are pooled to grids of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from glowpy_ir.errors import TypeMismatch, UsageError
from glowpy_ir.op import Primitive
from glowpy_ir.ops.elementwise import FLOATS, require_kind, widened
from glowpy_ir.ops.sampling import FAR
from glowpy_ir.types import Array, Kind, TensorType

MOST_SAMPLES = 1 << 12
"""More samples along one dimension of a bin are refused."""

MOST_SAMPLES_PER_ELEMENT = 4
"""Where their number is left to the operator, it grows with a region no further than so: regions may be any size."""


@dataclass(frozen=True)
class RoiAlign(Primitive):
    """Regions of images, each as a grid of means of samples (ONNX RoiAlign; He and others, arXiv 1703.06870)

    ``input [N, C, H, W]``, regions ``[count, 4]`` as left, top, right, bottom, which ``scale`` makes coordinates of
    the image, and the image of each, ``batch [count]`` of i64, make ``[count, C, *pooled]``. A bin has ``ratio`` by
    ``ratio`` samples; if that is 0, about one for each element, but at most four for each that the image has.
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
        count = self.ratio or int(np.fmin(np.fmax(np.ceil(step), 0), MOST_SAMPLES_PER_ELEMENT * extent))
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
    if input.shape[0] == 0 and regions.shape[:1] != (0,):
        raise TypeMismatch(f"{input} has no images that {regions} could be regions of")
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
