"""Applies emitters of vector code to whole arrays, for the tests of arithmetic."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
from cpu.native import Array, aligned

from glowpy_backends.cpu.builder import I1, PTR, Builder, Index, Ssa, Type, zero
from glowpy_backends.cpu.emit import emit_assembly, emit_object
from glowpy_backends.cpu.link import link
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import ELEMENTS
from glowpy_ir.types import Kind, kind_of

Emit = Callable[..., Ssa]
"""Takes a builder and vectors, gives a vector."""


def apply(emit: Emit, target: Target, operands: Sequence[Array], to: Kind | None = None) -> Array:
    """``emit`` on each lane of arrays of equal length; masks come as bool. ``to`` is by default the operands' kind."""
    kinds = [kind_of(operand.dtype) for operand in operands]
    assert None not in kinds
    sources = [ELEMENTS[kind] for kind in kinds if kind]
    result = to or kinds[0]
    assert result
    lanes = target.lanes(max(type.element_bytes for type in [*sources, ELEMENTS[result]]))
    length = -(-operands[0].size // lanes) * lanes
    memory = [aligned(length, result)]
    for operand, kind in zip(operands, kinds, strict=True):
        assert kind
        memory.append(aligned(length, kind))
        memory[-1][: operand.size] = operand.ravel()
        memory[-1][operand.size :] = operand.ravel()[-1]
    ir = module(emit, target, sources, ELEMENTS[result], lanes, length)
    library = link([emit_object(ir, target)], ["apply"])
    ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(memory))(library.address("apply"))(*(m.ctypes.data for m in memory))
    return np.array(memory[0][: operands[0].size]).reshape(operands[0].shape)


def assembly(emit: Emit, target: Target, sources: Sequence[Type], result: Type) -> str:
    """The code for one vector."""
    lanes = target.lanes(max(type.element_bytes for type in [*sources, result]))
    return emit_assembly(module(emit, target, sources, result, lanes, lanes), target)


def module(emit: Emit, target: Target, sources: Sequence[Type], result: Type, lanes: int, length: int) -> str:
    b = Builder(target)
    with b.function("apply", [PTR] * (1 + len(sources))) as (place, *places):

        def step(i: Index, _: list[Ssa]) -> None:
            vectors = [b.load(b.gep(p, i, type), type.vector(lanes)) for p, type in zip(places, sources, strict=True)]
            value = emit(b, *vectors)
            if value.type.scalar == I1:
                value = b.cast("zext", value, value.type.with_element(result))
            assert value.type == result.vector(lanes), value.type
            b.store(value, b.gep(place, i, result))

        b.loop(0, length, lanes, step)
    return b.text()


def mask(b: Builder, x: Ssa) -> Ssa:
    """Bools in memory as they stand in registers."""
    return b.compare("ne", x, zero(x.type))
