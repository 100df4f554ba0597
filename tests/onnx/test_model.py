"""Whole models: what is wrong is told at once and never crashes; what is right becomes one graph."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx_cases import compare

from glowpy.onnx.importer import MOST_FINDINGS
from glowpy.onnx.model import import_model
from glowpy_ir.errors import Findings, GlowError, InvalidIR, UsageError
from glowpy_ir.evaluate import evaluate
from glowpy_ir.text import parse, print_graph
from glowpy_ir.types import Array
from glowpy_ir.verify import verify

F32 = TensorProto.FLOAT
node = helper.make_node


def value(name: str, shape: Sequence[int | str | None] | None = (2, 3), kind: int = F32) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto] | None = None,
    outputs: Sequence[str | ValueInfoProto] = ("y",),
    weights: dict[str, Array] | None = None,
    functions: Sequence[FunctionProto] = (),
    **opsets: int,
) -> ModelProto:
    declared = [o if isinstance(o, ValueInfoProto) else helper.make_empty_tensor_value_info(o) for o in outputs]
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", [value("x")] if inputs is None else inputs, declared, tensors)
    imports = [helper.make_opsetid("", opsets.pop("onnx", 17)), *itertools.starmap(helper.make_opsetid, opsets.items())]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions))


def findings(proto: ModelProto, **given: Any) -> list[str]:
    with pytest.raises(Findings) as caught:
        import_model(proto, **given)
    return [str(finding) for finding in caught.value.findings]


def run(proto: ModelProto, *inputs: Array, **given: Any) -> list[Array]:
    graph = import_model(proto, **given)
    verify(graph)
    return evaluate(graph, dict(zip((v.name for v in graph.inputs), inputs, strict=True)))


X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)


def test_ten_faults_make_one_report_of_ten() -> None:
    nodes = [
        node("Relu", ["x"], ["fine"], "fine"),
        node("Nonsense", ["x"], ["a"], "unknown operator"),
        node("Relu", ["gone"], ["b"], "dangling"),
        node("Add", ["x", "wide"], ["c"], "shapes differ"),
        node("Add", ["x", "ints"], ["d"], "kinds differ"),
        node("Relu", ["e2"], ["e1"], "cycle 1"),
        node("Relu", ["e1"], ["e2"], "cycle 2"),
        node("Transpose", ["x"], ["f"], "bad attribute", perm=[0, 0]),
        node("Relu", ["x"], ["g"], "unread attribute", alpha=1.0),
        node("Relu", ["x", "x"], ["h"], "too many operands"),
        node("Frobnicate", ["x"], ["i"], "unknown domain", domain="com.example"),
        node("Relu", ["x"], ["fine"], "made twice"),
        node("Exp", ["a"], ["silent 1"], "after a fault"),
        node("Neg", ["silent 1"], ["silent 2"], "after a fault, too"),
    ]
    weights: dict[str, Array] = {"wide": np.ones(5, np.float32), "ints": np.ones(3, np.int64)}
    told = findings(model(nodes, outputs=["fine", "silent 2", "a"], weights=weights))
    assert len(told) == 10
    expected = [
        ("Relu 'cycle 1'", "cycle 1 -> cycle 2 -> cycle 1"),
        ("Nonsense 'unknown operator'", "no operator Nonsense"),
        ("Relu 'dangling'", "'gone' is made by no node"),
        ("Add 'shapes differ'", r"do not broadcast: \[2,3\] and \[5\] (operands: f32[2,3], f32[5])".replace("\\", "")),
        ("Add 'kinds differ'", "must have the kind f32 of the others (operands: f32[2,3], i64[3])"),
        ("Transpose 'bad attribute'", "no order"),
        ("Relu 'unread attribute'", "unknown attribute 'alpha'"),
        ("Relu 'too many operands'", "takes 1 inputs, but has 2"),
        ("Frobnicate 'unknown domain'", "does not import the operator set of domain 'com.example'"),
        ("Relu 'made twice'", "'fine' is made a second time"),
    ]
    for text, (place, reason) in zip(told, expected, strict=True):
        assert place in text
        assert reason in text


def test_a_fault_in_one_operator_hides_no_other() -> None:
    nodes = [node("Nonsense", ["x"], [f"y{i}"], f"n{i}") for i in range(MOST_FINDINGS + 50)]
    told = findings(model(nodes, outputs=["y0"]))
    assert len(told) == MOST_FINDINGS + 1
    assert "and more" in told[-1]


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (model([node("Relu", ["x"], ["y"])], onnx=1000), "operator set 1000 is not supported; 1 to"),
        (model([node("Relu", ["x"], ["z"])]), "'y' is made by no node"),
        (model([node("Relu", ["x"], ["y"])], outputs=[]), "no outputs"),
        (model([node("Relu", ["x"], ["y"])], outputs=["y", "y"]), "two outputs have this name"),
        (model([node("Relu", ["x"], ["y"])], [value("x"), value("x")]), "two inputs have this name"),
        (model([node("Relu", ["x"], ["y"])], outputs=[value("y", (2, 3), TensorProto.INT64)]), "another element type"),
        (model([node("Relu", ["x"], ["y"])], [value("x", None)]), "does not say how many dimensions"),
        (model([node("Relu", ["x"], ["y"])], [value("x", (1 << 30, 1 << 30))]), "GiB"),
        (model([node("Relu", ["x"], ["y"])], [value("x", (2,), 99)]), "99 is no element type"),
        (model([node("Relu", ["x"], ["y"])], [value("x", (1,) * 100)]), "100 dimensions"),
        (model([node("Rleu", ["x"], ["y"])]), "is Relu meant?"),
        (model([node("Relu", [""], ["y"])]), "input 0 is missing"),
        (model([node("Trilu", ["x"], ["y"])], onnx=13), "Trilu is supported from version 14 on"),
        (model([node("Relu", ["y"], ["y"], "loop")]), "loop -> loop"),
        (model([node("MatMul", ["x", "x"], ["y"])]), "f32[2,3], f32[2,3]"),
    ],
)
def test_one_fault_is_told(proto: ModelProto, reason: str) -> None:
    (told,) = findings(proto)
    assert reason in told


def test_a_newer_format_is_refused() -> None:
    proto = model([node("Relu", ["x"], ["y"])])
    proto.ir_version = 999
    assert "IR version 999" in findings(proto)[0]
    del proto.opset_import[:]
    proto.ir_version = 8
    assert "which operator set" in findings(proto)[0]


def test_a_bad_weight_is_told_once() -> None:
    proto = model([node("Add", ["x", "w"], ["a"]), node("Add", ["a", "w"], ["y"])], weights={"w": X})
    proto.graph.initializer[0].dims[0] = 1 << 40
    (told,) = findings(proto)
    assert "initializer 'w'" in told
    assert "24 bytes" in told


@pytest.mark.parametrize("doubled", ["Concat", "Tile"])
def test_a_size_bomb_is_refused(doubled: str) -> None:
    attributes: dict[str, Any] = {"axis": 0} if doubled == "Concat" else {}
    operands = [["x", "x"] if doubled == "Concat" else ["x", "r"]]
    for i in range(1, 40):
        operands.append([f"t{i}"] * 2 if doubled == "Concat" else [f"t{i}", "r"])
    nodes = [node(doubled, names, [f"t{i + 1}"], **attributes) for i, names in enumerate(operands)]
    (told,) = findings(model(nodes, outputs=["t40"], weights={"r": np.array([2, 1])}))
    assert "GiB" in told


def test_smallest_by_minus_one_is_computed_at_import() -> None:
    least = np.array([-(2**63)])
    nodes = [node("Div", ["a", "b"], ["q"]), node("Mod", ["a", "b"], ["m"]), node("Add", ["q", "m"], ["y"])]
    results = run(model(nodes, [], weights={"a": least, "b": np.array([-1])}))
    assert results[0].shape == (1,)


def test_nodes_in_any_order() -> None:
    nodes = [node("Relu", ["b"], ["y"]), node("Exp", ["x"], ["a"]), node("Neg", ["a"], ["b"])]
    for order in itertools.permutations(nodes):
        compare(run(model(order), X)[0], np.maximum(-np.exp(X), 0), rtol=1e-6)


def test_names_and_origins_are_kept() -> None:
    strange = "strange name,(1)"
    graph = import_model(model([node("Relu", ["x"], ["relu"]), node("Exp", ["relu"], [strange])], outputs=[strange]))
    relu, exp = graph.nodes
    assert graph.output_names == [strange]
    assert [str(v) for v in (*relu.outputs, *exp.outputs)] == ["%relu", "%strange_name__1_"]
    assert relu.origin is not None
    assert str(relu.origin) == "g: Relu 'relu'"


def test_a_graph_prints_and_parses_back() -> None:
    nodes = [
        node("Add", ["x", "w"], ["a"]),
        node("ScatterND", ["a", "i", "u"], ["b"], reduction="max"),
        node("Pad", ["b", "p"], ["y"], mode="reflect"),
    ]
    weights = {"w": X, "i": np.array([[0, 1]]), "u": X[0, :1], "p": np.array([0, 1, 1, 0])}
    text = print_graph(import_model(model(nodes, weights=weights, onnx=18)))
    assert print_graph(parse(text)) == text


def test_old_models_list_weights_as_inputs() -> None:
    proto = model([node("Add", ["x", "w"], ["y"])], [value("x"), value("w")], weights={"w": X})
    assert [v.name for v in import_model(proto).inputs] == ["x"]
    compare(run(proto, X)[0], X + X)


def test_inputs_weights_and_constants_may_be_outputs() -> None:
    proto = model([node("Identity", ["x"], ["i"])], [value("x"), value("unused")], ["x", "w", "i"], {"w": X * 2})
    first, second, third = run(proto, X, X)
    assert [v.name for v in import_model(proto).inputs] == ["x", "unused"]
    for result, expected in ((first, X), (second, X * 2), (third, X)):
        compare(result, expected)


@pytest.mark.parametrize("shape", [(1, 3), (2, 4), (2, 3, 1), ()])
def test_the_shape_that_an_output_is_said_to_have_is_a_hint(shape: tuple[int, ...]) -> None:
    graph = import_model(model([node("Relu", ["x"], ["y"])], outputs=[value("y", shape)]))
    assert graph.outputs[0].type.shape == (2, 3)


def test_dims_of_minus_one_and_zero_and_without_a_name_are_open() -> None:
    x = value("x", ("batch", None, 4))
    x.type.tensor_type.shape.dim.add().dim_value = -1
    x.type.tensor_type.shape.dim.add().dim_value = 0
    x.type.tensor_type.shape.dim.add().dim_param = "?"
    x.type.tensor_type.shape.dim.add().dim_param = "a b"
    graph = import_model(model([node("Relu", ["x"], ["y"])], [x]))
    assert str(graph.inputs[0].type) == "f32[batch,x_1,4,x_3,x_4,x_5,a_b]"
    graph = import_model(model([node("Relu", ["x"], ["y"])], [x]), {"batch": 2, "x_3": 5, "a b": 7})
    assert str(graph.outputs[0].type) == "f32[2,x_1,4,5,x_4,x_5,7]"


def test_bound_models_are_static() -> None:
    proto = model([node("Add", ["x", "z"], ["y"])], [value("x", ("n", 3)), value("z", ("n", 1))])
    assert str(import_model(proto, shapes={"x": (5, 3)}).outputs[0].type) == "f32[5,3]"
    unranked = model([node("Relu", ["x"], ["y"])], [value("x", None)])
    assert str(import_model(unranked, shapes={"x": (4,)}).outputs[0].type) == "f32[4]"


USAGE = [
    ({"dims": {"m": 2}}, "no dimension 'm'; it has 'n'"),
    ({"dims": {"n": -1}}, "-1 is no extent"),
    ({"shapes": {"w": (2,)}}, "no input 'w'; it has 'x', 'z'"),
    ({"shapes": {"x": (2, 4)}}, "has the shape [n,3]; [2,4] is given"),
    ({"shapes": {"x": (2,)}}, "has the shape"),
    ({"shapes": {"x": (2, 3), "z": (3, 1)}}, "given as 2 and as 3"),
    ({"dims": {"n": 2}, "shapes": {"x": (3, 3)}}, "given as 2 and as 3"),
    ({"values": {"w": X}}, "no input 'w'"),
    ({"values": {"x": X.T}}, "is given"),
]


@pytest.mark.parametrize(("given", "message"), USAGE)
def test_bindings_that_do_not_fit_are_told(given: dict[str, Any], message: str) -> None:
    proto = model([node("Add", ["x", "z"], ["y"])], [value("x", ("n", 3)), value("z", ("n", 1))])
    with pytest.raises(UsageError) as caught:
        import_model(proto, **given)
    assert message in str(caught.value)


def test_inputs_may_be_fixed_to_values() -> None:
    proto = model([node("Reshape", ["x", "s"], ["y"])], [value("x"), value("s", (2,), TensorProto.INT64)])
    assert "must be constant" in findings(proto)[0]
    (result,) = run(proto, X, values={"s": np.array([3, 2])})
    compare(result, X.reshape(3, 2))
    assert "is i64[2]; its value is i32[2]" in findings(proto, values={"s": np.array([3, 2], np.int32)})[0]


def branch(name: str, operator: str) -> Any:
    return helper.make_graph([node(operator, ["x"], [name])], name, [], [value(name)])


def test_a_known_condition_leaves_one_branch() -> None:
    for condition in (True, False):
        chosen = node("If", ["c"], ["y"], then_branch=branch("a", "Exp"), else_branch=branch("b", "Neg"))
        graph = import_model(model([chosen], weights={"c": np.array(condition)}))
        (only,) = graph.nodes
        assert only.op.name == ("Exp" if condition else "Neg")
        assert only.origin is not None
        assert only.origin.node == ("y/a" if condition else "y/b")


def test_a_condition_at_run_time_keeps_both_branches() -> None:
    chosen = node("If", ["c"], ["y"], then_branch=branch("a", "Exp"), else_branch=branch("b", "Neg"))
    graph = import_model(model([chosen], [value("x"), value("c", (), TensorProto.BOOL)]))
    (only,) = graph.nodes
    assert [[inner.op.name for inner in region.nodes] for region in only.regions] == [["Exp"], ["Neg"]]


def test_a_shape_at_run_time_keeps_a_model_from_being_one_graph() -> None:
    (told,) = findings(model([node("Reshape", ["x", "s"], ["y"])], [value("x"), value("s", (1,), TensorProto.INT64)]))
    assert "must be constant" in told


def function(name: str, nodes: Sequence[NodeProto], attributes: Sequence[str] = ()) -> FunctionProto:
    return helper.make_function("f", name, ["a"], ["b"], nodes, [helper.make_opsetid("", 17)], list(attributes))


def referring(operator: str, attribute: str, type: int, inputs: Sequence[str], outputs: Sequence[str]) -> NodeProto:
    result = node(operator, inputs, outputs)
    result.attribute.append(AttributeProto(name=attribute, ref_attr_name="outer", type=type))  # type: ignore[arg-type]
    return result


def test_functions_stand_in_place_of_their_calls() -> None:
    inner = function("inner", [referring("LeakyRelu", "alpha", AttributeProto.FLOAT, ["a"], ["b"])], ["outer"])
    outer = function("outer", [node("inner", ["a"], ["t"], domain="f", outer=0.5), node("Neg", ["t"], ["b"])])
    proto = model([node("outer", ["x"], ["y"], "call", domain="f")], functions=[outer, inner], f=1)
    compare(run(proto, X)[0], -np.where(X > 0, X, X * np.float32(0.5)))
    without = function("inner", [referring("LeakyRelu", "alpha", AttributeProto.FLOAT, ["a"], ["b"])], ["outer"])
    proto = model([node("inner", ["x"], ["y"], domain="f")], functions=[without], f=1)
    compare(run(proto, X)[0], np.where(X > 0, X, X * np.float32(0.01)))


def calls(name: str, callee: str, times: int) -> FunctionProto:
    names = ["a", *(f"t{i}" for i in range(times - 1)), "b"]
    nodes = [node(callee, [s], [t], domain="f" if callee.startswith("f") else "") for s, t in itertools.pairwise(names)]
    return function(name, nodes)


FUNCTIONS = [
    ([calls("f0", "f0", 1)], "call themselves: f0 -> f0"),
    ([calls("f0", "f1", 1), calls("f1", "f0", 1)], "call themselves"),
    ([calls(f"f{i}", f"f{i + 1}" if i < 9 else "Relu", 10) for i in range(10)], "at most 200000"),
    ([calls(f"f{i}", f"f{i + 1}" if i < 999 else "Relu", 1) for i in range(1000)], "1000 deep"),
    ([calls("f0", "Relu", 1), calls("f0", "Exp", 1)], "two functions"),
    ([function("f0", [referring("LeakyRelu", "alpha", AttributeProto.FLOAT, ["a"], ["b"])])], "no attribute 'outer'"),
]


@pytest.mark.parametrize(("functions", "message"), FUNCTIONS)
def test_functions_without_end_are_refused(functions: Sequence[FunctionProto], message: str) -> None:
    (told,) = findings(model([node("f0", ["x"], ["y"], domain="f")], functions=functions, f=1))
    assert message in told


def test_operators_without_a_loader_are_put_together_from_others() -> None:
    proto = model([node("CenterCropPad", ["x", "s"], ["y"])], weights={"s": np.array([1, 5])}, onnx=18)
    compare(run(proto, X)[0], np.pad(X[:1], ((0, 0), (1, 1))))


def shape_chain(*operators: str) -> list[NodeProto]:
    return [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["n1"]),
        *(node(operator, ["n1", "two"], ["n1" if i < 0 else f"m{i}"]) for i, operator in enumerate(operators)),
        node("Concat", [f"m{len(operators) - 1}" if operators else "n1", "minus"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["y"]),
    ]


SHAPE_WEIGHTS = {"zero": np.array(0), "axes": np.array([0]), "two": np.array([2]), "minus": np.array([-1])}


def test_arithmetic_on_shapes_vanishes() -> None:
    inputs = [value("x", ("n", "k", 4))]
    graph = import_model(model(shape_chain(), inputs, weights=SHAPE_WEIGHTS))
    assert [n.op.name for n in graph.nodes] == ["Reshape"]
    assert str(graph.outputs[0].type) == "f32[n,4*k]"
    graph = import_model(model(shape_chain("Mul"), inputs, weights=SHAPE_WEIGHTS))
    assert str(graph.outputs[0].type) == "f32[2*n,2*k]"
    graph = import_model(model(shape_chain("Mul"), inputs, weights=SHAPE_WEIGHTS), {"n": 3, "k": 5})
    assert [n.op.name for n in graph.nodes] == ["Reshape"]
    assert str(graph.outputs[0].type) == "f32[6,10]"


def test_any_error_is_one_of_ours() -> None:
    """Each field of a small model in turn says something absurd."""
    base = model(
        [node("Conv", ["x", "w"], ["t"], pads=[1, 1, 1, 1]), node("Slice", ["t", "b", "e"], ["y"])],
        [value("x", (1, 2, 5, 5))],
        weights={"w": np.ones((3, 2, 3, 3), np.float32), "b": np.array([0, 0]), "e": np.array([1, 2])},
    )
    data = base.SerializeToString()
    rng = np.random.default_rng(1)
    outcomes = {"graph": 0, "error": 0, "internal": 0}
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            changed[int(rng.integers(len(data)))] = int(rng.integers(256))
        try:
            import_model(bytes(changed))
            outcomes["graph"] += 1
        except GlowError as error:
            told = error.findings if isinstance(error, Findings) else (error,)
            outcomes["internal" if any(isinstance(e, InvalidIR) for e in told) else "error"] += 1
    assert outcomes["internal"] == 0
    assert min(outcomes["graph"], outcomes["error"]) > 20
