"""Every operator, one family a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from types import ModuleType

from glowpy_ir.op import Op
from glowpy_ir.ops import (
    activation,
    arrangement,
    attention,
    control,
    conv_transpose,
    convert,
    convolution,
    counting,
    determinant,
    einsum,
    elementwise,
    functions,
    fused,
    images,
    indexing,
    linear,
    logic,
    lookup,
    movement,
    normalization,
    optimizers,
    pooling,
    quantization,
    random,
    recurrent,
    recurrent_layers,
    reduction,
    remainder,
    resampling,
    roi,
    sampling,
    scores,
    selection,
    softmax,
    sorting,
    spectral,
    text,
    trees,
    vision,
)

FAMILIES: tuple[ModuleType, ...] = (
    elementwise,
    functions,
    remainder,
    logic,
    convert,
    activation,
    reduction,
    softmax,
    normalization,
    movement,
    counting,
    indexing,
    arrangement,
    sorting,
    selection,
    random,
    trees,
    scores,
    lookup,
    optimizers,
    images,
    linear,
    determinant,
    einsum,
    convolution,
    conv_transpose,
    pooling,
    resampling,
    sampling,
    roi,
    vision,
    quantization,
    spectral,
    text,
    recurrent,
    recurrent_layers,
    attention,
    control,
    fused,
)


def operators_in(*modules: ModuleType) -> Mapping[str, type[Op]]:
    """The operators that these modules declare, by name; a class that others extend is none."""
    found = {
        name: item
        for module in modules
        for name, item in vars(module).items()
        if isinstance(item, type)
        and issubclass(item, Op)
        and is_dataclass(item)
        and item.__module__ == module.__name__
    }
    extended = {base for item in found.values() for base in item.__mro__[1:]}
    return {name: item for name, item in found.items() if item not in extended}


ALL: Mapping[str, type[Op]] = operators_in(*FAMILIES)

ENUMS: Mapping[str, type[Enum]] = {
    name: item
    for module in FAMILIES
    for name, item in vars(module).items()
    if isinstance(item, type) and issubclass(item, Enum) and item.__module__ == module.__name__
}
"""The choices that attributes of these operators are made from."""
