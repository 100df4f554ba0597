"""The types of results."""

from __future__ import annotations

from collections.abc import Sequence

from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Op, Primitive
from glowpy_ir.structured import Signature, Structured
from glowpy_ir.types import Array, TensorType


def infer(op: Op, *operands: TensorType, regions: Sequence[Signature] = ()) -> tuple[TensorType, ...]:
    """The types of the results of ``op`` for operands of these types; of a composite, those of its expansion.

    Raises TypeMismatch if the operands, or the regions of a structured operator, do not fit.
    """
    op.check_count(len(operands))
    if regions and not isinstance(op, Structured):
        raise TypeMismatch(f"{op.name} has no regions")
    match op:
        case Primitive():
            results = op.infer(*operands)
        case Composite():
            results = op.expand(OnTypes(), *operands)
        case Structured():
            op.check_regions(len(regions))
            results = op.infer(regions, *operands)
        case _:
            raise TypeMismatch(f"{op.name} is neither primitive, composite nor structured")
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
