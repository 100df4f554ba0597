"""Normalisation: numbers shifted and scaled to mean zero and variance one, or to norm one, then by learned factors.

Half-precision floats are computed in f32; the result has the kind of the first operand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from glowpy_ir.dims import Dim, product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.elementwise import Add, Div, Mul, Pow, Sub, scalar
from glowpy_ir.ops.functions import Sqrt
from glowpy_ir.ops.logic import Equal, Select
from glowpy_ir.ops.movement import Pad, Reshape, full_slice
from glowpy_ir.ops.reduction import ReduceL1, ReduceL2, ReduceMean, cast, wide
from glowpy_ir.types import Kind


@dataclass(frozen=True)
class BatchNormalization(Composite):
    """``(input - mean) / sqrt(variance + epsilon) * scale + bias`` for each channel

    ``input`` is [N, C, ...], the other operands are [C]; or have the shape of one ``input`` without N, and then each
    place of each channel has its own. Multiplies by ``scale / sqrt(variance + epsilon)`` and adds what remains, so
    that constants fold into two operands (ONNX BatchNormalization in inference; Ioffe and Szegedy, arXiv 1502.03167).
    """

    epsilon: float = 1e-5

    def expand(self, e: Emitter[T], input: T, scale: T, bias: T, mean: T, variance: T) -> T:
        wide_input = wide(e, input)
        kind = e.type_of(wide_input).kind
        parts = [_per_channel(e, cast(e, part, kind), input) for part in (scale, bias, mean, variance)]
        scale, bias, mean, variance = parts
        factor = e.add(Div(), scale, _deviation(e, variance, self.epsilon))
        offset = e.add(Sub(), bias, e.add(Mul(), mean, factor))
        return cast(e, e.add(Add(), e.add(Mul(), wide_input, factor), offset), e.type_of(input).kind)


@dataclass(frozen=True)
class BatchTraining(Composite):
    """A batch normalised by its own mean and variance, and the running ones moved towards these

    The results are ``(input - mean) / sqrt(variance + epsilon) * scale + bias`` for each channel of ``[N, C, ...]``,
    and ``momentum * running + (1 - momentum) * current`` for the mean and for the variance, [C] each (ONNX
    BatchNormalization in training; Ioffe and Szegedy, arXiv 1502.03167).
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    def expand(self, e: Emitter[T], input: T, scale: T, bias: T, mean: T, variance: T) -> tuple[T, T, T]:
        _channels(e, input)
        axes = (0, *range(2, e.type_of(input).rank))
        elements = wide(e, input)
        current = e.add(ReduceMean(axes), elements)
        distance = e.add(Sub(), elements, current)
        spread = e.add(ReduceMean(axes), e.add(Mul(), distance, distance))
        operands = [_per_channel(e, cast(e, part, e.type_of(elements).kind), input) for part in (scale, bias)]
        unit = e.add(Div(), distance, _deviation(e, spread, self.epsilon))
        result = e.add(Add(), e.add(Mul(), unit, operands[0]), operands[1])
        moved = self._moved(e, mean, current), self._moved(e, variance, spread)
        return cast(e, result, e.type_of(input).kind), *moved

    def _moved(self, e: Emitter[T], running: T, current: T) -> T:
        type = e.type_of(running)
        old = wide(e, running)
        new = cast(e, e.add(Reshape(type.shape), current), e.type_of(old).kind)
        kept = e.add(Mul(), old, scalar(e, self.momentum, old))
        return cast(e, e.add(Add(), kept, e.add(Mul(), new, scalar(e, 1 - self.momentum, new))), type.kind)


@dataclass(frozen=True)
class Standardize(Composite):
    """``(input - mean) / sqrt(variance + epsilon)``, the mean and the variance those along ``axes``

    If not ``centered``, the mean counts as zero: ``input / sqrt(mean(input²) + epsilon)``.
    """

    axes: tuple[int, ...]
    epsilon: float = 1e-5
    centered: bool = True

    def expand(self, e: Emitter[T], input: T) -> T:
        kind = e.type_of(input).kind
        if not kind.is_float:
            raise TypeMismatch(f"{self.name} takes floats; not {e.type_of(input)}")
        elements = wide(e, input)
        if self.centered:
            elements, spread = _moments(e, elements, self.axes, self.epsilon)
        else:
            squares = e.add(Mul(), elements, elements)
            spread = _deviation(e, e.add(ReduceMean(self.axes), squares), self.epsilon)
        return cast(e, e.add(Div(), elements, spread), kind)


@dataclass(frozen=True)
class LayerNormalization(Composite):
    """``(input - mean) / sqrt(variance + epsilon) * scale + bias`` along ``axis`` and all later axes

    ``scale`` and ``bias`` are broadcast to ``input`` (ONNX LayerNormalization; Ba et al., arXiv 1607.06450).
    """

    axis: int
    epsilon: float = 1e-5

    def expand(self, e: Emitter[T], input: T, scale: T, bias: T | None = None) -> T:
        axes = axes_from(e, input, self.axis)
        return _affine(e, e.add(Standardize(axes, self.epsilon), input), scale, bias)


@dataclass(frozen=True)
class LayerStatistics(Composite):
    """The mean and ``1 / sqrt(variance + epsilon)`` that LayerNormalization uses (ONNX LayerNormalization)"""

    axis: int
    epsilon: float = 1e-5

    def expand(self, e: Emitter[T], input: T) -> tuple[T, T]:
        axes = axes_from(e, input, self.axis)
        elements = wide(e, input)
        _, spread = _moments(e, elements, axes, self.epsilon)
        return e.add(ReduceMean(axes), elements), e.add(Div(), scalar(e, 1, spread), spread)


@dataclass(frozen=True)
class RmsNormalization(Composite):
    """``input / sqrt(mean(input²) + epsilon) * scale`` (ONNX RMSNormalization; Zhang and Sennrich, arXiv 1910.07467)

    The mean is that along ``axis`` and all later axes; ``scale`` is broadcast to ``input``.
    """

    axis: int
    epsilon: float = 1e-5

    def expand(self, e: Emitter[T], input: T, scale: T) -> T:
        axes = axes_from(e, input, self.axis)
        return _affine(e, e.add(Standardize(axes, self.epsilon, centered=False), input), scale, None)


@dataclass(frozen=True)
class InstanceNormalization(Composite):
    """``(input - mean) / sqrt(variance + epsilon) * scale + bias``, the mean and the variance those of one channel of
    one sample (ONNX InstanceNormalization; Ulyanov et al., arXiv 1607.08022)

    ``input`` is [N, C, ...]; ``scale`` and ``bias`` are [C].
    """

    epsilon: float = 1e-5

    def expand(self, e: Emitter[T], input: T, scale: T, bias: T) -> T:
        normalized = e.add(Standardize(axes_from(e, input, 2), self.epsilon), input)
        return _affine(e, normalized, _per_channel(e, scale, input), _per_channel(e, bias, input))


@dataclass(frozen=True)
class GroupNormalization(Composite):
    """``(input - mean) / sqrt(variance + epsilon) * scale + bias``, the mean and the variance those of one group of
    channels of one sample (ONNX GroupNormalization; Wu and He, arXiv 1803.08494)

    ``input`` is [N, C, ...]; ``scale`` and ``bias`` are [C]; ``groups`` divides C.
    """

    groups: int
    epsilon: float = 1e-5

    def expand(self, e: Emitter[T], input: T, scale: T, bias: T) -> T:
        type = e.type_of(input)
        channels = _channels(e, input)
        if isinstance(channels, int) and (self.groups < 1 or channels % self.groups):
            raise TypeMismatch(f"the channels of {type} do not form {self.groups} equal groups")
        in_groups: tuple[Dim, ...] = (type.shape[0], self.groups, product((channels // self.groups, *type.shape[2:])))
        groups = e.add(Standardize((2,), self.epsilon), e.add(Reshape(in_groups), input))
        normalized = e.add(Reshape(type.shape), groups)
        return _affine(e, normalized, _per_channel(e, scale, input), _per_channel(e, bias, input))


@dataclass(frozen=True)
class MeanVarianceNormalization(Composite):
    """``(input - mean) / (sqrt(variance) + 1e-9)`` along ``axes`` (ONNX MeanVarianceNormalization)"""

    axes: tuple[int, ...]

    def expand(self, e: Emitter[T], input: T) -> T:
        elements = wide(e, input)
        deviation = e.add(Sub(), elements, e.add(ReduceMean(self.axes), elements))
        variance = e.add(ReduceMean(self.axes), e.add(Mul(), deviation, deviation))
        spread = e.add(Add(), e.add(Sqrt(), variance), scalar(e, 1e-9, variance))
        return cast(e, e.add(Div(), deviation, spread), e.type_of(input).kind)


@dataclass(frozen=True)
class LpNormalization(Composite):
    """``input`` divided by its norm along ``axis``, of order 1 or 2; 0 where the norm is (ONNX LpNormalization)"""

    axis: int
    order: int = 2

    def expand(self, e: Emitter[T], input: T) -> T:
        if self.order not in (1, 2):
            raise TypeMismatch(f"the order of a norm is 1 or 2; not {self.order}")
        elements = wide(e, input)
        norm = e.add((ReduceL1 if self.order == 1 else ReduceL2)((self.axis,)), elements)
        zero = scalar(e, 0, norm)
        quotient = e.add(Select(), e.add(Equal(), norm, zero), zero, e.add(Div(), elements, norm))
        return cast(e, quotient, e.type_of(input).kind)


@dataclass(frozen=True)
class Lrn(Composite):
    """``input / (bias + alpha / size * s) ** beta``, s the sum of the squares of ``size`` neighbouring channels

    ``input`` is [N, C, ...]. The window of channel c starts at ``c - (size - 1) // 2``; beyond the channels lie zeros
    (ONNX LRN; Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012).
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        channels = _channels(e, input)
        if self.size < 1:
            raise TypeMismatch(f"a window has at least one channel; not {self.size}")
        before, after = (self.size - 1) // 2, self.size // 2
        if isinstance(channels, int):  # What is further away than any channel is zero.
            before, after = min(before, channels), min(after, channels)
        elements = wide(e, input)
        others = (0,) * (type.rank - 2)
        squares = e.add(Pad((0, before, *others), (0, after, *others)), e.add(Mul(), elements, elements))
        padded = e.type_of(squares).shape
        neighbours = [e.add(full_slice(padded, 1, i, channels), squares) for i in range(before + 1 + after)]
        total = reduce(lambda lhs, rhs: e.add(Add(), lhs, rhs), neighbours)
        scaled = e.add(Mul(), scalar(e, self.alpha / self.size, total), total)
        base = e.add(Add(), scalar(e, self.bias, total), scaled)
        power = e.add(Pow(), base, scalar(e, self.beta, base))
        return cast(e, e.add(Div(), elements, power), type.kind)


def axes_from(e: Emitter[T], input: T, axis: int) -> tuple[int, ...]:
    """``axis`` and all later axes."""
    rank = e.type_of(input).rank
    if not 0 <= axis < rank:
        raise TypeMismatch(f"{e.type_of(input)} has no axis {axis}")
    return tuple(range(axis, rank))


def _moments(e: Emitter[T], input: T, axes: tuple[int, ...], epsilon: float) -> tuple[T, T]:
    """``input - mean`` and ``sqrt(variance + epsilon)``."""
    deviation = e.add(Sub(), input, e.add(ReduceMean(axes), input))
    variance = e.add(ReduceMean(axes), e.add(Mul(), deviation, deviation))
    return deviation, _deviation(e, variance, epsilon)


def _deviation(e: Emitter[T], variance: T, epsilon: float) -> T:
    return e.add(Sqrt(), e.add(Add(), variance, scalar(e, epsilon, variance)))


def _affine(e: Emitter[T], normalized: T, scale: T, bias: T | None) -> T:
    """``normalized * scale + bias``, computed in f32 if the kinds differ; in the kind and shape of ``normalized``."""
    type = e.type_of(normalized)
    kind = Kind.F32 if type.kind is not e.type_of(scale).kind and type.kind is not Kind.F64 else type.kind
    result = e.add(Mul(), cast(e, normalized, kind), cast(e, scale, kind))
    if bias is not None:
        result = e.add(Add(), result, cast(e, bias, kind))
    if e.type_of(result).shape != type.shape:
        raise TypeMismatch(f"the scale {e.type_of(scale)} or the bias does not broadcast to {type}")
    return cast(e, result, type.kind)


def _channels(e: Emitter[T], input: T) -> Dim:
    type = e.type_of(input)
    if type.rank < 2:
        raise TypeMismatch(f"{type} has no channels; it needs dimensions [N, C, ...]")
    return type.shape[1]


def _per_channel(e: Emitter[T], part: T, input: T) -> T:
    """``part`` with a shape that broadcasts to ``input``: [C] becomes [C, 1, ...]."""
    channels, shape = _channels(e, input), e.type_of(input).shape
    match e.type_of(part).shape:
        case (dim,) if dim == channels:
            return part if len(shape) == 2 else e.add(Reshape((channels, *(1 for _ in shape[2:]))), part)
        case dims if dims == shape[1:]:
            return part
        case _:
            raise TypeMismatch(f"{e.type_of(part)} has not one element for each channel of {e.type_of(input)}")
