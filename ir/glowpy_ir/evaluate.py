"""The meaning of a graph: the slow answer that every backend must agree with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glowpy_ir.errors import InvalidIR
from glowpy_ir.graph import Graph, Value
from glowpy_ir.op import Composite, Op, Primitive
from glowpy_ir.structured import Region, Structured
from glowpy_ir.types import Array, TensorType


def evaluate(graph: Graph, feeds: Mapping[str, Array]) -> list[Array]:
    """The graph's outputs for the inputs in ``feeds``; every array's type is compared with the inferred one."""
    known: dict[Value, Array] = {value: feeds[value.name] for value in graph.inputs}
    known |= {value: value.data for value in graph.constants}
    for node in graph.nodes:
        arrays = apply(node.op, *(known[v] for v in node.inputs), regions=[_region(r) for r in node.regions])
        for value, array in zip(node.outputs, arrays, strict=True):
            made = TensorType.of(array)
            if (made.kind, made.shape) != (value.type.kind, value.type.shape):
                raise InvalidIR(f"{node.op.name} infers {value.type}, but makes {made}").at(node.origin)
            known[value] = array
    return [known[value] for value in graph.outputs]


def _region(graph: Graph) -> Region:
    names = [value.name for value in graph.inputs]
    return Region(graph.signature, lambda *arrays: evaluate(graph, dict(zip(names, arrays, strict=True))))


def apply(op: Op, *inputs: Array, regions: Sequence[Region] = ()) -> tuple[Array, ...]:
    """The results of ``op`` at work on arrays."""
    match op:
        case Primitive():
            results = op.evaluate(*inputs)
        case Composite():
            results = op.expand(OnArrays(), *inputs)
        case Structured():
            results = op.evaluate(regions, *inputs)
        case _:
            raise TypeError(op)
    return results if isinstance(results, tuple) else (results,)


class OnArrays:
    """Applies operators to arrays."""

    def add(self, op: Op, *inputs: Array) -> Array:
        (result,) = apply(op, *inputs)
        return result

    def add_all(self, op: Op, *inputs: Array) -> tuple[Array, ...]:
        return apply(op, *inputs)

    def constant(self, array: Array) -> Array:
        return array

    def type_of(self, thing: Array) -> TensorType:
        return TensorType.of(thing)
