"""The page of all operators, ONNX's and ours: ``python -m glowpy.onnx.reference > docs/operators.md``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any

from onnx.defs import get_all_schemas_with_history

from glowpy.onnx.context import Loader
from glowpy.onnx.operators import Rows, tables
from glowpy.onnx.signatures import NEWEST_OPSET
from glowpy_ir import reference
from glowpy_ir.op import Hosted, Op

INTRODUCTION = f"""\
# ONNX operators

Made from the tables in `glowpy/onnx/operators` and the declarations in `ir/glowpy_ir/ops`. Do not edit this page, but
make it again: `python -m glowpy.onnx.reference > docs/operators.md`.

All versions up to operator set {NEWEST_OPSET} are read, from the first that is listed on. *Becomes* names the operators
of the graph, which are explained further below, that importing one may use; *nothing* means that it is done with when
the model has been imported. Operators that stand there in *italics* are computed by the host, in NumPy, between two
parts of the model; all others are native code, but for those on texts, which are the host's as well.
"""

FUNCTIONS = """\
These have no entry of their own, since the standard defines them by others, which stand in their place:
"""


def page() -> str:
    """The page, in Markdown."""
    parts = [INTRODUCTION]
    loaders = tables()
    for domain in sorted(loaders):
        parts.append(f"## {domain or 'ai.onnx'}\n\n| operator | from version | becomes |\n|---|---|---|")
        parts += [_row(name, rows) for name, rows in sorted(loaders[domain].items()) if not _is_refused(rows)]
        parts.append("")
    functions, missing = _others(loaders)
    parts += ["## By definition\n", FUNCTIONS, f"{', '.join(functions)}.\n"]
    parts += ["## Not supported\n", f"{', '.join(missing) or 'None of the standard'}.\n"]
    return "\n".join(parts) + "\n" + reference.page()


def _row(name: str, rows: Sequence[tuple[int, Loader]]) -> str:
    found = {op for _, loader in rows for op in operators_used(loader)}
    names = sorted(f"*{op.__name__}*" if issubclass(op, Hosted) else op.__name__ for op in found)
    return f"| {name} | {min(since for since, _ in rows)} | {', '.join(names) or 'nothing'} |"


def _is_refused(rows: Sequence[tuple[int, Loader]]) -> bool:
    """Whether all that the loaders do is to say what to do instead; they are called so."""
    return all(getattr(loader, "__name__", "").startswith("refuse") for _, loader in rows)


def _others(loaders: Mapping[str, Rows]) -> tuple[list[str], list[str]]:
    """The standard's operators without a loader: those that it defines by others, and those that are not supported."""
    functions, missing = set[str](), set[str]()
    for schema in get_all_schemas_with_history():
        rows = loaders.get(schema.domain, {}).get(schema.name, ())
        if schema.deprecated or (rows and not _is_refused(rows)):
            continue
        title = f"{schema.domain}::{schema.name}" if schema.domain else schema.name
        bodies: Any = schema  # the type stubs lack these members
        (functions if bodies.has_function or bodies.has_context_dependent_function else missing).add(title)
    return sorted(functions), sorted(missing - functions)


def operators_used(loader: Any) -> set[type[Op]]:
    """The graph's operators that a loader mentions, itself or through the functions that it calls."""
    found: set[type[Op]] = set()
    seen: set[int] = set()

    def visit(thing: Any) -> None:
        if id(thing) in seen:
            return
        seen.add(id(thing))
        if isinstance(thing, type) and issubclass(thing, Op):
            found.add(thing)
        elif isinstance(thing, Op):
            found.add(type(thing))
        else:
            for used in _parts_of(thing):
                visit(used)

    visit(loader)
    return found


def _parts_of(thing: Any) -> Iterator[Any]:
    """What a function, or something that holds functions, mentions."""
    ours = getattr(thing, "__module__", "").startswith(("glowpy.onnx.operators", "glowpy_ir.ops"))
    match thing:
        case partial():
            yield from (thing.func, *thing.args, *thing.keywords.values())
        case FunctionType() if ours:
            yield from inspect.getclosurevars(thing).nonlocals.values()
            names = reference.names_in(thing.__code__)
            yield from (thing.__globals__[name] for name in names if name in thing.__globals__)
        case type() if ours:
            yield from (item for item in vars(thing).values() if isinstance(item, FunctionType))
        case dict():
            yield from (*thing, *thing.values())
        case tuple() | list():
            yield from thing


if __name__ == "__main__":
    print(page(), end="")
