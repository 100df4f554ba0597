"""Object code by the IR that it is made of: taken from the cache if it is there."""

from __future__ import annotations

from glowpy_backends.cpu.cache import Cache, key_of
from glowpy_backends.cpu.emit import VERSION, emit_object
from glowpy_backends.cpu.target import Target


def object_key(ir: str, target: Target) -> str:
    """The key of the object code of a module."""
    return key_of("object", VERSION, target.triple, target.cpu, target.features, ir)


def kept_object(ir: str, target: Target, cache: Cache) -> bytes:
    """The object code of a module, compiled at once if the cache does not have it."""
    key = object_key(ir, target)
    code = cache.read(key)
    if code is None:
        code = emit_object(ir, target)
        cache.write(key, code)
    return code
