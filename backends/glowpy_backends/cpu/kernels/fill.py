"""Memory filled with one value: splats, and the zeros around tensors."""

from __future__ import annotations

from collections.abc import Sequence

from glowpy_backends.cpu.body import Body
from glowpy_backends.cpu.builder import I1, I8, I64, PTR, VOID, Builder, Index, Ssa
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.kernels.elementwise import stack
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.fused import Step
from glowpy_ir.program import Margins
from glowpy_ir.types import Kind


def splat(result: View, value: Splat, target: Target) -> Kernel:
    """``value`` at every index."""
    return stack(result, (), Body((Step(Splat(value.value, value.kind), ()),), ()), target)


def halo(kind: Kind, shape: Sequence[int], margins: Margins, target: Target) -> Kernel:
    """Zeros in the margins around a tensor; the pointer is that of its first element, inside the halo.

    Dimensions that have margins are cut into what stands before, beside and after the tensor; what is before or after
    spans the inner dimensions with their margins, and is contiguous.
    """
    extents = [b + n + a for n, (b, a) in zip(shape, margins, strict=True)]
    strides = [1] * len(shape)
    for d in reversed(range(len(shape) - 1)):
        strides[d] = strides[d + 1] * extents[d + 1]
    inner = max(d for d, margin in enumerate(margins) if any(margin))
    element = View(kind, (1,), (1,)).element
    outer = range(next(d for d, margin in enumerate(margins) if any(margin)))
    planes = 1
    for d in outer:
        planes *= shape[d]

    def unit(b: Builder, call: Call) -> None:
        pointer, plane = call.operands[0], call.unit
        for d in reversed(outer):
            pointer = b.gep(pointer, b.mul(b.rem(plane, shape[d]), strides[d]), element)
            plane = b.div(plane, shape[d])

        def clear(start: Index, count: int) -> None:
            if count:
                _clear(b, b.gep(pointer, start, element), count * element.element_bytes)

        def edges(d: int, base: Index) -> None:
            """Everything outside the tensor in dimension ``d`` and further inside, around ``base``."""
            if d > inner:
                return
            if d in outer:
                edges(d + 1, base)
                return
            # What precedes in the dimensions inside of ``d`` belongs to the strips before and after.
            lead = sum(margins[k][0] * strides[k] for k in range(d + 1, len(shape)))
            before, after = margins[d]
            clear(b.sub(b.sub(base, before * strides[d]), lead), before * strides[d])
            clear(b.sub(b.add(base, shape[d] * strides[d]), lead), after * strides[d])

            def line(i: Index, _: list[Ssa]) -> None:
                edges(d + 1, b.add(base, b.mul(i, strides[d])))

            if d < inner:
                b.loop(0, shape[d], 1, line)

        edges(0, 0)

    return define_kernel("halo", target, 1, planes, 0, unit)


def _clear(b: Builder, pointer: Ssa, count: int) -> None:
    """Zeros in ``count`` bytes: in straight line if they are few, by libc's memset if they are many."""
    b.declare("llvm.memset.p0.i64", VOID, [PTR, I8, I64, I1])
    b.emit(f"call void @llvm.memset.p0.i64(ptr {pointer.name}, i8 0, i64 {count}, i1 false)")
