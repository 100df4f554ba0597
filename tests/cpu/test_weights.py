"""Large weights lie in memory once, however many programs of a model use them."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import glowpy
from glowpy_backends.cpu.memory import ALIGNMENT, aligned
from glowpy_backends.weights import LARGE, WeightPool
from glowpy_ir.types import Array


def placed(pool: WeightPool, *arrays: Array) -> list[Array]:
    return pool.placed(arrays, aligned, ALIGNMENT)


def test_equal_weights_lie_at_one_place() -> None:
    pool = WeightPool()
    a, b = np.arange(70_000, dtype=np.float32), np.arange(70_001, dtype=np.float32)
    first = placed(pool, a, b)
    other = a.copy()
    other[40_000] += 1
    second = placed(pool, b.copy(), other)
    assert [array.tobytes() for array in (*first, *second)] == [array.tobytes() for array in (a, b, b, other)]
    assert second[0] is first[1]
    assert second[1].ctypes.data != first[0].ctypes.data
    assert all(array.ctypes.data % ALIGNMENT == 0 for array in (*first, *second))


def test_weights_that_nobody_uses_are_forgotten() -> None:
    pool = WeightPool()
    (kept,) = placed(pool, np.ones(1000, np.float32))
    placed(pool, np.zeros(1000, np.float32))
    gc.collect()
    assert sum(known() is not None for alike in pool._known.values() for known in alike) == 1
    assert placed(pool, np.ones(1000, np.float32))[0] is kept


def test_programs_of_one_model_share_them(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).standard_normal((512, LARGE // 2048 + 3)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "matrix"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None]) for name in "xy")
    x.type.tensor_type.shape.dim[1].dim_value = 512
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(matrix, "matrix")])
    m = glowpy.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), threads=1)
    feeds = [np.random.default_rng(n).standard_normal((n, 512)).astype(np.float32) for n in (1, 2, 40)]
    for feed in feeds:
        np.testing.assert_allclose(m(feed), feed @ matrix, rtol=1e-3, atol=1e-3)
    one, two, other = (program.executable._large[0] for program in m._programs.all().values())
    assert one is two
    assert other.nbytes >= LARGE
    m.save(tmp_path / "m")
    loaded = glowpy.load(tmp_path / "m", threads=1)
    for feed in feeds:
        np.testing.assert_array_equal(loaded(feed), m(feed))
