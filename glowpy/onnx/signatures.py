"""What the standard says about an operator: how many operands it takes, and which element kinds they may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Self

from onnx import TensorProto
from onnx.defs import OpSchema, get_all_schemas, get_schema, has, onnx_opset_version

from glowpy.onnx.weights import KINDS
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.types import Kind, TensorType

OLDEST_OPSET = 1
NEWEST_OPSET = onnx_opset_version()


@dataclass(frozen=True)
class Formal:
    """An operand as the standard declares it."""

    name: str
    variable: str
    """Operands with the same variable have the same element kind."""
    kinds: frozenset[Kind]
    """Empty if anything goes, or if it is no tensor."""

    @classmethod
    def of(cls, parameter: OpSchema.FormalParameter) -> Self:
        mixed = parameter.option == OpSchema.FormalParameterOption.Variadic and not parameter.is_homogeneous
        return cls(parameter.name, parameter.type_str, frozenset() if mixed else _kinds(frozenset(parameter.types)))


@dataclass(frozen=True)
class Signature:
    """One version of one operator."""

    schema: OpSchema
    inputs: tuple[Formal, ...]

    def check(self, operands: Sequence[TensorType | None], results: int) -> None:
        """BadModel if so many results or operands, or operands of such types, are not allowed."""
        s = self.schema
        if not s.min_input <= len(operands) <= s.max_input:
            raise BadModel(f"takes {_range(s.min_input, s.max_input)} inputs, but has {len(operands)}")
        if results > s.max_output:
            raise BadModel(f"makes {_range(s.min_output, s.max_output)} outputs, but {results} are named")
        bound: dict[str, Kind] = {}
        for index, operand in enumerate(operands):
            formal = self.inputs[min(index, len(self.inputs) - 1)]
            if operand is None or not formal.kinds:
                continue
            if operand.kind not in formal.kinds:
                allowed = ", ".join(sorted(kind.value for kind in formal.kinds))
                raise TypeMismatch(f"input '{formal.name}' is {operand}; version {s.since_version} takes {allowed}")
            if bound.setdefault(formal.variable, operand.kind) is not operand.kind:
                first = bound[formal.variable].value
                raise TypeMismatch(f"input '{formal.name}' is {operand}, but must have the kind {first} of the others")


@cache
def find_signature(domain: str, op: str, opset: int) -> Signature | None:
    """The version of an operator that holds in an operator set, if the standard has one."""
    if not has(op, opset, domain):
        return None
    schema = get_schema(op, opset, domain)
    return Signature(schema, tuple(Formal.of(parameter) for parameter in schema.inputs))


STANDARD = frozenset({"", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training"})
"""The domains of which the installed onnx package knows all operators."""


def similar_names(domain: str, op: str) -> list[str]:
    """Operators of a domain whose names come close."""
    return get_close_matches(op, _names(domain), 1)


@cache
def _names(domain: str) -> frozenset[str]:
    return frozenset(schema.name for schema in get_all_schemas() if schema.domain == domain)


@cache
def _kinds(types: frozenset[str]) -> frozenset[Kind]:
    return frozenset(
        kind for code, kind in KINDS.items() if f"tensor({TensorProto.DataType.Name(code).lower()})" in types
    )


def _range(least: int, most: int) -> str:
    if most > 1 << 16:
        return f"at least {least}"
    return str(least) if least == most else f"{least} to {most}"
