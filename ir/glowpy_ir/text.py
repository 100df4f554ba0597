"""Graphs as text: ``parse(print_graph(g))`` prints as ``g`` again.

A constant is printed with its elements if it is small, else by a digest; ``parse`` then looks that up in the arrays
it is given. The regions of a node follow its line, indented, and printed as graphs.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from glowpy_ir.errors import GlowError, SyntaxFault
from glowpy_ir.graph import Builder, Graph, Node, Value
from glowpy_ir.lines import Lines
from glowpy_ir.literals import CORE, Vocabulary, read_operator
from glowpy_ir.types import Array, Kind, TensorType

SMALL = 16
"""Constants of at most so many elements are printed with them."""


def digest(array: Array) -> str:
    """A short name for the content of an array."""
    strings = array.dtype == object
    content = repr(array.ravel().tolist()).encode() if strings else np.ascontiguousarray(array).view(np.uint8).data
    return "#" + hashlib.blake2b(content, digest_size=8).hexdigest()


def data_text(array: Array) -> str:
    """The elements of a small array, or the digest of a large one."""
    if array.size > SMALL:
        return digest(array)
    return repr(np.asarray(array).ravel().tolist()).replace("//", r"/\x2f")  # which would begin a comment


def read_data(text: str, type: TensorType, arrays: Mapping[str, Array]) -> Array:
    """The array that ``data_text`` printed."""
    if text.startswith("#"):
        if text not in arrays:
            raise SyntaxFault(f"the elements of constant {text} are not at hand")
        return arrays[text]
    if type.kind is Kind.STRING:
        return np.array(ast.literal_eval(text), object).reshape(type.extents)
    elements = ast.literal_eval(re.sub(r"-?\b(inf|nan)\b", r"'\g<0>'", text))
    if type.kind.is_float:
        return np.array([float(element) for element in elements]).astype(type.kind.dtype).reshape(type.extents)
    return np.array(elements).astype(type.kind.dtype).reshape(type.extents)


def print_graph(graph: Graph) -> str:
    return "\n".join(_lines(graph)) + "\n"


def _lines(graph: Graph) -> Iterator[str]:
    yield f"graph {graph.name} {{"
    for value in graph.inputs:
        yield f"  {value} = placeholder {value.type}"
    for constant in graph.constants:
        yield f"  {constant} = constant {constant.type} {data_text(constant.data)}"
    for node in graph.nodes:
        yield f"  {node_text(node)}"
        for region in node.regions:
            yield from (f"    {line}" for line in _lines(region))
    outputs = zip(graph.output_names, graph.outputs, strict=True)
    yield f"  return {', '.join(f'{name} = {value}' for name, value in outputs)}"
    yield "}"


def node_text(node: Node) -> str:
    """``%y = Op(%x) attribute=value : type``"""
    operands = ", ".join(map(str, node.inputs))
    results = ", ".join(map(str, node.outputs))
    types = ", ".join(str(value.type) for value in node.outputs)
    return f"{results} = {node.op.name}({operands}){node.op.attribute_text()} : {types}"


def parse(text: str, vocabulary: Vocabulary = CORE, arrays: Mapping[str, Array] | None = None) -> Graph:
    """The graph that ``text`` describes; SyntaxFault, with the line, if it describes none."""
    return _Parser(Lines(text), vocabulary, arrays or {}).graph()


@dataclass
class _Parser:
    """Reads graphs from lines, and their regions as they come."""

    lines: Lines
    vocabulary: Vocabulary
    arrays: Mapping[str, Array]

    def graph(self) -> Graph:
        graph = Graph(self.lines.header("graph"))
        values: dict[str, Value] = {}
        while (taken := self.lines.take()) is not None and taken[1] != "}":
            number, line = taken
            regions = self.lines.regions("graph", self.graph)
            try:
                self._line(line, Builder(graph), values, regions)
            except (KeyError, ValueError, SyntaxFault) as error:
                reason = f"no value %{error.args[0]}" if isinstance(error, KeyError) else str(error)
                raise SyntaxFault(f"line {number}: {line!r}: {reason}") from None
            except GlowError as error:
                error.add_note(f"line {number}: {line!r}")
                raise
        return graph

    def _line(self, line: str, builder: Builder, values: dict[str, Value], regions: tuple[Graph, ...]) -> None:
        left, _, right = line.partition(" = ")
        names = [name.strip().removeprefix("%") for name in left.split(",")]
        kind, _, rest = right.partition(" ")
        if "(" in kind:
            self._node(names, right, builder, values, regions)
        elif regions:
            raise ValueError("only operators have regions")
        elif line.startswith("return"):
            for name, value in re.findall(r"(\S+) = %([^\s,]+)", line):
                builder.graph.set_output(name, values[value])
        elif kind == "placeholder":
            values[names[0]] = builder.placeholder(names[0], TensorType.parse(rest))
        elif kind == "constant":
            type_text, _, data = rest.partition(" ")
            type = TensorType.parse(type_text)
            values[names[0]] = builder.constant(read_data(data, type, self.arrays), names[0], type)
        else:
            raise ValueError("expected 'Op(%operands) attribute=value : type'")

    def _node(
        self, names: list[str], text: str, builder: Builder, values: dict[str, Value], regions: tuple[Graph, ...]
    ) -> None:
        match = re.fullmatch(r"(\w+)\(((?:%[^,()\s]+(?:, )?)*)\)(.*) : (.+)", text)
        if match is None:
            raise ValueError("expected 'Op(%operands) attribute=value : type'")
        op = read_operator(match[1] + match[3], self.vocabulary)
        inputs = (values[name] for name in re.findall(r"%([^,\s]+)", match[2]))
        outputs = builder.add_all(op, *inputs, names=names, regions=regions)
        if len(outputs) != len(names):
            raise ValueError(f"{op.name} makes {len(outputs)} results, not {len(names)}")
        inferred = ", ".join(str(value.type) for value in outputs)
        if inferred != match[4]:
            raise ValueError(f"{op.name} makes {inferred}, not {match[4]}")
        values.update(zip(names, outputs, strict=True))
