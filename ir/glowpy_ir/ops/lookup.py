"""Dictionaries: where a key stands, and what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.elementwise import NUMBERS, Splat, require_kind
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.logic import And, Equal, Less, Not, Or, Select
from glowpy_ir.ops.movement import Reshape
from glowpy_ir.types import Array, Kind, TensorType


def _check_keys(name: str, input: TensorType, keys: TensorType) -> None:
    require_kind(name, input.kind, NUMBERS | {Kind.STRING})
    if keys.rank != 1 or keys.kind is not input.kind:
        raise TypeMismatch(f"the keys of {input} must be a list of the same kind, not {keys}")


@dataclass(frozen=True)
class FindKey(Primitive):
    """Where each element stands in a list of ``keys``, or -1: ``[n…]`` and ``[keys]`` make i64[n…]

    The keys are in order, NaN behind all others, and no two are equal; there is one at least. NaN equals NaN.
    """

    def infer(self, input: TensorType, keys: TensorType) -> TensorType:
        _check_keys(self.name, input, keys)
        if keys.shape == (0,):
            raise TypeMismatch(f"{self.name} needs a key at least")
        return TensorType(Kind.I64, input.shape)

    def evaluate(self, input: Array, keys: Array) -> Array:
        nearest = np.minimum(np.searchsorted(keys, input), len(keys) - 1)
        there = keys[nearest]
        found = (there == input) | ((there != there) & (input != input))
        return np.asarray(np.where(found, nearest, -1), np.int64)


@dataclass(frozen=True)
class LookUp(Composite):
    """For each element what stands in ``values`` beside its key, or else ``default``, a scalar

    The keys are as ``FindKey`` wants them. (ONNX ML LabelEncoder, CategoryMapper)
    """

    def expand(self, e: Emitter[T], input: T, keys: T, values: T, default: T) -> T:
        if e.type_of(keys).shape != e.type_of(values).shape:
            raise TypeMismatch(f"{e.type_of(keys)} and {e.type_of(values)} are not as many")
        place, none = e.add(FindKey(), input, keys), e.add(Splat(0, Kind.I64))
        unknown = e.add(Less(), place, none)
        beside = e.add(Gather(), values, e.add(Select(), unknown, none, place))
        return e.add(Select(), unknown, default, beside)


@dataclass(frozen=True)
class IsKey(Composite):
    """Whether elements equal keys, in any order: ``[n…]`` and ``[keys]`` make bool[n…, keys]; NaN equals NaN."""

    def expand(self, e: Emitter[T], input: T, keys: T) -> T:
        type = e.type_of(input)
        _check_keys(self.name, type, e.type_of(keys))
        apart = e.add(Reshape((*type.shape, 1)), input)
        same = e.add(Equal(), apart, keys)
        if not type.kind.is_float:
            return same
        nan, none = (e.add(Not(), e.add(Equal(), thing, thing)) for thing in (apart, keys))
        return e.add(Or(), same, e.add(And(), nan, none))
