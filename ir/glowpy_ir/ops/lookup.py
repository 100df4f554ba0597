"""Dictionaries: what stands beside a key."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.logic import And, Equal, Not, Or, Select
from glowpy_ir.ops.movement import Expand, Reshape
from glowpy_ir.ops.reduction import ArgMax, ReduceMax
from glowpy_ir.types import Kind


@dataclass(frozen=True)
class IsKey(Composite):
    """Whether elements equal keys: ``[n…]`` and ``[keys]`` make bool[n…, keys]; NaN equals NaN."""

    def expand(self, e: Emitter[T], input: T, keys: T) -> T:
        type, known = e.type_of(input), e.type_of(keys)
        if known.rank != 1 or known.kind is not type.kind:
            raise TypeMismatch(f"the keys of {type} must be a list of the same kind, not {known}")
        apart = e.add(Reshape((*type.shape, 1)), input)
        same = e.add(Equal(), apart, keys)
        if not type.kind.is_float:
            return same
        nan, none = (e.add(Not(), e.add(Equal(), thing, thing)) for thing in (apart, keys))
        return e.add(Or(), same, e.add(And(), nan, none))


@dataclass(frozen=True)
class LookUp(Composite):
    """For each element what stands in ``values`` beside its key, or else ``default``, a scalar

    (ONNX ML LabelEncoder, CategoryMapper)
    """

    def expand(self, e: Emitter[T], input: T, keys: T, values: T, default: T) -> T:
        shape = e.type_of(input).shape
        if e.type_of(keys).shape != e.type_of(values).shape:
            raise TypeMismatch(f"{e.type_of(keys)} and {e.type_of(values)} are not as many")
        if e.type_of(keys).shape == (0,):
            return e.add(Expand(shape), default)
        found = e.add(Cast(Kind.U8), e.add(IsKey(), input, keys))
        last = len(shape)
        beside = e.add(Gather(), values, e.add(ArgMax(last, keepdims=False), found))
        is_known = e.add(Cast(Kind.BOOL), e.add(ReduceMax((last,), False), found))
        return e.add(Select(), is_known, beside, default)
