"""From the graph to the program: values become buffers, nodes become instructions, movements become views.

An operand that an instruction cannot take where it lies (the strides do not fit, or the zeros around it are missing)
is copied, by an instruction that anyone can see; a halo is given to the operand itself wherever that is possible.
The regions of a node become programs with addresses first, so that it is known how large an arena they need.
"""

from __future__ import annotations

from collections.abc import Mapping

from glowpy.program.halo import widen_halo, zero_halos
from glowpy.program.uses import Uses
from glowpy_backends.base import Backend
from glowpy_ir.errors import InvalidIR
from glowpy_ir.graph import Constant, Graph, Node, Value
from glowpy_ir.op import Composite, Movement, Op
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.movement import Concat, Copy, Pad, Slice
from glowpy_ir.program import (
    Activation,
    Buffer,
    Compute,
    Input,
    Margins,
    Output,
    Program,
    View,
    Weight,
)
from glowpy_ir.structured import Structured
from glowpy_ir.types import TensorType
from glowpy_ir.workspace import workspace_of


def emit_program(graph: Graph, backend: Backend, regions: Mapping[Graph, Program]) -> Program:
    """The program of a lowered graph; its activations have no addresses yet. InvalidIR if a composite is left
    that the backend does not keep whole.

    ``regions`` has the program, with addresses, of each region of its nodes.
    """
    return Emission(graph, backend, regions).run()


class Emission:
    """The buffers so far, and the instructions that fill them."""

    def __init__(self, graph: Graph, backend: Backend, regions: Mapping[Graph, Program]) -> None:
        self.graph = graph
        self.backend = backend
        self.regions = regions
        self.program = Program(graph.name)
        self.buffers: dict[Value, Buffer] = {}
        self.names: dict[str, int] = {}
        self.uses = Uses()

    def run(self) -> Program:
        for value in self.graph.inputs:
            self.buffers[value] = source = Input(self._name(value.name), value.type)
            self.program.inputs.append(source)
        named = zip(self.graph.output_names, self.graph.outputs, strict=True)
        outputs = [Output(self._name(name), result.type) for name, result in named]
        for node in self.graph.nodes:
            self._node(node)
        for output, result in zip(outputs, self.graph.outputs, strict=True):
            self.program.outputs.append(output)
            self._copy_into(output, self._buffer(result), None)
        zero_halos(self.program)
        return self.program

    def _name(self, wanted: str) -> str:
        stem = wanted
        while wanted in self.names:
            self.names[stem] += 1
            wanted = f"{stem}.{self.names[stem]}"
        self.names[wanted] = 0
        return wanted

    def _buffer(self, value: Value) -> Buffer:
        if value not in self.buffers:
            if not isinstance(value, Constant):
                raise InvalidIR(f"{value} is used before it is made")
            self.buffers[value] = weight = Weight(self._name(value.name), value.type, data=value.data)
            self.program.weights.append(weight)
        return self.buffers[value]

    def _activation(self, name: str, type: TensorType) -> Activation:
        return Activation(self._name(name), type)

    def _node(self, node: Node) -> None:
        op = node.op
        if isinstance(op, Composite) and not self.backend.keeps(op):
            raise InvalidIR(f"{op.name} was not lowered").at(node.origin)
        sources = [self._buffer(value) for value in node.inputs]
        if isinstance(op, Copy):
            self._store(node.output, sources[0], node)
        elif isinstance(op, Movement):
            self._view(node.output, op, sources[0], node)
        elif isinstance(op, Concat):
            self._concat(node.output, op, sources, node)
        elif isinstance(op, Pad):
            self._pad(node.output, op, sources[0], node)
        else:
            types = [value.type for value in node.inputs]
            fitted = [self._fit(op, i, buffer, types, node) for i, buffer in enumerate(sources)]
            outputs = tuple(self._activation(v.name, v.type) for v in node.outputs)
            self.buffers.update(zip(node.outputs, outputs, strict=True))
            regions = tuple(self.regions[region] for region in node.regions)
            workspace = workspace_of(op, regions, types) if isinstance(op, Structured) else ()
            own = tuple(self._activation(f"{node.outputs[0].name}.work", type) for type in workspace)
            self._compute(op, outputs, tuple(fitted), node, regions, own)

    def _compute(
        self,
        op: Op,
        outputs: tuple[Buffer, ...],
        inputs: tuple[Buffer, ...],
        node: Node | None,
        regions: tuple[Program, ...] = (),
        workspace: tuple[Activation, ...] = (),
    ) -> None:
        origin = node.origin if node else None
        instruction = Compute(op, outputs, inputs, origin=origin, regions=regions, workspace=workspace)
        self.program.instructions.append(instruction)
        self.uses.add(instruction)

    def _store(self, value: Value, source: Buffer, node: Node) -> None:
        target = self._activation(value.name, value.type)
        self.buffers[value] = target
        self._compute(Copy(), (target,), (source,), node)

    def _copy_into(self, target: Buffer, source: Buffer, node: Node | None) -> None:
        """Copy, but what only looks at the source otherwise looks at the target otherwise: the source is computed."""
        while isinstance(source, View):
            inverse = source.op.inverse(source.of.type)
            if inverse is None or inverse.restride(target.layout) is None:
                break
            target = View(self._name(f"{target.name}.view"), source.of.type, target, inverse)
            source = source.of
        self._compute(Copy(), (target,), (source,), node)

    def _view(self, value: Value, op: Movement, source: Buffer, node: Node) -> None:
        if op.restride(source.layout) is None:
            source = self._copy(source, (), node)
        view = View(self._name(value.name), value.type, source, op)
        self.buffers[value] = view
        self.uses.add_buffer(view)

    def _part(self, whole: Buffer, name: str, starts: tuple[int, ...], shape: tuple[int, ...]) -> View:
        op = Slice(starts, shape, (1,) * len(starts))
        return View(self._name(name), whole.type.with_shape(*shape), whole, op)

    def _concat(self, value: Value, op: Concat, sources: list[Buffer], node: Node) -> None:
        whole = self._activation(value.name, value.type)
        self.buffers[value] = whole
        start = 0
        for source in sources:
            shape = source.type.extents
            starts = tuple(start if axis == op.axis else 0 for axis in range(len(shape)))
            part = self._part(whole, f"{value.name}.part", starts, shape)
            self._copy_into(part, source, node)
            start += shape[op.axis]

    def _pad(self, value: Value, op: Pad, source: Buffer, node: Node) -> None:
        whole = self._activation(value.name, value.type)
        self.buffers[value] = whole
        fill = Splat(op.value, value.type.kind, value.type.shape)
        self._compute(fill, (whole,), (), node)
        part = self._part(whole, f"{value.name}.inside", op.before, source.type.extents)
        self._copy_into(part, source, node)

    def _fit(self, op: Op, index: int, buffer: Buffer, types: list[TensorType], node: Node) -> Buffer:
        """The operand, or a copy of it that the instruction can take."""
        margins = op.margins(index, *types)
        self.uses.add_buffer(buffer)
        if any(map(any, margins)) and not widen_halo(self.uses, self.backend, buffer, margins):
            return self._copy(buffer, margins, node)
        if not self.backend.accepts(op, index, buffer.layout):
            return self._copy(buffer, margins if any(map(any, margins)) else (), node)
        return buffer

    def _copy(self, source: Buffer, margins: Margins, node: Node) -> Activation:
        copy = self._activation(f"{source.name}.copy", source.type)
        copy.halo = margins
        self._compute(Copy(), (copy,), (source,), node)
        return copy
