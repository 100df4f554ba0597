"""``glowpy.compile`` and what it gives."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from models import linear, model, sum_and_product, tensor
from onnx import helper

import glowpy
from glowpy.errors import BadModel, Findings, Unsupported, UsageError
from glowpy.specialise import LIMIT, Specialisations
from glowpy_ir import Builder, Graph, TensorType
from glowpy_ir.ops import elementwise as ew
from glowpy_ir.text import print_graph

X = np.array([[1, 2, 3], [-1, 0, 1]], np.float32)
COMPLEX = 14

Y = np.maximum(X @ (np.arange(12).reshape(3, 4) - 5) + [0.5, -0.5, 1, -1], 0).astype(np.float32)


@pytest.fixture(params=["interpreter", "cpu"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_import_is_light() -> None:
    heavy = "{'numpy', 'onnx', 'llvmlite', 'networkx', 'glowpy_ir'} & set(sys.modules)"
    code = f"import sys, glowpy; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_public_names_are_there() -> None:
    for name in glowpy.__all__:
        assert getattr(glowpy, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        glowpy.nothing  # noqa: B018


def test_ways_to_call(backend: str) -> None:
    m = glowpy.compile(linear(), backend=backend)
    for y in (m(X), m(x=X), m({"x": X}), m.run(None, {"x": X})[0], m.run(["y"], {"x": X})[0]):
        assert isinstance(y, np.ndarray)
        np.testing.assert_allclose(y, Y, rtol=1e-6)


def test_several_outputs_come_as_a_tuple(backend: str) -> None:
    m = glowpy.compile(sum_and_product(), backend=backend, dims={"n": 3})
    left, right = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    total, product = m(left, right)
    np.testing.assert_array_equal(total, [5, 7, 9])
    np.testing.assert_array_equal(product, [4, 10, 18])
    (only,) = m.run(["product"], {"left": left, "right": right})
    np.testing.assert_array_equal(only, product)
    with pytest.raises(UsageError, match=r"no output 'ratio'; there are: sum: f32\[3\], product: f32\[3\]"):
        m.run(["ratio"], {"left": left, "right": right})


def test_specs_tell_names_and_types() -> None:
    m = glowpy.compile(linear("rows"), backend="interpreter")
    assert [(s.name, s.dtype, s.shape) for s in m.inputs] == [("x", np.dtype(np.float32), ("rows", 3))]
    assert [(s.name, s.dtype, s.shape) for s in m.outputs] == [("y", np.dtype(np.float32), ("rows", 4))]
    assert repr(m) == "<glowpy.Model 'test' (x: f32[rows,3]) -> (y: f32[rows,4]), backend 'interpreter'>"


@pytest.mark.parametrize("wrong", [X.astype(np.float64), X[:1], X[0], None])
def test_wrong_inputs_are_refused(wrong: object) -> None:
    m = glowpy.compile(linear(), backend="interpreter")
    with pytest.raises(UsageError, match=r"input 'x': expected f32\[2,3\]"):
        m(wrong)
    with pytest.raises(UsageError, match="input 'x' is missing"):
        m()


def test_sources_of_a_model(tmp_path: Path) -> None:
    proto = linear()
    path = tmp_path / "linear.onnx"
    path.write_bytes(proto.SerializeToString())
    for source in (proto, proto.SerializeToString(), path, str(path)):
        np.testing.assert_allclose(glowpy.compile(source, backend="interpreter")(X), Y)
    assert glowpy.compile(path, backend="interpreter").name == "linear.onnx"


def test_graphs_are_compiled_and_left_alone(backend: str) -> None:
    graph = Graph("g")
    b = Builder(graph)
    x = b.placeholder("x", TensorType.parse("f32[5]"))
    graph.set_output("y", b.add(ew.Add(), x, b.add(ew.Mul(), x, x)))
    before = print_graph(graph)
    x5 = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(np.asarray(glowpy.compile(graph, backend=backend)(x5)), x5 + x5 * x5)
    assert print_graph(graph) == before
    with pytest.raises(UsageError, match="build the graph with the shapes"):
        glowpy.compile(graph, backend=backend, dims={"n": 3})


def test_open_dimensions_are_specialised_on_first_use(backend: str) -> None:
    m = glowpy.compile(sum_and_product(), backend=backend)
    with pytest.raises(UsageError, match="open dimensions"):
        m.memory_plan  # noqa: B018
    for n in (3, 1, 3, 0, 17):
        left, right = np.full(n, 2, np.float32), np.full(n, 5, np.float32)
        total, product = m(left, right)
        np.testing.assert_array_equal(total, np.full(n, 7))
        np.testing.assert_array_equal(product, np.full(n, 10))
    assert m.memory_plan.weights >= 0
    with pytest.raises(UsageError, match="dimension n is 2 in input 'left' and 3 in input 'right'"):
        m(np.ones(2, np.float32), np.ones(3, np.float32))


def test_specialisations_are_bounded() -> None:
    compiled = glowpy.compile(linear(2), backend="interpreter")._programs.all().popitem()[1]
    programs = Specialisations({}, lambda shapes: compiled)
    for n in range(LIMIT + 5):
        programs.get(((n,),))
    assert list(programs.all()) == [((n,),) for n in range(5, LIMIT + 5)]


def test_an_extent_of_many_values_gets_one_program() -> None:
    m = glowpy.compile(sum_and_product(), backend="interpreter")
    for n in range(1, 40):
        left, right = np.full(n, n, np.float32), np.arange(n, dtype=np.float32)
        np.testing.assert_array_equal(m(left, right), [left + right, left * right])
    assert len(m._programs.all()) == 3


def test_dimensions_are_bound_by_name_or_shape() -> None:
    by_name = glowpy.compile(linear("rows"), backend="interpreter", dims={"rows": 2})
    by_shape = glowpy.compile(linear("rows"), backend="interpreter", shapes={"x": (2, 3)})
    assert by_name.inputs == by_shape.inputs
    for dims, shapes in (({"columns": 2}, {}), ({}, {"z": (2, 3)}), ({}, {"x": (2, 4)}), ({"rows": -1}, {})):
        with pytest.raises(UsageError):
            glowpy.compile(linear("rows"), backend="interpreter", dims=dims, shapes=shapes)


def test_threads_may_share_a_model(backend: str) -> None:
    m = glowpy.compile(linear("rows"), backend=backend)
    batches = [np.full((n % 5 + 1, 3), n, np.float32) for n in range(60)]
    alone = glowpy.compile(linear("rows"), backend="interpreter")
    expected = [alone(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for made, wanted in zip(pool.map(m, batches), expected, strict=True):
            np.testing.assert_allclose(np.asarray(made), np.asarray(wanted), rtol=1e-6)


def test_results_are_the_callers_own(backend: str) -> None:
    m = glowpy.compile(linear(), backend=backend)
    first = m(X)
    assert isinstance(first, np.ndarray)
    kept = first.copy()
    m(X + 1)
    np.testing.assert_array_equal(first, kept)


def test_saved_models_run_again(tmp_path: Path) -> None:
    m = glowpy.compile(linear("rows"), backend="cpu")
    with pytest.raises(UsageError, match="nothing is compiled yet"):
        m.save(tmp_path / "saved")
    wide = np.ones((5, 3), np.float32)
    expected = [np.asarray(m(X)), np.asarray(m(wide))]
    m.save(tmp_path / "saved")
    m.save(tmp_path / "saved")
    loaded = glowpy.load(tmp_path / "saved")
    assert (loaded.name, loaded.inputs, loaded.outputs) == (m.name, m.inputs, m.outputs)
    np.testing.assert_array_equal(np.asarray(loaded(X)), expected[0])
    np.testing.assert_array_equal(np.asarray(loaded(wide)), expected[1])
    assert loaded.memory_plan == m.memory_plan
    with pytest.raises(UsageError, match=r"no code for inputs of shapes \[3, 3\]"):
        loaded(np.ones((3, 3), np.float32))


def test_damaged_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no compiled model"):
        glowpy.load(tmp_path)
    m = glowpy.compile(linear(), backend="cpu")
    m.save(tmp_path / "m")
    manifest = tmp_path / "m" / "model.json"
    text = manifest.read_text()
    for damaged in ("", "[]", "{}", text.replace('"format": 2', '"format": 99'), text.replace("f32[2,3]", "nonsense")):
        manifest.write_text(damaged)
        with pytest.raises(UsageError, match=r"model again|damaged|cannot be read"):
            glowpy.load(tmp_path / "m")
    manifest.write_text(text)
    (tmp_path / "m" / "0" / "code.bin").write_bytes(b"")
    with pytest.raises(UsageError, match="compile the model again"):
        glowpy.load(tmp_path / "m")


def test_interpreted_models_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="interpreter makes no code to save"):
        glowpy.compile(linear(), backend="interpreter").save(tmp_path / "m")
    assert not any(tmp_path.iterdir())


def test_bad_models_are_told(tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_text("<html>")
    with pytest.raises(BadModel, match="web page"):
        glowpy.compile(tmp_path / "page.onnx")
    with pytest.raises(UsageError, match="no such file"):
        glowpy.compile(tmp_path / "nothing.onnx")
    with pytest.raises(UsageError, match=r"the onnx package brings no model 'nothing'; it has: .*squeezenet"):
        glowpy.compile("onnx:nothing")
    with pytest.raises(UsageError, match="no backend 'abacus'; installed: cpu, interpreter"):
        glowpy.compile(linear(), backend="abacus")


def test_all_findings_come_at_once() -> None:
    nodes = [helper.make_node("Cast", ["x"], [name], to=COMPLEX) for name in "yz"]
    outputs = [tensor(name, [2]) for name in "yz"]
    with pytest.raises(Findings, match=r"Cast 'y'(.|\n)*Cast 'z'") as caught:
        glowpy.compile(model(nodes, [tensor("x", [2])], outputs), backend="interpreter")
    assert caught.value.code == Unsupported.exit_code


def test_session_is_shaped_like_onnx_runtimes(tmp_path: Path) -> None:
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear("rows").SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    ours, theirs = (
        module.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for module in (glowpy, onnxruntime)
    )
    for get in ("get_inputs", "get_outputs"):
        (a,), (b,) = getattr(ours, get)(), getattr(theirs, get)()
        assert (a.name, a.type, a.shape) == (b.name, b.type, b.shape)
    for names in (None, ["y"]):
        np.testing.assert_allclose(ours.run(names, {"x": X})[0], theirs.run(names, {"x": X})[0], rtol=1e-6)
    with pytest.raises(UsageError, match="glowpy runs on CPUs"):
        glowpy.InferenceSession(str(path), providers=["CUDAExecutionProvider"])
