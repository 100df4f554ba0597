"""Fourier transforms against NumPy's, of every kind of length."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.spectral import Dft, Frames, ShortTimeDft
from glowpy_ir.strided import Strided
from glowpy_ir.types import Array, TensorType

RNG = np.random.default_rng(0)

LENGTHS = (1, 2, 3, 10, 31, 256, 257, 513, 600, 1024, 1031, 2062)
"""Short ones; with factors; 257 and 1031 are primes, and 2062 is twice one."""


def whole(parts: Array) -> Array:
    """Complex numbers of what has one or two parts."""
    return parts[..., 0] + 1j * parts[..., 1] if parts.shape[-1] == 2 else parts[..., 0]


def check(op: Op, expected: Array, *operands: Array) -> None:
    (result,) = apply(op, *operands)
    assert infer(op, *map(TensorType.of, operands)) == (TensorType.of(result),)
    np.testing.assert_allclose(whole(result), expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("length", LENGTHS)
def test_dft(length: int, parts: int) -> None:
    x = RNG.standard_normal((2, length, 3, parts))
    half = x[:, : length // 2 + 1]
    check(Dft(1, length), np.fft.fft(whole(x), axis=1), x)
    check(Dft(1, length, onesided=True), np.fft.fft(whole(x), axis=1)[:, : length // 2 + 1], x)
    check(Dft(1, length, inverse=True), np.fft.ifft(whole(x), axis=1), x)
    check(Dft(1, length, inverse=True, onesided=True), np.fft.irfft(whole(half), length, axis=1), half)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("length", [5, 13])
def test_numbers_are_added_or_left_out(axis: int, length: int) -> None:
    x = RNG.standard_normal((7, 8, 9, 2))
    check(Dft(axis, length), np.fft.fft(whole(x), length, axis), x)
    check(Dft(axis, length, inverse=True, onesided=True), np.fft.irfft(whole(x), length, axis), x)


def test_half_precision_is_rounded_once() -> None:
    x = RNG.standard_normal((1, 64, 1)).astype(np.float16)
    (result,) = apply(Dft(1, 64), x)
    expected = np.fft.fft(x[..., 0].astype(np.float64), axis=1)
    np.testing.assert_array_equal(result[..., 0], expected.real.astype(np.float16))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("length", "step"), [(16, 8), (7, 5), (600, 64), (99, 100)])
def test_short_time_dft(length: int, step: int, parts: int) -> None:
    x, window = RNG.standard_normal((2, 701, parts)), np.hanning(length)
    frames = np.stack([whole(x)[:, i : i + length] for i in range(0, 701 - length + 1, step)], 1)
    for kept, onesided in ((length, False), (length // 2 + 1, True)):
        check(ShortTimeDft(length, step, onesided), np.fft.fft(frames)[..., :kept], x)
        check(ShortTimeDft(length, step, onesided), np.fft.fft(frames * window)[..., :kept], x, window)


def test_frames_are_a_view() -> None:
    x = np.arange(2 * 11 * 3).reshape(2, 11, 3)
    op = Frames(1, 4, 3)
    (result,) = apply(op, x)
    view = op.restride(Strided.dense(x.shape))
    assert view.shape == result.shape == (2, 3, 4, 3)
    strides = [stride * x.itemsize for stride in view.strides]
    np.testing.assert_array_equal(np.lib.stride_tricks.as_strided(x, view.shape, strides), result)
    np.testing.assert_array_equal(result[1, 2], x[1, 6:10])


@pytest.mark.parametrize(
    ("op", "operands", "message"),
    [
        (Dft(2, 4), ["f32[1,4,2]"], "along axis 2"),
        (Dft(1, 4), ["f32[1,4,3]"], "one or two parts"),
        (Dft(1, 4), ["i32[1,4,1]"], "takes elements of"),
        (ShortTimeDft(4, 1), ["f32[1,9]"], "a signal is"),
        (ShortTimeDft(4, 1), ["f32[1,9,1]", "f32[5]"], "the window"),
        (ShortTimeDft(10, 1), ["f32[1,9,1]"], "longer than"),
        (ShortTimeDft(4, 0), ["f32[1,9,1]"], "no frames"),
        (ShortTimeDft(-4, 1), ["f32[1,9,1]"], "no frames"),
    ],
)
def test_operands_that_do_not_fit_are_refused(op: Op, operands: list[str], message: str) -> None:
    with pytest.raises(TypeMismatch, match=message):
        infer(op, *map(TensorType.parse, operands))


@pytest.mark.parametrize("length", [0, -3, 1 << 40])
def test_absurd_lengths_are_refused(length: int) -> None:
    with pytest.raises(Unsupported, match="a transform of"):
        infer(Dft(1, length), TensorType.parse("f32[1,4,1]"))
