"""Attribute values as text: reads what ``op.literal`` printed.

``value := number | 'string' | None | True | False | `dimension` | (value,…) | Enum.MEMBER | Class(name=value,…)``
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from glowpy_ir.dims import parse_dim
from glowpy_ir.errors import SyntaxFault
from glowpy_ir.op import Op
from glowpy_ir.ops import ALL, ENUMS
from glowpy_ir.ops.fused import Step
from glowpy_ir.ops.recurrent import GruCell, LstmCell, RnnCell
from glowpy_ir.types import Kind, Quantization, TensorType

Vocabulary = Mapping[str, type]
"""The classes that text may name: operators, enums, and the dataclasses that attributes are made of."""

PARTS = (GruCell, Kind, LstmCell, Quantization, RnnCell, Step, TensorType)
"""What attributes are made of besides operators and enums."""

CORE: Vocabulary = {**ALL, **ENUMS, **{c.__name__: c for c in PARTS}}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf|nan)\b)|(?P<string>'(?:[^'\\]|\\.)*')"
    r"|(?P<dim>`[^`]*`)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[(),=.]))"
)


class Reader:
    """Reads values from the start of a text, and knows how far it got."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.text = text
        self.vocabulary = vocabulary
        self.position = 0

    def peek(self) -> str:
        """The next token, or an empty text at the end."""
        match = _TOKEN.match(self.text, self.position)
        return match.group().strip() if match else ""

    def take(self, wanted: str = "") -> str:
        """The next token, which must be ``wanted`` if that is given."""
        match = _TOKEN.match(self.text, self.position)
        if match is None or (wanted and match.group().strip() != wanted):
            raise SyntaxFault(f"expected {wanted or 'a value'} at {self.text[self.position :][:40]!r}")
        self.position = match.end()
        return match.group().strip()

    def at_end(self) -> bool:
        return not self.text[self.position :].strip()

    def arguments(self, closing: str) -> dict[str, Any]:
        """``name=value`` pairs, separated by commas or blanks, up to ``closing`` or the end."""
        found: dict[str, Any] = {}
        while not self.at_end() and self.peek() != closing:
            name = self.take()
            self.take("=")
            found[name] = self.value()
            if self.peek() == ",":
                self.take()
        return found

    def value(self) -> Any:
        """The next value."""
        token = self.take()
        if token == "(":
            return self._tuple()
        if token[0] == "`":
            return parse_dim(token[1:-1])
        if token[0] == "'":
            return ast.literal_eval(token)
        if token in ("None", "True", "False"):
            return {"None": None, "True": True, "False": False}[token]
        if token[0].isdigit() or token[0] in "+-" or token in ("inf", "nan"):
            return int(token) if re.fullmatch(r"[-+]?\d+", token) else float(token)
        return self._named(token)

    def _tuple(self) -> tuple[Any, ...]:
        items = []
        while self.peek() != ")":
            items.append(self.value())
            if self.peek() == ",":
                self.take()
        self.take(")")
        return tuple(items)

    def _named(self, name: str) -> Any:
        cls = self.vocabulary.get(name)
        if cls is None:
            raise SyntaxFault(f"unknown name {name!r}")
        if issubclass(cls, Enum):
            self.take(".")
            return cls[self.take()]
        self.take("(")
        arguments = self.arguments(")")
        self.take(")")
        return make(cls, arguments)


def make(cls: type, arguments: dict[str, Any]) -> Any:
    """An object of a class with these fields; SyntaxFault if it has others."""
    try:
        return cls(**arguments)
    except TypeError as error:
        raise SyntaxFault(f"{cls.__name__}: {error}") from None


def read_operator(text: str, vocabulary: Vocabulary) -> Op:
    """The operator in ``Name attribute=value …``."""
    name, _, rest = text.strip().partition(" ")
    cls = vocabulary.get(name)
    if cls is None or not issubclass(cls, Op):
        raise SyntaxFault(f"unknown operator {name!r}")
    try:
        op: Op = make(cls, Reader(rest, vocabulary).arguments(""))
    except RecursionError:
        raise SyntaxFault("values are nested too deeply") from None
    return op
