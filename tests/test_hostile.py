"""Models made to do harm are refused, or compiled and run like others: none crashes, hangs or eats the memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from models import tensor
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

import glowpy
from glowpy.errors import Findings, GlowError
from glowpy.onnx.model import import_model
from glowpy.passes.fold import fold_constants
from glowpy.pipeline import optimize
from glowpy_ir.types import Array


def model(
    nodes: Sequence[NodeProto], inputs: Sequence[ValueInfoProto], outputs: Sequence[str], opset: int = 17
) -> ModelProto:
    """A model that nobody has checked."""
    declared = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "hostile", inputs, declared)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("operator", ["Div", "Mod"])
@pytest.mark.parametrize("known", [True, False])
def test_the_least_integer_is_divided_by_minus_one(dtype: type, operator: str, known: bool) -> None:
    """Processors stop the program at this, and at a division by zero."""
    least = np.iinfo(dtype).min
    x: Array = np.array([least, least, 7, -7], dtype)
    y: Array = np.array([-1, 0, 0, -1], dtype)
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    proto = model(
        [helper.make_node(operator, ["x", "y"], ["z"])], [tensor("x", [4], code), tensor("y", [4], code)], ["z"]
    )
    m = glowpy.compile(proto, values={"x": x, "y": y} if known else {})
    z = np.asarray(m() if known else m(x, y))
    assert z[3] == (7 if operator == "Div" else 0)
    if operator == "Mod":
        assert z[0] == 0


@pytest.mark.parametrize("index", [-4, 3, 1 << 40, -(1 << 62), np.iinfo(np.int64).min])
@pytest.mark.parametrize("operator", ["Gather", "GatherND", "GatherElements", "ScatterElements", "ScatterND"])
def test_an_index_out_of_range_reads_and_writes_nothing_outside(operator: str, index: int) -> None:
    shape = (1,) if operator == "Gather" else (1, 2) if operator.endswith("ND") else (1, 1)
    feeds: dict[str, Array] = {"x": np.ones((3, 3), np.float32), "i": np.full(shape, index, np.int64)}
    if operator.startswith("Scatter"):
        feeds["u"] = np.full(shape[: 1 if operator.endswith("ND") else 2], 9, np.float32)
    inputs = [tensor(name, a.shape, helper.np_dtype_to_tensor_dtype(a.dtype)) for name, a in feeds.items()]
    proto = model([helper.make_node(operator, list(feeds), ["y"])], inputs, ["y"])
    y = np.asarray(glowpy.compile(proto)(feeds))
    assert np.isin(y, [0, 1, 9]).all()
    with pytest.raises(GlowError, match="index"):
        glowpy.compile(proto, values=feeds)


def test_a_large_constant_is_reduced_without_its_memory() -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["sum"], keepdims=0),
        helper.make_node("ReduceMax", ["c"], ["y"], keepdims=0),
    ]
    proto = model(nodes, [tensor("shape", [2], TensorProto.INT64)], ["sum", "y"])
    m = glowpy.compile(proto, values={"shape": np.array([1 << 16, 1 << 16])})
    assert m.memory_plan.arena < 1 << 10
    np.testing.assert_array_equal(np.asarray(m()), [0, 0])


def test_a_long_chain_keeps_its_names_short() -> None:
    count = 3000
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(count)]
    graph = import_model(model(nodes, [tensor("t0", [4])], [f"t{count}"]))
    optimize(graph, lambda op: False)
    fold_constants(graph)
    assert max(len(value.name) for value in graph.values()) < 30


@pytest.mark.parametrize("operator", ["Split", "Concat"])
def test_thousands_of_parts_take_seconds(operator: str) -> None:
    count = 3000
    names = [f"y{i}" for i in range(count)]
    if operator == "Split":
        proto = model([helper.make_node("Split", ["x"], names)], [tensor("x", [count])], names, 11)
    else:
        proto = model([helper.make_node("Concat", ["x"] * count, ["y"], axis=1)], [tensor("x", [2, 1], 1)], ["y"])
    start = time.process_time()
    m = glowpy.compile(proto)
    assert time.process_time() - start < 20
    x = np.arange(count if operator == "Split" else 2, dtype=np.float32)
    parts = m(x) if operator == "Split" else m(x.reshape(2, 1))
    np.testing.assert_array_equal(np.ravel(np.asarray(parts)), x if operator == "Split" else np.repeat(x, count))


def test_a_window_larger_than_any_memory_is_refused() -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1 << 40] * 2, pads=[1 << 39] * 4)
    with pytest.raises(Findings, match="GiB of scratch memory"):
        glowpy.compile(model([node], [tensor("x", [1, 1, 4, 4])], ["y"]))


@pytest.mark.parametrize("trips", [None, 1 << 62])
def test_a_loop_without_end_is_refused(trips: int | None) -> None:
    inside = [tensor("n", [], TensorProto.INT64), tensor("c", [], TensorProto.BOOL), tensor("t", [2])]
    step = helper.make_node("Relu", ["t"], ["u"]), helper.make_node("Identity", ["c"], ["d"])
    body = helper.make_graph(step, "body", inside, [tensor("d", [], TensorProto.BOOL), tensor("u", [2])])
    loop = helper.make_node("Loop", ["" if trips is None else "trips", "", "x"], ["y"], body=body)
    proto = model([loop], [tensor("x", [2])], ["y"])
    if trips is not None:
        proto.graph.initializer.append(helper.make_tensor("trips", TensorProto.INT64, [], [trips]))
    with pytest.raises(Findings, match="does not end"):
        glowpy.compile(proto)


def referring() -> ModelProto:
    node = helper.make_node("LeakyRelu", ["x"], ["y"])
    node.attribute.append(AttributeProto(name="alpha", ref_attr_name="a", type=AttributeProto.FLOAT))
    return model([node], [tensor("x", [2])], ["y"])


def twofold() -> ModelProto:
    weight = TensorProto(name="w", dims=[1], data_type=TensorProto.FLOAT, raw_data=bytes(4), float_data=[1])
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], [tensor("x", [2])], ["y"])
    proto.graph.initializer.append(weight)
    return proto


def senseless_branch() -> ModelProto:
    result = [tensor("r", [2])]
    yes, no = (helper.make_graph([helper.make_node("Relu", [x], ["r"])], x, [], result) for x in ("x", "nowhere"))
    condition = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.BOOL, [], [True]))
    choice = helper.make_node("If", ["c"], ["y"], then_branch=yes, else_branch=no)
    return model([condition, choice], [tensor("x", [2])], ["y"])


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (referring(), "refers to one of a function"),
        (twofold(), "more than one of its fields"),
        (senseless_branch(), "'nowhere' is made by no node"),
    ],
)
def test_what_makes_no_sense_is_refused_even_where_it_does_not_matter(proto: ModelProto, reason: str) -> None:
    with pytest.raises(Findings, match=reason):
        import_model(proto)
