"""Fourier transforms.

A transform is a product with a matrix of sines and cosines as long as that is small; a longer one is made of shorter
ones. All is computed in f64. A number is its real part, or its real and its imaginary part side by side, in a last
dimension of one or two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.op import Composite, Emitter, Movement, T
from glowpy_ir.ops.elementwise import FLOATS, Add, Mul, Sub, require_kind, scalar
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Concat, Pad, Reshape, Slice, Transpose, full_slice
from glowpy_ir.ops.reduction import cast
from glowpy_ir.strided import Strided
from glowpy_ir.types import Array, Kind, TensorType

DIRECT, DIRECT_PRIME = 256, 1024
"""The longest transform that is one product with a matrix; and the longest such of a prime length."""

MOST = 1 << 18
"""The longest transform: its factors are kept as a table."""


@dataclass(frozen=True)
class Frames(Movement):
    """Runs of ``length`` elements along ``axis``, the first ones ``step`` apart: ``[a…, n, b…]`` makes
    ``[a…, count, length, b…]``. What does not fill a run at the end is left out.
    """

    axis: int
    length: int
    step: int

    def infer(self, input: TensorType) -> TensorType:
        if not 0 <= self.axis < input.rank or self.length < 1 or self.step < 1:
            raise TypeMismatch(f"{input} has no frames of {self.length} every {self.step} along axis {self.axis}")
        extent = input.shape[self.axis]
        if isinstance(extent, int) and extent < self.length:
            raise TypeMismatch(f"a frame of {self.length} is longer than dimension {self.axis} of {input}")
        count = (extent - self.length) // self.step + 1
        return input.with_shape(*input.shape[: self.axis], count, self.length, *input.shape[self.axis + 1 :])

    def evaluate(self, input: Array) -> Array:
        every = np.lib.stride_tricks.sliding_window_view(input, self.length, self.axis)
        return np.moveaxis(every[(slice(None),) * self.axis + (slice(None, None, self.step),)], -1, self.axis + 1)

    def restride(self, source: Strided) -> Strided:
        (shape, strides), axis = (source.shape, source.strides), self.axis
        count = (shape[axis] - self.length) // self.step + 1
        stride = strides[axis]
        return Strided(
            source.offset,
            (*shape[:axis], count, self.length, *shape[axis + 1 :]),
            (*strides[:axis], stride * self.step, stride, *strides[axis + 1 :]),
        )


@dataclass(frozen=True)
class Dft(Composite):
    """The discrete Fourier transform of ``length`` numbers along ``axis`` (ONNX DFT)

    Too few are followed by zeros, too many are left out. The sum of ``x[n] * exp(-2πi k n / length)``; ``inverse``
    with the other sign, and divided by ``length``. ``onesided``, only the first half and one more are kept; or for an
    inverse are there, and the result is real.
    """

    axis: int
    length: int
    inverse: bool = False
    onesided: bool = False

    def expand(self, e: Emitter[T], input: T) -> T:
        type = e.type_of(input)
        require_kind(self.name, type.kind, FLOATS)
        if not 0 <= self.axis < type.rank - 1 or type.shape[-1] not in (1, 2):
            raise TypeMismatch(f"{type} holds no numbers of one or two parts along axis {self.axis}")
        if not 1 <= self.length <= MOST:
            raise Unsupported(f"a transform of {self.length} numbers is not supported; 1 to {MOST} are")
        given = self.length // 2 + 1 if self.inverse and self.onesided else self.length
        numbers = _fit(e, cast(e, input, Kind.F64), self.axis, given)
        order = (*(d for d in range(type.rank - 1) if d != self.axis), self.axis, type.rank - 1)
        numbers = e.add(Transpose(order), numbers)
        if not self.inverse:
            kept = self.length // 2 + 1 if self.onesided else self.length
            result = _first(e, _transform(e, numbers, self.length, -1), kept)
        elif self.onesided:
            result = _real_inverse(e, numbers, self.length)
        else:
            whole = _transform(e, numbers, self.length, 1)
            result = e.add(Mul(), whole, scalar(e, 1 / self.length, whole))
        back = Transpose(tuple(order.index(d) for d in range(type.rank)))
        return cast(e, e.add(back, result), type.kind)


@dataclass(frozen=True)
class ShortTimeDft(Composite):
    """The discrete Fourier transforms of frames of ``length`` numbers, one every ``step`` (ONNX STFT)

    ``signal [N, samples, 1 or 2]``, of which each frame is multiplied by ``window [length]``, makes
    ``[N, frames, length, 2]``; ``onesided``, only the first half and one more of each.
    """

    length: int
    step: int
    onesided: bool = True

    def expand(self, e: Emitter[T], signal: T, window: T | None = None) -> T:
        type = e.type_of(signal)
        require_kind(self.name, type.kind, FLOATS)
        if type.rank != 3 or type.shape[2] not in (1, 2):
            raise TypeMismatch(f"a signal is [N, samples, 1 or 2], not {type}")
        if window is not None and e.type_of(window).shape != (self.length,):
            raise TypeMismatch(f"the window of frames of {self.length} cannot be {e.type_of(window)}")
        if self.length > MOST:
            raise Unsupported(f"a transform of {self.length} numbers is not supported; at most {MOST}")
        frames = e.add(Frames(1, self.length, self.step), cast(e, signal, Kind.F64))
        factors = None if window is None else e.add(Reshape((self.length, 1)), cast(e, window, Kind.F64))
        kept = self.length // 2 + 1 if self.onesided else self.length
        if self.length <= DIRECT:
            result = _product(e, frames, _matrix(self.length, kept, -1), factors)
        else:
            weighed = frames if factors is None else e.add(Mul(), frames, factors)
            result = _first(e, _transform(e, weighed, self.length, -1), kept)
        return cast(e, result, type.kind)


def _fit(e: Emitter[T], numbers: T, axis: int, count: int) -> T:
    """``count`` numbers along ``axis``: zeros are added, or the last ones left out."""
    shape = e.type_of(numbers).extents
    if shape[axis] >= count:
        return numbers if shape[axis] == count else e.add(full_slice(shape, axis, 0, count), numbers)
    after = tuple(count - shape[axis] if d == axis else 0 for d in range(len(shape)))
    return e.add(Pad((0,) * len(shape), after), numbers)


def _first(e: Emitter[T], numbers: T, count: int) -> T:
    """The first numbers along the last dimension but one."""
    shape = e.type_of(numbers).shape
    return numbers if shape[-2] == count else e.add(full_slice(shape, len(shape) - 2, 0, count), numbers)


def _transform(e: Emitter[T], numbers: T, length: int, sign: int) -> T:
    """``[…, length, 1 or 2]`` to ``[…, length, 2]``: ``Σ x[n] * exp(sign * 2πi k n / length)``."""
    factor = next((n for n in range(math.isqrt(length), 1, -1) if length % n == 0), 1)
    if length <= (DIRECT_PRIME if factor == 1 else DIRECT):
        return _product(e, numbers, _matrix(length, length, sign))
    return _by_chirp(e, numbers, length, sign) if factor == 1 else _by_parts(e, numbers, length, factor, sign)


def _by_parts(e: Emitter[T], numbers: T, length: int, rows: int, sign: int) -> T:
    """Transforms of the columns and then of the rows of a matrix (Cooley and Tukey, 1965)."""
    *lead, _, parts = e.type_of(numbers).shape
    columns, n = length // rows, len(lead)
    turn = Transpose((*range(n), n + 1, n, n + 2))
    by_column = e.add(turn, e.add(Reshape((*lead, rows, columns, parts)), numbers))
    inner = _transform(e, by_column, rows, sign)  # [column, row frequency]
    inner = _times(e, inner, _roots(length, sign, np.outer(np.arange(columns), np.arange(rows))))
    outer = _transform(e, e.add(turn, inner), columns, sign)  # [row frequency, column frequency]
    return e.add(Reshape((*lead, length, 2)), e.add(turn, outer))


def _by_chirp(e: Emitter[T], numbers: T, length: int, sign: int) -> T:
    """A convolution, which a transform of a length with small factors computes (Bluestein, 1970)."""
    padded = 1 << (2 * length - 1).bit_length()
    squares = np.arange(length) ** 2 % (2 * length)
    chirp = _roots(2 * length, sign, squares)
    kernel = np.zeros(padded, np.complex128)
    kernel[:length] = _complex(chirp).conj()
    kernel[padded - length + 1 :] = kernel[1:length][::-1]
    *lead, _, parts = e.type_of(numbers).shape
    if parts == 1:
        numbers = e.add(Pad((0,) * (len(lead) + 2), (*(0 for _ in lead), 0, 1)), numbers)
    spread = _fit(e, _times(e, numbers, chirp), len(lead), padded)
    product = _times(e, _transform(e, spread, padded, -1), _parts(np.fft.fft(kernel) / padded))
    return _times(e, _first(e, _transform(e, product, padded, 1), length), chirp)


def _real_inverse(e: Emitter[T], numbers: T, length: int) -> T:
    """The first half ``[…, length // 2 + 1, 1 or 2]`` of a symmetric spectrum to ``length`` real numbers."""
    if length <= DIRECT:
        return _product(e, numbers, _real_matrix(length))
    *lead, _, parts = e.type_of(numbers).extents
    rest = (length - 1) // 2  # how many are the conjugates of others
    mirrored = Slice((*(0 for _ in lead), rest, 0), (*lead, rest, parts), (*(1 for _ in lead), -1, 1))
    conjugate = e.add(Mul(), e.add(mirrored, numbers), e.constant(np.array([1.0, -1.0][:parts])))
    whole = _transform(e, e.add(Concat(len(lead)), numbers, conjugate), length, 1)
    real = e.add(full_slice(e.type_of(whole).shape, len(lead) + 1, 0, 1), whole)
    return e.add(Mul(), real, scalar(e, 1 / length, real))


def _product(e: Emitter[T], numbers: T, matrix: Array, factors: T | None = None) -> T:
    """``[…, n, parts]`` times a matrix ``[n, 2, m, p]``, each row ``n`` of which is multiplied by its factor."""
    *lead, count, parts = e.type_of(numbers).shape
    _, _, results, made = matrix.shape
    flat = e.constant(np.ascontiguousarray(matrix[:, : 2 if parts == 2 else 1]).reshape(len(matrix), -1))
    flat = flat if factors is None else e.add(Mul(), flat, factors)
    flat = e.add(Reshape((count * parts, results * made)), flat)
    rows = e.add(Reshape((*lead, count * parts)), numbers)
    return e.add(Reshape((*lead, results, made)), e.add(MatMul(), rows, flat))


def _times(e: Emitter[T], numbers: T, factors: Array) -> T:
    """Complex products of ``[…, 2]`` with ``factors`` of the last dimensions."""
    shape = e.type_of(numbers).shape
    axis = len(shape) - 1
    real, imaginary = (e.add(full_slice(shape, axis, part, 1), numbers) for part in (0, 1))
    cosine, sine = (e.constant(np.ascontiguousarray(factors[..., part : part + 1])) for part in (0, 1))
    parts = (
        e.add(Sub(), e.add(Mul(), real, cosine), e.add(Mul(), imaginary, sine)),
        e.add(Add(), e.add(Mul(), real, sine), e.add(Mul(), imaginary, cosine)),
    )
    return e.add(Concat(axis), *parts)


def _complex(parts: Array) -> Array:
    return np.asarray(parts[..., 0] + 1j * parts[..., 1])


def _parts(numbers: Array) -> Array:
    return np.stack([numbers.real, numbers.imag], -1)


def _roots(length: int, sign: int, powers: Array) -> Array:
    """``exp(sign * 2πi p / length)`` for each power ``p``: f64 ``[…, 2]``."""
    angles = np.arange(length) * (2 * math.pi / length)
    table = np.stack([np.cos(angles), sign * np.sin(angles)], -1)
    return np.asarray(table[powers % length])


@lru_cache(8)
def _matrix(length: int, kept: int, sign: int) -> Array:
    """What each number adds to each of the first results, by parts: f64 ``[length, 2, kept, 2]``."""
    roots = _roots(length, sign, np.outer(np.arange(length), np.arange(kept)))
    times_i = np.stack([-roots[..., 1], roots[..., 0]], -1)
    return np.stack([roots, times_i], 1)


@lru_cache(8)
def _real_matrix(length: int) -> Array:
    """What each number of the half spectrum adds to each real result: f64 ``[length // 2 + 1, 2, length, 1]``."""
    count = length // 2 + 1
    matrix = _matrix(length, length, 1)[:count, :, :, :1] / length
    twice = np.full((count, 1, 1, 1), 2.0)
    twice[0] = 1
    if length % 2 == 0:
        twice[-1] = 1
    return np.asarray(matrix * twice)
