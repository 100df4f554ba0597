"""The transforms of Winograd convolution along one line of a tile.

G is given as a matrix; ``Bᵀ`` and ``Aᵀ`` are written out, sharing what their rows have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from glowpy_backends.cpu.builder import Builder, Ssa, constant

Transform = Callable[[Builder, list[Ssa]], list[Ssa]]

WEIGHTS = {
    2: np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
}
"""G for each ``m``."""


def _scaled(b: Builder, factor: float, x: Ssa, y: Ssa) -> Ssa:
    """``factor * x + y``"""
    return b.fma(x, constant(factor, x.type), y)


def _inputs_2(b: Builder, d: list[Ssa]) -> list[Ssa]:
    """``(d0 - d2, d1 + d2, d2 - d1, d1 - d3)``"""
    return [
        b.op("fsub", d[0], d[2]),
        b.op("fadd", d[1], d[2]),
        b.op("fsub", d[2], d[1]),
        b.op("fsub", d[1], d[3]),
    ]


def _inputs_4(b: Builder, d: list[Ssa]) -> list[Ssa]:
    """``(4d0 - 5d2 + d4, ∓4d1 - 4d2 ± d3 + d4, ∓2d1 - d2 ± 2d3 + d4, 4d1 - 5d3 + d5)``"""
    even, odd = _scaled(b, -4, d[2], d[4]), _scaled(b, -4, d[1], d[3])
    near, far = b.op("fsub", d[4], d[2]), b.op("fsub", d[3], d[1])
    return [
        _scaled(b, 4, d[0], _scaled(b, -5, d[2], d[4])),
        b.op("fadd", even, odd),
        b.op("fsub", even, odd),
        _scaled(b, 2, far, near),
        _scaled(b, -2, far, near),
        _scaled(b, 4, d[1], _scaled(b, -5, d[3], d[5])),
    ]


def _outputs_2(b: Builder, p: list[Ssa]) -> list[Ssa]:
    """``(p0 + p1 + p2, p1 - p2 - p3)``"""
    return [
        b.op("fadd", b.op("fadd", p[0], p[1]), p[2]),
        b.op("fsub", b.op("fsub", p[1], p[2]), p[3]),
    ]


def _outputs_4(b: Builder, p: list[Ssa]) -> list[Ssa]:
    """``Σ pi kᵢⁿ`` for n = 0 … 3 at the points k = 0, ±1, ±2, and infinity."""
    sum1, difference1 = b.op("fadd", p[1], p[2]), b.op("fsub", p[1], p[2])
    sum2, difference2 = b.op("fadd", p[3], p[4]), b.op("fsub", p[3], p[4])
    return [
        b.op("fadd", b.op("fadd", p[0], sum1), sum2),
        _scaled(b, 2, difference2, difference1),
        _scaled(b, 4, sum2, sum1),
        b.op("fadd", _scaled(b, 8, difference2, difference1), p[5]),
    ]


INPUTS: Mapping[int, Transform] = {2: _inputs_2, 4: _inputs_4}
"""``Bᵀ d`` for each ``m``."""
OUTPUTS: Mapping[int, Transform] = {2: _outputs_2, 4: _outputs_4}
"""``Aᵀ p`` for each ``m``."""
