"""Where the largest element under each window stands."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glowpy_backends.cpu.builder import BF16, F16, F32, I64, Builder, Index, Ssa, constant, index
from glowpy_backends.cpu.halves import widen
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.reduction import neutral
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.pooling import ArgMaxPool
from glowpy_ir.ops.reduction import ReduceMax


def argmax_pool(op: ArgMaxPool, result: View, image: View, target: Target) -> Kernel:
    """``op`` on views ``[N, C, *spatial]``, element by element; units are image x channel x row of results."""
    spatial, counts = image.shape[2:], result.shape[2:]
    order = range(len(spatial)) if not op.column_major else reversed(range(len(spatial)))
    steps: dict[int, int] = {}
    size = math.prod(spatial)
    for d in order:
        size //= spatial[d]
        steps[d] = size
    type = F32 if image.element in (F16, BF16) else image.element
    relation, is_float = ("ogt" if type.is_float else "sgt" if image.kind.is_signed else "ugt"), type.is_float

    def unit(b: Builder, call: Call) -> None:
        into, source = call.operands
        number = call.unit
        places: list[Index] = []
        for d in reversed(range(len(counts) - 1)):
            places.insert(0, b.rem(number, counts[d]))
            number = b.div(number, counts[d])
            into = b.gep(into, b.mul(places[0], result.strides[2 + d]), result.element)
        plane = number
        for d in (1, 0):
            place, number = b.rem(number, image.shape[d]), b.div(number, image.shape[d])
            source = b.gep(source, b.mul(place, image.strides[d]), image.element)
            into = b.gep(into, b.mul(place, result.strides[d]), result.element)
        first = b.mul(plane, math.prod(spatial))

        def better(offset: Index, place: Index, best: list[Ssa]) -> list[Ssa]:
            given = widen(b, b.load(b.gep(source, offset, image.element), image.element), type)
            wins = b.op("or", b.compare(relation, given, best[0]), b.compare("slt", best[1], index(0)))
            if is_float:
                only_nan = b.op("and", b.compare("uno", given, given), b.compare("ord", best[0], best[0]))
                wins = b.op("or", wins, only_nan)
            return [b.select(wins, given, best[0]), b.select(wins, index(place), best[1])]

        def walk(window: Sequence[Index], d: int, offset: Index, place: Index, best: list[Ssa]) -> list[Ssa]:
            if d == len(spatial):
                return better(offset, place, best)
            start = b.sub(b.mul(window[d], op.strides[d]), op.before[d])

            def tap(t: Index, best: list[Ssa]) -> list[Ssa]:
                at = b.add(start, b.mul(t, op.dilations[d]))
                inside = b.op("and", b.compare("sge", index(at), index(0)), b.less(at, spatial[d]))
                further = b.add(offset, b.mul(at, image.strides[2 + d]))
                return b.branch(
                    inside, lambda: walk(window, d + 1, further, b.add(place, b.mul(at, steps[d])), best), lambda: best
                )

            return b.loop(0, op.kernel[d], 1, tap, best)

        def one(x: Index, _: list[Ssa]) -> None:
            nothing = [constant(neutral(ReduceMax(()), image.kind), type), constant(-1, I64)]
            found = walk([*places, x], 0, 0, first, nothing)
            b.store(found[1], b.gep(into, b.mul(x, result.strides[-1]), result.element))

        b.loop(0, counts[-1], 1, one)

    units = math.prod(image.shape[:2]) * math.prod(counts[:-1])
    return define_kernel("argmax_pool", target, 2, units, 0, unit)
