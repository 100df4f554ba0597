"""Opens model files, and says in one sentence what a file is that is no ONNX model."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto

from glowpy.onnx.wire import fields, without_weights
from glowpy_ir.errors import BadModel
from glowpy_ir.types import Array

MOST_BYTES = (1 << 31) - 1
"""Protobuf's own limit for one message."""


@dataclass(frozen=True)
class ModelFile:
    """A model, what to call it in messages, and the folder where its external data lies.

    Large weights are not in ``proto``, but in ``own``, the bytes of the file.
    """

    proto: ModelProto
    name: str
    folder: Path | None = None
    own: Array | None = None


def open_model(source: str | os.PathLike[str] | bytes | ModelProto | ModelFile) -> ModelFile:
    """The model in a file, in bytes, or as an object; BadModel if it is none."""
    if isinstance(source, ModelFile):
        return source
    if isinstance(source, ModelProto):
        check_names(source.graph)
        return ModelFile(source, source.graph.name or "model")
    if isinstance(source, bytes):
        return ModelFile(_parse(memoryview(source), "model"), "model", own=np.frombuffer(source, np.uint8))
    path = Path(source)
    data = _mapped(path)
    return ModelFile(_parse(data, path.name), path.name, path.parent, np.frombuffer(data, np.uint8))


def _mapped(path: Path) -> memoryview:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadModel(f"{path} is a directory, not a model file")
        if not stat.S_ISREG(status.st_mode):
            raise BadModel(f"{path} is not a regular file")
        if status.st_size == 0:
            raise BadModel(f"{path.name} is empty")
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise BadModel(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise BadModel(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _parse(data: memoryview, name: str) -> ModelProto:
    if not data:
        raise BadModel(f"{name} is empty")
    head = bytes(data[:512])
    for looks, sentence in SIGNS:
        if looks(head):
            raise BadModel(f"{name} {sentence}")
    if len(data) > MOST_BYTES:
        raise BadModel(f"{name} has more than 2 GB, protobuf's limit; save its weights as external data")
    proto = ModelProto()
    try:
        proto.ParseFromString(without_weights(data))
    except DecodeError:
        raise BadModel(f"{name} {_explain(data)}") from None
    if not proto.HasField("graph"):
        raise BadModel(f"{name} is no ONNX model: it has no graph")
    check_names(proto.graph)
    return proto


def check_names(graph: GraphProto) -> None:
    """BadModel if a name is no UTF-8 text, in which case protobuf gives its bytes."""
    names: list[object] = [graph.name]
    names += (item.name for item in (*graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        names += (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            names.append(attribute.name)
            if attribute.HasField("g"):
                check_names(attribute.g)
    if bad := next((name for name in names if not isinstance(name, str)), None):
        raise BadModel(f"the name {bad!r} in the model is no UTF-8 text")


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


def _is_html(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


def _is_text(head: bytes) -> bool:
    return all(byte in b"\t\r\n\f" or byte >= 32 for byte in head) and head[:1].isascii()


def _has(offset: int, magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[offset:].startswith(magic)


SIGNS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (_is_html, "is a web page, probably saved instead of the model; download the file itself"),
    (_starts(b"version https://git-lfs"), "is a git-LFS pointer, not the model; run 'git lfs pull'"),
    (_starts(b"\x1f\x8b"), "is compressed with gzip; unpack it first"),
    (_starts(b"\xfd7zXZ\0"), "is compressed with xz; unpack it first"),
    (_starts(b"\x28\xb5\x2f\xfd"), "is compressed with zstd; unpack it first"),
    (_starts(b"BZh"), "is compressed with bzip2; unpack it first"),
    (_starts(b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"), "is an archive; unpack it first"),
    (_starts(b"PK\x03\x04", b"PK\x05\x06"), "is a zip archive (or a PyTorch checkpoint), not an ONNX model"),
    (_has(257, b"ustar"), "is a tar archive; unpack it first"),
    (_starts(*(bytes((0x80, protocol)) for protocol in range(2, 6))), "is a Python pickle, not an ONNX model"),
    (_starts(b"\x93NUMPY"), "is a NumPy array, not a model"),
    (_starts(b"\x89HDF\r\n"), "is an HDF5 file (Keras?); convert the model to ONNX"),
    (_has(4, b"TFL3"), "is a TensorFlow Lite model; convert it to ONNX"),
    (_has(4, b"ORTM"), "is a model in ONNX Runtime's own format; use the ONNX file it was made from"),
    (_starts(b"GGUF"), "is a GGUF file, not an ONNX model"),
    (_has(8, b'{"'), "is a safetensors file: weights without a model"),
    (_starts(b"<?xml"), "is an XML file (OpenVINO?), not an ONNX model"),
    (_is_text, "is a text file, not an ONNX model"),
)
"""How to know other files by their first bytes, and what to say of them."""


MODEL_FIELDS = range(1, 27)
"""The field numbers that occur in a model; anything else is no model."""


def _explain(data: memoryview) -> str:
    """Why ``data`` did not parse: cut off, or no protobuf from the start."""
    position = 0
    for field in fields(data, 0, len(data)):
        if field.number not in MODEL_FIELDS:
            break
        if field.end > len(data):
            return f"is cut off: it ends at byte {len(data)}, inside a field that ends at byte {field.end}"
        position = field.end
    if position >= len(data):
        return "is damaged: it has the shape of an ONNX model, but a part of it cannot be read"
    return f"is no ONNX model, or is damaged at byte {position}"
