"""How operators are called in Python: method names and signatures, read off from their declarations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from enum import Enum
from keyword import iskeyword
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from glowpy_ir.errors import UsageError
from glowpy_ir.op import Op
from glowpy_ir.ops import ALL


def method_name(cls: type[Op]) -> str:
    """``ReduceMean`` is called as ``reduce_mean``, ``And`` as ``and_``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})", "_", cls.__name__).lower()
    return f"{words}_" if iskeyword(words) else words


METHODS: Mapping[str, type[Op]] = {method_name(cls): cls for cls in ALL.values()}
_SQUEEZED = {method.replace("_", ""): cls for method, cls in METHODS.items()}


def find_operator(method: str) -> type[Op]:
    """The operator that is called so, underscores aside; AttributeError, with what was meant perhaps, if none is."""
    if cls := _SQUEEZED.get(method.replace("_", "")):
        return cls
    close = " or ".join(get_close_matches(method, METHODS))
    raise AttributeError(f"no operator is called {method!r}" + (f"; did you mean {close}?" if close else ""))


def signature(cls: type[Op]) -> inspect.Signature:
    """The operands, by place or by name, then the attributes, by name."""
    operands = [
        inspect.Parameter(
            p.name,
            inspect.Parameter.VAR_POSITIONAL if p.variadic else inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None if p.optional else inspect.Parameter.empty,
        )
        for p in cls.parameters
    ]
    attributes = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=f.type,
        )
        for f in fields(cls)  # type: ignore[arg-type]
    ]
    return inspect.Signature([*operands, *attributes])


def signature_text(cls: type[Op]) -> str:
    """``softmax(input, *, axis: int)``"""
    parts = [_parameter_text(p) for p in signature(cls).parameters.values()]
    variadic = any(p.variadic for p in cls.parameters)
    if len(parts) > len(cls.parameters) and not variadic:
        parts.insert(len(cls.parameters), "*")
    return f"{method_name(cls)}({', '.join(parts)})"


def _parameter_text(p: inspect.Parameter) -> str:
    star = "*" if p.kind is p.VAR_POSITIONAL else ""
    kind = "" if p.annotation is p.empty else f": {p.annotation}"
    equals = " = " if kind else "="
    return f"{star}{p.name}{kind}" + ("" if p.default is p.empty else f"{equals}{p.default}")


def read_call(cls: type[Op], operands: Sequence[Any], named: Mapping[str, Any]) -> tuple[Op, tuple[Any, ...]]:
    """The operator with its attributes, and its operands; UsageError, with the signature, if the call does not fit.

    Lists are taken for tuples, and texts for the members of enumerations that they name: ``"f32"`` for ``Kind.F32``.
    """
    try:
        bound = signature(cls).bind(*operands, **named).arguments
    except TypeError as error:
        raise UsageError(f"{error}; the operator is {signature_text(cls)}") from None
    hints = get_type_hints(cls)
    attributes = {f.name: bound.pop(f.name) for f in fields(cls) if f.name in bound}  # type: ignore[arg-type]
    op: Op = cls(**{name: _attribute(cls, name, value, hints[name]) for name, value in attributes.items()})
    given: list[Any] = []
    for parameter in cls.parameters:
        value = bound.get(parameter.name)
        given.extend((value or ()) if parameter.variadic else [value])
    while given and given[-1] is None:
        given.pop()
    if any(value is None for value in given):
        raise UsageError(f"an operand is left out before one that is given; the operator is {signature_text(cls)}")
    return op, tuple(given)


def _attribute(cls: type[Op], name: str, value: Any, hint: Any) -> Any:
    value = _plain(value)
    if isinstance(value, str) and isinstance(hint, type) and issubclass(hint, Enum):
        value = next((member for member in hint if value in (member.value, member.name)), value)
    if not _fits(value, hint):
        raise UsageError(f"{name} must not be {value!r}; the operator is {signature_text(cls)}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of the type that an annotation asks for; an int is a float, too."""
    arguments = get_args(hint)
    if get_origin(hint) is tuple:
        of_one_kind = len(arguments) == 2 and arguments[1] is ...
        return isinstance(value, tuple) and (not of_one_kind or all(_fits(item, arguments[0]) for item in value))
    if arguments:
        return any(_fits(value, option) for option in arguments)
    return isinstance(value, (int, float) if hint is float else hint)
