"""Tensors on the command line."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from glowpy.cli.tensors import read_archive, read_inputs, write_archive
from glowpy.feeds import TensorSpec
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array, TensorType

X = TensorSpec("x", TensorType.parse("f32[2,3]"))
Y = TensorSpec("a=b/c", TensorType.parse("bf16[2]"))


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("2x3xf32=1", np.ones((2, 3), np.float32)),
        ("3xi64=1,2,3", np.array([1, 2, 3])),
        ("2x2xi8=[1 -2] [3 4]", np.array([[1, -2], [3, 4]], np.int8)),
        ("f64=-1.5e3", np.array(-1500.0)),
        ("2xbool=true,false", np.array([True, False])),
        ("2xstring=a b", np.array(["a", "b"], object)),
        ("0x3xf32=0", np.empty((0, 3), np.float32)),
        ("2xf32=inf,nan", np.array([np.inf, np.nan], np.float32)),
        ("u64=18446744073709551615", np.array(2**64 - 1, np.uint64)),
    ],
)
def test_literals(literal: str, expected: Array) -> None:
    for argument in (literal, f"x={literal}"):
        array = read_inputs([argument], [X])["x"]
        assert isinstance(array, np.ndarray)
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("x", "cannot read 'x'; expected INPUT=@file.npy"),
        ("x=1x2", "cannot read"),
        ("x=2xf33=1", "cannot read"),
        ("x=2xf32=1,2,3", "is no tensor"),
        ("x=2xi8=300,1", "is no tensor"),
        ("x=2xi8=1.5", "is no tensor"),
        ("x=2xbool=2", "is no tensor"),
        ("x=2xf32=", "is no tensor"),
        ("x=99999999999x99999999999xf32=1", "is no tensor"),
    ],
)
def test_what_is_no_tensor_is_told(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_inputs([argument], [X])


def test_files_by_name_and_by_position(tmp_path: Path) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "x.npy", x)
    for argument in (f"@{tmp_path}/x.npy", f"x=@{tmp_path}/x.npy"):
        np.testing.assert_array_equal(np.asarray(read_inputs([argument], [X])["x"]), x)


def test_archives_keep_odd_names_and_kinds(tmp_path: Path) -> None:
    arrays = {"x": np.ones((2, 3), np.float32), "a=b/c": np.ones(2, ml_dtypes.bfloat16), "file": np.array(1)}
    write_archive(tmp_path / "in.npz", arrays)
    assert read_archive(tmp_path / "in.npz").keys() == arrays.keys()
    feeds = read_inputs([f"@{tmp_path}/in.npz"], [X, Y])
    assert np.asarray(feeds["a=b/c"]).dtype == ml_dtypes.bfloat16


def test_twice_is_too_often() -> None:
    with pytest.raises(UsageError, match="'x' is given twice"):
        read_inputs(["x=f32=1", "x=f32=2"], [X])


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x93NUMPY", b"PK\x03\x04"])
def test_broken_files_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"x.npy is no .npy or .npz file"):
        read_inputs([f"x=@{tmp_path}/x.npy"], [X])


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UsageError, match=r"is no \.npy or \.npz file"):
        read_inputs([f"x=@{tmp_path}/x.npy"], [X])
