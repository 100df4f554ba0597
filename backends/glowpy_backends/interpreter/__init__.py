"""The oracle: runs a program instruction by instruction, with each operator's own meaning in NumPy."""

from glowpy_backends.interpreter.backend import Interpreter

__all__ = ["Interpreter"]
