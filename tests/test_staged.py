"""Models that run in parts: where data decide on shapes, branches and sequences, and where the host has to help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import glowpy
from glowpy.errors import Findings, Unsupported, UsageError
from glowpy.onnx.parts import Answer, Part
from glowpy.specialise import LIMIT
from glowpy.staged import Stage
from glowpy_ir.graph import Graph
from glowpy_ir.types import Array

F32, I64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
node = helper.make_node


def tensor(name: str, kind: int = F32, *shape: int | str | None) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def sequence(name: str, kind: int = F32) -> ValueInfoProto:
    return helper.make_tensor_sequence_value_info(name, kind, None)


def model(
    nodes: Sequence[NodeProto], inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto], **weights: Array
) -> ModelProto:
    kept = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def agree(proto: ModelProto, *feeds: dict[str, object], backend: str = "cpu") -> glowpy.Model:
    """Run a model on each of the feeds, compare with ONNX's reference, and give the model back."""
    compiled = glowpy.compile(proto, backend=backend)
    reference = ReferenceEvaluator(proto)
    for feed in feeds:
        for made, expected in zip(compiled.run(None, feed), reference.run(None, feed), strict=True):
            compare(made, expected)
    return compiled


def compare(made: object, expected: object) -> None:
    if isinstance(expected, list):
        assert isinstance(made, list)
        assert len(made) == len(expected)
        for one, other in zip(made, expected, strict=True):
            compare(one, other)
    elif expected is None:
        assert made is None
    else:
        wanted = np.asarray(expected)
        assert isinstance(made, np.ndarray)
        assert made.shape == wanted.shape
        if wanted.dtype.kind in "OUT":
            assert made.tolist() == wanted.tolist()
        else:
            assert made.dtype == wanted.dtype
            np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-6)


X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


@pytest.fixture
def computed_shape() -> ModelProto:
    """Twice exp(x), in a shape that is computed from an input."""
    nodes = [
        node("Exp", ["x"], ["e"]),
        node("Mul", ["half", "factors"], ["wanted"]),
        node("Reshape", ["e", "wanted"], ["r"]),
        node("Add", ["r", "r"], ["y"]),
    ]
    weights = {"factors": np.array([1, 2])}
    return model(nodes, [tensor("x", F32, 4, 6), tensor("half", I64, 2)], [tensor("y", F32, None, None)], **weights)


@pytest.mark.parametrize("backend", ["cpu", "interpreter"])
def test_a_shape_that_is_computed(computed_shape: ModelProto, backend: str) -> None:
    halves = (np.array([1, 12]), np.array([2, 6]), np.array([6, 2]), np.array([1, 12]))
    agree(computed_shape, *({"x": X, "half": half} for half in halves), backend=backend)


def counting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often something was compiled from now on."""
    import glowpy.compiler

    graphs = []
    compile_graph = glowpy.compiler.compile_graph

    def counted(*arguments: object) -> object:
        graphs.append(arguments)
        return compile_graph(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(glowpy.compiler, "compile_graph", counted)
    return lambda: len(graphs)


def test_what_came_out_before_is_kept(computed_shape: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    count = counting(monkeypatch)
    compiled = glowpy.compile(computed_shape)
    halves = [np.array([1, 12]), np.array([2, 6])]
    for half in halves:
        compiled.run(None, {"x": X, "half": half})
    before = count()
    for half in halves * 3:
        compiled.run(None, {"x": X, "half": half})
    assert count() == before
    compiled.run(None, {"x": X, "half": np.array([3, 4])})
    assert count() > before


def test_what_was_not_used_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = model(
        [node("Expand", ["x", "shape"], ["e"]), node("Neg", ["e"], ["y"])],
        [tensor("x", F32, 1), tensor("shape", I64, 1)],
        [tensor("y", F32, None)],
    )
    count = counting(monkeypatch)
    compiled = glowpy.compile(proto)
    one = np.ones(1, np.float32)
    for extent in range(1, LIMIT + 2):
        compare(compiled(one, np.array([extent])), -np.ones(extent, np.float32))
    before = count()
    compiled(one, np.array([LIMIT + 1]))
    assert count() == before
    compare(compiled(one, np.array([1])), -np.ones(1, np.float32))
    assert count() == before + 1


def test_branches_of_different_shapes() -> None:
    def branch(name: str, *nodes: NodeProto) -> object:
        return helper.make_graph(nodes, name, [], [tensor(nodes[-1].output[0], F32, None, None)])

    chosen = node(
        "If",
        ["c"],
        ["y"],
        then_branch=branch("a", node("Neg", ["e"], ["n"]), node("Transpose", ["n"], ["t"])),
        else_branch=branch("b", node("Identity", ["e"], ["i"])),
    )
    nodes = [
        node("Exp", ["x"], ["e"]),
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Greater", ["s", "zero"], ["c"]),
        chosen,
    ]
    proto = model(nodes, [tensor("x", F32, 4, 6)], [tensor("y", F32, None, None)], zero=np.float32(0))
    agree(proto, {"x": X + 1}, {"x": X - 1}, {"x": X + 1})


def test_sequences_of_any_length() -> None:
    nodes = [
        node("SequenceInsert", ["s", "x", "place"], ["longer"]),
        node("SequenceLength", ["longer"], ["n"]),
        node("SequenceErase", ["longer", "first"], ["shorter"]),
        node("ConcatFromSequence", ["shorter"], ["joined"], axis=0),
        node("Exp", ["joined"], ["y"]),
    ]
    inputs = [sequence("s"), tensor("x", F32, None, 2), tensor("place", I64)]
    outputs = [tensor("y", F32, None, 2), tensor("n", I64), sequence("shorter")]
    proto = model(nodes, inputs, outputs, first=np.array(0))
    items = [np.full((rows, 2), rows, np.float32) for rows in range(4)]
    feeds = [
        {"s": items[:length], "x": items[3], "place": np.array(place)} for length, place in [(1, 0), (3, -1), (2, 1)]
    ]
    compiled = agree(proto, *feeds)
    with pytest.raises(Findings, match="position 9 is outside a sequence with 1 places"):
        compiled.run(None, {"s": items[:1], "x": items[0], "place": np.array(9)})
    with pytest.raises(Findings, match="elements of this input must be f32"):
        compiled.run(None, {"s": [np.zeros(3)], "x": items[0], "place": np.array(0)})


def test_an_optional_may_hold_nothing() -> None:
    form = helper.make_optional_type_proto(helper.make_tensor_type_proto(F32, [2]))
    proto = model([node("OptionalHasElement", ["o"], ["y"])], [value_of("o", form)], [tensor("y", TensorProto.BOOL)])
    compiled = glowpy.compile(proto)
    assert compiled({"o": None}) == np.array(False)
    assert compiled({"o": np.zeros(2, np.float32)}) == np.array(True)


def value_of(name: str, form: TypeProto) -> ValueInfoProto:
    return helper.make_value_info(name, form)


def test_a_tensor_of_any_rank() -> None:
    proto = model([node("Neg", ["x"], ["y"])], [helper.make_tensor_value_info("x", F32, None)], [tensor("y")])
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    compiled = glowpy.compile(proto)
    for shape in ((), (3,), (2, 0, 1), (2, 3, 4)):
        array = np.full(shape, 2, np.float32)
        compare(compiled(array), -array)


def test_texts_are_left_to_the_host() -> None:
    nodes = [
        node("Gather", ["words", "i"], ["word"]),
        node("Equal", ["word", "words"], ["same"]),
        node("Cast", ["same"], ["f"], to=F32),
        node("Mul", ["f", "x"], ["y"]),
    ]
    inputs = [tensor("words", STRING, None), tensor("i", I64), tensor("x", F32, None)]
    proto = model(nodes, inputs, [tensor("y", F32, None), tensor("word", STRING)])
    for words in (["a", "b", "a"], ["ü", ""]):
        x = np.arange(1, len(words) + 1, dtype=np.float32)
        feed = {"words": np.array(words, object), "i": np.array(1), "x": x}
        y, word = glowpy.compile(proto).run(None, feed)
        compare(y, x * (np.array(words) == words[1]))
        compare(word, np.array(words[1], object))


def test_threads_share_what_one_has_compiled(computed_shape: ModelProto) -> None:
    compiled = glowpy.compile(computed_shape, threads=1)
    halves = [np.array([rows, 12 // rows]) for rows in (1, 2, 3, 4, 6, 12)] * 3
    with ThreadPoolExecutor(4) as threads:
        results = threads.map(lambda half: compiled.run(None, {"x": X, "half": half})[0], halves)
        for half, result in zip(halves, results, strict=True):
            compare(result, 2 * np.exp(X).reshape(half * [1, 2]))


def test_what_an_input_of_another_form_is_given() -> None:
    join = model([node("ConcatFromSequence", ["s"], ["y"], axis=0)], [sequence("s")], [tensor("y", F32, None)])
    joined = glowpy.compile(join)
    for given, message in ((X, "a list of tensors, given an array"), (None, "given None"), ([[X]], "only tensors can")):
        with pytest.raises((UsageError, Findings), match=message):
            joined(given)
    anything = helper.make_tensor_value_info("x", F32, None)
    relu = glowpy.compile(model([node("Relu", ["x"], ["y"])], [anything], [helper.make_empty_tensor_value_info("y")]))
    compare(relu([X, X]), np.maximum([X, X], 0))
    with pytest.raises(UsageError, match="given None"):
        relu(None)


def test_a_tensor_that_fits_nowhere() -> None:
    ends = [node("Range", ["zero", "n", "one"], ["y"])]
    numbers = model(ends, [tensor("n", I64)], [tensor("y", I64, None)], zero=np.array(0), one=np.array(1))
    with pytest.raises(Findings, match="takes more than"):
        glowpy.compile(numbers)(np.array(1 << 60))


def test_memory_that_is_not_there(computed_shape: ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise MemoryError("no room")

    compiled = glowpy.compile(computed_shape)
    monkeypatch.setattr("glowpy.staged.Staged.run", run)
    with pytest.raises(Unsupported, match=r"not enough memory.*no room"):
        compiled(X, np.array([4, 3]))


def test_a_model_in_parts_is_not_saved(computed_shape: ModelProto, tmp_path: object) -> None:
    compiled = glowpy.compile(computed_shape)
    compiled.run(None, {"x": X, "half": np.array([2, 6])})
    with pytest.raises(UsageError, match="compiled in parts"):
        compiled.save(f"{tmp_path}/saved")


def test_the_code_of_all_parts_is_listed(computed_shape: ModelProto) -> None:
    compiled = glowpy.compile(computed_shape)
    first = compiled.listing("llvm")
    compiled.run(None, {"x": X, "half": np.array([2, 6])})
    assert len(compiled.listing("llvm")) > len(first)
    assert compiled.memory_plan.arena >= 0


def loop(body_nodes: Sequence[NodeProto], inputs: Sequence[str], outputs: Sequence[str], *taken: str) -> NodeProto:
    """A loop over the first of what it takes; its body's inputs after the first two are ``inputs``."""
    given = [
        tensor("i", I64),
        tensor("goes", TensorProto.BOOL),
        *(helper.make_empty_tensor_value_info(n) for n in inputs),
    ]
    made = [tensor("next", TensorProto.BOOL), *(helper.make_empty_tensor_value_info(n) for n in outputs)]
    body = helper.make_graph([node("Identity", ["goes"], ["next"]), *body_nodes], "body", given, made)
    return node("Loop", [taken[0], "", *taken[1:]], [f"final_{name}" for name in outputs], body=body)


@pytest.mark.parametrize("backend", ["cpu", "interpreter"])
def test_a_loop_whose_tensor_grows(backend: str) -> None:
    growing = loop([node("Concat", ["t", "t"], ["u"], axis=0)], ["t"], ["u"], "n", "x")
    nodes = [growing, node("Exp", ["final_u"], ["y"])]
    proto = model(nodes, [tensor("n", I64), tensor("x", F32, None, 6)], [tensor("y", F32, None, 6)])
    compiled = glowpy.compile(proto, backend=backend)
    for n in (0, 1, 3, 1):
        compare(compiled({"n": np.array(n), "x": X[:2]}), np.exp(np.tile(X[:2], (2**n, 1))))


def test_a_loop_whose_tensor_grows_until_the_data_say_so() -> None:
    body_nodes = [
        node("Concat", ["t", "t"], ["u"], axis=0),
        node("ReduceSum", ["u"], ["s"], keepdims=0),
        node("Less", ["s", "limit"], ["next"]),
    ]
    given = [tensor("i", I64), tensor("goes", TensorProto.BOOL), helper.make_empty_tensor_value_info("t")]
    made = [tensor("next", TensorProto.BOOL), helper.make_empty_tensor_value_info("u")]
    body = helper.make_graph(body_nodes, "body", given, made)
    proto = model(
        [node("Loop", ["", "", "x"], ["y"], body=body)],
        [tensor("x", F32, None), tensor("limit", F32)],
        [tensor("y", F32, None)],
    )
    compiled = glowpy.compile(proto)
    for limit, extent in ((0, 4), (9, 16), (3, 4), (9, 16)):
        made_now = compiled({"x": np.ones(2, np.float32), "limit": np.float32(limit)})
        compare(made_now, np.ones(extent, np.float32))


def test_a_loop_that_gathers_a_sequence() -> None:
    inserting = loop([node("SequenceInsert", ["s", "x"], ["u"])], ["s"], ["u"], "n", "start")
    nodes = [node("SequenceEmpty", [], ["start"]), inserting, node("SequenceLength", ["final_u"], ["count"])]
    proto = model(nodes, [tensor("n", I64), tensor("x", F32, 2)], [sequence("final_u"), tensor("count", I64)])
    x = np.array([1, 2], np.float32)
    for n in (0, 3):
        items, count = glowpy.compile(proto).run(None, {"n": np.array(n), "x": x})
        compare(items, [x] * n)
        compare(count, np.array(n))


def test_a_loop_that_cannot_be_written_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glowpy.onnx.tasks.MOST_ITERATIONS", 5)
    growing = loop([node("Concat", ["t", "x"], ["u"], axis=0)], ["t"], ["u"], "n", "x")
    proto = model([growing], [tensor("n", I64), tensor("x", F32, 1)], [tensor("final_u", F32, None)])
    compiled = glowpy.compile(proto)
    compare(compiled(np.array(5), np.ones(1, np.float32)), np.ones(6, np.float32))
    with pytest.raises(Findings, match="runs more than 5 times"):
        compiled(np.array(6), np.ones(1, np.float32))


def test_what_only_moves_elements_needs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        node("Greater", ["x", "zero"], ["positive"]),
        node("Compress", ["x", "positive"], ["kept"], axis=0),
        node("Unsqueeze", ["kept", "first"], ["y"]),
    ]
    weights = {"zero": np.float32(0), "first": np.array([0])}
    proto = model(nodes, [tensor("x", F32, 5)], [tensor("kept", F32, "n"), tensor("y", F32, 1, "n")], **weights)
    compiled = glowpy.compile(proto)
    compiled(np.zeros(5, np.float32))
    count = counting(monkeypatch)
    for x in ([1, 2, -3, 4, 5], [-1, -1, -1, -1, 7]):
        array = np.array(x, np.float32)
        kept, y = compiled.run(None, {"x": array})
        compare(kept, array[array > 0])
        compare(y, array[array > 0][None])
    assert count() == 0


def test_a_loop_of_data_is_written_out_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each iteration drops what is not positive and waits for the one before."""
    monkeypatch.setattr("glowpy.onnx.tasks.MOST_WAITING", 2)
    keep = [
        node("Greater", ["t", "zero"], ["p"]),
        node("Compress", ["t", "p"], ["k"], axis=0),
        node("Sub", ["k", "one"], ["u"]),
    ]
    proto = model(
        [loop(keep, ["t"], ["u"], "n", "x")],
        [tensor("n", I64), tensor("x", F32, None)],
        [tensor("final_u", F32, None)],
        zero=np.array(0, np.float32),
        one=np.array(1, np.float32),
    )
    left = glowpy.compile(proto)(np.array(7), np.arange(10, dtype=np.float32))
    compare(left, np.array([-0, 1, 2], np.float32))


def test_there_may_be_many_parts() -> None:
    first = stage = Stage(Part(Graph("g"), (), ()), None)
    for number in range(5000):
        following = Stage(stage.part, None, (stage, Answer((np.array(number),), ())))
        stage.following[number] = following
        stage = following
    assert len(first.stages()) == 5001
    assert [int(answer.asked[0]) for answer in stage.answers()] == list(range(5000))
