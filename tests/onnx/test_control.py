"""If, Loop and Scan compute what ONNX Runtime computes, as regions where that can be, and in stages elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, parser

import glowpy
from glowpy.onnx.model import import_model
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array


def model_of(text: str, opset: int = 17) -> ModelProto:
    model: ModelProto = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]>\n{text}')
    return model


def by_runtime(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(None, dict(feeds))
    return results


def agree(model: ModelProto, *rows: Mapping[str, Array]) -> None:
    """Compare results for several inputs, on one thread and on two."""
    for threads in (1, 2):
        compiled = glowpy.compile(model, threads=threads)
        for feeds in rows:
            found = compiled.run(None, feeds)
            for wanted, array in zip(by_runtime(model, feeds), found, strict=True):
                assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
                np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-6)


def operators(model: ModelProto) -> list[str]:
    """What the model becomes if it can be imported as a whole."""
    return [node.op.name for node in import_model(model).nodes]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


CHOICE = """
choice (bool c, float[3] x) => (float[3] y, float[3] z)
<float[3] w = {1, 2, 3}>
{
  e = Exp(x)
  y, z = If (c) <
    then_branch = then () => (float[3] a, float[3] b) { a = Add(e, w) b = Identity(x) },
    else_branch = other () => (float[3] f, float[3] d) { f = Mul(x, w) d = Sub(f, e) }
  >
}
"""


def test_choice() -> None:
    model = model_of(CHOICE)
    assert "If" in operators(model)
    agree(model, *({"c": np.array(c), "x": numbers(3)} for c in (True, False)))


def test_open_dimensions_are_known_in_regions() -> None:
    model = model_of("""
choice (bool c, float[N,3] x) => (float[K] y)
{
  s = Shape(x)
  n = Size(x)
  y = If (c) <
    then_branch = then () => (float[L] a) {
      zero = Constant <value = int64[1] {0}> ()
      e = ConstantOfShape(s)
      f = Add(x, e)
      k = Unsqueeze(n, zero)
      a = Reshape(f, k)
    },
    else_branch = other () => (float[M] b) { all = Constant <value = int64[1] {-1}> () b = Reshape(x, all) }
  >
}
""")
    assert operators(model) == ["If"]
    agree(model, *({"c": np.array(c), "x": numbers(rows, 3)} for c in (True, False) for rows in (1, 4)))


def test_choice_of_different_shapes_is_made_between_parts() -> None:
    model = model_of("""
choice (bool[1] c, float[2,3] x) => (float[N] y)
{
  y = If (c) <
    then_branch = then () => (float[N] a) { s = Constant <value = int64[1] {-1}> () a = Reshape(x, s) },
    else_branch = other () => (float[N] b) { k = Constant <value = int64[1] {1}> () b = ReduceSum <keepdims = 0>(x, k)}
  >
}
""")
    with pytest.raises(Findings, match="must be constant"):
        import_model(model)
    agree(model, *({"c": np.array([c]), "x": numbers(2, 3)} for c in (True, False)))


SUMS = """
sums (int64 n, bool c, float[2,3] x, float limit) => (float[2,3] y, float[N,2,3] s, int64[N] i)
<float[2,3] w = {1, 2, 3, 4, 5, 6}>
{
  y, s, i = Loop (n, c, x) <
    body = step (int64 k, bool d, float[2,3] a) => (bool more, float[2,3] b, float[2,3] t, int64 j) {
      m = Abs(w)
      b = Add(a, m)
      t = Mul(b, x)
      j = Add(k, k)
      largest = ReduceMax <keepdims = 0> (b)
      more = Less(largest, limit)
    }
  >
}
"""


@pytest.mark.parametrize("trips", [0, 1, 5, -2, None])
@pytest.mark.parametrize("begins", [True, False, None])
def test_loop_that_ends_early(trips: int | None, begins: bool | None) -> None:
    """The number of trips may be an operand that nobody knows, or left out; the condition, too."""
    feeds = {"n": np.array(trips or 4), "c": np.array(begins is not False), "x": numbers(2, 3)}
    model = model_of(SUMS)
    for index, known in ((1, begins is not None), (0, trips is not None)):
        if not known:
            del feeds[model.graph.input[index].name], model.graph.input[index]
            model.graph.node[0].input[index] = ""
    agree(model, *({**feeds, "limit": np.array(limit, np.float32)} for limit in (-9, 9, 21)))


@pytest.mark.parametrize("trips", [0, 3, 7])
def test_known_number_of_trips(trips: int) -> None:
    model = model_of(SUMS.replace("int64 n, ", "").replace("<float[2,3] w", f"<int64 n = {{{trips}}}, float[2,3] w"))
    feeds = {"c": np.array(True), "x": numbers(2, 3)}
    agree(model, *({**feeds, "limit": np.array(limit, np.float32)} for limit in (-9, 9, 50)))


def test_counted_loop_is_one_part() -> None:
    """Carried tensors change places; iteration and condition are lists of one, as some exporters write them."""
    model = model_of("""
fibonacci (int64 a, int64 b) => (int64 x, int64 y, int64[N] s)
<int64[1] n = {9}, bool[1] t = {1}>
{
  x, y, s = Loop (n, t, a, b) <
    body = step (int64[1] k, bool[1] c, int64 a1, int64 b1) => (bool[1] d, int64 b2, int64 z, int64 e) {
      d = Identity(c)
      b2 = Identity(b1)
      z = Add(a1, b1)
      e = Squeeze(k)
    }
  >
}
""")
    assert operators(model) == ["Loop"]
    agree(model, {"a": np.array(0), "b": np.array(1)})


def test_choice_in_a_loop_in_a_loop() -> None:
    model = model_of("""
nested (int64 n, float[2,2] x) => (float[2,2] y)
<float[2,2] w = {0.5, 0.25, 0.125, 0.75}, bool t = {1}, int64 two = {2}>
{
  y = Loop (n, t, x) <
    body = outer (int64 i, bool c, float[2,2] a) => (bool c1, float[2,2] b) {
      c1 = Identity(c)
      p = MatMul(a, w)
      b = Loop (i, , p) <
        body = inner (int64 j, bool d, float[2,2] e) => (bool d1, float[2,2] f) {
          d1 = Less(j, two)
          odd = Mod(j, two)
          is = Cast <to = 9> (odd)
          f = If (is) <
            then_branch = then () => (float[2,2] g) { g = Add(e, x) },
            else_branch = other () => (float[2,2] h) { q = MatMul(e, w) h = Sub(q, a) }
          >
        }
      >
    }
  >
}
""")
    assert operators(model) == ["Loop"]
    agree(model, *({"n": np.array(n), "x": numbers(2, 2)} for n in (0, 1, 2, 6)))


def test_loop_takes_what_an_earlier_part_made() -> None:
    model = model_of("""
parts (float[6] x, int64 n) => (float[1,K] y)
<bool t = {1}>
{
  found = NonZero(x)
  kept = Cast <to = 1> (found)
  y = Loop (n, t, kept) <
    body = step (int64 i, bool c, float[1,K] a) => (bool d, float[1,K] b) { d = Identity(c) b = Add(a, kept) }
  >
}
""")
    agree(model, *({"x": np.array(x, np.float32), "n": np.array(3)} for x in ([0, 1, 0, 2, 3, 0], [0, 0, 0, 0, 0, 1])))


def test_unending_loop_is_refused() -> None:
    model = model_of("""
unending (float x) => (float y)
<bool t = {1}>
{
  y = Loop ( , t, x) <body = step (int64 i, bool c, float a) => (bool c1, float b) { c1 = Identity(c) b = Exp(a) }>
}
""")
    with pytest.raises(Findings, match="does not end"):
        import_model(model)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(int64 k, bool d, float[2,3] a)", "(int64 k, float[2,3] a)", "the body takes 2 and gives 4"),
        ("more = Less(largest, limit)", "more = Add(largest, limit)", "must be one truth value, not f32"),
        ("b = Add(a, m)", "b = Frobnicate(a, m)", "there is no operator Frobnicate"),
    ],
)
def test_refused_loops(old: str, new: str, message: str) -> None:
    text = SUMS.replace("int64 n, bool c, ", "").replace("<float[2,3] w", "<int64 n = {1}, bool c = {1}, float[2,3] w")
    assert old in text
    with pytest.raises(Findings, match=message):
        import_model(model_of(text.replace(old, new)))


def test_loop_that_changes_types_is_put_down() -> None:
    agree(
        model_of("""
grow (int64 n, float[2] x) => (float[K] y)
<bool t = {1}>
{
  y = Loop (n, t, x) <
    body = step (int64 i, bool c, float[L] a) => (bool d, float[M] b) { d = Identity(c) b = Concat <axis = 0> (a, x) }
  >
}
"""),
        *({"n": np.array(n), "x": numbers(2)} for n in (0, 1, 3)),
    )


def scan_model(axes: Sequence[int], directions: Sequence[int], rank: int) -> ModelProto:
    """Sums of the first operand's slices, and products of both operands' slices."""
    rest = ",".join("SPQ"[: rank - 1])
    one, many = f"float[{rest}]", f"float[{','.join('ABC'[:rank])}]"
    return model_of(f"""
scan ({one} start, {many} x, {many} y) => ({one} last, {many} sums, {many} products)
{{
  last, sums, products = Scan <
    num_scan_inputs = 2,
    scan_input_axes = [{axes[0]}, {axes[1]}], scan_input_directions = [{directions[0]}, {directions[1]}],
    scan_output_axes = [{axes[2]}, {axes[3]}], scan_output_directions = [{directions[2]}, {directions[3]}],
    body = step ({one} state, {one} a, {one} b) => ({one} next, {one} sum, {one} product) {{
      next = Add(state, a)
      sum = Identity(next)
      product = Mul(a, b)
    }}
  > (start, x, y)
}}
""")


@pytest.mark.parametrize("directions", list(itertools.product((0, 1), repeat=4)))
def test_scan_directions(directions: Sequence[int]) -> None:
    feeds = {"start": numbers(3), "x": numbers(5, 3), "y": numbers(5, 3, seed=1)}
    agree(scan_model((0, 0, 0, 0), directions, 2), feeds)


@pytest.mark.parametrize("axes", [(0, 0, 1, 2), (1, 1, 0, -1), (2, 2, 1, 0), (-1, 2, 2, 1)])
def test_scan_axes(axes: Sequence[int]) -> None:
    shape = [2, 3]
    whole = (*shape[: axes[0]], 4, *shape[axes[0] :]) if axes[0] >= 0 else (2, 3, 4)
    feeds = {"start": numbers(2, 3), "x": numbers(*whole), "y": numbers(*whole, seed=1)}
    agree(scan_model(axes, (0, 1, 1, 0), 3), feeds)


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_scan_that_can_be_no_loop(axis: int, direction: int) -> None:
    """How many elements of a slice are not zero decides about types."""
    model = model_of(f"""
scan (float start, float[A,B] x) => (float last, float[C,D] rows)
{{
  last, rows = Scan <
    num_scan_inputs = 1, scan_input_axes = [{axis}], scan_input_directions = [{direction}],
    scan_output_axes = [{axis}], scan_output_directions = [{direction}],
    body = step (float state, float[E] a) => (float next, float[E] row) {{
      found = NonZero(a)
      turned = Transpose(found)
      kept = GatherND(a, turned)
      sum = ReduceSum <keepdims = 0> (kept)
      next = Add(state, sum)
      row = Mul(a, next)
    }}
  > (start, x)
}}
""")
    agree(model, {"start": np.array(1, np.float32), "x": np.array([[1, 0, 2], [0, 0, 3], [4, 5, 6]], np.float32)})


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_scan_of_a_batch(batch: int, with_lengths: bool) -> None:
    """Version 8: sequences have a length of their own each, after which there are zeros."""
    given = "int64[B] lengths, " if with_lengths else ""
    model = model_of(
        f"""
scan ({given}float[B,2] start, float[B,4,2] x) => (float[B,2] last, float[B,4,2] sums)
{{
  last, sums = Scan <
    num_scan_inputs = 1,
    body = step (float[2] state, float[2] a) => (float[2] next, float[2] sum) {{
      next = Add(state, a)
      sum = Identity(next)
    }}
  > ({"lengths" if with_lengths else ""}, start, x)
}}
""",
        opset=8,
    )
    feeds = {"start": numbers(batch, 2), "x": numbers(batch, 4, 2)}
    agree(model, {"lengths": np.array([4, 1, 2][:batch]), **feeds} if with_lengths else feeds)
