"""Local response normalisation across the channels of blocked images."""

from __future__ import annotations

from glowpy_backends.cpu.builder import I1, Builder, Index, Ssa, constant, index, zero
from glowpy_backends.cpu.epilogue import load_vector
from glowpy_backends.cpu.exponentials import power
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.normalization import Lrn


def reaches(op: Lrn) -> tuple[int, int]:
    """How many channels below and above its own one a result sees."""
    return (op.size - 1) // 2, op.size // 2


def fits(op: Lrn, lanes: int) -> bool:
    """Whether no result sees beyond the blocks next to its own."""
    return max(reaches(op)) <= lanes


def lrn(op: Lrn, result: View, image: View, target: Target) -> Kernel:
    """``image / (bias + alpha / size * Σ image²)^beta`` of views ``[N, C/b, H, W, b]`` that have no spare lanes.

    Units are image x block of channels.
    """
    batch, blocks, height, width, lanes = image.shape
    type = image.element.vector(lanes)
    below, above = reaches(op)

    def unit(b: Builder, call: Call) -> None:
        target_pointer, source = call.operands
        number, block = b.div(call.unit, blocks), b.rem(call.unit, blocks)
        first = b.mul(number, image.strides[0])
        inside = b.add(first, b.mul(block, image.strides[1]))
        out = b.add(b.mul(number, result.strides[0]), b.mul(block, result.strides[1]))
        neighbours = [(step, _exists(b, block, step, blocks)) for step in (-1, 1)]

        def pixel(y: Index, x: Index) -> None:
            offset = b.add(b.mul(y, image.strides[2]), b.mul(x, image.strides[3]))
            place = b.add(inside, offset)
            value = load_vector(b, image, b.gep(source, place, image.element), lanes, lanes)
            squares = b.op("fmul", value, value)
            before, after = (
                _masked_squares(b, image, b.gep(source, place, image.element), step, exists, lanes)
                for step, exists in neighbours
            )
            total = squares
            for d in range(1, below + 1):
                total = b.op("fadd", total, b.shuffle(before, squares, range(lanes - d, 2 * lanes - d)))
            for d in range(1, above + 1):
                total = b.op("fadd", total, b.shuffle(squares, after, range(d, lanes + d)))
            scale = b.fma(total, constant(op.alpha / op.size, type), constant(op.bias, type))
            normal = b.op("fdiv", value, _to_the(b, scale, op.beta))
            row = b.add(b.mul(y, result.strides[2]), b.mul(x, result.strides[3]))
            b.store(normal, b.gep(target_pointer, b.add(out, row), result.element))

        b.loop(0, height, 1, lambda y, _: b.loop(0, width, 1, lambda x, _: pixel(y, x)) and None)

    return define_kernel("lrn", target, 2, batch * blocks, 0, unit)


def _to_the(b: Builder, x: Ssa, exponent: float) -> Ssa:
    """``x ** exponent`` for positive ``x``; square roots serve the customary 0.5 and 0.75."""
    root = b.intrinsic("sqrt", x)
    if exponent == 0.5:
        return root
    if exponent == 0.75:
        return b.op("fmul", root, b.intrinsic("sqrt", root))
    return power(b, x, constant(exponent, x.type))


def _exists(b: Builder, block: Index, step: int, blocks: int) -> Ssa:
    """Whether the block has a neighbour on that side."""
    if blocks == 1:
        return constant(0, I1)
    return b.less(0, block) if step < 0 else b.less(index(block), blocks - 1)


def _masked_squares(b: Builder, image: View, pointer: Ssa, step: int, exists: Ssa, lanes: int) -> Ssa:
    """The squares of the same pixel in the neighbouring block; zeros where there is none."""
    type = image.element.vector(lanes)
    distance = b.select(exists, index(step * image.strides[1]), index(0))
    value = load_vector(b, image, b.gep(pointer, distance, image.element), lanes, lanes)
    return b.select(exists, b.op("fmul", value, value), zero(type))
