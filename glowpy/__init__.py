"""A neural-network graph compiler: ONNX models in, fast native code out.

    import glowpy

    model = glowpy.compile("model.onnx")
    y = model(x)

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glowpy import errors
    from glowpy.api import compile, load
    from glowpy.feeds import TensorSpec
    from glowpy.model import Model
    from glowpy.options import Options
    from glowpy.session import InferenceSession

__all__ = ["InferenceSession", "Model", "Options", "TensorSpec", "__version__", "compile", "errors", "load"]
__version__ = "0.1.0"

_HOME = {
    "InferenceSession": "glowpy.session",
    "Model": "glowpy.model",
    "Options": "glowpy.options",
    "TensorSpec": "glowpy.feeds",
    "compile": "glowpy.api",
    "load": "glowpy.api",
}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("glowpy.errors")
    if name not in _HOME:
        raise AttributeError(f"module 'glowpy' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
