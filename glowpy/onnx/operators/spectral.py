"""Fourier transforms, and what speech models make of spectra."""

from __future__ import annotations

import numpy as np

from glowpy.onnx.context import NodeContext, Table, positive_axis
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.graph import Value
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.ops.spectral import Dft, ShortTimeDft
from glowpy_ir.types import Kind

MOST_WEIGHTS = 1 << 24
"""A larger matrix of mel weights is refused."""


def load_dft_17(c: NodeContext) -> Value:
    return _dft(c, c.attributes.int("axis", 1))


def load_dft_20(c: NodeContext) -> Value:
    return _dft(c, -2 if c.optional(2) is None else _scalar(c, 2))


def _dft(c: NodeContext, axis: int) -> Value:
    inverse, onesided = c.attributes.flag("inverse", False), c.attributes.flag("onesided", False)
    axis = positive_axis(axis, c.type(0).rank)
    extent = c.type(0).extents[axis]
    usual = 2 * (extent - 1) if inverse and onesided else extent
    length = usual if c.optional(1) is None else _scalar(c, 1)
    return c.b.add(Dft(axis, length, inverse, onesided), c.input(0))


def load_stft(c: NodeContext) -> Value:
    """The frames are as long as operand 3 says, or as the window (operand 2), or as the signal."""
    window, onesided = c.optional(2), c.attributes.flag("onesided", True)
    signal = c.input(0)
    if signal.type.rank == 2:  # as PyTorch writes it, and ONNX Runtime takes it: real numbers
        signal = c.b.add(Reshape((*signal.type.extents, 1)), signal)
    if signal.type.rank != 3:
        raise TypeMismatch(f"a signal is [N, samples, 1 or 2], not {signal.type}")
    length = c.type(0).extents[1] if window is None else window.type.extents[0]
    if c.optional(3) is not None:
        length = _scalar(c, 3)
    operands = [signal] if window is None else [signal, window]
    return c.b.add(ShortTimeDft(length, _scalar(c, 1), onesided), *operands)


def _scalar(c: NodeContext, index: int) -> int:
    numbers = c.known_ints(index)
    if len(numbers) != 1:
        raise TypeMismatch(f"input {index} must be one number, not {c.type(index)}")
    return numbers[0]


def load_mel_weight_matrix(c: NodeContext) -> Value:
    """Triangles over the bins of a spectrum ``[dft_length // 2 + 1, bands]``, evenly spaced on the mel scale."""
    bands, length, rate = (_scalar(c, index) for index in range(3))
    low, high = (float(c.known(index).item()) for index in (3, 4))
    fits = 0 <= bands <= MOST_WEIGHTS and 0 < length <= MOST_WEIGHTS and bands * length <= MOST_WEIGHTS
    if not (fits and rate > 0 and 0 <= low <= high):
        raise BadModel(f"no {bands} bands of {length} samples at {rate} per second from {low} to {high} Hz")
    start, end = (2595 * np.log10(1 + edge / 700) for edge in (low, high))
    mels = start + np.arange(bands + 2) * (end - start) / (bands + 2)
    edges = np.floor((length + 1) * 700 * (10 ** (mels / 2595) - 1) / rate).astype(np.int64)
    if edges[-1] > length // 2 + 1:
        raise BadModel(f"{high} Hz is more than half of {rate} samples per second")
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(length // 2 + 1)[:, None]
    with np.errstate(all="ignore"):
        rising = np.where(center > left, (bins - left) / (center - left), 1.0)
        falling = (right - bins) / (right - center)
    weights = np.where((left <= bins) & (bins <= center), rising, 0.0)
    weights = np.where((center <= bins) & (bins < right), falling, weights)
    return c.constant(weights.astype(c.attributes.kind("output_datatype", Kind.F32).dtype))


LOADERS: Table = {
    ("DFT", 17): load_dft_17,
    ("DFT", 20): load_dft_20,
    ("STFT", 17): load_stft,
    ("MelWeightMatrix", 17): load_mel_weight_matrix,
}
