"""Quantization: numbers as narrow integers (or floats) of which one step is worth ``scale`` and ``zero`` means nothing.

``real = scale * (stored - zero)``. A scale and its zero have one shape: one number for the whole tensor, one for each
place along ``axis``, or one for each ``block`` of places along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from glowpy_ir.dims import product
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.activation import Clip
from glowpy_ir.ops.convert import SMALL_INTEGERS, BitCast, Cast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import FLOATS, Add, Div, Max, Min, Mul, Sub, scalar
from glowpy_ir.ops.functions import Round
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.logic import And, Equal, Less, Select, ShiftRight
from glowpy_ir.ops.movement import Reshape, full_slice
from glowpy_ir.ops.reduction import ReduceMax, ReduceMin, cast
from glowpy_ir.ops.resampling import Repeat
from glowpy_ir.types import Kind, TensorType

QUANTIZED = frozenset({Kind.I8, Kind.U8, Kind.I16, Kind.U16, Kind.I4, Kind.U4, Kind.I2, Kind.U2})


def spread(e: Emitter[T], part: T, like: TensorType, axis: int, block: int) -> T:
    """A scale or a zero in a shape that is broadcast to a tensor ``like``; TypeMismatch if it does not fit."""
    type = e.type_of(part)
    if block:
        return _blocks(e, part, like, axis, block)
    if type.rank == 0 or product(type.shape) == 1:
        return e.add(Reshape(()), part)
    if type.rank > 1 or not 0 <= axis < like.rank or type.shape[0] != like.shape[axis]:
        raise TypeMismatch(f"{type} is no scale or zero for each place along axis {axis} of {like}")
    return e.add(Reshape((*type.shape, *(1 for _ in like.shape[axis + 1 :]))), part)


def _blocks(e: Emitter[T], part: T, like: TensorType, axis: int, block: int) -> T:
    type = e.type_of(part)
    shape = like.shape
    if type.rank != like.rank or not 0 <= axis < like.rank or block < 0:
        raise TypeMismatch(f"{type} is no scale or zero for blocks of {block} along axis {axis} of {like}")
    extent, count = shape[axis], type.shape[axis]
    others = tuple(dim for d, dim in enumerate(type.shape) if d != axis)
    fits = others == tuple(dim for d, dim in enumerate(shape) if d != axis)
    if not isinstance(extent, int) or not fits or count != -(-extent // block):
        raise TypeMismatch(f"{type} is no scale or zero for blocks of {block} along axis {axis} of {like}")
    block = min(block, max(extent, 1))
    each = e.add(Repeat(tuple(block if d == axis else 1 for d in range(like.rank))), part)
    return each if extent == block * count else e.add(full_slice(e.type_of(each).shape, axis, 0, extent), each)


@dataclass(frozen=True)
class QuantizeLinear(Composite):
    """``input / scale``, rounded to the nearest and of two to the even one, plus ``zero``, as ``kind``
    (ONNX QuantizeLinear)

    What is out of range becomes the nearest number in it; in floats of 8 bits without ``saturate``, infinite or NaN.
    The quotient is computed in ``precision``, or if that is None in the kind of the scale.
    """

    kind: Kind = Kind.U8
    axis: int = 0
    block: int = 0
    saturate: bool = True
    precision: Kind | None = None

    def expand(self, e: Emitter[T], input: T, scale: T, zero: T | None = None) -> T:
        type = e.type_of(input)
        kind = self.precision or e.type_of(scale).kind
        kind = kind if kind in FLOATS else Kind.F32
        divisor = cast(e, spread(e, scale, type, self.axis, self.block), kind)
        quotient = cast(e, e.add(Div(), cast(e, input, kind), divisor), Kind.F32)
        if zero is not None and e.type_of(zero).kind is not self.kind:
            raise TypeMismatch(f"the zero of a tensor of {self.kind.value} cannot be {e.type_of(zero)}")
        zero = None if zero is None else spread(e, zero, type, self.axis, self.block)
        if self.kind in QUANTIZED:
            return to_steps(e, quotient, zero, self.kind)
        if not self.kind.is_float or self.kind in FLOATS:
            raise TypeMismatch(f"tensors are not quantized as {self.kind.value}")
        return e.add(Cast(self.kind, self.saturate), quotient)  # eight-bit floats have no other zero than 0


def to_steps(e: Emitter[T], quotient: T, zero: T | None, kind: Kind) -> T:
    """Numbers of steps (f32) rounded and moved by ``zero`` to the integers of ``kind``, within its range."""
    steps = e.add(Round(), quotient)
    if zero is not None:
        steps = e.add(Add(), steps, cast(e, zero, Kind.F32))
    if kind in SMALL_INTEGERS:
        steps = e.add(Clip(*kind.limits), steps)
    return cast(e, steps, kind)


@dataclass(frozen=True)
class DequantizeLinear(Composite):
    """``(input - zero) * scale`` in the kind of the scale, or as ``kind`` (ONNX DequantizeLinear)"""

    axis: int = 0
    block: int = 0
    kind: Kind | None = None

    def expand(self, e: Emitter[T], input: T, scale: T, zero: T | None = None) -> T:
        type = e.type_of(input)
        kind = self.kind or e.type_of(scale).kind
        if kind not in FLOATS:
            raise TypeMismatch(f"tensors are not dequantized to {kind.value}")
        inside = Kind.F64 if kind is Kind.F64 else Kind.F32
        steps = cast(e, input, inside)
        if zero is not None:
            if e.type_of(zero).kind is not type.kind:
                raise TypeMismatch(f"the zero of {type} cannot be {e.type_of(zero)}")
            steps = e.add(Sub(), steps, cast(e, spread(e, zero, type, self.axis, self.block), inside))
        factor = cast(e, spread(e, scale, type, self.axis, self.block), inside)
        return cast(e, e.add(Mul(), steps, factor), kind)


@dataclass(frozen=True)
class DynamicQuantizeLinear(Composite):
    """``input`` (f32) as u8 over the range that it has, which takes in 0; and the scale and the zero of that
    (ONNX DynamicQuantizeLinear)

    The scale is 1 if all elements are zero.
    """

    def expand(self, e: Emitter[T], input: T) -> tuple[T, T, T]:
        axes = tuple(range(e.type_of(input).rank))
        nothing = scalar(e, 0, input)
        low = e.add(Min(), e.add(ReduceMin(axes, False), input), nothing)
        high = e.add(Max(), e.add(ReduceMax(axes, False), input), nothing)
        step = e.add(Div(), e.add(Sub(), high, low), scalar(e, 255, input))
        scale = e.add(Select(), e.add(Equal(), low, high), scalar(e, 1, input), step)
        zero = cast(e, e.add(Round(), e.add(Div(), e.add(Sub(), nothing, low), scale)), Kind.U8)
        return to_steps(e, e.add(Div(), input, scale), zero, Kind.U8), scale, zero


def centered(e: Emitter[T], input: T, zero: T | None) -> T:
    """``input - zero`` as i16, in which the difference of two integers of eight bits fits; without a zero as it is.

    ``zero`` is broadcast to ``input``.
    """
    if zero is None:
        return input
    return e.add(Sub(), cast(e, input, Kind.I16), cast(e, zero, Kind.I16))


def _by_row(e: Emitter[T], part: T) -> T:
    """One number for each row of a matrix, as a column."""
    type = e.type_of(part)
    return e.add(Reshape((*type.shape, 1)), part) if type.rank == 1 and type.shape[0] != 1 else part


@dataclass(frozen=True)
class MatMulInteger(Composite):
    """``(lhs - lhs_zero) @ (rhs - rhs_zero)`` in i32, of integers of eight bits (ONNX MatMulInteger)

    A zero is one number, or one for each row of ``lhs`` or each column of ``rhs``.
    """

    def expand(self, e: Emitter[T], lhs: T, rhs: T, lhs_zero: T | None = None, rhs_zero: T | None = None) -> T:
        left = centered(e, lhs, None if lhs_zero is None else _by_row(e, lhs_zero))
        return e.add(MatMul(), left, centered(e, rhs, rhs_zero))


@dataclass(frozen=True)
class ConvInteger(Composite):
    """``conv`` of ``input - input_zero`` with ``weights - weights_zero`` in i32, of integers of eight bits
    (ONNX ConvInteger)

    The zero of the input is one number, that of the weights one, or one for each channel of the result.
    """

    conv: Conv

    def expand(
        self, e: Emitter[T], input: T, weights: T, input_zero: T | None = None, weights_zero: T | None = None,
        bias: T | None = None,
    ) -> T:  # fmt: skip
        factors = e.type_of(weights)
        zero = None if weights_zero is None else spread(e, weights_zero, factors, 0, 0)
        image = centered(e, input, None if input_zero is None else spread(e, input_zero, factors, 0, 0))
        return e.add(self.conv, image, centered(e, weights, zero), *(() if bias is None else (bias,)))


@dataclass(frozen=True)
class Requantize(Composite):
    """``input`` (i32) ``* factor``, rounded to the nearest and of two to the even one, plus ``zero``, as the kind of
    ``zero``; ``factor`` (f32) and ``zero`` are broadcast to ``input``"""

    def expand(self, e: Emitter[T], input: T, factor: T, zero: T) -> T:
        steps = e.add(Mul(), cast(e, input, Kind.F32), cast(e, factor, Kind.F32))
        return to_steps(e, steps, zero, e.type_of(zero).kind)


@dataclass(frozen=True)
class QLinearMatMul(Composite):
    """The product of two quantized matrices, quantized (ONNX QLinearMatMul)

    A scale and its zero are one number, or one for each row of ``lhs`` or each column of ``rhs``. The result has the
    kind of ``zero``. Floats of eight bits are multiplied as f32.
    """

    def expand(
        self, e: Emitter[T],
        lhs: T, lhs_scale: T, lhs_zero: T, rhs: T, rhs_scale: T, rhs_zero: T, scale: T, zero: T,
    ) -> T:  # fmt: skip
        kind = e.type_of(zero).kind
        lhs_scale, lhs_zero = _by_row(e, lhs_scale), _by_row(e, lhs_zero)
        if kind in QUANTIZED:
            sums = e.add(MatMulInteger(), lhs, rhs, lhs_zero, rhs_zero)
            return e.add(Requantize(), sums, e.add(Div(), e.add(Mul(), lhs_scale, rhs_scale), scale), zero)
        operands = (
            e.add(Mul(), cast(e, side, Kind.F32), cast(e, factor, Kind.F32))
            for side, factor in ((lhs, lhs_scale), (rhs, rhs_scale))
        )
        return e.add(QuantizeLinear(kind), e.add(MatMul(), *operands), cast(e, scale, Kind.F32))


@dataclass(frozen=True)
class QLinearConv(Composite):
    """The convolution of quantized tensors, quantized (ONNX QLinearConv)

    The scales and zeros of ``weights`` are one number, or one for each channel of the result; the others are one.
    ``bias`` (i32) has the steps of the product. The result has the kind of ``zero``.
    """

    conv: Conv

    def expand(
        self, e: Emitter[T],
        input: T, input_scale: T, input_zero: T, weights: T, weights_scale: T, weights_zero: T, scale: T, zero: T,
        bias: T | None = None,
    ) -> T:  # fmt: skip
        biases = () if bias is None else (bias,)
        sums = e.add(ConvInteger(self.conv), input, weights, input_zero, weights_zero, *biases)
        type = e.type_of(sums)
        by_channel = spread(e, weights_scale, type, 1, 0)
        factor = e.add(Mul(), spread(e, input_scale, type, 1, 0), by_channel)
        factor = e.add(Div(), factor, spread(e, scale, type, 1, 0))
        return e.add(Requantize(), sums, factor, spread(e, zero, type, 1, 0))


@dataclass(frozen=True)
class UnpackBits(Composite):
    """The numbers of ``bits`` bits that each byte holds, the first in its lowest bits, as u8: ``[*, n]`` becomes
    ``[*, n * 8 / bits]``"""

    bits: int

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        if type.kind is not Kind.U8 or type.rank == 0 or self.bits not in (1, 2, 4, 8):
            raise TypeMismatch(f"{type} does not hold numbers of {self.bits} bits")
        shifts = e.constant(np.arange(0, 8, self.bits).astype(np.uint8))
        shifted = e.add(ShiftRight(), e.add(Reshape((*type.shape, 1)), input), shifts)
        numbers = e.add(And(), shifted, scalar(e, (1 << self.bits) - 1, input))
        return e.add(Reshape((*type.shape[:-1], type.shape[-1] * (8 // self.bits))), numbers)


class Rounding(Enum):
    """Which power of two stands for a number between two of them."""

    UP = "up"
    DOWN = "down"
    NEAREST = "nearest"


@dataclass(frozen=True)
class CastToPower(Composite):
    """The power of two that is nearest to the magnitude of ``input``, as f8e8m0 (ONNX Cast to FLOAT8E8M0)

    Infinity and NaN are NaN. Without ``saturate``, so is what is rounded up beyond the largest power.
    """

    rounding: Rounding = Rounding.UP
    saturate: bool = True

    def expand(self, e: Emitter[T], input: T) -> T:
        bits = e.add(BitCast(Kind.U32), cast(e, input, Kind.F32))
        exponent = e.add(And(), e.add(ShiftRight(), bits, scalar(e, 23, bits)), scalar(e, 0xFF, bits))
        rest = e.add(And(), bits, scalar(e, 0x7FFFFF, bits))
        nothing, special = scalar(e, 0, bits), scalar(e, 0xFF, bits)
        power = exponent
        if self.rounding is not Rounding.DOWN:
            most = nothing
            if self.rounding is Rounding.NEAREST:  # the middle goes up, but for that of denormals
                is_normal = e.add(Less(), nothing, exponent)
                most = e.add(Select(), is_normal, scalar(e, 0x3FFFFF, bits), scalar(e, 0x400000, bits))
            power = e.add(Add(), exponent, cast(e, e.add(Less(), most, rest), Kind.U32))
        if self.saturate:
            power = e.add(Min(), power, scalar(e, 0xFE, bits))
        power = e.add(Select(), e.add(Equal(), exponent, special), special, power)
        return e.add(BitCast(Kind.F8E8M0), e.add(Cast(Kind.U8), power))
