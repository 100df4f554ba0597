"""Builds graphs in Python, with a method for each operator.

g = GraphBuilder("classifier")
x = g.input("image", "f32[1,3,8,8]")
hidden = g.relu(g.batch_normalization(x, scale, bias, mean, variance))
g.output(scores=g.softmax(g.reduce_mean(hidden, axes=(2, 3), keepdims=False), axis=1))
print(g.graph)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from glowpy_ir.calls import METHODS, find_operator, read_call, signature, signature_text
from glowpy_ir.errors import UsageError
from glowpy_ir.graph import Builder, Graph, Value
from glowpy_ir.op import Op
from glowpy_ir.types import TensorType

Operand = Value | np.generic | np.ndarray[Any, Any] | bool | int | float


class GraphBuilder:
    """A graph in the making.

    Each operator is a method: ``g.conv(x, weights, strides=(1, 1), …)`` takes the operands by place or by name and the
    attributes by name, and answers with the result, or with a tuple of results; ``name`` says what a result is called.
    An operand may be an array, which becomes a constant, or a number, which gets the kind of the first tensor.

    A structured operator takes ``regions``, too, each a graph of its own: ``g.if_(c, x, regions=(then, other))``.

    A call that does not fit the operator raises UsageError, operands of the wrong type raise TypeMismatch.
    """

    def __init__(self, name: str = "main") -> None:
        self.graph = Graph(name)
        self._builder = Builder(self.graph)

    def input(self, name: str, type: TensorType | str) -> Value:
        """A tensor that the caller brings, its type an object or a text such as ``f32[batch,3]``."""
        return self._builder.placeholder(name, TensorType.parse(type) if isinstance(type, str) else type)

    def constant(self, array: Operand, name: str = "c") -> Value:
        """A tensor that is known now."""
        return self._builder.constant(np.asarray(array), name)

    def output(self, **values: Value) -> None:
        """Let the graph answer with these values, under these names."""
        for name, value in values.items():
            self.graph.set_output(name, value)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        cls = find_operator(method)

        def apply(
            *operands: Operand | None, name: str = "", regions: Sequence[Graph] = (), **named: Any
        ) -> Value | tuple[Value, ...]:
            return self._apply(cls, operands, named, name, regions)

        apply.__name__ = method
        apply.__doc__ = f"{signature_text(cls)}\n\n{inspect.getdoc(cls)}"
        apply.__signature__ = signature(cls)  # type: ignore[attr-defined]
        return apply

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *METHODS]

    def _apply(
        self,
        cls: type[Op],
        operands: tuple[Operand | None, ...],
        named: dict[str, Any],
        name: str,
        regions: Sequence[Graph],
    ) -> Value | tuple[Value, ...]:
        op, given = read_call(cls, operands, named)
        names = (name,) if name else ()
        results = self._builder.add_all(op, *self._values(op, given), names=names, regions=regions)
        return results[0] if len(results) == 1 else results

    def _values(self, op: Op, operands: tuple[Any, ...]) -> list[Value]:
        kinds = [operand.type.kind for operand in operands if isinstance(operand, Value)]
        values = []
        for index, operand in enumerate(operands):
            match operand:
                case Value():
                    values.append(operand)
                case bool() | int() | float() if kinds:
                    values.append(self.constant(np.array(operand, kinds[0].dtype)))
                case bool() | int() | float() | np.generic() | np.ndarray():
                    values.append(self.constant(operand))
                case _:
                    parameter = op.parameter(index).name
                    raise UsageError(f"{parameter} of {op.name} must be a value, an array or a number; not {operand!r}")
        return values
