"""Counting sequences of words."""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.logic import And, Equal
from glowpy_ir.ops.movement import Reshape, full_slice
from glowpy_ir.ops.reduction import ReduceSum
from glowpy_ir.types import Kind


@dataclass(frozen=True)
class CountNgrams(Composite):
    """How often each row has each n-gram, its words ``step`` apart (a part of ONNX TfIdfVectorizer)

    ``input [rows, words]`` and ``grams [count, n]`` make f32[rows, count].
    """

    step: int = 1

    def expand(self, e: Emitter[T], input: T, grams: T) -> T:
        type, wanted = e.type_of(input), e.type_of(grams)
        if type.rank != 2 or wanted.rank != 2 or type.kind is not wanted.kind or self.step < 1:
            raise TypeMismatch(f"{self.name} takes rows of words and n-grams of the same kind, not {type} and {wanted}")
        (rows, words), (count, length) = type.shape, wanted.extents
        places = words - (length - 1) * self.step
        if length == 0 or (isinstance(places, int) and places <= 0):
            return e.add(Splat(0, Kind.F32, (rows, count)))
        found: T | None = None
        for k in range(length):
            word = e.add(Reshape((rows, places, 1)), e.add(full_slice(type.shape, 1, k * self.step, places), input))
            same = e.add(Equal(), word, e.add(Reshape((count,)), e.add(full_slice(wanted.shape, 1, k, 1), grams)))
            found = same if found is None else e.add(And(), found, same)
        assert found is not None
        return e.add(ReduceSum((1,), False), e.add(Cast(Kind.F32), found))
