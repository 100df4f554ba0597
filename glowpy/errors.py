"""What can go wrong: the exceptions that glowpy raises."""

from glowpy_ir.errors import BadModel, Findings, GlowError, InvalidIR, Origin, TypeMismatch, Unsupported, UsageError

__all__ = ["BadModel", "Findings", "GlowError", "InvalidIR", "Origin", "TypeMismatch", "Unsupported", "UsageError"]
