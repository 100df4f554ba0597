"""A model in parts: what can be compiled before anything has run, and what needs to know what came out of that.

Most models have one part. Where a shape, a trip count or a condition is computed from data, the importer stops: all
that it has built so far is a part, which is compiled and run; the elements that it waited for become constants, and the
import goes on in a new graph. Texts, which no backend computes with, are worked on by the host between two parts.

Values that outlive their part are kept under keys.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass

from onnx import GraphProto, ValueInfoProto

from glowpy.onnx.demands import Demand, HostRequest
from glowpy.onnx.files import ModelFile
from glowpy.onnx.folding import FoldingBuilder
from glowpy.onnx.functions import Functions
from glowpy.onnx.importer import Fact, Importer, clean_name
from glowpy.onnx.inputs import Bindings, contradicts, free_inputs
from glowpy.onnx.operators import tables
from glowpy.onnx.scope import Bundle, Hole, Nothing, Operand, Place, Skip, Zipped, follow, input_key, values_in
from glowpy.onnx.weights import Weights
from glowpy.passes.dead import remove_dead_nodes
from glowpy_ir.errors import BadModel, Findings, GlowError, TypeMismatch
from glowpy_ir.graph import Constant, Graph, Value
from glowpy_ir.op import Op
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class Maps:
    """A sequence of maps from labels to the elements of a row."""

    labels: tuple[int | str, ...]
    rows: Fact


Result = Fact | Maps | None | tuple["Result", ...]
"""What a model gives: a tensor, a sequence of maps, nothing, or a sequence."""


@dataclass(frozen=True)
class HostStep:
    """An operator that the host computes; its results are found under ``key`` and their number (``key.0``)."""

    op: Op
    inputs: tuple[Fact, ...]
    key: str


@dataclass(frozen=True)
class Part:
    """One part of a model: first its graph is run, then the host's steps."""

    graph: Graph
    takes: tuple[str, ...]
    """Where its inputs are found."""
    gives: tuple[str, ...]
    """Where its outputs are kept."""
    steps: tuple[HostStep, ...] = ()
    asks: tuple[str, ...] = ()
    """The values whose elements decide what the next part is."""
    results: tuple[Result, ...] | None = None
    """What the model gives, if this part is the last."""


@dataclass(frozen=True)
class Answer:
    """What came out of a part that decides what the next one is."""

    asked: tuple[Array, ...]
    made: tuple[tuple[TensorType, ...], ...]
    """The types of the results of each of the host's steps."""


@dataclass
class Parts:
    """The import of a model for inputs of known shapes."""

    file: ModelFile
    opsets: Mapping[str, int]
    functions: Functions
    bindings: Bindings

    def each(self) -> Generator[Part, Answer, None]:
        """One part after the other; what came out of one is sent to get the next. Findings if a part is bad."""
        while True:
            importer, place = self._begin(in_parts=True)
            if not (asked := self._asked_inputs(importer)):
                break
            answer = yield Part(Graph(importer.builder.graph.name), (), (), asks=tuple(map(input_key, asked)))
            self.bindings = self.bindings.knowing(dict(zip(asked, answer.asked, strict=True)))
        number = 0
        while importer.waiting:
            part = self._part(importer, place, number)
            answer = yield part
            self._learn(importer, part, answer)
            number += 1
            importer.begin_part(FoldingBuilder(Graph(part.graph.name), in_parts=True))
            self._check(importer)
        results = self._results(importer, place, number)
        self._check(importer)
        yield _finish(importer, results=results)

    def _refuse(self, importer: Importer) -> None:
        """Tell for what the model would have to be run first, as far as it can be told now."""
        for task, reason in importer.refusals:
            importer.report(reason, task.title, task.node.op_type)
        self._check(importer)

    def whole(self) -> Graph:
        """The graph of a model that has one part; Findings if it has more."""
        importer, place = self._begin(in_parts=False)
        self._refuse(importer)
        results = self._results(importer, place, 0)
        self._check(importer)
        _finish(importer, results)
        return importer.builder.graph

    def _begin(self, in_parts: bool) -> tuple[Importer, Place]:
        proto = self.file.proto.graph
        graph = Graph(clean_name(proto.name) if proto.name else "main")
        weights = Weights(self.file.folder, self.file.own)
        builder = FoldingBuilder(graph, in_parts=in_parts)
        importer = Importer(self.file.name, builder, tables(), self.functions, weights)
        place = Place({}, self.opsets)
        _add_inputs(proto, importer, place, self.bindings)
        importer.reserve([name for node in proto.node for name in node.output])
        importer.add_weights(proto, place)
        importer.add_nodes(proto.node, place)
        self._check(importer)
        return importer, place

    def _check(self, importer: Importer) -> None:
        if importer.findings:
            raise Findings(f"{self.file.name} cannot be imported:", importer.findings)

    def _asked_inputs(self, importer: Importer) -> list[str]:
        """The inputs whose elements are needed before anything else."""
        names = {input_key(value.name): value.name for value in free_inputs(self.file.proto.graph)}
        asked = (importer.facts.get(reason.value) for _, reason in importer.refusals if isinstance(reason, Demand))
        return list(dict.fromkeys(names[key] for key in asked if isinstance(key, str) and key in names))

    def _part(self, importer: Importer, place: Place, number: int) -> Part:
        """What was built so far, which is to be run before the rest can be imported."""
        keep = _Keep(importer, number)
        asks, steps = [], []
        for count, (_, reason) in enumerate(importer.refusals):
            match reason:
                case Demand(value=value):
                    asks.append(keep.key(value))
                case HostRequest(op=op, inputs=inputs):
                    steps.append(HostStep(op, tuple(map(keep.fact, inputs)), f"{number}/{op.name}/{count}"))
        for thing in self._still_needed(importer, place):
            for value in values_in(thing):
                keep.fact(value)
        return _finish(importer, None, steps=tuple(steps), asks=tuple(dict.fromkeys(asks)))

    def _still_needed(self, importer: Importer, place: Place) -> Iterable[Operand]:
        for task in importer.waiting:
            for named in task.reads():
                if not isinstance(found := follow(named), Hole):
                    yield found
            for _, values in task.journal.entries:
                yield from values
        for output in self.file.proto.graph.output:
            if not isinstance(found := follow(place.scope.get(output.name, Hole.FAILED)), Hole):
                yield found

    def _learn(self, importer: Importer, part: Part, answer: Answer) -> None:
        """Take what came out of a part for known."""
        elements = dict(zip(part.asks, answer.asked, strict=True))
        for value, fact in importer.facts.items():
            if isinstance(fact, str) and fact in elements:
                importer.facts[value] = elements[fact]
        requests = [(task, r) for task, r in importer.refusals if isinstance(r, HostRequest)]
        for (task, request), step, types in zip(requests, part.steps, answer.made, strict=True):
            values = tuple(Value(request.op.name.lower(), type) for type in types)
            importer.facts.update((value, f"{step.key}.{i}") for i, value in enumerate(values))
            task.journal.note(request.op, values)

    def _results(self, importer: Importer, place: Place, number: int) -> tuple[Result, ...]:
        """What the outputs are; in a model of one part they keep their names."""
        keep = _Keep(importer, number)
        proto = self.file.proto.graph
        if not proto.output:
            importer.report(BadModel("the model has no outputs"), proto.name, "graph")
        results: list[Result] = []
        taken = set[str]()
        for output in proto.output:
            try:
                thing = importer.value(place, output.name)
                _check_declared(output, thing)
                if output.name in taken:
                    raise BadModel("two outputs have this name")
                taken.add(output.name)
                results.append(keep.result(thing, output.name))
            except Skip:
                results.append(None)
            except GlowError as error:
                results.append(None)
                importer.report(error, output.name, "output")
        return tuple(results)


@dataclass(frozen=True)
class _Keep:
    """Makes outputs of the part's graph of values that are needed after it has run."""

    importer: Importer
    number: int

    def fact(self, value: Value) -> Fact:
        """Where a value will be found, or its elements if they are known now."""
        facts = self.importer.facts
        if value not in facts:
            match value:
                case Constant(data=data):
                    facts[value] = data
                case _:
                    self.importer.keep(value, self._output(value, f"{self.number}/{value.name}"))
        return facts[value]

    def key(self, value: Value) -> str:
        """Where a value will be found whose elements are not known now."""
        fact = self.fact(value)
        assert isinstance(fact, str)
        return fact

    def result(self, thing: Operand, name: str) -> Result:
        """An output of the model; in one of a single part, the graph's output has its name."""
        match thing:
            case Bundle(items=items):
                return tuple(self.result(item, "") for item in map(follow, items) if not isinstance(item, Hole))
            case Zipped(labels=labels, rows=rows):
                return Maps(labels, self.fact(rows))
            case Nothing():
                return None
            case Value():
                texts = self.importer.builder.in_parts and thing.type.kind is Kind.STRING
                plain = name and self.number == 0 and not texts
                return self._output(thing, name) if plain else self.fact(thing)

    def _output(self, value: Value, key: str) -> str:
        self.importer.builder.graph.set_output(key, value)
        return key


def _finish(
    importer: Importer,
    results: tuple[Result, ...] | None,
    steps: tuple[HostStep, ...] = (),
    asks: tuple[str, ...] = (),
) -> Part:
    """The part as it stands, without what nobody needs."""
    graph = importer.builder.graph
    remove_dead_nodes(graph)
    if results is None or any(value.type.kind is Kind.STRING for value in graph.inputs):
        graph.inputs = [value for value in graph.inputs if value.users or value in graph.outputs]
    takes = (importer.facts[value] for value in graph.inputs)
    return Part(graph, tuple(map(str, takes)), tuple(graph.output_names), steps, asks, results)


def _check_declared(output: ValueInfoProto, thing: Operand) -> None:
    is_tensor = output.type.WhichOneof("value") == "tensor_type"
    if is_tensor and isinstance(thing, Value) and contradicts(output, thing.type):
        raise TypeMismatch(f"the model declares another element type than that of {thing.type}")


def _add_inputs(proto: GraphProto, importer: Importer, place: Place, bindings: Bindings) -> None:
    for value in free_inputs(proto):
        try:
            if not value.name or value.name in place.scope:
                raise BadModel("two inputs have this name" if value.name else "an input needs a name")
            place.scope[value.name] = Hole.FAILED
            if value.name in bindings.forms:
                place.scope[value.name] = importer.add_input(value.name, bindings.form_of(value))
                continue
            type = bindings.type_of(value)
            if value.name in bindings.values:
                importer.define(place, value.name, importer.builder.constant(bindings.value_of(value.name, type)))
            else:
                place.scope[value.name] = importer.add_input(value.name, type)
        except GlowError as error:
            importer.report(error, value.name, "input")
