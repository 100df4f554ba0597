"""Which algorithm computes a convolution, and why."""

from __future__ import annotations

from glowpy_backends.cpu.kernels import convolution
from glowpy_backends.cpu.kernels.convolution import Convolution
from glowpy_backends.cpu.packed_conv import Algorithm, Direct
from glowpy_backends.cpu.target import Target


def choose_algorithm(spec: Convolution, target: Target, exact: bool) -> Algorithm:
    """The algorithm that measurements suggest for the shape."""
    return Direct(convolution.tiling_of(spec, target))
