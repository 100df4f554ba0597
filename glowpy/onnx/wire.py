"""The wire format of protobuf, as far as one must know it to look into a model without reading all of it.

A message is a row of fields: a tag (the field's number and what kind of value follows) and the value. Messages, texts
and bytes give their length first, so that they can be skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, StringStringEntryProto, TensorProto

VARINT, BYTES = 0, 2
_FIXED = {1: 8, 5: 4}

LARGE = 1 << 14
"""Weights of so many bytes are left in the file."""

OWN = "\0own"
"""Where a weight lies that is left in the model's own file; no path can be called so."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: from ``start`` to ``end``, its value from ``body``; ``end`` may lie beyond the data."""

    number: int
    kind: int
    start: int
    body: int
    end: int


def fields(data: memoryview, start: int, end: int) -> Iterator[Field]:
    """The fields of the message between two positions, up to what is no field."""
    position = start
    while position < end:
        tag, body = _varint(data, position, end)
        kind = tag & 7
        if kind == VARINT:
            _, stop = _varint(data, body, end)
        elif kind == BYTES:
            length, body = _varint(data, body, end)
            stop = body + length
        elif kind in _FIXED:
            stop = body + _FIXED[kind]
        else:
            return
        yield Field(tag >> 3, kind, position, body, stop)
        position = stop


Rewrite = Callable[[memoryview, int, int], bytes | None]
"""Sees a message; answers with a shorter one, or with None if it stays as it is."""


def without_weights(data: memoryview) -> bytes | memoryview:
    """A model whose large weights are external data in ``OWN``, the very bytes that are given here.

    What does not look like a model is given back as it is, for the parser to complain about.
    """
    return _rewritten(data, 0, len(data), ModelProto.GRAPH_FIELD_NUMBER, _graph) or data


def _graph(data: memoryview, start: int, end: int) -> bytes | None:
    return _rewritten(data, start, end, GraphProto.INITIALIZER_FIELD_NUMBER, _tensor)


def _rewritten(data: memoryview, start: int, end: int, number: int, rewrite: Rewrite) -> bytes | None:
    """A message with ``rewrite`` done to each field of this number; None if that changes nothing."""
    parts: list[bytes | memoryview] = []
    kept = start
    for field in fields(data, start, end):
        if field.end > end:
            return None
        if field.number != number or field.kind != BYTES or field.end - field.body < LARGE:
            continue
        new = rewrite(data, field.body, field.end)
        if new is not None:
            parts += data[kept : field.start], _encoded(number << 3 | BYTES), _encoded(len(new)), new
            kept = field.end
    return b"".join((*parts, data[kept:end])) if parts else None


def _tensor(data: memoryview, start: int, end: int) -> bytes | None:
    """The tensor without its bytes; None if these are few, or if it says in more than one way what it holds."""
    found = list(fields(data, start, end))
    raw = [field for field in found if field.number == TensorProto.RAW_DATA_FIELD_NUMBER]
    if len(raw) != 1 or raw[0].kind != BYTES or raw[0].end - raw[0].body < LARGE or found[-1].end != end:
        return None
    if any(field.number in _PLACES for field in found):
        return None
    place = {"location": OWN, "offset": str(raw[0].body), "length": str(raw[0].end - raw[0].body)}
    entries = [StringStringEntryProto(key=key, value=value) for key, value in place.items()]
    elsewhere = TensorProto(data_location=TensorProto.EXTERNAL, external_data=entries).SerializeToString()
    return b"".join((data[start : raw[0].start], data[raw[0].end : end], elsewhere))


_PLACES = (TensorProto.EXTERNAL_DATA_FIELD_NUMBER, TensorProto.DATA_LOCATION_FIELD_NUMBER)


def _varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            break
    return value, position


def _encoded(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes((*digits, value))
