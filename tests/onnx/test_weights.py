"""Tensors are read bit by bit as ONNX defines them, and never trusted."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from onnx import StringStringEntryProto, TensorProto, helper, numpy_helper

from glowpy.onnx.weights import KINDS, Weights, kind_of_code
from glowpy_ir.errors import BadModel, GlowError, Unsupported
from glowpy_ir.types import Kind

NUMBERS = {code: kind for code, kind in KINDS.items() if kind is not Kind.STRING}


@pytest.mark.parametrize("code", NUMBERS, ids=lambda code: TensorProto.DataType.Name(code))
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 1, 3)])
def test_every_kind_reads_as_onnx_reads_it(code: int, raw: bool, shape: tuple[int, ...]) -> None:
    dtype = KINDS[code].dtype
    most = 1 if KINDS[code] in (Kind.I2, Kind.U2) else 3
    whole = (np.arange(np.prod(shape)) % (2 * most) - (most if KINDS[code].is_signed else 0)).reshape(shape)
    whole = 2**whole if KINDS[code] is Kind.F8E8M0 else whole
    values = np.asarray(whole).astype(np.float32).astype(dtype)
    in_fields = helper.make_tensor("w", code, shape, whole.ravel().tolist())
    tensor = numpy_helper.from_array(values, "w") if raw else in_fields
    tensor.data_type = code
    array = Weights().array(tensor)
    assert array.dtype == dtype
    assert array.shape == shape
    np.testing.assert_array_equal(array.astype(np.float64), values.astype(np.float64))


def test_texts() -> None:
    tensor = TensorProto(dims=[2, 1], data_type=TensorProto.STRING, string_data=[b"a", "ö".encode()])
    assert Weights().array(tensor).tolist() == [["a"], ["ö"]]
    tensor.string_data[0] = b"\xff"
    with pytest.raises(BadModel, match="UTF-8"):
        Weights().array(tensor)


def test_raw_data_is_not_copied_again() -> None:
    tensor = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    array = Weights().array(tensor)
    assert not array.flags.writeable
    assert array.base is not None


def tensor_of(shape: list[int], data: bytes = b"", code: int = TensorProto.FLOAT) -> TensorProto:
    return TensorProto(dims=shape, data_type=code, raw_data=data)


HOSTILE = [
    (tensor_of([1 << 20, 1 << 20], bytes(4)), "4 bytes, but .* needs"),
    (tensor_of([1 << 62, 1 << 62], bytes(4)), "4 bytes, but"),
    (tensor_of([-1], bytes(4)), "cannot have dimensions"),
    (tensor_of([2], bytes(9)), "9 bytes"),
    (tensor_of([1] * 1000, bytes(4)), "1000 dimensions"),
    (tensor_of([1], bytes(4), 0), "no element type"),
    (tensor_of([1], bytes(4), 999), "no element type"),
    (tensor_of([1], bytes(8), TensorProto.COMPLEX64), "complex64 are not supported"),
    (tensor_of([1], b"a", TensorProto.STRING), "texts cannot stand in raw_data"),
    (tensor_of([1, 1 << 14], bytes(4)), "4 bytes, but"),
    (TensorProto(dims=[3], data_type=TensorProto.FLOAT, float_data=[1, 2]), "2 entries in float_data"),
    (TensorProto(dims=[1 << 40], data_type=TensorProto.FLOAT, float_data=[1]), "1 entries"),
    (TensorProto(dims=[1], data_type=TensorProto.INT8, int32_data=[300]), "no i8"),
    (TensorProto(dims=[1], data_type=TensorProto.FLOAT16, int32_data=[1 << 17]), "no f16"),
]


@pytest.mark.parametrize(("tensor", "message"), HOSTILE)
def test_a_tensor_that_lies_is_refused(tensor: TensorProto, message: str) -> None:
    with pytest.raises(GlowError, match=message):
        Weights().array(tensor)


def external(location: str, shape: list[int], **entries: int) -> TensorProto:
    tensor = TensorProto(dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.append(StringStringEntryProto(key=key, value=str(value)))
    return tensor


def test_external_data_is_mapped(tmp_path: Path) -> None:
    values = np.arange(10, dtype=np.float32)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(b"xyz" + values.tobytes())
    array = Weights(tmp_path).array(external("sub/w.bin", [2, 5], offset=3, length=40))
    np.testing.assert_array_equal(array, values.reshape(2, 5))
    assert not array.flags.owndata
    assert Weights(tmp_path).array(external("sub/w.bin", [0], offset=3)).size == 0


OUTSIDE = ["/etc/passwd", "../secret", "a/../../secret", "C:\\secret", "..\\secret", "", "link", "a\0b", "gone"]


@pytest.mark.parametrize("location", OUTSIDE)
def test_external_data_from_elsewhere_is_refused(location: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BadModel, match="external data"):
        Weights(folder).array(external(location, [1]))


RANGES = [{"offset": 8}, {"length": 8}, {"offset": -4}, {"offset": 1 << 62}, {"length": 1 << 70}]


@pytest.mark.parametrize("entries", RANGES)
def test_external_data_outside_the_file_is_refused(entries: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(8))
    with pytest.raises(BadModel, match="external data"):
        Weights(tmp_path).array(external("w", [1], **entries))


def test_external_data_needs_a_folder() -> None:
    with pytest.raises(BadModel, match="needs a model file"):
        Weights().array(external("w", [1]))


def test_kinds_without_support_differ_from_no_kinds() -> None:
    with pytest.raises(Unsupported, match="complex128"):
        kind_of_code(TensorProto.COMPLEX128)
    with pytest.raises(BadModel, match="no element type"):
        kind_of_code(77)


def test_four_bits_are_packed_from_the_lowest() -> None:
    tensor = TensorProto(dims=[3], data_type=TensorProto.INT4, raw_data=bytes([0x8F, 0x07]))
    assert Weights().array(tensor).astype(int).tolist() == [-1, -8, 7]
    assert Weights().array(tensor).dtype == ml_dtypes.int4
