"""Lanes of blocks in another order: the operator, its kernel, and the convolutions that want channels in parts."""

from __future__ import annotations

import numpy as np
import pytest
from cpu.native import TARGETS, WIDTHS, Operand, run
from cpu.test_convolution import residual_relu

from glowpy_backends.cpu.algorithms import choose_algorithm
from glowpy_backends.cpu.blocked import NO_CHANNEL, Pack, Rearrange, Unpack, pack, packed_type, places, unpack
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels.convolution import Convolution, suits_parts
from glowpy_backends.cpu.kernels.rearrange import rearrange
from glowpy_backends.cpu.layout import dense_specification
from glowpy_backends.cpu.packed_conv import PackedConv
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.evaluate import apply
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.types import Kind, TensorType

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(("channels", "parts"), [(1, 1), (16, 1), (37, 1), (12, 4), (34, 2), (64, 4)])
def test_packing_in_parts_is_undone_by_unpacking(channels: int, parts: int) -> None:
    x = RNG.standard_normal((2, channels, 3, 2)).astype(np.float32)
    (packed,) = apply(Pack(8, parts), x)
    np.testing.assert_array_equal(packed, pack(x, 8, parts))
    assert TensorType.of(packed) == packed_type(TensorType.of(x), 8, parts)
    np.testing.assert_array_equal(apply(Unpack(channels, parts), packed)[0], x)
    np.testing.assert_array_equal(unpack(packed)[:, places(channels, 8, parts)], x)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (3, 70)])
@pytest.mark.parametrize("order", ["random", "reversed", "shuffle", "same", "nothing"])
def test_kernel(order: str, height: int, width: int, target: Target) -> None:
    lanes = target.lanes(4)
    parts = [RNG.standard_normal((2, blocks, height, width, lanes)).astype(np.float32) for blocks in (3, 1, 9)]
    total = 13 * lanes
    sources = {
        "random": RNG.integers(NO_CHANNEL, total, 11 * lanes),
        "reversed": np.arange(total)[::-1],
        "shuffle": np.arange(total).reshape(13, lanes).T.reshape(-1),
        "same": np.arange(total),
        "nothing": np.full(lanes, NO_CHANNEL),
    }[order]
    op = Rearrange(tuple(sources.tolist()))
    expected = op.evaluate(*parts)
    assert TensorType.of(expected) == op.infer(*map(TensorType.of, parts))
    y = Operand(np.full(expected.shape, np.nan, np.float32), [(0, 0), (0, 0), (1, 2), (2, 1), (0, 0)], fill=7)
    operands = [Operand(part, [(0, 0), (0, 0), (0, 1), (1, 0), (0, 0)], fill=np.nan) for part in parts]
    kernel = rearrange(op, y.view, [operand.view for operand in operands], Epilogue(), target)
    run(kernel, target, [y, *operands], calls=3)
    np.testing.assert_array_equal(y.array, expected)
    assert y.margin_is(7)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
def test_kernel_with_an_epilogue(target: Target) -> None:
    lanes = target.lanes(4)
    x, residual = (RNG.standard_normal((1, 10, 5, 3, lanes)).astype(np.float32) for _ in range(2))
    op = Rearrange(tuple(RNG.permutation(10 * lanes).tolist()))
    y, operands = Operand(np.zeros_like(x)), [Operand(x), Operand(residual)]
    epilogue = Epilogue((operands[1].view,), residual_relu)
    run(rearrange(op, y.view, [operands[0].view], epilogue, target), target, [y, *operands])
    np.testing.assert_array_equal(y.array, np.maximum(op.evaluate(x) + residual, 0))


def test_what_cannot_be_rearranged_is_refused() -> None:
    image = TensorType(Kind.F32, (1, 2, 3, 3, 8))
    for sources, types in [
        ((0,) * 7, [image]),
        ((16,) * 8, [image]),
        ((-2,) * 8, [image]),
        ((0,) * 8, []),
        ((0,) * 8, [image, TensorType(Kind.F32, (1, 2, 3, 4, 8))]),
        ((0,) * 8, [TensorType(Kind.F32, (1, 2, 3))]),
    ]:
        with pytest.raises(TypeMismatch):
            Rearrange(sources).infer(*types)


@pytest.mark.parametrize("target", TARGETS, ids=WIDTHS)
@pytest.mark.parametrize(
    ("channels", "results", "groups", "kernel", "parts"),
    [(136, 136, 4, 1, 4), (24, 112, 4, 1, 4), (21, 57, 3, 3, 3), (20, 20, 20, 3, 4), (34, 34, 34, 1, 2)],
)
def test_convolution_in_parts(
    channels: int, results: int, groups: int, kernel: int, parts: int, target: Target
) -> None:
    lanes, pad = target.lanes(4), kernel // 2
    x = RNG.standard_normal((1, channels, 7, 6)).astype(np.float32)
    w = RNG.standard_normal((results, channels // groups, kernel, kernel)).astype(np.float32)
    conv = Conv((1, 1), (pad, pad), (pad, pad), (1, 1), groups)
    expected = conv.evaluate(x, w)
    packed, made = pack(x, lanes, parts), TensorType.of(expected)
    spec = dense_specification(conv, (kernel, kernel), TensorType.of(packed), made, channels, lanes, parts)
    algorithm = choose_algorithm(spec, target, False)
    op = PackedConv(conv, (kernel, kernel), channels, results, lanes, algorithm, parts)
    weights = algorithm.pack(w, spec)
    meant = op.evaluate(packed, weights)
    np.testing.assert_allclose(apply(Unpack(results, parts), meant)[0], expected, rtol=1e-6)
    garbage = np.full_like(packed, np.nan)
    filled = np.where(pack(np.ones_like(x), lanes, parts) == 1, packed, garbage)
    image = Operand(filled, [(0, 0), (0, 0), (pad, pad), (pad, pad), (0, 0)])
    y = Operand(np.full(meant.shape, np.nan, np.float32))
    kernel_of_parts = algorithm.kernel(op.lying(image.view, y.view, Epilogue()), target)
    run(kernel_of_parts, target, [y, image, Operand(weights)], calls=3)
    got = unpack(y.array)[:, places(results, lanes, parts)]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_groups_stand_apart_only_where_that_saves_work() -> None:
    view = View.dense(Kind.F32, (1, 9, 14, 14, 16))

    def spec(channels: int, groups: int, parts: int = 1) -> Convolution:
        return Convolution(view, view, channels, channels, (1, 1), groups=groups, parts=parts)

    assert suits_parts(spec(136, 4))
    assert not suits_parts(spec(136, 4, 4))
    assert not suits_parts(spec(128, 4))
    assert not suits_parts(spec(128, 32))
    assert not suits_parts(spec(136, 1))
