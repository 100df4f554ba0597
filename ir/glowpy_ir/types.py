"""Tensor types: an element kind, a shape, and for quantized tensors what one step is worth."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from glowpy_ir.dims import Dim, is_static, parse_dim
from glowpy_ir.errors import TypeMismatch, Unsupported

Array = NDArray[Any]


class Kind(Enum):
    """The kind of one tensor element; the names are those of printed IR."""

    F64 = "f64"
    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    F8E4M3FN = "f8e4m3fn"
    F8E4M3FNUZ = "f8e4m3fnuz"
    F8E5M2 = "f8e5m2"
    F8E5M2FNUZ = "f8e5m2fnuz"
    F8E8M0 = "f8e8m0"
    F4E2M1 = "f4e2m1"
    I64 = "i64"
    I32 = "i32"
    I16 = "i16"
    I8 = "i8"
    I4 = "i4"
    I2 = "i2"
    U64 = "u64"
    U32 = "u32"
    U16 = "u16"
    U8 = "u8"
    U4 = "u4"
    U2 = "u2"
    BOOL = "bool"
    STRING = "string"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of one element; kinds of less than a byte take a whole one."""
        return _DTYPES[self]

    @property
    def is_float(self) -> bool:
        return self.value.startswith(("f", "bf"))

    @property
    def is_integer(self) -> bool:
        return self.value[0] in "iu"

    @property
    def is_signed(self) -> bool:
        return (self.is_float and self is not Kind.F8E8M0) or self.value[0] == "i"

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest finite number, exactly: ints for integer kinds."""
        if self is Kind.BOOL:
            return 0, 1
        number: Any = float if self.is_float else int
        limits = (ml_dtypes.finfo if self.is_float else ml_dtypes.iinfo)(self.dtype)
        return number(limits.min), number(limits.max)


_DTYPES: dict[Kind, np.dtype[Any]] = {
    Kind.F64: np.dtype(np.float64),
    Kind.F32: np.dtype(np.float32),
    Kind.F16: np.dtype(np.float16),
    Kind.BF16: np.dtype(ml_dtypes.bfloat16),
    Kind.F8E4M3FN: np.dtype(ml_dtypes.float8_e4m3fn),
    Kind.F8E4M3FNUZ: np.dtype(ml_dtypes.float8_e4m3fnuz),
    Kind.F8E5M2: np.dtype(ml_dtypes.float8_e5m2),
    Kind.F8E5M2FNUZ: np.dtype(ml_dtypes.float8_e5m2fnuz),
    Kind.F8E8M0: np.dtype(ml_dtypes.float8_e8m0fnu),
    Kind.F4E2M1: np.dtype(ml_dtypes.float4_e2m1fn),
    Kind.I64: np.dtype(np.int64),
    Kind.I32: np.dtype(np.int32),
    Kind.I16: np.dtype(np.int16),
    Kind.I8: np.dtype(np.int8),
    Kind.I4: np.dtype(ml_dtypes.int4),
    Kind.I2: np.dtype(ml_dtypes.int2),
    Kind.U64: np.dtype(np.uint64),
    Kind.U32: np.dtype(np.uint32),
    Kind.U16: np.dtype(np.uint16),
    Kind.U8: np.dtype(np.uint8),
    Kind.U4: np.dtype(ml_dtypes.uint4),
    Kind.U2: np.dtype(ml_dtypes.uint2),
    Kind.BOOL: np.dtype(np.bool_),
    Kind.STRING: np.dtype(np.object_),
}
_KINDS: dict[np.dtype[Any], Kind] = {dtype: kind for kind, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Quantization:
    """``real = scale * (stored - offset)``"""

    scale: float
    offset: int = 0

    def __str__(self) -> str:
        return f"<{self.scale!r},{self.offset}>"


@dataclass(frozen=True, slots=True)
class TensorType:
    """``f32[1,8,8,16]``, ``i64[batch,3]`` or ``i8<0.05,-3>[1,8]``."""

    kind: Kind
    shape: tuple[Dim, ...]
    quantization: Quantization | None = None

    def __str__(self) -> str:
        return f"{self.kind.value}{self.quantization or ''}[{','.join(map(str, self.shape))}]"

    @classmethod
    def parse(cls, text: str) -> TensorType:
        """The type that ``str`` printed; TypeMismatch if ``text`` is none."""
        match = re.fullmatch(r"(\w+)(?:<([^,>]+),(-?\d+)>)?\[(.*)\]", text.strip())
        if match is None:
            raise TypeMismatch(f"not a tensor type: {text!r}")
        quantization = Quantization(float(match[2]), int(match[3])) if match[2] else None
        try:
            return cls(Kind(match[1]), _parse_shape(match[4]), quantization)
        except ValueError as error:
            raise TypeMismatch(f"not a tensor type: {text!r}: {error}") from None

    @classmethod
    def of(cls, array: Array) -> TensorType:
        """The type of an array; Unsupported if no kind has its dtype."""
        kind = _KINDS.get(array.dtype)
        if kind is None:
            raise Unsupported(f"no element kind for arrays of {array.dtype}")
        return cls(kind, array.shape)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        return is_static(self.shape)

    @property
    def extents(self) -> tuple[int, ...]:
        """The shape, all dimensions known; Unsupported if one is not."""
        if not self.is_static:
            raise Unsupported(f"{self} still has dimensions without a value; bind them (--dim NAME=VALUE)")
        return cast("tuple[int, ...]", self.shape)

    @property
    def count(self) -> int:
        """How many elements."""
        return math.prod(self.extents)

    @property
    def nbytes(self) -> int:
        return self.count * self.kind.nbytes

    def with_shape(self, *shape: Dim) -> TensorType:
        return replace(self, shape=shape)

    def with_kind(self, kind: Kind) -> TensorType:
        return TensorType(kind, self.shape)


def _parse_shape(text: str) -> tuple[Dim, ...]:
    dims, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            dims.append(text[start:i])
            start = i + 1
    return tuple(parse_dim(d) for d in (*dims, text[start:])) if text.strip() else ()


def kind_of(dtype: np.dtype[Any]) -> Kind | None:
    """The kind whose elements NumPy keeps as ``dtype``, if there is one."""
    return _KINDS.get(dtype)
