"""Every operator, one family a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from types import ModuleType

from glowpy_ir.op import Op
from glowpy_ir.ops import convolution, elementwise, fused, linear, movement, pooling

FAMILIES: tuple[ModuleType, ...] = (elementwise, movement, linear, convolution, pooling, fused)


def operators_in(*modules: ModuleType) -> Mapping[str, type[Op]]:
    """The operators that these modules declare, by name."""
    return {
        name: item
        for module in modules
        for name, item in vars(module).items()
        if isinstance(item, type)
        and issubclass(item, Op)
        and is_dataclass(item)
        and item.__module__ == module.__name__
    }


ALL: Mapping[str, type[Op]] = operators_in(*FAMILIES)
