"""Compiled models in the cache: found again, and never mistaken for another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

import glowpy
from glowpy import model_cache
from glowpy.model_cache import ModelCache
from glowpy.options import Options


def write_model(path: Path, operator: str) -> None:
    """``y = operator(x)``; the operators of the tests have names of one length, and so have the files."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", infos[:1], infos[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def place(path: Path, folder: Path, **options: object) -> ModelCache:
    found = ModelCache.of(path, Options(cache=folder, **options), {}, {}, {})  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    write_model(path, "Exp")
    return path


def test_second_time_the_model_is_loaded(model: Path, tmp_path: Path) -> None:
    x = np.array([1, 2, 3], np.float32)
    assert place(model, tmp_path / "cache").load() is None
    compiled = glowpy.compile(model, cache_dir=tmp_path / "cache")
    kept = place(model, tmp_path / "cache").load()
    assert kept is not None
    np.testing.assert_array_equal(kept(x), compiled(x))


def test_options_are_part_of_the_key(model: Path, tmp_path: Path) -> None:
    keys = {place(model, tmp_path, **options).key for options in ({}, {"exact": True}, {"flush_denormals": True})}
    assert len(keys) == 3
    assert place(model, tmp_path, threads=1).key == place(model, tmp_path, threads=2).key


def test_a_changed_file_is_another_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one of the same size and the same time of change. Caught: an identity without the ctime."""
    monkeypatch.setattr(model_cache, "SETTLED", -1.0)
    x = np.array([1, 2, 3], np.float32)
    before = model.stat()
    np.testing.assert_allclose(glowpy.compile(model, cache_dir=tmp_path)(x), np.exp(x), rtol=1e-6)
    with model.open("r+b") as file:  # the same inode
        data = file.read()
        file.seek(0)
        file.write(data.replace(b"Exp", b"Abs"))
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (model.stat().st_size, model.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    np.testing.assert_array_equal(glowpy.compile(model, cache_dir=tmp_path)(-x), x)


def test_only_files_are_kept(model: Path, tmp_path: Path) -> None:
    assert ModelCache.of(model.read_bytes(), Options(cache=tmp_path), {}, {}, {}) is None
    assert ModelCache.of(model, Options(backend="interpreter", cache=tmp_path), {}, {}, {}) is None
    assert ModelCache.of(tmp_path / "missing.onnx", Options(cache=tmp_path), {}, {}, {}) is None


def test_a_known_model_loads_without_what_only_compiling_needs(model: Path, tmp_path: Path) -> None:
    glowpy.compile(model, cache_dir=tmp_path)
    code = (
        "import sys, numpy, glowpy;"
        f"glowpy.compile({str(model)!r}, cache_dir={str(tmp_path)!r})(numpy.ones(3, 'f'));"
        "print({'onnx', 'numpy.random', 'importlib.metadata', 'glowpy_ir.op', 'glowpy_backends.cpu.builder'}"
        " & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
