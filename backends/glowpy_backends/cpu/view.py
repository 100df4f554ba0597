"""How an operand lies in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.builder import BF16, F16, F32, F64, I8, I16, I32, I64, Type
from glowpy_ir.ops.convert import SMALL_FLOATS, SMALL_INTEGERS
from glowpy_ir.strided import Strided
from glowpy_ir.types import Kind

SMALL = SMALL_FLOATS | SMALL_INTEGERS | {Kind.F8E8M0}

ELEMENTS: Mapping[Kind, Type] = {
    Kind.F64: F64,
    Kind.F32: F32,
    Kind.F16: F16,
    Kind.BF16: BF16,
    Kind.I64: I64,
    Kind.I32: I32,
    Kind.I16: I16,
    Kind.I8: I8,
    Kind.U64: I64,
    Kind.U32: I32,
    Kind.U16: I16,
    Kind.U8: I8,
    Kind.BOOL: I8,
    **dict.fromkeys(SMALL, I8),
}
"""The LLVM type of one element in memory; small kinds take a byte."""


@dataclass(frozen=True, slots=True)
class View:
    """A tensor in memory: its kind, its logical shape, and its strides in elements.

    A pointer that comes with a view points at the first logical element. A stride of 0 repeats what it finds
    (broadcast); a halo around the logical elements lies at negative offsets and behind the ends of rows.
    """

    kind: Kind
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def dense(cls, kind: Kind, shape: Sequence[int]) -> View:
        """The last dimension is contiguous, and nothing lies between rows."""
        strides: list[int] = []
        size = 1
        for extent in reversed(shape):
            strides.insert(0, size)
            size *= extent
        return cls(kind, tuple(shape), tuple(strides))

    @property
    def element(self) -> Type:
        return ELEMENTS[self.kind]

    def expand(self, shape: Sequence[int]) -> View:
        """The view repeated to ``shape``, as NumPy broadcasts."""
        wide = Strided(0, self.shape, self.strides).expand(shape)
        return View(self.kind, wide.shape, wide.strides)

    def displacement(self, index: Sequence[int]) -> int:
        """The distance in elements that ``index`` stands for; it may leave out leading dimensions."""
        trailing = self.strides[len(self.strides) - len(index) :]
        return sum(i * stride for i, stride in zip(index, trailing, strict=True))
