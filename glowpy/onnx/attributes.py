"""The one reader of ONNX attributes: typed, and it knows which attributes nobody asked for."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, TypeVar, overload

from onnx import AttributeProto, GraphProto

from glowpy.onnx.weights import Weights, kind_of_code
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.types import Array, Kind

D = TypeVar("D")
E = TypeVar("E", bound=Enum)
_REQUIRED: Any = object()

_TYPES = {number: name.lower() for name, number in AttributeProto.AttributeType.items()}


class Attributes:
    """The attributes of one node.

    Each method reads one attribute by name. Without a default the attribute must be there (BadModel if not); with a
    default, that is the answer when it is absent. An attribute of another type than asked for is a BadModel too.
    """

    def __init__(self, protos: Iterable[AttributeProto], weights: Weights) -> None:
        self._protos: dict[str, AttributeProto] = {}
        for proto in protos:
            if proto.name in self._protos:
                raise BadModel(f"attribute '{proto.name}' is given twice")
            if proto.ref_attr_name:
                raise BadModel(f"attribute '{proto.name}' refers to one of a function, but stands in none")
            self._protos[proto.name] = proto
        self._weights = weights
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._protos

    def unread(self) -> list[str]:
        """The attributes that nobody asked for."""
        return [name for name in self._protos if name not in self._read]

    def ignore(self, name: str) -> None:
        """Take note of an attribute that says nothing that is not known otherwise."""
        self._read.add(name)

    @overload
    def int(self, name: str) -> builtins.int: ...
    @overload
    def int(self, name: str, default: D) -> builtins.int | D: ...
    def int(self, name: str, default: Any = _REQUIRED) -> Any:
        """An integer."""
        return self._get(name, default, AttributeProto.INT, lambda a: a.i)

    @overload
    def ints(self, name: str) -> tuple[builtins.int, ...]: ...
    @overload
    def ints(self, name: str, default: D) -> tuple[builtins.int, ...] | D: ...
    def ints(self, name: str, default: Any = _REQUIRED) -> Any:
        """A list of integers."""
        return self._get(name, default, AttributeProto.INTS, lambda a: tuple(a.ints))

    def flag(self, name: str, default: bool) -> bool:
        """An integer that stands for no (0) or yes (1)."""
        return bool(self.int(name, default))

    @overload
    def float(self, name: str) -> builtins.float: ...
    @overload
    def float(self, name: str, default: D) -> builtins.float | D: ...
    def float(self, name: str, default: Any = _REQUIRED) -> Any:
        """A number."""
        return self._get(name, default, AttributeProto.FLOAT, lambda a: a.f)

    @overload
    def floats(self, name: str) -> tuple[builtins.float, ...]: ...
    @overload
    def floats(self, name: str, default: D) -> tuple[builtins.float, ...] | D: ...
    def floats(self, name: str, default: Any = _REQUIRED) -> Any:
        """A list of numbers."""
        return self._get(name, default, AttributeProto.FLOATS, lambda a: tuple(a.floats))

    @overload
    def string(self, name: str) -> str: ...
    @overload
    def string(self, name: str, default: D) -> str | D: ...
    def string(self, name: str, default: Any = _REQUIRED) -> Any:
        """A text."""
        return self._get(name, default, AttributeProto.STRING, lambda a: _text(name, a.s))

    @overload
    def strings(self, name: str) -> tuple[str, ...]: ...
    @overload
    def strings(self, name: str, default: D) -> tuple[str, ...] | D: ...
    def strings(self, name: str, default: Any = _REQUIRED) -> Any:
        """A list of texts."""
        return self._get(name, default, AttributeProto.STRINGS, lambda a: tuple(_text(name, s) for s in a.strings))

    @overload
    def tensor(self, name: str) -> Array: ...
    @overload
    def tensor(self, name: str, default: D) -> Array | D: ...
    def tensor(self, name: str, default: Any = _REQUIRED) -> Any:
        """A tensor."""
        return self._get(name, default, AttributeProto.TENSOR, lambda a: self._weights.array(a.t))

    @overload
    def graph(self, name: str) -> GraphProto: ...
    @overload
    def graph(self, name: str, default: D) -> GraphProto | D: ...
    def graph(self, name: str, default: Any = _REQUIRED) -> Any:
        """A nested graph: the body of a loop, the branch of a condition."""
        return self._get(name, default, AttributeProto.GRAPH, lambda a: a.g)

    @overload
    def kind(self, name: str) -> Kind: ...
    @overload
    def kind(self, name: str, default: D) -> Kind | D: ...
    def kind(self, name: str, default: Any = _REQUIRED) -> Any:
        """An element kind, which ONNX gives by number."""
        return self._get(name, default, AttributeProto.INT, lambda a: kind_of_code(a.i))

    @overload
    def choice(self, name: str, options: type[E]) -> E: ...
    @overload
    def choice(self, name: str, options: type[E], default: D) -> E | D: ...
    def choice(self, name: str, options: type[E], default: Any = _REQUIRED) -> Any:
        """The member of ``options`` whose value is the attribute's text or number; Unsupported if there is none."""
        numbers = all(isinstance(option.value, builtins.int) for option in options)
        given = self.int(name, None) if numbers else self.string(name, None)
        if given is None:
            return self._get(name, default, AttributeProto.STRING, None)
        for option in options:
            if option.value == given:
                return option
        known = ", ".join(str(option.value) for option in options)
        raise Unsupported(f"attribute '{name}' is {given!r}; supported: {known}")

    def _get(
        self, name: str, default: Any, type: AttributeProto.AttributeType, read: Callable[[AttributeProto], Any] | None
    ) -> Any:
        self._read.add(name)
        proto = self._protos.get(name)
        if proto is None or read is None:
            if default is _REQUIRED:
                raise BadModel(f"attribute '{name}' is missing")
            return default
        if proto.type != type:
            found = _TYPES.get(proto.type, f"of unknown type {proto.type}")
            raise BadModel(f"attribute '{name}' must be {_TYPES[type]}, but is {found}")
        return read(proto)


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadModel(f"attribute '{name}' is no UTF-8 text") from None
