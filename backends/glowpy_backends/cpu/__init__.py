"""Native code through LLVM."""

from glowpy_backends.cpu.backend import Cpu

__all__ = ["Cpu"]
