"""Tensors that a model carries: checked first, then read without a copy where their bytes allow it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto

from glowpy.onnx.wire import OWN
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.types import Array, Kind

_P = TensorProto
KINDS: Mapping[int, Kind] = {
    _P.DOUBLE: Kind.F64,
    _P.FLOAT: Kind.F32,
    _P.FLOAT16: Kind.F16,
    _P.BFLOAT16: Kind.BF16,
    _P.FLOAT8E4M3FN: Kind.F8E4M3FN,
    _P.FLOAT8E4M3FNUZ: Kind.F8E4M3FNUZ,
    _P.FLOAT8E5M2: Kind.F8E5M2,
    _P.FLOAT8E5M2FNUZ: Kind.F8E5M2FNUZ,
    _P.FLOAT8E8M0: Kind.F8E8M0,
    _P.FLOAT4E2M1: Kind.F4E2M1,
    _P.INT64: Kind.I64,
    _P.INT32: Kind.I32,
    _P.INT16: Kind.I16,
    _P.INT8: Kind.I8,
    _P.INT4: Kind.I4,
    _P.INT2: Kind.I2,
    _P.UINT64: Kind.U64,
    _P.UINT32: Kind.U32,
    _P.UINT16: Kind.U16,
    _P.UINT8: Kind.U8,
    _P.UINT4: Kind.U4,
    _P.UINT2: Kind.U2,
    _P.BOOL: Kind.BOOL,
    _P.STRING: Kind.STRING,
}
"""The element kinds by ONNX's numbers for them."""

MOST_DIMENSIONS = 32
"""NumPy's limit is 64, and some operators split each dimension in two."""

BITS: Mapping[Kind, int] = {Kind.F4E2M1: 4, Kind.I4: 4, Kind.U4: 4, Kind.I2: 2, Kind.U2: 2}
"""How many bits an element takes in a file, where that is not its size in memory."""


def kind_of_code(code: int) -> Kind:
    """The kind with this number; Unsupported if there is none."""
    if code in KINDS:
        return KINDS[code]
    known = code in _P.DataType.values() and code != _P.UNDEFINED
    if known:
        raise Unsupported(f"elements of type {_P.DataType.Name(code).lower()} are not supported")
    raise BadModel(f"{code} is no element type")


class Weights:
    """Reads the tensors of one model; external ones from the bytes of its ``own`` file, or inside ``folder`` only."""

    def __init__(self, folder: Path | None = None, own: Array | None = None) -> None:
        self._folder = folder
        self._own = own
        self._files: dict[Path, Array] = {}

    def array(self, tensor: TensorProto) -> Array:
        """The elements; BadModel if they do not fit the tensor's own dimensions.

        Nothing is allocated before the sizes are known to agree. The array is read-only where it shares bytes.
        """
        kind = kind_of_code(tensor.data_type)
        shape = tuple(tensor.dims)
        if len(shape) > MOST_DIMENSIONS:
            raise Unsupported(f"a tensor has {len(shape)} dimensions; at most {MOST_DIMENSIONS} are supported")
        if any(extent < 0 for extent in shape):
            raise BadModel(f"a tensor cannot have dimensions {list(shape)}")
        if tensor.HasField("segment"):
            raise Unsupported("a tensor in segments is not supported")
        is_external = tensor.data_location == _P.EXTERNAL
        filled = [name for name in _LISTS if len(getattr(tensor, name))]
        if len(filled) + tensor.HasField("raw_data") + is_external > 1:
            raise BadModel("the tensor has elements in more than one of its fields and the file that it names")
        if kind is Kind.STRING and (is_external or tensor.HasField("raw_data")):
            raise BadModel("texts cannot stand in raw_data or in another file")
        if is_external:
            return _from_bytes(self._external(tensor, kind, shape), kind, shape)
        if tensor.HasField("raw_data"):
            return _from_bytes(np.frombuffer(tensor.raw_data, np.uint8), kind, shape)
        return _from_fields(tensor, kind, shape)

    def _external(self, tensor: TensorProto, kind: Kind, shape: tuple[int, ...]) -> Array:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        needed = byte_count(kind, shape)
        offset = _natural(entries, "offset", 0)
        length = _natural(entries, "length", needed)
        if location == OWN and self._own is not None:
            return self._own[offset : offset + length]
        data = self._map(location)
        if length != needed:
            raise BadModel(f"external data in '{location}' has {length} bytes, but {list(shape)} needs {needed}")
        if offset + length > data.size:
            raise BadModel(f"external data in '{location}' ends at byte {offset + length}, the file at {data.size}")
        return data[offset : offset + length]

    def _map(self, location: str) -> Array:
        if self._folder is None:
            raise BadModel("external data needs a model file; this model was given as bytes or as an object")
        parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
        absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor
        if not location or absolute or ".." in parts or "\0" in location:
            raise BadModel(f"external data at {location!r} is not inside the model's folder")
        folder = self._folder.resolve()
        path = (folder / location).resolve()
        if not path.is_relative_to(folder):
            raise BadModel(f"external data at {location!r} is a link that leaves the model's folder")
        if path not in self._files:
            if not path.is_file():
                raise BadModel(f"external data file '{location}' is missing")
            self._files[path] = _mapped(path)
        return self._files[path]


def _mapped(path: Path) -> Array:
    try:
        return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except (OSError, ValueError) as error:
        raise BadModel(f"external data file '{path.name}' cannot be mapped: {error}") from None


def byte_count(kind: Kind, shape: tuple[int, ...]) -> int:
    """How many bytes a tensor takes in a file."""
    return (math.prod(shape) * BITS.get(kind, 8 * kind.nbytes) + 7) // 8


def _natural(entries: Mapping[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadModel(f"external data: {key} is {text!r}")
    return int(text)


def _from_bytes(data: Array, kind: Kind, shape: tuple[int, ...]) -> Array:
    needed = byte_count(kind, shape)
    if data.size != needed:
        raise BadModel(f"the tensor has {data.size} bytes, but {kind.value}{list(shape)} needs {needed}")
    if kind is Kind.BOOL:
        return np.not_equal(data, 0).reshape(shape)
    if kind in BITS:
        return _unpack(data, kind, math.prod(shape)).reshape(shape)
    return np.frombuffer(data, kind.dtype).reshape(shape) if data.size else np.empty(shape, kind.dtype)


def _unpack(data: Array, kind: Kind, count: int) -> Array:
    """Elements of less than a byte, the first in the lowest bits."""
    bits = BITS[kind]
    shifts = np.arange(0, 8, bits).astype(np.uint8)
    codes: Array = ((data[:, None] >> shifts) & ((1 << bits) - 1)).ravel()[:count]
    if kind.is_float:
        return np.asarray(codes).view(kind.dtype)
    if kind.is_signed:
        codes = (codes.astype(np.int8) ^ (1 << bits - 1)) - (1 << bits - 1)
    return codes.astype(kind.dtype)


_FIELDS: Mapping[Kind, str] = {
    Kind.F64: "double_data",
    Kind.F32: "float_data",
    Kind.I64: "int64_data",
    Kind.U64: "uint64_data",
    Kind.U32: "uint64_data",
    Kind.STRING: "string_data",
}
"""The typed list that holds elements of a kind; those of all other kinds stand in ``int32_data``."""


_LISTS = (*dict.fromkeys(_FIELDS.values()), "int32_data")


def _from_fields(tensor: TensorProto, kind: Kind, shape: tuple[int, ...]) -> Array:
    field = _FIELDS.get(kind, "int32_data")
    items = getattr(tensor, field)
    count = math.prod(shape)
    needed = byte_count(kind, shape) if kind in BITS else count
    if len(items) != needed:
        raise BadModel(f"the tensor has {len(items)} entries in {field}, but {kind.value}{list(shape)} needs {needed}")
    if kind in (Kind.F64, Kind.F32):
        return np.fromiter(items, kind.dtype, needed).reshape(shape)
    if kind is Kind.STRING:
        return _texts(items).reshape(shape)
    held = np.fromiter(items, np.uint64 if field == "uint64_data" else np.int64, needed)
    if kind in BITS:
        return _unpack(_narrowed(held, np.dtype(np.uint8), kind), kind, count).reshape(shape)
    if kind.is_float:
        return _narrowed(held, np.dtype(f"u{kind.nbytes}"), kind).view(kind.dtype).reshape(shape)
    return _narrowed(held, kind.dtype, kind).reshape(shape)


def _narrowed(entries: Array, dtype: np.dtype[Any], kind: Kind) -> Array:
    narrow = entries.astype(dtype)
    if not np.array_equal(narrow.astype(entries.dtype), entries):
        raise BadModel(f"the tensor has entries that are no {kind.value}")
    return narrow


def _texts(items: Sequence[bytes]) -> Array:
    texts = np.empty(len(items), object)
    try:
        texts[:] = [item.decode() for item in items]
    except UnicodeDecodeError:
        raise BadModel("the tensor has entries that are no UTF-8 text") from None
    return texts


def has_external_data(model: ModelProto) -> bool:
    """Whether some tensor of the model lies in another file."""

    def external(graph: GraphProto) -> bool:
        attributes = [attribute for node in graph.node for attribute in node.attribute]
        tensors = [*graph.initializer, *(a.t for a in attributes if a.HasField("t"))]
        if any(e.key == "location" and e.value != OWN for tensor in tensors for e in tensor.external_data):
            return True
        return any(external(a.g) for a in attributes if a.HasField("g"))

    return external(model.graph)
