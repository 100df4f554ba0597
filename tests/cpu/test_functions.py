"""Exponentials and trigonometry: the error in units in the last place, over all of f32, on every vector width."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from cpu.lanes import Emit, apply, assembly
from cpu.native import TARGETS, WIDTHS, Array

from glowpy_backends.cpu import exponentials, trigonometry
from glowpy_backends.cpu.builder import F32
from glowpy_backends.cpu.target import Target

Reference = Callable[[Array], Array]


def decay(x: Array) -> Array:
    """``exp(-|x|)``, and 0 for what f32 would need denormals."""
    return np.asarray(np.where(np.abs(x) > np.float32(87.3), 0, np.exp(-np.abs(x))))


def logistic(x: Array) -> Array:
    e = np.where(x < 0, decay(x), np.exp(-np.abs(x)))
    return np.asarray(np.where(x < 0, e, 1) / (1 + e))


def error_function(x: Array) -> Array:
    return np.array([math.erf(v) for v in x.tolist()])


FUNCTIONS: dict[str, tuple[Emit, Reference, float]] = {
    "exp": (exponentials.exp, np.exp, 1.2),
    "log": (exponentials.log, np.log, 1),
    "tanh": (exponentials.tanh, np.tanh, 1.6),
    "sigmoid": (exponentials.sigmoid, logistic, 2),
    "erf": (exponentials.erf, error_function, 1.5),
    "sinh": (exponentials.sinh, np.sinh, 0.6),
    "cosh": (exponentials.cosh, np.cosh, 0.6),
    "asinh": (exponentials.asinh, np.arcsinh, 0.6),
    "acosh": (exponentials.acosh, np.arccosh, 0.6),
    "atanh": (exponentials.atanh, np.arctanh, 0.6),
    "sin": (trigonometry.sin, np.sin, 1),
    "cos": (trigonometry.cos, np.cos, 1),
    "tan": (trigonometry.tan, np.tan, 1),
    "asin": (trigonometry.asin, np.arcsin, 0.6),
    "acos": (trigonometry.acos, np.arccos, 0.6),
    "atan": (trigonometry.atan, np.arctan, 0.6),
}
"""Emitter, meaning, and the largest error in units in the last place; 0.5 is correct rounding."""

EDGES = [
    *(0, 0.5, 0.55, 0.6, 1, 2, 4, 9.1, math.pi / 2, math.pi, 88.72284, 88.7229, 87.33655, 103.97, 103.98, 104, 150),
    *(math.inf, math.nan, 1e-45, 2.0**-126, 3.4028235e38, 2.0**-10, 2.0**20, 2.0**20 + 1, 1e10, 16777216),
]  # fmt: skip


def numbers() -> Array:
    """Bit patterns of all kinds, edges with their neighbours, and a dense choice from where functions bend."""
    rng = np.random.default_rng(7)
    patterns = rng.integers(0, 1 << 32, 40_000, np.uint32, endpoint=False).view(np.float32)
    edges = np.array(EDGES, np.float32)
    neighbours = [np.nextafter(edges, np.float32(side)) for side in (0, np.inf)]
    dense = [rng.uniform(-limit, limit, 10_000).astype(np.float32) for limit in (1e-3, 0.7, 2, 10, 110)]
    return np.concatenate([patterns, *(sign * a for a in (edges, *neighbours) for sign in (1, -1)), *dense])


def errors(got: Array, exact: Array) -> Array:
    """In units in the last place of the nearest f32; infinite where got is not the special value it should be."""
    with np.errstate(all="ignore"):
        nearest = exact.astype(np.float32)
        unit = np.spacing(np.abs(np.where(np.isfinite(nearest), nearest, 1)).astype(np.float32)).astype(np.float64)
        distance = np.abs(got.astype(np.float64) - exact) / unit
        agree = (got == nearest) | (np.isnan(got) & np.isnan(exact))
        return np.where(agree, 0, np.nan_to_num(distance, nan=np.inf))


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(name: str, target: Target) -> None:
    emit, meaning, allowed = FUNCTIONS[name]
    x = numbers()
    got = apply(emit, target, [x])
    with np.errstate(all="ignore"):
        error = errors(got, np.asarray(meaning(x.astype(np.float64))))
    worst = int(np.argmax(error))
    assert error[worst] <= allowed, f"{name}({x[worst]!r}) = {got[worst]!r}"


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_power(target: Target) -> None:
    rng = np.random.default_rng(3)
    bases = [0, 1, 2, 3, 0.5, 1.5, 10, 1e-45, 1e38, math.inf, math.nan, 1 - 2.0**-24, 1 + 2.0**-23]
    exponents = [0, 1, 2, 3, 0.5, 1.5, 1 / 3, 127, 128, 149, 16777215, 16777216, 1e30, math.inf, math.nan, 1e-45]
    grid = np.meshgrid(*(np.array([s * v for v in values for s in (1, -1)]) for values in (bases, exponents)))
    x, y = (
        np.concatenate([special.ravel(), more]).astype(np.float32)
        for special, more in zip(grid, (rng.lognormal(0, 3, 20_000), rng.normal(0, 8, 20_000)), strict=True)
    )
    got = apply(exponentials.power, target, [x, y])
    with np.errstate(all="ignore"):
        error = errors(got, np.power(x.astype(np.float64), y.astype(np.float64)))
    worst = int(np.argmax(error))
    assert error[worst] <= 0.6, f"{x[worst]!r} ** {y[worst]!r} = {got[worst]!r}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_neighbours_do_not_matter(name: str) -> None:
    """A lane has the same bits whatever stands beside it, so that tails and tiles agree."""
    emit = FUNCTIONS[name][0]
    x = numbers()[:4096]
    alone = np.concatenate([apply(emit, TARGETS[0], [x[n : n + 1]]) for n in range(0, 4096, 256)])
    np.testing.assert_array_equal(alone.view(np.uint32), apply(emit, TARGETS[0], [x])[::256].view(np.uint32))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_doubles(name: str) -> None:
    emit, meaning, _ = FUNCTIONS[name]
    x = np.concatenate([np.linspace(-3, 3, 61), [0, math.inf, -math.inf, math.nan, 700, -750, 1e-310, 1e300]])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(apply(emit, TARGETS[0], [x]), meaning(x), 3e-16 * 4, 1e-320)


@pytest.mark.parametrize(("name", "most"), [("exp", 24), ("sigmoid", 32), ("tanh", 40), ("erf", 44), ("log", 48)])
def test_instructions(name: str, most: int) -> None:
    """What networks use most stays short, and calls nothing."""
    target = Target.named("avx512", TARGETS[0].triple)
    text = assembly(FUNCTIONS[name][0], target, [F32], F32)
    instructions = [line.split()[0] for line in text.splitlines() if re.match(r"\t[a-z]", line)]
    assert "callq" not in instructions
    assert len(instructions) <= most, text
