"""Which algorithm computes a convolution, and why."""

from __future__ import annotations

from glowpy_backends.cpu.kernels import convolution, depthwise, winograd
from glowpy_backends.cpu.kernels.convolution import Convolution
from glowpy_backends.cpu.packed_conv import Algorithm, Depthwise, Direct, Winograd, in_pairs
from glowpy_backends.cpu.target import Target


def choose_algorithm(spec: Convolution, target: Target, exact: bool) -> Algorithm:
    """The algorithm that measurements suggest for the shape; ``exact`` rules out tiles of four, which round more."""
    if depthwise.is_depthwise(spec):
        return Depthwise()
    if spec.is_narrow:
        return Direct(convolution.tiling_of(in_pairs(spec), target), pairs=True)
    m = winograd.tile_size(spec)
    if m is not None:
        m = min(m, 2) if exact else m
        return Winograd(m, winograd.tiling_of(winograd.Winograd(spec, m), target))
    return Direct(convolution.tiling_of(spec, target))
