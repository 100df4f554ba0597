"""Comparing elements of any kind: what they are read as, and which is greater."""

from __future__ import annotations

from glowpy_backends.cpu.builder import BF16, F16, F32, I32, Builder, Ssa, Type
from glowpy_backends.cpu.halves import widen
from glowpy_backends.cpu.view import View


def compared_as(element: Type) -> Type:
    """The type that elements are compared in: of 32 bits at least."""
    return F32 if element in (F16, BF16) else I32 if element.element_bytes < 4 else element


def read(b: Builder, view: View, pointer: Ssa) -> Ssa:
    """An element at an address as it is compared."""
    given, type = b.load(pointer, view.element), compared_as(view.element)
    if type.is_float:
        return widen(b, given, type)
    return b.cast("sext" if view.kind.is_signed else "zext", given, type)


def is_greater(b: Builder, one: Ssa, other: Ssa, signed: bool) -> Ssa:
    """Whether a number is greater than another; NaN is greater than any number."""
    if not one.type.is_float:
        return b.compare("sgt" if signed else "ugt", one, other)
    only_nan = b.op("and", b.compare("uno", one, one), b.compare("ord", other, other))
    return b.op("or", b.compare("ogt", one, other), only_nan)
