"""The operators that the CPU backend adds, and what their attributes are made of."""

from __future__ import annotations

from glowpy_backends.cpu.blocked import Blocked, Pack, Rearrange, Unpack
from glowpy_backends.cpu.packed_conv import Depthwise, Direct, PackedConv, Winograd
from glowpy_backends.cpu.packed_matmul import PackedMatMul, PairedMatMul
from glowpy_backends.cpu.packed_recurrence import PackedRecurrence
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling

OPERATORS: tuple[type, ...] = (
    Blocked,
    Depthwise,
    Direct,
    Pack,
    PackedConv,
    PackedMatMul,
    PackedRecurrence,
    PairedMatMul,
    Rearrange,
    Target,
    Tiling,
    Unpack,
    Winograd,
)
