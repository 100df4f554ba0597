"""The verifier finds each rule broken that a graph has to keep; rules that text can break stand in ``errors.glow``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from glowpy_ir.errors import GlowError, InvalidIR, Origin
from glowpy_ir.graph import Builder, Constant, Graph, Node, Placeholder, Value
from glowpy_ir.op import Emitter, Op, T
from glowpy_ir.ops.elementwise import Add, Unary
from glowpy_ir.ops.functions import Exp, Neg
from glowpy_ir.rewrite import Replacement, rewrite
from glowpy_ir.types import Kind, TensorType
from glowpy_ir.verify import faults, verify

PAIR = TensorType(Kind.F32, (2,))


def sample() -> tuple[Graph, Node, Node]:
    """``y = (-x) + c``, and its two nodes."""
    graph = Graph("sample")
    b = Builder(graph, origin=Origin("model.onnx", "node_7", "Gemm"))
    x = b.placeholder("x", PAIR)
    negated = b.add(Neg(), x)
    graph.set_output("y", b.add(Add(), negated, b.constant(np.ones(2, np.float32))))
    neg, add = graph.nodes
    return graph, neg, add


def rename(graph: Graph, neg: Node, add: Node) -> None:
    add.output.name = neg.output.name


def retype(graph: Graph, neg: Node, add: Node) -> None:
    neg.output.type = TensorType(Kind.F32, (1,))


def disown(graph: Graph, neg: Node, add: Node) -> None:
    neg.output.producer = add


def forget_user(graph: Graph, neg: Node, add: Node) -> None:
    neg.output.users.clear()


def invent_user(graph: Graph, neg: Node, add: Node) -> None:
    add.output.users[neg] = None


def reverse(graph: Graph, neg: Node, add: Node) -> None:
    graph.remove(add)
    graph.insert(add, before=neg)


def drop_constant(graph: Graph, neg: Node, add: Node) -> None:
    graph.remove_constant(graph.constants[0])


def foreign_output(graph: Graph, neg: Node, add: Node) -> None:
    graph.outputs[0] = Placeholder("elsewhere", PAIR)


def unnamed_output(graph: Graph, neg: Node, add: Node) -> None:
    graph.outputs.append(neg.output)


def wrong_operands(graph: Graph, neg: Node, add: Node) -> None:
    neg.op = Add()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (rename, "2 values are called %neg"),
        (retype, "%neg is f32[1], but Neg gives f32[2]"),
        (disown, "%neg does not know its producer"),
        (forget_user, "%neg is used by 1 nodes, but records 0"),
        (invent_user, "%add is used by 0 nodes, but records 1"),
        (reverse, "lhs of %add is %neg, which is not made before it"),
        (drop_constant, "rhs of %add is %c, which is not made before it"),
        (foreign_output, "output %elsewhere is never made"),
        (unnamed_output, "2 outputs have 1 names"),
        (wrong_operands, "Add takes lhs, rhs; 1 given"),
    ],
)
def test_fault(break_it: Callable[[Graph, Node, Node], None], message: str) -> None:
    graph, neg, add = sample()
    verify(graph)
    break_it(graph, neg, add)
    with pytest.raises(GlowError) as caught:
        verify(graph)
    assert message in "\n".join((str(caught.value), *getattr(caught.value, "__notes__", ())))


def test_faults_name_their_origin() -> None:
    graph, neg, add = sample()
    retype(graph, neg, add)
    assert str(next(faults(graph))) == "model.onnx: Gemm 'node_7': %neg is f32[1], but Neg gives f32[2]"


def test_a_node_in_use_cannot_be_removed() -> None:
    graph, neg, _ = sample()
    with pytest.raises(InvalidIR, match="Neg %neg is still used"):
        graph.remove(neg)


def test_rules_that_chase_each_other_are_stopped() -> None:
    def turn(op: Op, other: Unary) -> Callable[[Node, Builder], Replacement]:
        def rule(node: Node, b: Builder) -> Replacement:
            return b.add(other, *node.inputs) if node.op == op else None

        return rule

    graph, _, _ = sample()
    with pytest.raises(InvalidIR, match="rewriting does not end; the last rule was rule"):
        rewrite(graph, (turn(Neg(), Exp()), turn(Exp(), Neg())))


def test_rewriting_keeps_origins() -> None:
    def expand(node: Node, b: Builder) -> Replacement:
        return _square(b, *node.inputs) if node.op == Neg() else None

    graph, _, _ = sample()
    assert rewrite(graph, (expand,))
    verify(graph)
    assert all(str(node.origin) == "model.onnx: Gemm 'node_7'" for node in graph.nodes)


def _square(e: Emitter[T], x: T) -> T:
    return e.add(Add(), x, x)


def test_replacing_moves_every_use() -> None:
    graph, neg, add = sample()
    (x,) = graph.inputs
    graph.set_inputs(add, (neg.output, neg.output))
    graph.set_output("z", neg.output)
    assert graph.use_count(neg.output) == 3
    graph.replace(neg.output, x)
    assert add.inputs == (x, x)
    assert graph.outputs == [add.output, x]
    graph.remove(neg)
    assert isinstance(graph.constants[0], Constant)
    assert not graph.constants[0].users
    verify(graph)


def test_fresh_names_differ() -> None:
    graph = Graph("names")
    taken = [graph.fresh_name(wanted) for wanted in ("x", "x.1", "x", "x", "x.1", "y")]
    assert len(set(taken)) == len(taken)
    assert taken[:2] == ["x", "x.1"]


def test_a_value_prints_as_its_name() -> None:
    assert str(Value("x", PAIR)) == "%x"
