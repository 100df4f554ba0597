"""Scan: loops that take tensors apart, slice by slice.

It becomes a loop of which each iteration takes its slices from the whole tensors. Where the body can be no region, the
same is said with ONNX's own operators, so that it is put down slice by slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, TensorProto, helper

from glowpy.onnx.context import NodeContext, Table, positive_axis
from glowpy.onnx.operators.control import StaticLoop, scalar_of
from glowpy.onnx.regions import NotStatic, Region
from glowpy.onnx.scope import Hole, Named
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.graph import Value
from glowpy_ir.ops.elementwise import Sub
from glowpy_ir.ops.indexing import Gather
from glowpy_ir.ops.movement import Concat, Reshape, Slice, Transpose


def load_scan_8(c: NodeContext) -> tuple[Named, ...]:
    """Scan before version 9: a loop for each element of the batch, each as long as its sequence."""
    body, count = c.attributes.graph("body"), c.attributes.int("num_scan_inputs")
    backward = c.attributes.ints("directions", (0,) * count)
    lengths, operands = c.optional(0), [c.input(index) for index in range(1, len(c.inputs))]
    if any(value.type.rank < 1 or value.type.shape[0] != operands[0].type.shape[0] for value in operands):
        raise TypeMismatch("all operands must have the same batch as their first dimension")
    whole = [_Scanned(axis=0, backward=bool(flag)) for flag in backward]
    rows = []
    for number in range(operands[0].type.with_shape(operands[0].type.shape[0]).count):
        place = c.constant(np.array(number))
        own = [c.b.add(Gather(0), value, place) for value in operands]
        trips = c.b.add(Gather(0), lengths, place) if lengths else None
        rows.append(_scan(c, body, own, whole, [_Scanned()] * _stacked(body, len(own) - count), trips))
    batches = zip(*rows, strict=True)
    return tuple(_stack(c, row) if all(isinstance(v, Value) for v in row) else Hole.ABSENT for row in batches)


def load_scan(c: NodeContext) -> tuple[Named, ...]:
    """Scan: a loop that takes slices of its operands apart, and stacks what comes of them."""
    body, count = c.attributes.graph("body"), c.attributes.int("num_scan_inputs")
    stacked = _stacked(body, len(c.inputs) - count)
    takes, gives = (
        [_Scanned(axis, bool(flag)) for axis, flag in zip(axes, flags, strict=True)]
        for axes, flags in (
            (c.attributes.ints(f"scan_{way}_axes", (0,) * n), c.attributes.ints(f"scan_{way}_directions", (0,) * n))
            for way, n in (("input", count), ("output", stacked))
        )
    )
    return _scan(c, body, [c.input(index) for index in range(len(c.inputs))], takes, gives, None)


def _stacked(body: GraphProto, states: int) -> int:
    if states < 0 or len(body.output) < states:
        raise BadModel(f"the body gives {len(body.output)} tensors, fewer than {states} states")
    return len(body.output) - states


@dataclass(frozen=True)
class _Scanned:
    """How slices lie in a tensor: along which axis, and whether the last comes first."""

    axis: int = 0
    backward: bool = False

    def element(self, region: Region, whole: Value, number: Value, length: Dim) -> Value:
        """The slice for an iteration."""
        b = region.b
        if self.backward:
            number = b.add(Sub(), scalar_of(b, b.dims((length - 1,))), number)
        return b.add(Gather(positive_axis(self.axis, whole.type.rank)), region.capture(whole), number)

    def whole(self, c: NodeContext, stack: Value) -> Value:
        """The tensor whose slices are stacked along the first axis, in the order of the iterations."""
        rank = stack.type.rank
        if self.backward:
            last = stack.type.shape[0] - 1
            flip = Slice((last, *(0,) * (rank - 1)), stack.type.shape, (-1, *(1,) * (rank - 1)))
            stack = c.b.add(flip, stack)
        axis = positive_axis(self.axis, rank)
        return c.b.add(Transpose((*range(1, axis + 1), 0, *range(axis + 1, rank))), stack) if axis else stack

    def arranged(self, c: NodeContext, stack: Named) -> Named:
        """The same for a stack of slices that may not be known yet, said with ONNX's operators."""
        names = iter("abc")
        name = next(names)
        inputs, nodes = [helper.make_empty_tensor_value_info(name)], []
        numbers = {"minus": -1, "least": np.iinfo(np.int64).min, "zero": 0}
        if self.backward:
            nodes.append(helper.make_node("Slice", [name, "minus", "least", "zero", "minus"], [name := next(names)]))
        if self.axis:
            nodes.append(helper.make_node("SplitToSequence", [name], ["rows"], axis=0, keepdims=0))
            name = next(names)
            nodes.append(helper.make_node("ConcatFromSequence", ["rows"], [name], axis=self.axis, new_axis=1))
        if not nodes:
            return stack
        lists = [helper.make_tensor(key, TensorProto.INT64, [1], [number]) for key, number in numbers.items()]
        outputs = [helper.make_empty_tensor_value_info(name)]
        (result,) = c.inline(helper.make_graph(nodes, "arranged", inputs, outputs, lists), stack)
        return result


def _scan(
    c: NodeContext,
    body: GraphProto,
    operands: Sequence[Value],
    takes: Sequence[_Scanned],
    gives: Sequence[_Scanned],
    trips: Value | None,
) -> tuple[Named, ...]:
    """What is carried at last, and what was stacked; there are ``trips``, or as many as there are slices."""
    states = len(operands) - len(takes)
    initial, wholes = operands[:states], operands[states:]
    if not takes or any(value.type.rank == 0 for value in wholes):
        raise TypeMismatch("a scan takes slices of at least one tensor that has them")
    extents = [v.type.shape[positive_axis(way.axis, v.type.rank)] for v, way in zip(wholes, takes, strict=True)]
    length = extents[0]
    if any(extent != length for extent in extents):
        raise TypeMismatch(f"all tensors must have as many slices, but have {', '.join(map(str, extents))}")

    def run(region: Region, number: Value, *now: Value) -> list[Value]:
        scanned = zip(takes, wholes, strict=True)
        elements = [way.element(region, whole, number, length) for way, whole in scanned]
        return [region.b.constant(np.array(True)), *region.run(body, *now, *elements)]

    wanted = [c.wants(states + k) for k in range(len(gives))]
    limit = scalar_of(c.b, c.b.dims((length,))) if trips is None else trips
    loop = StaticLoop(c, limit, c.constant(np.array(True)), tuple(initial), run, wanted, length)
    try:
        results = loop.load()
    except NotStatic:
        if not isinstance(length, int) or trips is not None or c.opset < 11:
            raise
        return _put_down(c, body, operands, takes, gives, length)
    ways = zip(gives, results[states:], strict=True)
    return (*results[:states], *(way.whole(c, s) if isinstance(s, Value) else s for way, s in ways))


def _put_down(
    c: NodeContext,
    body: GraphProto,
    operands: Sequence[Value],
    takes: Sequence[_Scanned],
    gives: Sequence[_Scanned],
    length: int,
) -> tuple[Named, ...]:
    """The results of a body that is put down for each slice."""
    states = len(operands) - len(takes)
    prefix = _unused_prefix(body)
    number, holds, wholes = f"{prefix}i", f"{prefix}c", [f"{prefix}{k}" for k in range(len(takes))]
    nodes = []
    for k, way in enumerate(takes):
        place = f"{prefix}{k}.i" if way.backward else number
        if way.backward:
            nodes.append(helper.make_node("Sub", [f"{prefix}last", number], [place]))
        nodes.append(helper.make_node("Gather", [wholes[k], place], [body.input[states + k].name], axis=way.axis))
    inputs = [
        helper.make_tensor_value_info(number, TensorProto.INT64, []),
        helper.make_tensor_value_info(holds, TensorProto.BOOL, []),
        *body.input[:states],
        *map(helper.make_empty_tensor_value_info, wholes),
    ]
    untouched = map(helper.make_empty_tensor_value_info, (holds, *wholes))
    outputs = [next(untouched), *body.output[:states], *untouched, *body.output[states:]]
    last = helper.make_tensor(f"{prefix}last", TensorProto.INT64, [], [length - 1])
    graph = helper.make_graph(
        [*nodes, *body.node], body.name, inputs, outputs, [last, *body.initializer],
        sparse_initializer=body.sparse_initializer,
    )  # fmt: skip
    results = c.unroll(graph, c.constant(np.array(length)), None, list(operands))
    stacks = results[len(operands) :]
    return (*results[:states], *(way.arranged(c, stack) for way, stack in zip(gives, stacks, strict=True)))


def _unused_prefix(body: GraphProto) -> str:
    """What no name in the body begins with."""
    prefix = "scan/"
    while any(name.startswith(prefix) for node in body.node for name in (*node.input, *node.output)):
        prefix += "_"
    return prefix


def _stack(c: NodeContext, values: Sequence[Value]) -> Value:
    """The values along a new first axis."""
    return c.b.add(Concat(0), *(c.b.add(Reshape((1, *value.type.shape)), value) for value in values))


LOADERS: Table = {("Scan", 8): load_scan_8, ("Scan", 9): load_scan}
