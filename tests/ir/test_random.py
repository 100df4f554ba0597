"""Random numbers have the distributions that they promise, do not depend on each other, and come again."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.random import Bernoulli, Multinomial, RandomBits, RandomNormal, RandomUniform
from glowpy_ir.types import Array, Kind, TensorType

COUNT = 200_000
ERROR = 5 / COUNT**0.5
"""Five standard deviations of a mean of so many numbers of variance one: seeds are fixed, and none is unlucky."""


def made(op: Op, *operands: Array) -> Array:
    (result,) = apply(op, *operands)
    return result


def uncorrelated(x: Array) -> None:
    """Fail if numbers depend on those that stand a few places before."""
    centred = (x - x.mean()) / x.std()
    for distance in (1, 2, 3, 64, 1000):
        assert abs(np.mean(centred[distance:] * centred[:-distance])) < ERROR


def mixed(state: int) -> int:
    """What SplitMix64 makes of a state."""
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    return state ^ state >> 31


def test_bits_are_those_of_splitmix() -> None:
    gamma = 0x9E3779B97F4A7C15
    assert [mixed(gamma * i % 2**64) for i in (1, 2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]  # well-known
    start = mixed(mixed(7) + gamma)
    expected = [mixed((start + gamma * i) % 2**64) for i in range(6)]
    assert made(RandomBits((2, 3), 7, 1)).ravel().tolist() == expected


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
def test_bits_are_balanced(seed: int) -> None:
    bits = made(RandomBits((COUNT // 4,), seed))
    table = (bits[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(table.mean(0) - 0.5).max() < 5 * 0.5 / len(bits) ** 0.5
    signs = table.astype(np.float64) * 2 - 1
    between = signs.T @ signs / len(bits) - np.eye(64)
    assert np.abs(between).max() < 6 / len(bits) ** 0.5
    assert len(np.unique(bits)) == len(bits)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F64, Kind.F16, Kind.BF16], ids=str)
def test_uniform(kind: Kind) -> None:
    x = made(RandomUniform((COUNT,), 3, -1, 2, kind))
    assert x.dtype == kind.dtype
    x = x.astype(np.float64)
    rounding = 0.02 if kind.nbytes == 2 else 0
    assert x.min() >= -1
    assert x.max() <= 2
    assert abs(x.mean() - 0.5) < 0.87 * ERROR + rounding
    assert abs(x.var() - 0.75) < ERROR + rounding
    shares, _ = np.histogram(x, 20, (-1, 2))
    assert rounding or np.abs(shares / COUNT - 0.05).max() < 0.22 * ERROR
    uncorrelated(x)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F64, Kind.F16], ids=str)
def test_normal(kind: Kind) -> None:
    x = made(RandomNormal((COUNT,), 11, 3, 2, kind)).astype(np.float64)
    z = (x - 3) / 2
    assert abs(z.mean()) < ERROR
    assert abs(z.var() - 1) < 2**0.5 * ERROR
    assert abs((z**3).mean()) < 15**0.5 * ERROR
    assert abs((z**4).mean() - 3) < 96**0.5 * ERROR
    assert abs(np.mean(np.abs(z) < 1) - 0.6827) < 0.5 * ERROR + (kind is Kind.F16) * 0.001
    uncorrelated(z)


def test_streams_and_seeds_do_not_depend_on_each_other() -> None:
    base = made(RandomUniform((COUNT,), 3)).astype(np.float64)
    for seed in (2, 4, 5, 1 << 20):
        assert abs(np.corrcoef(base, made(RandomUniform((COUNT,), seed)))[0, 1]) < ERROR
    streams = [made(RandomBits((COUNT,), 3, stream)).astype(np.float64) for stream in range(2)]
    assert abs(np.corrcoef(*streams)[0, 1]) < ERROR
    np.testing.assert_array_equal(made(RandomUniform((COUNT,), 3)), base)


def test_bernoulli() -> None:
    chance = np.repeat(np.array([0, 0.1, 0.75, 1], np.float32), COUNT // 4)
    x = made(Bernoulli(5, Kind.I8), chance).reshape(4, -1)
    np.testing.assert_allclose(x.mean(1), [0, 0.1, 0.75, 1], atol=ERROR)
    assert set(np.unique(x[0])) == {0}
    assert set(np.unique(x[3])) == {1}


def test_multinomial() -> None:
    chances = np.array([[0.2, 0, 0.5, 0.3], [0, 0, 1, 0], [0.25] * 4])
    with np.errstate(divide="ignore"):
        logits = (np.log(chances) + np.array([[5], [-3], [0]])).astype(np.float32)
    x = made(Multinomial(20_000, 9, Kind.I64), logits)
    assert x.shape == (3, 20_000)
    shares = np.array([np.bincount(row, minlength=4) for row in x]) / 20_000
    np.testing.assert_allclose(shares, chances, atol=4 * ERROR)
    assert (shares[chances == 0] == 0).all()
    assert set(made(Multinomial(3, 9), logits[:, :1]).ravel()) == {0}


def test_faults_are_told() -> None:
    with pytest.raises(TypeMismatch, match="takes elements"):
        infer(RandomNormal((3,), 0, kind=Kind.I32))
    with pytest.raises(TypeMismatch, match="rows of classes"):
        infer(Multinomial(3, 0), TensorType.parse("f32[3]"))


@pytest.mark.parametrize(("op", "rows"), [(Multinomial(-1, 0), (2, 3)), (Multinomial(4, 0), (2, 0))])
def test_draws_that_cannot_be_are_refused(op: Multinomial, rows: tuple[int, int]) -> None:
    with pytest.raises(TypeMismatch, match="cannot draw"):
        made(op, np.zeros(rows, np.float32))
