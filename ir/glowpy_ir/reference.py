"""The reference of all operators, made from their declarations; ``glowpy.onnx.reference`` makes a page of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from glowpy_ir.calls import signature_text
from glowpy_ir.op import Composite, Hosted, Op
from glowpy_ir.ops import FAMILIES, operators_in
from glowpy_ir.structured import Structured

INTRODUCTION = """\
# Operators of the graph

A *primitive* is what a backend must have a kernel for. A *composite* is defined by other operators, and is lowered to
them unless the backend has a kernel for it as a whole. A *structured* operator runs graphs of its own. Each is shown as
it is called in Python: operands, then, after the `*`, attributes.
"""


def page() -> str:
    """The page, in Markdown."""
    operators = operators_in(*FAMILIES).values()
    kinds = (Composite, Structured, Hosted)
    composites, structured, hosted = (sum(issubclass(op, kind) for op in operators) for kind in kinds)
    primitives = len(operators) - composites - structured - hosted
    count = f"There are {primitives} primitives, {composites} composites, {structured} structured operators and\n"
    count += f"{hosted} that the host computes.\n"
    return "\n".join((INTRODUCTION + count, *(_family(module) for module in FAMILIES)))


def _family(module: ModuleType) -> str:
    title = module.__name__.rpartition(".")[2].replace("_", " ").capitalize()
    entries = map(_entry, operators_in(module).values())
    return "\n".join((f"## {title}\n", f"{inspect.getdoc(module)}\n", *entries))


def _entry(cls: type[Op]) -> str:
    lines = [f"### {cls.__name__}\n", f"`{signature_text(cls)}`\n", f"{inspect.getdoc(cls)}\n"]
    if issubclass(cls, Hosted):
        lines.append("Computed by the host.\n")
    if issubclass(cls, Composite):
        lines.append(f"Composite of {', '.join(primitives_of(cls))}.\n")
    if issubclass(cls, Structured):
        lines.append(f"Structured; its regions are: {', '.join(cls.regions)}.\n")
    return "\n".join(lines)


def primitives_of(cls: type[Composite]) -> list[str]:
    """The primitives that an expansion may come down to, whatever its attributes and operands: all that it mentions."""
    found: dict[str, None] = {}
    seen: set[Any] = set()

    def visit(thing: Any) -> None:
        if thing in seen:
            return
        seen.add(thing)
        if isinstance(thing, type) and issubclass(thing, Op) and not issubclass(thing, Composite):
            found[thing.__name__] = None
        else:
            for used in _names_used(thing):
                visit(used)

    visit(cls)
    return sorted(found)


def _names_used(thing: type | FunctionType) -> Iterator[type | FunctionType]:
    """The operators, and the helpers of the families, that a class's methods or a function mention."""
    functions = [thing] if isinstance(thing, FunctionType) else [f for c in thing.__mro__ for f in _methods(c)]
    for function in functions:
        for name in names_in(function.__code__):
            item = function.__globals__.get(name)
            if isinstance(item, type | FunctionType) and item.__module__.startswith("glowpy_ir.ops."):
                yield item


def _methods(cls: type) -> Iterator[FunctionType]:
    if cls.__module__.startswith("glowpy_ir.ops."):
        for item in vars(cls).values():
            function = item.fget if isinstance(item, property) else item
            if isinstance(function, FunctionType) and function.__module__ == cls.__module__:
                yield function


def names_in(code: CodeType) -> Iterator[str]:
    """The names that code mentions, in functions inside of it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)
