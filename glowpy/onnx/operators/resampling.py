"""Enlarging and shrinking: ONNX Resize, and Upsample before it.

Every mode works on each axis by itself: a table says which elements an element of the result is made of, and with
which weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

import numpy as np

from glowpy.onnx.context import NodeContext, Table, positive_axes
from glowpy_ir.errors import BadModel
from glowpy_ir.graph import Value
from glowpy_ir.ops.elementwise import scalar
from glowpy_ir.ops.functions import Round
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.logic import Select
from glowpy_ir.ops.reduction import cast, wide
from glowpy_ir.ops.resampling import Repeat, Resample
from glowpy_ir.types import Array, TensorType


class Mode(Enum):
    """What is made of the neighbours of a place."""

    NEAREST = "nearest"
    LINEAR = "linear"
    CUBIC = "cubic"


class Nearest(Enum):
    """Which of two neighbours is taken."""

    ROUND_PREFER_FLOOR = "round_prefer_floor"
    ROUND_PREFER_CEIL = "round_prefer_ceil"
    FLOOR = "floor"
    CEIL = "ceil"


class Coordinates(Enum):
    """Where in the input an element of the result lies."""

    HALF_PIXEL = "half_pixel"
    HALF_PIXEL_SYMMETRIC = "half_pixel_symmetric"
    PYTORCH_HALF_PIXEL = "pytorch_half_pixel"
    ALIGN_CORNERS = "align_corners"
    ASYMMETRIC = "asymmetric"
    TF_HALF_PIXEL_FOR_NN = "tf_half_pixel_for_nn"
    TF_CROP_AND_RESIZE = "tf_crop_and_resize"


class Policy(Enum):
    """What of the wanted sizes gives way to the aspect ratio."""

    STRETCH = "stretch"
    NOT_LARGER = "not_larger"
    NOT_SMALLER = "not_smaller"


@dataclass(frozen=True)
class Axis:
    """How one axis is resized: from ``extent`` elements to ``count``, which lie ``1 / scale`` apart."""

    number: int
    extent: int
    count: int
    scale: Fraction
    crop: tuple[float, float] = (0.0, 1.0)
    """The part that is resized by TF_CROP_AND_RESIZE: start and end, as fractions of the extent."""

    def coordinates(self, rule: Coordinates) -> Array:
        """Where in the input each element of the result lies: float64 ``[count]``."""
        x, last, width = np.arange(self.count, dtype=np.float64), self.extent - 1, float(self.scale * self.extent)
        match rule:
            case Coordinates.PYTORCH_HALF_PIXEL | Coordinates.ALIGN_CORNERS if self.count == 1:
                return np.zeros(1)
            case Coordinates.HALF_PIXEL | Coordinates.PYTORCH_HALF_PIXEL:
                return self._apart(x + 0.5) - 0.5
            case Coordinates.HALF_PIXEL_SYMMETRIC:
                return self.extent / 2 * (1 - self.count / width) + self._apart(x + 0.5) - 0.5
            case Coordinates.TF_HALF_PIXEL_FOR_NN:
                return self._apart(x + 0.5)
            case Coordinates.ASYMMETRIC:
                return self._apart(x)
            case Coordinates.ALIGN_CORNERS:
                return x * last / (width - 1)
            case Coordinates.TF_CROP_AND_RESIZE:
                start, end = self.crop
                if self.count == 1:
                    return np.full(1, (start + end) / 2 * last)
                return start * last + x * (end - start) * last / (width - 1)

    def _apart(self, x: Array) -> Array:
        """``x / scale``, exactly wherever that is a number: ties must not depend on how a quotient is rounded."""
        return x * self.scale.denominator / self.scale.numerator


ROUNDING: Mapping[Nearest, Callable[[Array], Array]] = {
    Nearest.ROUND_PREFER_FLOOR: lambda x: np.ceil(x - 0.5),
    Nearest.ROUND_PREFER_CEIL: lambda x: np.floor(x + 0.5),
    Nearest.FLOOR: np.floor,
    Nearest.CEIL: np.ceil,
}


def linear(distance: Array) -> Array:
    """The weight of an element at a distance: 1 - |distance| within one step."""
    return np.asarray(np.maximum(1 - np.abs(distance), 0))


def cubic(a: float) -> Callable[[Array], Array]:
    """The weight of an element at a distance within two steps (Keys, 1981, equation 4)."""

    def weight(distance: Array) -> Array:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    return weight


@dataclass(frozen=True)
class Filter:
    """How neighbours are weighed: by their distance, up to ``reach`` steps away."""

    weight: Callable[[Array], Array]
    reach: int
    antialias: bool
    exclude_outside: bool

    def table(self, axis: Axis, x: Array) -> tuple[Array, Array]:
        """The elements around each place in ``x`` and their weights: i32 and f32 ``[count, taps]``.

        For shrinking, an antialiasing filter is stretched so that it sees every element. What lies outside is the
        element at the edge, or does not count.
        """
        stretch = 1 / min(float(axis.scale), 1.0) if self.antialias else 1.0
        reach = math.ceil(self.reach * stretch)
        indices = np.floor(x).astype(np.int64)[:, None] + np.arange(1 - reach, reach + 1)
        weights = self.weight((indices - x[:, None]) / stretch)
        if self.antialias:
            weights = weights / weights.sum(axis=1, keepdims=True)
        if self.exclude_outside:
            weights = np.where((indices < 0) | (indices >= axis.extent), 0, weights)
            total = weights.sum(axis=1, keepdims=True)
            weights = weights / np.where(total == 0, 1, total)
        used = weights.any(axis=0)
        inside = np.clip(indices, 0, axis.extent - 1)
        return inside[:, used].astype(np.int32), weights[:, used].astype(np.float32)


def load_resize_10(c: NodeContext) -> Value:
    """Resize and Upsample before there was a choice of coordinates."""
    scales = c.attributes.floats("scales", None) or tuple(c.known(1).reshape(-1).tolist())
    return resize_by_scales(c, scales, c.attributes.choice("mode", Mode, Mode.NEAREST) is Mode.NEAREST)


def resize_by_scales(c: NodeContext, scales: Sequence[float], is_nearest: bool) -> Value:
    """The input is sampled where ``x / scale`` lies, at the nearest element or between its neighbours."""
    axes = _scaled(c.type(0), range(c.type(0).rank), scales)
    places = [axis.coordinates(Coordinates.ASYMMETRIC) for axis in axes]
    if is_nearest:
        rounding = [np.ceil if axis.scale < 1 else np.floor for axis in axes]
        return _pick(c, axes, [round(x) for round, x in zip(rounding, places, strict=True)])
    return _weigh(c, axes, places, Filter(linear, 1, False, False))


def load_resize_11(c: NodeContext) -> Value:
    """Resize by scales (operand 2) or to sizes (operand 3), with a region of interest (operand 1) for one mode."""
    rule = c.attributes.choice("coordinate_transformation_mode", Coordinates, Coordinates.HALF_PIXEL)
    axes = _axes(c, rule)
    places = [axis.coordinates(rule) for axis in axes]
    mode = c.attributes.choice("mode", Mode, Mode.NEAREST)
    rounding = ROUNDING[c.attributes.choice("nearest_mode", Nearest, Nearest.ROUND_PREFER_FLOOR)]
    antialias = c.attributes.flag("antialias", False)
    exclude_outside = c.attributes.flag("exclude_outside", False)
    weight = cubic(c.attributes.float("cubic_coeff_a", -0.75))
    extrapolated = c.attributes.float("extrapolation_value", 0.0)
    if mode is Mode.NEAREST:
        result = _pick(c, axes, [rounding(x) for x in places])
    elif mode is Mode.LINEAR:
        result = _weigh(c, axes, places, Filter(linear, 1, antialias, exclude_outside))
    else:
        result = _weigh(c, axes, places, Filter(weight, 2, antialias, exclude_outside))
    if rule is not Coordinates.TF_CROP_AND_RESIZE:
        return result
    return _extrapolate(c, axes, places, result, extrapolated)


def _axes(c: NodeContext, rule: Coordinates) -> list[Axis]:
    """The axes that are resized, and to what."""
    type = c.type(0)
    numbers = positive_axes(c.attributes.ints("axes", tuple(range(type.rank))), type.rank)
    policy = c.attributes.choice("keep_aspect_ratio_policy", Policy, Policy.STRETCH)
    crops = [(0.0, 1.0)] * len(numbers)
    if rule is Coordinates.TF_CROP_AND_RESIZE:
        region = c.known(1).reshape(-1).tolist()
        if len(region) != 2 * len(numbers):
            raise BadModel(f"the region of interest has {len(region)} entries for {len(numbers)} axes")
        crops = list(zip(region[: len(numbers)], region[len(numbers) :], strict=True))
    sizes = () if c.optional(3) is None else c.known_ints(3)
    scales = () if c.optional(2) is None else tuple(c.known(2).reshape(-1).tolist())
    if bool(sizes) == bool(scales):
        raise BadModel("either scales or sizes are needed")
    if scales:
        return _scaled(type, numbers, scales, crops)
    return _sized(type, numbers, sizes, policy, crops)


def _scaled(
    type: TensorType, numbers: Sequence[int], scales: Sequence[float], crops: Sequence[tuple[float, float]] = ()
) -> list[Axis]:
    if len(scales) != len(numbers) or not all(0 < scale < math.inf for scale in scales):
        raise BadModel(f"scales {list(scales)} must be {len(numbers)} positive numbers")
    axes = []
    for number, scale, crop in zip(numbers, scales, crops or [(0.0, 1.0)] * len(numbers), strict=True):
        extent = type.extents[number]
        # The standard's text multiplies by the width of the crop too, but no implementation does, nor its own.
        count = int(np.floor(np.float32(extent) * np.float32(scale)))
        axes.append(Axis(number, extent, count, _meant(scale), crop))
    return axes


def _meant(scale: float) -> Fraction:
    """The simplest fraction that is stored as this float32: for 1.7 exactly that, not the number beside it."""
    stored = Fraction(scale)
    candidates = (stored.limit_denominator(10**digits) for digits in range(1, 7))
    return next((fraction for fraction in candidates if np.float32(float(fraction)) == np.float32(scale)), stored)


def _sized(
    type: TensorType, numbers: Sequence[int], sizes: Sequence[int], policy: Policy, crops: Sequence[tuple[float, float]]
) -> list[Axis]:
    if len(sizes) != len(numbers) or min(sizes) < 0:
        raise BadModel(f"sizes {list(sizes)} must be {len(numbers)} numbers that are not negative")
    extents = [type.extents[number] for number in numbers]
    if 0 in extents:
        raise BadModel(f"{type} is empty and cannot be resized")
    scales = [Fraction(size, extent) for size, extent in zip(sizes, extents, strict=True)]
    if policy is not Policy.STRETCH:
        scales = [min(scales) if policy is Policy.NOT_LARGER else max(scales)] * len(scales)
        sizes = [math.floor(scale * extent + Fraction(1, 2)) for scale, extent in zip(scales, extents, strict=True)]
    return [Axis(*entry) for entry in zip(numbers, extents, sizes, scales, crops, strict=True)]


def _pick(c: NodeContext, axes: Sequence[Axis], places: Sequence[Array]) -> Value:
    """One element for each place; a whole factor repeats elements, which needs no table."""
    result = c.input(0)
    factors = [1] * result.type.rank
    for axis, place in zip(axes, places, strict=True):
        indices = np.clip(place, 0, max(axis.extent - 1, 0)).astype(np.int32)
        factor = axis.count // max(axis.extent, 1)
        if factor and np.array_equal(indices, np.repeat(np.arange(axis.extent), factor)):
            factors[axis.number] = factor
        else:
            result = c.b.add(Gather(axis.number), result, c.constant(indices))
    return result if set(factors) <= {1} else c.b.add(Repeat(tuple(factors)), result)


def _weigh(c: NodeContext, axes: Sequence[Axis], places: Sequence[Array], filter: Filter) -> Value:
    """A weighted sum of the elements around each place, along one axis after the other: those that shrink first."""
    kind = c.type(0).kind
    result = wide(c.b, c.input(0))
    for axis, x in sorted(zip(axes, places, strict=True), key=lambda entry: entry[0].scale):
        if axis.extent != axis.count or not np.array_equal(x, np.arange(axis.count)):
            tables = [c.constant(table) for table in filter.table(axis, x)]
            result = c.b.add(Resample(axis.number), result, *tables)
    return cast(c.b, c.b.add(Round(), result) if kind.is_integer else result, kind)


def _extrapolate(
    c: NodeContext, axes: Sequence[Axis], places: Sequence[Array], result: Value, value: float
) -> Value:
    """``result``, but ``value`` where a place lies outside the input."""
    for axis, x in zip(axes, places, strict=True):
        inside = (x >= 0) & (x <= axis.extent - 1)
        if not inside.all():
            shape = [-1 if number == axis.number else 1 for number in range(result.type.rank)]
            result = c.b.add(Select(), c.constant(inside.reshape(shape)), result, scalar(c.b, value, result))
    return result


LOADERS: Table = {
    ("Upsample", 7): load_resize_10,
    ("Resize", 10): load_resize_10,
    ("Resize", 11): load_resize_11,
}
