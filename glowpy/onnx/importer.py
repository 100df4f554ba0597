"""Turns the nodes of a model into operators, one after the other, and gathers all that is wrong with them."""

from __future__ import annotations

import re
from collections import ChainMap, Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from onnx import FunctionProto, GraphProto, NodeProto

from glowpy.feeds import Form
from glowpy.onnx.attributes import Attributes
from glowpy.onnx.context import Loader, NodeContext
from glowpy.onnx.demands import Demand, HostRequest
from glowpy.onnx.differentiation import with_named_values
from glowpy.onnx.folding import FoldingBuilder, Journal
from glowpy.onnx.functions import Functions, body_of, domain_of, key_of, standard_function
from glowpy.onnx.operators import Rows
from glowpy.onnx.order import in_order, label, names_read
from glowpy.onnx.regions import Region
from glowpy.onnx.scope import (
    Alias,
    Bundle,
    Hole,
    Named,
    Nothing,
    Operand,
    Place,
    Scope,
    Skip,
    Waits,
    Zipped,
    follow,
    input_key,
)
from glowpy.onnx.signatures import STANDARD, find_signature, similar_names
from glowpy.onnx.tasks import NodeTask, Task, UnrolledLoop
from glowpy.onnx.weights import MOST_DIMENSIONS, Weights
from glowpy_ir.errors import BadModel, GlowError, InvalidIR, Origin, Unsupported
from glowpy_ir.graph import Graph, Value
from glowpy_ir.types import Array, TensorType

MOST_FINDINGS = 100
"""More are not told; a model with so many faults has one cause."""

MOST_BYTES = 1 << 36
"""A tensor that is larger than this (64 GiB) is refused."""


Fact = str | Array
"""Where a value of an earlier part is found when the next runs, or its elements if they decide how that looks."""


@dataclass
class Importer:
    """The import of one model."""

    source: str
    builder: FoldingBuilder
    tables: Mapping[str, Rows]
    functions: Functions
    weights: Weights
    findings: list[GlowError] = field(default_factory=list)
    waiting: list[Task] = field(default_factory=list)
    """Nodes that cannot be imported before a part of the model has run, in an order in which they can be then."""
    refusals: list[tuple[Task, Demand | HostRequest]] = field(default_factory=list)
    """Why they cannot."""
    facts: dict[Value, Fact] = field(default_factory=dict)
    """What is known of values from outside the graph that is built now."""
    draws: Counter[str] | None = field(default_factory=Counter)
    """How often nodes drew random numbers; None in a region, which is the same each time it runs."""
    _here: dict[str | Value, Value] = field(default_factory=dict)
    _reserved: dict[str, str] = field(default_factory=dict)
    _named: set[Value] = field(default_factory=set)

    def report(self, error: GlowError, name: str, what: str) -> None:
        """Note what is wrong with a node, an input or a weight."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(error.at(Origin(self.source, short(name), short(what))))
        elif len(self.findings) == MOST_FINDINGS:
            self.findings.append(BadModel("and more"))

    def reserve(self, names: Sequence[str]) -> None:
        """Keep these names free for what the model calls so."""
        self._reserved |= {name: self.builder.graph.fresh_name(clean_name(name)) for name in names if name}

    def define(self, place: Place, name: str, value: Named) -> None:
        """Let ``name`` stand for something; a value takes that name if it has none of the model's yet."""
        place.scope[name] = value
        if isinstance(value, Value) and value not in self._named:
            full = place.prefix + name
            value.name = self._reserved.pop(full, "") or self.builder.graph.fresh_name(clean_name(full))
            self._named.add(value)

    def add_input(self, name: str, type: Form) -> Operand:
        """What the caller brings, known to the caller by this very name; the items of a sequence are numbered."""
        if type is None:
            return Nothing()
        if isinstance(type, tuple):
            return Bundle(tuple(self.add_input(f"{name}.{number}", item) for number, item in enumerate(type)))
        _check_size(type)
        value = self.builder.placeholder(name, type)
        self._meet(value, input_key(name))
        return value

    def here(self, value: Value) -> Value:
        """The same value in the graph that is built now."""
        fact = self.facts.get(value)
        if fact is None:
            return value
        key = fact if isinstance(fact, str) else value
        if key not in self._here:
            if isinstance(fact, str):
                self._meet(self.builder.placeholder(clean_name(fact), value.type), fact)
            else:
                self._here[key] = self.builder.constant(fact, value.name)
        return self._here[key]

    def _meet(self, placeholder: Value, key: str) -> None:
        """Note a placeholder of this graph for what is found under ``key``."""
        self.keep(placeholder, key)
        self._named.add(placeholder)

    def keep(self, value: Value, key: str) -> None:
        """Note that a value of this graph is found under ``key``, from now on or when it has run."""
        self.facts[value] = key
        self._here[key] = value

    def begin_part(self, builder: FoldingBuilder) -> None:
        """Go on in a new graph, and try again what had to wait."""
        tasks, self.waiting, self.refusals = self.waiting, [], []
        self.builder, self._here = builder, {}
        self._run(tasks)

    def add_weights(self, graph: GraphProto, place: Place) -> None:
        """Make constants of the weights of a graph."""
        taken = set[str]()
        for tensor in graph.initializer:
            try:
                if not tensor.name:
                    raise BadModel("a weight needs a name")
                if tensor.name in taken:
                    raise BadModel("two weights have this name")
                self.define(place, tensor.name, self.builder.constant(self.weights.array(tensor)))
            except GlowError as error:
                place.scope[tensor.name] = Hole.FAILED
                self.report(error, tensor.name, "initializer")
            taken.add(tensor.name)
        for sparse in graph.sparse_initializer:
            place.scope[sparse.values.name] = Hole.FAILED
            self.report(Unsupported("sparse weights are not supported"), sparse.values.name, "initializer")

    def add_nodes(self, nodes: Sequence[NodeProto], place: Place) -> None:
        """Import nodes, in whatever order they stand."""
        order = in_order(list(map(with_named_values, nodes)))
        for cycle in order.cycles:
            path = " -> ".join(label(node) for node in (*cycle, cycle[0]))
            self.report(BadModel(f"nodes wait for each other: {_limited(path)}"), label(cycle[0]), cycle[0].op_type)
            for node in cycle:
                place.scope.update((name, Hole.FAILED) for name in node.output)
        self._run([NodeTask(place, node, Journal(self.here)) for node in order.nodes])

    def value(self, place: Place, name: str) -> Operand:
        """What ``name`` stands for; BadModel if nothing does."""
        if name not in place.scope:
            raise BadModel(f"'{name}' is made by no node, and is no input and no weight")
        return self.resolve(place.scope[name])

    def resolve(self, thing: Named) -> Operand:
        """The thing in the graph that is built now."""
        match follow(thing):
            case Hole.PENDING as found:
                raise Waits(found.value)
            case Hole() as found:
                raise Skip(found.value)
            case Value() as found:
                return self.here(found)
            case Bundle(items=items):
                return Bundle(tuple(map(self.resolve, items)))
            case Zipped(labels=labels, rows=rows):
                return Zipped(labels, self.here(rows))
            case found:
                return found

    def _run(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self._try(task)

    def _try(self, task: Task) -> None:
        """Give names a meaning, or note why that cannot be done (yet)."""
        results: Sequence[Named] = [Hole.FAILED] * len(task.writes)
        try:
            results = task.attempt(self)
        except Skip:
            pass
        except (Waits, Demand, HostRequest) as reason:
            self.waiting.append(task)
            if not isinstance(reason, Waits):
                self.refusals.append((task, reason))
            results = [Hole.PENDING] * len(task.writes)
        except GlowError as error:
            self.report(error, task.title, task.node.op_type)
        scope = task.place.scope
        for name, result in zip(task.writes, results, strict=False):
            if name in _own(scope) and not isinstance(scope[name], Hole):
                self.report(BadModel(f"'{name}' is made a second time"), task.title, task.node.op_type)
            elif name:
                self.define(task.place, name, result)

    def import_node(self, task: Task) -> Sequence[Named]:
        """The results of a node."""
        operands = self._operands(task.node, task.place)
        try:
            return self._results(task, operands)
        except GlowError as error:
            raise _with_operands(error, ", ".join(map(_type_text, operands))) from error

    def _operands(self, node: NodeProto, place: Place) -> tuple[Operand | None, ...]:
        if missing := next((name for name in names_read(node) if name not in place.scope), ""):
            self.value(place, missing)  # nested graphs that never run must make sense too
        absent = [not name or place.scope.get(name) is Hole.ABSENT for name in node.input]
        return tuple(
            None if left_out else self.value(place, name) for name, left_out in zip(node.input, absent, strict=True)
        )

    def _results(self, task: Task, operands: tuple[Operand | None, ...]) -> Sequence[Named]:
        node, place = task.node, task.place
        if function := self.functions.by_key.get(key_of(node)):
            return self._call(function, node, operands, place)
        domain = domain_of(node.domain)
        if domain not in place.opsets:
            raise BadModel(f"the model does not import the operator set of domain '{domain}'")
        opset = place.opsets[domain]
        types = [value.type if isinstance(value, Value) else None for value in operands]
        signature = find_signature(domain, node.op_type, opset)
        if signature:
            signature.check(types, len(node.output))
        if loader := self._loader(domain, node.op_type, opset):
            return self._load(loader, task, operands, opset)
        if signature and (body := standard_function(signature.schema, opset, node, types)):
            return self._call(body, node, operands, place)
        raise self._unknown(domain, node.op_type, opset, signature is not None)

    def _loader(self, domain: str, op: str, opset: int) -> Loader | None:
        rows = self.tables.get(domain, {}).get(op, ())
        return next((loader for since, loader in rows if since <= opset), None)

    def _load(
        self, loader: Loader, task: Task, operands: tuple[Operand | None, ...], opset: int
    ) -> Sequence[Named]:
        node, place = task.node, task.place
        task.journal.rewind()
        origin = Origin(self.source, short(place.prefix + label(node)), node.op_type)
        context = NodeContext(
            self.builder.at(origin, task.journal),
            operands,
            Attributes(node.attribute, self.weights),
            opset,
            tuple(node.output),
            lambda graph, *operands: self.inline(graph, operands, node, place),
            lambda name: self._region(name, node, place, origin),
            lambda *loop: self._unroll(task, *loop),
            lambda: self._draw(task),
        )
        try:
            made = loader(context)
        except GlowError:
            raise
        except Exception as error:  # whatever a bad model makes a loader stumble over, the rest is still looked at
            raise InvalidIR(f"the importer failed: {type(error).__name__}: {error}") from error
        if unread := context.attributes.unread():
            raise BadModel(f"unknown attribute {', '.join(map(repr, unread))}")
        results = made if isinstance(made, tuple) else (made,)
        if len(results) < len(node.output) and any(node.output[len(results) :]):
            raise Unsupported(f"only the first {len(results)} of {len(node.output)} outputs are supported")
        for value in results:
            if isinstance(value, Value):
                _check_size(value.type)
        return results

    def _unknown(self, domain: str, op: str, opset: int, standard: bool) -> GlowError:
        where = f"domain '{domain or 'ai.onnx'}', version {opset}"
        if rows := self.tables.get(domain, {}).get(op):
            return Unsupported(f"operator {op} is supported from version {rows[-1][0]} on, not in {where}")
        if standard or domain not in STANDARD:
            return Unsupported(f"operator {op} is not supported ({where})")
        hint = "".join(f"; is {name} meant?" for name in similar_names(domain, op))
        return BadModel(f"there is no operator {op} ({where}){hint}")

    def _call(
        self, function: FunctionProto, node: NodeProto, operands: tuple[Operand | None, ...], place: Place
    ) -> Sequence[Named]:
        """Put a function in place of the node that calls it."""
        if len(operands) > len(function.input) or len(node.output) > len(function.output):
            raise BadModel(f"function {function.name} takes {len(function.input)} and makes {len(function.output)}")
        scope: Scope = dict.fromkeys(function.input, Hole.ABSENT)
        scope.update((name, value) for name, value in zip(function.input, operands, strict=False) if value is not None)
        opsets = {domain_of(entry.domain): entry.version for entry in function.opset_import}
        inner = Place(scope, {**place.opsets, **opsets}, f"{place.prefix}{label(node)}/")
        self.add_nodes(body_of(function, node.attribute), inner)
        wanted = [name if caller else "" for name, caller in zip(function.output, node.output, strict=False)]
        return [Hole.ABSENT if not name else self._result(inner, name) for name in wanted]

    def _result(self, place: Place, name: str) -> Named:
        """What an inner name stands for, or will stand for."""
        found = place.scope.get(name)
        if found is None:
            self.value(place, name)
        return Hole.FAILED if found in (Hole.FAILED, Hole.ABSENT) else Alias(place, name)

    def _region(self, name: str, node: NodeProto, place: Place, origin: Origin) -> Region:
        """Begin a region of a node; what is wrong in it is not reported here."""
        builder = FoldingBuilder(Graph(name), in_parts=self.builder.in_parts)
        inner = Importer(self.source, builder, self.tables, self.functions, self.weights, draws=None)
        within = Place(place.scope, place.opsets, f"{place.prefix}{label(node)}/")
        return Region(self, within, inner, builder.at(origin))

    def _draw(self, task: Task) -> int:
        if self.draws is None:
            raise Unsupported("random numbers would be the same each time that a region runs")
        self.draws[task.title] += 1
        return self.draws[task.title] - 1

    def _unroll(
        self, task: Task, body: GraphProto, trips: Named | None, condition: Named | None, carried: Sequence[Named]
    ) -> tuple[Named, ...]:
        """Put down a loop's body as often as it runs."""
        results = Place({}, task.place.opsets, f"{task.place.prefix}{label(task.node)}/")
        journal = Journal(self.here)
        loop = UnrolledLoop(results, task.node, journal, task.place, body, trips, condition, tuple(carried))
        self._try(loop)
        return tuple(Alias(results, name) for name in loop.writes)

    def inline(self, graph: GraphProto, operands: Sequence[Named], node: NodeProto, place: Place) -> tuple[Named, ...]:
        """Put a nested graph in place of its node, or in a line of copies of it."""
        if len(operands) != len(graph.input):
            raise BadModel(f"nested graph '{graph.name}' takes {len(graph.input)} inputs, not {len(operands)}")
        given: Scope = {value.name: operand for value, operand in zip(graph.input, operands, strict=True)}
        inner = Place(ChainMap(given, place.scope), place.opsets, f"{place.prefix}{label(node)}/")
        self.add_weights(graph, inner)
        self.add_nodes(graph.node, inner)
        return tuple(self._result(inner, output.name) for output in graph.output)


def clean_name(name: str) -> str:
    """``name`` as the IR can print it."""
    return re.sub(r"[^\w.:/+\-#]", "_", name) or "_"


def short(name: str) -> str:
    """``name`` as one can read it in a message: hostile models have names of megabytes, or with line breaks."""
    return name.encode("unicode_escape").decode() if len(name) <= 120 else f"{short(name[:110])}…"


def _check_size(type: TensorType) -> None:
    if type.rank > MOST_DIMENSIONS:
        raise Unsupported(f"a tensor has {type.rank} dimensions; at most {MOST_DIMENSIONS} are supported")
    if type.is_static and type.nbytes > MOST_BYTES:
        raise Unsupported(f"{type} takes more than {MOST_BYTES >> 30} GiB")


def _limited(text: str) -> str:
    return text if len(text) <= 600 else f"{text[:300]} … {text[-200:]}"


def _type_text(operand: Operand | None) -> str:
    match operand:
        case Value():
            return str(operand.type)
        case Bundle(items=items):
            return f"sequence of {len(items)}"
        case _:
            return "-"


def _own(scope: Scope) -> Mapping[str, Named]:
    return scope.maps[0] if isinstance(scope, ChainMap) else scope


def _with_operands(error: GlowError, types: str) -> GlowError:
    """The same error, told with the types of the node's operands."""
    if isinstance(error, Skip | Waits | Demand | HostRequest) or (error.origin is None and not error.args):
        return error
    told = type(error)(f"{_limited(error.args[0])} (operands: {_limited(types) or 'none'})")
    told.origin = error.origin
    told.__cause__ = error.__cause__
    return told
