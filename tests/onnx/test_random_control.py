"""Random models of choices and loops in each other compute what ONNX's reference computes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

import glowpy
from glowpy_ir.types import Array

WIDTH = 5
DEEPEST = 3


def declared(name: str, kind: int, *shape: int | str) -> object:
    return helper.make_tensor_value_info(name, kind, list(shape))


@dataclass
class Random:
    """A graph in the making: tensors of one type, numbers and truth values that it can see, and its nodes."""

    draw: st.DrawFn
    numbering: count[int]
    tensors: list[str]
    truths: list[str]
    depth: int = 0
    nodes: list[NodeProto] = field(default_factory=list)

    def name(self) -> str:
        return f"v{next(self.numbering)}"

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        result = self.name()
        self.nodes.append(helper.make_node(operator, list(inputs), [result], **attributes))
        return result

    def tensor(self) -> str:
        return self.draw(st.sampled_from(self.tensors))

    def truth(self) -> str:
        return self.draw(st.sampled_from(self.truths))

    def inner(self, tensors: tuple[str, ...] = (), truths: tuple[str, ...] = ()) -> Random:
        """A nested graph, which sees all that this one sees, and some more."""
        seen = [*self.tensors, *tensors], [*self.truths, *truths]
        return Random(self.draw, self.numbering, *seen, self.depth + 1)

    def fill(self, most: int) -> None:
        """Add some nodes."""
        layers = [Random.arithmetic, Random.comparison]
        if self.depth < DEEPEST:
            layers += [Random.choice, Random.loop, Random.scan]
        for layer in self.draw(st.lists(st.sampled_from(layers), min_size=1, max_size=most)):
            layer(self)

    def arithmetic(self) -> None:
        operator = self.draw(st.sampled_from(["Add", "Sub", "Min", "Max", "Tanh", "Neg", "Identity"]))
        operands = [self.tensor() for _ in range(1 if operator in ("Tanh", "Neg", "Identity") else 2)]
        self.tensors.append(self.add(operator, *operands))

    def comparison(self) -> None:
        total = self.add("ReduceSum", self.tensor(), keepdims=0)
        self.truths.append(self.add("Less", total, self.draw(st.sampled_from(["zero", "one"]))))

    def choice(self) -> None:
        branches = []
        for _ in range(2):
            branch = self.inner()
            branch.fill(2)
            made = [branch.add("Identity", branch.tensor()) for _ in range(2)]
            outputs = [declared(name, TensorProto.FLOAT, WIDTH) for name in made]
            branches.append(helper.make_graph(branch.nodes, "branch", [], outputs))
        results = [self.name(), self.name()]
        condition = self.truth()
        self.nodes.append(
            helper.make_node("If", [condition], results, then_branch=branches[0], else_branch=branches[1])
        )
        self.tensors += results

    def loop(self) -> None:
        """At most three iterations; a condition ends it early, or not; two carried tensors, and one stacked."""
        number, begins = self.name(), self.name()
        carried = (self.name(), self.name())
        body = self.inner(carried, (begins,))
        body.fill(3)
        goes_on = body.add("Identity", self.draw(st.sampled_from([begins, body.truth()])))
        made = [body.add("Identity", body.tensor()) for _ in range(3)]
        inputs = [declared(number, TensorProto.INT64), declared(begins, TensorProto.BOOL)]
        inputs += [declared(name, TensorProto.FLOAT, WIDTH) for name in carried]
        outputs = [declared(goes_on, TensorProto.BOOL), *(declared(name, TensorProto.FLOAT, WIDTH) for name in made)]
        graph = helper.make_graph(body.nodes, "body", inputs, outputs)
        results = [self.name() for _ in range(3)]
        trips = self.draw(st.sampled_from(["none", "once", "thrice", "some"]))
        condition = self.draw(st.sampled_from(["", self.truth()]))
        operands = [trips, condition, self.tensor(), self.tensor()]
        self.nodes.append(helper.make_node("Loop", operands, results, body=graph))
        self.tensors += [*results[:2], self.add("ReduceSum", results[2], "first", keepdims=0)]

    def scan(self) -> None:
        """Over the rows of a stack."""
        stack = self.add("Unsqueeze", self.tensor(), "first")
        stack = self.add("Concat", *[stack] * 2, self.add("Unsqueeze", self.tensor(), "first"), axis=0)
        state, element = self.name(), self.name()
        body = self.inner((state, element))
        body.fill(2)
        made = [body.add("Identity", body.tensor()) for _ in range(2)]
        inputs = [declared(name, TensorProto.FLOAT, WIDTH) for name in (state, element)]
        outputs = [declared(name, TensorProto.FLOAT, WIDTH) for name in made]
        graph = helper.make_graph(body.nodes, "body", inputs, outputs)
        results = [self.name(), self.name()]
        self.nodes.append(helper.make_node("Scan", [self.tensor(), stack], results, body=graph, num_scan_inputs=1))
        self.tensors += [results[0], self.add("ReduceMax", results[1], axes=[0], keepdims=0)]


@st.composite
def models(draw: st.DrawFn) -> ModelProto:
    """A model with two tensors, a truth value and a number of trips as inputs."""
    graph = Random(draw, count(), ["x", "y", "w"], ["c", "t"])
    graph.fill(5)
    made = [graph.add("Identity", graph.tensor()), graph.add("Identity", graph.tensors[-1])]
    floats, integers = TensorProto.FLOAT, TensorProto.INT64
    proto = helper.make_graph(
        graph.nodes,
        "random",
        [
            *(declared(name, floats, WIDTH) for name in "xy"),
            declared("c", TensorProto.BOOL),
            declared("some", integers),
        ],
        [declared(name, floats, WIDTH) for name in made],
        [
            helper.make_tensor("w", floats, [WIDTH], [0.5, -1, 2, -0.25, 1]),
            helper.make_tensor("t", TensorProto.BOOL, [], [True]),
            helper.make_tensor("zero", floats, [], [0]),
            helper.make_tensor("one", floats, [], [1]),
            helper.make_tensor("first", integers, [1], [0]),
            *(helper.make_tensor(name, integers, [], [n]) for name, n in (("none", 0), ("once", 1), ("thrice", 3))),
        ],
    )
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def feeds(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-4, 5, (2, WIDTH)).astype(np.float32) / 4
    return {"x": x, "y": y, "c": np.array(seed % 2 == 0), "some": np.array(seed % 4)}


@given(models())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_random_models(model: ModelProto) -> None:
    reference = ReferenceEvaluator(model)
    compiled = glowpy.compile(model, threads=2)
    for seed in range(4):
        results = compiled.run(None, feeds(seed))
        with suppress(ValueError):  # the reference cannot stack what was never made
            for wanted, found in zip(reference.run(None, feeds(seed)), results, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
