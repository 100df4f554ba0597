"""Compiled models in the user's cache: a model that was compiled before is loaded, not compiled again.

The key is the content of the model's file and all that the code depends on: the options, the target, the bound
dimensions and the compiler itself. Models with open dimensions or with external data are not kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

from glowpy.artifact import read_artifact
from glowpy.model import Model
from glowpy.options import Options
from glowpy.specialise import Specialisations
from glowpy_backends.base import backend_class
from glowpy_backends.cpu.cache import Cache, key_of
from glowpy_backends.cpu.emit import VERSION
from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array

BLOCK = 8 << 20
"""Bytes that are hashed at a time."""

SETTLED = 2.0
"""Seconds after which a file that changes again surely gets another time."""

PACKAGES = ("glowpy", "glowpy_ir", "glowpy_backends")


@dataclass(frozen=True)
class ModelCache:
    """The place of one compiled model."""

    key: str
    options: Options
    cache: Cache

    @classmethod
    def of(
        cls,
        model: object,
        options: Options,
        dims: Mapping[str, int],
        shapes: Mapping[str, tuple[int, ...]],
        values: Mapping[str, Array],
    ) -> ModelCache | None:
        """The place of a model that is given by its file; None for others, and for backends that save no programs."""
        if not isinstance(model, str | os.PathLike) or not backend_class(options.backend).saves:
            return None
        path = Path(model)
        if not path.is_file():
            return None
        store = Cache(options.cache)
        target = Target.named(options.target or "host")
        fixed = (key_of(name, str(array.dtype), str(array.shape), array.tobytes()) for name, array in values.items())
        key = key_of(
            compiler_digest(),
            path.name,
            _content(path, store),
            repr((options.backend, target, options.exact, options.flush_denormals)),
            repr((sorted(dims.items()), sorted(shapes.items()))),
            *sorted(fixed),
        )
        return cls(key, options, store)

    def load(self) -> Model | None:
        """The model as it was compiled before, or None."""
        folder = self.cache.get(self.key)
        if folder is None:
            return None
        try:
            artifact = read_artifact(folder, self.options.for_backend())
        except UsageError:  # another process removed it just now
            return None
        return Model(
            artifact.name, artifact.backend, artifact.inputs, artifact.outputs, Specialisations(artifact.programs)
        )

    def keep(self, model: Model) -> None:
        """Put a model there that has all its code."""
        self.cache.put(self.key, lambda folder: model.fill(folder))


def _content(path: Path, known: Cache) -> bytes:
    """A digest of the file: the one that is noted, unless the file was touched since (by ctime, which nobody sets)."""
    status = path.stat()
    identity = (path.resolve(), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    key = key_of("digest", *map(str, identity))
    digest = known.read(key)
    if digest is None:
        digest = _hash(path, status.st_size)
        if time.time() - status.st_ctime > SETTLED:
            known.write(key, digest)
    return digest


def _hash(path: Path, size: int) -> bytes:
    """hashlib lets go of the interpreter, so that blocks are hashed side by side."""
    from concurrent.futures import ThreadPoolExecutor  # rarely needed, as digests are noted

    def block(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return blake2b(file.read(BLOCK), digest_size=32).digest()

    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        return key_of(*pool.map(block, range(0, size, BLOCK))).encode()


@cache
def compiler_digest() -> str:
    """Changes whenever a file of the compiler does, or the LLVM that it uses."""
    parts = [VERSION]
    for package in PACKAGES:
        found = find_spec(package)
        folders = found.submodule_search_locations if found and found.submodule_search_locations else []
        for folder in folders:
            for place, _, names in os.walk(folder):
                files = [os.path.join(place, name) for name in names if name.endswith(".py")]
                parts.extend(f"{file} {(s := os.stat(file)).st_size} {s.st_mtime_ns}" for file in files)
    return key_of(*sorted(parts))
