"""The types of results."""

from __future__ import annotations

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Op, Primitive
from glowpy_ir.types import Array, TensorType


def infer(op: Op, *operands: TensorType) -> tuple[TensorType, ...]:
    """The types of the results of ``op`` for operands of these types; of a composite, those of its expansion.

    Raises TypeMismatch if the operands do not fit.
    """
    op.check_count(len(operands))
    match op:
        case Primitive():
            results = op.infer(*operands)
        case Composite():
            results = op.expand(OnTypes(), *operands)
        case _:
            raise TypeMismatch(f"{op.name} is neither primitive nor composite")
    return results if isinstance(results, tuple) else (results,)


class OnTypes:
    """Applies operators to types."""

    def add(self, op: Op, *inputs: TensorType) -> TensorType:
        (result,) = infer(op, *inputs)
        return result

    def add_all(self, op: Op, *inputs: TensorType) -> tuple[TensorType, ...]:
        return infer(op, *inputs)

    def constant(self, array: Array) -> TensorType:
        return TensorType.of(array)

    def type_of(self, thing: TensorType) -> TensorType:
        return thing
