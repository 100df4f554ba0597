"""Pairs of integers of 16 bits, each pair an i32: what processors multiply and add up in one instruction."""

from __future__ import annotations

import numpy as np

from glowpy_backends.cpu.arithmetic import same
from glowpy_backends.cpu.builder import I16, Builder, Ssa
from glowpy_backends.cpu.view import View
from glowpy_ir.strided import Strided
from glowpy_ir.types import Array, Kind

_MULTIPLY_ADD = {4: "x86.sse2.pmadd.wd", 8: "x86.avx2.pmadd.wd", 16: "x86.avx512.pmaddw.d.512"}
"""LLVM's names for the sum of both products of each pair, by the number of pairs."""


def add_products(b: Builder, x: Ssa, y: Ssa, total: Ssa) -> Ssa:
    """``total`` plus, for each pair, the product of both first numbers and that of both second ones."""
    if b.target.has("avx512vnni") and x.type.lanes == 16:
        name = "llvm.x86.avx512.vpdpwssd.512"
        b.declare(name, x.type, [x.type] * 3)
        return b.call(name, [total, x, y], x.type)
    return b.op("add", _products(b, x, y), total)


def _products(b: Builder, x: Ssa, y: Ssa) -> Ssa:
    if b.target.architecture == "x86_64" and x.type.lanes in _MULTIPLY_ADD:
        name = f"llvm.{_MULTIPLY_ADD[x.type.lanes]}"
        halves = I16.vector(2 * x.type.lanes)
        b.declare(name, x.type, [halves, halves])
        return b.call(name, [b.cast("bitcast", x, halves), b.cast("bitcast", y, halves)], x.type)

    def first(pair: Ssa) -> Ssa:
        return second(b.op("shl", pair, same(16, pair)))

    def second(pair: Ssa) -> Ssa:
        return b.op("ashr", pair, same(16, pair))

    return b.op("add", b.op("mul", first(x), first(y)), b.op("mul", second(x), second(y)))


def may_be_pairs(layout: Strided) -> bool:
    """Whether pairs along the last dimension lie together, and all others are a whole number of pairs apart."""
    *steps, last = layout.strides
    return last == 1 and layout.offset % 2 == 0 and all(step % 2 == 0 for step in steps)


def as_pairs(view: View) -> View:
    """The same memory as pairs along the last dimension, see ``may_be_pairs``."""
    *outer, last = view.shape
    *steps, _ = view.strides
    return View(Kind.I32, (*outer, last // 2), (*(step // 2 for step in steps), 1))


def pair_up(array: Array, axis: int) -> Array:
    """Integers with neighbours along ``axis`` as pairs; the last one has 0 beside it if their number is odd."""
    moved = np.moveaxis(array, axis, -1)
    count = moved.shape[-1]
    even = np.zeros((*moved.shape[:-1], count + count % 2), np.int16)
    even[..., :count] = moved
    return np.moveaxis(even.view(np.int32), -1, axis)


def take_apart(pairs: Array, axis: int, count: int) -> Array:
    """The first ``count`` integers along ``axis`` of pairs of them."""
    moved = np.ascontiguousarray(np.moveaxis(pairs, axis, -1), np.int32)
    return np.moveaxis(moved.view(np.int16)[..., :count], -1, axis)
