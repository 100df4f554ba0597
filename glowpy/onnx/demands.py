"""Why a node cannot be imported before a part of the model has run."""

from __future__ import annotations

from glowpy_ir.errors import Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.op import Op


class Demand(Unsupported):
    """The elements of ``value`` decide how the node is imported; where nothing can run first, this is its refusal."""

    def __init__(self, value: Value, what: str) -> None:
        super().__init__(f"{what} ({value}) must be constant: make it an initializer, or bind the inputs that decide")
        self.value = value


class HostRequest(Unsupported):
    """An operator that no backend computes, but the host, between two parts of the model."""

    def __init__(self, op: Op, inputs: tuple[Value, ...]) -> None:
        given = ", ".join(str(value.type) for value in inputs)
        super().__init__(f"{op.name} of {given} is left to the host, and cannot be compiled; run the model instead")
        self.op = op
        self.inputs = inputs
