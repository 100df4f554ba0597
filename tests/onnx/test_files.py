"""Each kind of file that is no model gets its own sentence."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto
from onnx_cases import node_model

from glowpy.onnx.files import MOST_BYTES, open_model
from glowpy.onnx.weights import Weights, has_external_data
from glowpy_ir.errors import BadModel


def model() -> ModelProto:
    return node_model("MatMul", {"x": np.ones((2, 300), np.float32), "_w": np.ones((300, 4), np.float32)}, 13)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", "x")
    return buffer.getvalue()


WHOLE = model().SerializeToString()
FILES = {
    "empty": (b"", "is empty"),
    "web page": (b"\n <!DOCTYPE html><html></html>", "web page"),
    "git-LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "gzip": (gzip.compress(WHOLE), "gzip"),
    "zip": (zipped(), "zip archive"),
    "pickle": (pickle.dumps({"weights": [1, 2]}), "Python pickle"),
    "NumPy": (b"\x93NUMPY\x01\x00", "NumPy array"),
    "text": (b"graph main {\n  %x = placeholder f32[1]\n}", "text file"),
    "safetensors": (b"\x40\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F32"}}', "safetensors"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
    "OpenVINO": (b'<?xml version="1.0"?><net/>', "XML"),
    "cut off": (WHOLE[: len(WHOLE) // 2], "cut off: it ends at byte"),
    "zeros": (bytes(100), "no ONNX model"),
    "noise": (np.random.default_rng(0).bytes(4096), "no ONNX model"),
    "model without a graph": (ModelProto(ir_version=8, producer_name="x\x01").SerializeToString(), "no graph"),
    "damaged inside": (WHOLE.replace(b"MatMul", b"\xff\xff\xff\xff\xff\xff"), "damaged|UTF-8"),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_model_is_told(kind: str, tmp_path: Path) -> None:
    data, message = FILES[kind]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(BadModel, match=message) as caught:
        open_model(path)
    assert "\n" not in str(caught.value)
    if data:
        with pytest.raises(BadModel, match=message):
            open_model(data)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="does not exist"):
        open_model(tmp_path / "missing.onnx")
    with pytest.raises(BadModel, match="is a directory"):
        open_model(tmp_path)
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(BadModel, match="not a regular file"):
        open_model(tmp_path / "pipe.onnx")
    with pytest.raises(BadModel, match="cannot be read"):
        open_model("a\0b.onnx")


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.write(b"\x08\x08")
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(BadModel, match="more than 2 GB"):
        open_model(path)


@pytest.mark.parametrize("length", [1, 2, 3, 10, 100, 1000, len(WHOLE) - 1])
def test_a_file_cut_off_anywhere_is_refused(length: int) -> None:
    with pytest.raises(BadModel):
        open_model(WHOLE[:length])


def test_a_model_opens_from_path_bytes_and_object(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(WHOLE)
    file = open_model(path)
    assert (file.proto, file.name, file.folder) == (model(), "m.onnx", tmp_path)
    assert open_model(WHOLE).proto == model()
    assert open_model(file) is file
    assert open_model(model()).folder is None


def test_large_weights_stay_in_the_file(tmp_path: Path) -> None:
    weights = {"_a": np.arange(5000, dtype=np.float32), "_b": np.arange(9000), "_c": np.ones(3, np.int32)}
    proto = node_model("Sum", weights, 13)
    data = proto.SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data)
    (tmp_path / "link.onnx").symlink_to(tmp_path / "m.onnx")
    for source in (data, tmp_path / "m.onnx", tmp_path / "link.onnx"):
        file = open_model(source)
        assert file.proto.ByteSize() < 1000
        assert not has_external_data(file.proto)
        reader = Weights(file.folder, file.own)
        for tensor, expected in zip(file.proto.graph.initializer, weights.values(), strict=True):
            array = reader.array(tensor)
            np.testing.assert_array_equal(array, expected)
            assert np.shares_memory(array, file.own) == (expected.size > 3)


def test_a_name_that_is_no_text_is_told() -> None:
    damaged = WHOLE.replace(b"MatMul", b"Mat\xff\xfel")
    with pytest.raises(BadModel, match=r"UTF-8|damaged"):
        open_model(damaged)
