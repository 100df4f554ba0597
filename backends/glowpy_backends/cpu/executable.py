"""Compiled programs at work: linked code, weights, and memory for each call in flight."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from glowpy_backends.base import BackendOptions
from glowpy_backends.cpu.context import Slot
from glowpy_backends.cpu.emit import emit_assembly
from glowpy_backends.cpu.link import link
from glowpy_backends.cpu.memory import ALIGNMENT, address_of, aligned, map_file
from glowpy_backends.cpu.processors import default_threads
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.threadcode import BARRIER, BARRIER_BYTES, FLUSH_DENORMALS, RESTORE_DENORMALS
from glowpy_backends.cpu.threads import pool, thread_library
from glowpy_backends.weights import WeightPool
from glowpy_ir.errors import InvalidIR, Unsupported, UsageError
from glowpy_ir.types import Array, TensorType

if TYPE_CHECKING:
    from glowpy_backends.cpu.net import Net
    from glowpy_ir.program import Program

CODE, WEIGHTS, MANIFEST = "code.bin", "weights.bin", "program.json"


@dataclass(frozen=True)
class Signature:
    """What the entry wants to be called with; sizes in bytes."""

    symbol: str
    inputs: tuple[tuple[str, str], ...]
    """Name and type of each input."""
    outputs: tuple[tuple[str, str], ...]
    arena: int
    scratch: int
    weights: int
    large: tuple[int, ...]
    """Of each weight that has a slot of its own."""
    target: Target


class NativeProgram:
    """A program as machine code; several threads may run it at once, each call with an arena of its own."""

    def __init__(
        self,
        signature: Signature,
        objects: Sequence[bytes],
        weights: Array,
        large: Sequence[Array],
        options: BackendOptions,
        modules: Mapping[str, str],
    ) -> None:
        if not signature.target.runs_here:
            raise Unsupported(f"this machine cannot run code for {signature.target}")
        self._signature = signature
        self._objects = tuple(objects)
        self._weights = weights
        self._large = tuple(large)
        self._modules = modules
        self._threads = options.threads or default_threads()
        self._cache = options.cache
        runtime = thread_library(self._cache)
        imports = {name: runtime.address(name) for name in (BARRIER, FLUSH_DENORMALS, RESTORE_DENORMALS)}
        self._library = link(self._objects, [signature.symbol], imports)
        self._entry = self._library.address(signature.symbol)
        types = [(name, TensorType.parse(type)) for name, type in signature.outputs]
        self._outputs = [(name, type.extents, type.kind.dtype) for name, type in types]  # now, not in each call
        self._inputs = [name for name, _ in signature.inputs]
        self._io = slice(int(Slot.FIRST_IO), Slot.FIRST_IO + len(self._inputs) + len(self._outputs))
        self._idle: list[_Call] = []
        self._lock = Lock()

    @classmethod
    def of(
        cls,
        program: Program,
        net: Net,
        modules: Mapping[str, str],
        objects: Mapping[str, bytes],
        target: Target,
        options: BackendOptions,
    ) -> NativeProgram:
        """The program that was compiled just now."""
        if program.arena is None:
            raise InvalidIR(f"the activations of {program.name} have no addresses")
        from glowpy_backends.cpu.net import gather_weights, large_weights  # with what only compiling needs

        weights = gather_weights(program)
        pool = options.weights or WeightPool()
        large = pool.placed([weight.data for weight in large_weights(program)], aligned, ALIGNMENT)
        signature = Signature(
            net.symbol,
            tuple((buffer.name, str(buffer.type)) for buffer in program.inputs),
            tuple((buffer.name, str(buffer.type)) for buffer in program.outputs),
            program.arena,
            net.scratch_bytes,
            weights.nbytes,
            tuple(array.nbytes for array in large),
            target,
        )
        return cls(signature, list(objects.values()), weights, large, options, modules)

    def run(self, feeds: Mapping[str, Array], into: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """The outputs by name; inputs must have the types of the signature."""
        given = into or {}
        call = self._take()
        inputs = [np.ascontiguousarray(feeds[name]) for name in self._inputs]
        results = [
            given[name] if name in given else np.empty(extents, dtype) for name, extents, dtype in self._outputs
        ]
        call.table[self._io] = [address_of(array) for array in (*inputs, *results)]
        pool(self._cache).run(self._entry, call.address, self._threads)
        with self._lock:
            self._idle.append(call)
        return {name: array for (name, *_), array in zip(self._outputs, results, strict=True)}

    def _take(self) -> _Call:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Call(self._signature, self._weights, self._large, self._threads)

    def save(self, folder: Path) -> None:
        manifest = {**asdict(self._signature), "objects": [len(code) for code in self._objects]}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
        (folder / CODE).write_bytes(b"".join(self._objects))
        with (folder / WEIGHTS).open("wb") as file:
            for array in (self._weights, *self._large):
                file.write(array.data)
                file.write(bytes(-array.nbytes % ALIGNMENT))

    @classmethod
    def load(cls, folder: Path, options: BackendOptions) -> NativeProgram:
        """What ``save`` wrote; its weights are mapped, not read. UsageError if files are missing or damaged."""
        try:
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
            sizes = manifest.pop("objects")
            target = Target(**manifest.pop("target"))
            for key in ("inputs", "outputs"):
                manifest[key] = tuple((name, type) for name, type in manifest[key])
            manifest["large"] = tuple(manifest["large"])
            signature = Signature(**manifest, target=target)
            code = (folder / CODE).read_bytes()
            weights, *large = _parts(folder / WEIGHTS, (signature.weights, *signature.large))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{folder} holds no compiled program ({error}); compile the model again") from None
        if sum(sizes) != len(code):
            raise UsageError(f"{folder / CODE} is damaged; compile the model again")
        ends = np.cumsum([0, *sizes]).tolist()
        objects = [code[start:end] for start, end in pairwise(ends)]
        return cls(signature, objects, weights, large, options, {})

    def listing(self, kind: str) -> str:
        if not self._modules:
            raise UsageError("a loaded program has no listing; compile the model")
        match kind:
            case "llvm":
                return "\n".join(f"; {symbol}\n{ir}" for symbol, ir in self._modules.items())
            case "asm":
                target = self._signature.target
                return "\n".join(emit_assembly(ir, target) for ir in self._modules.values())
        raise UsageError(f"the cpu backend makes no {kind!r}; it makes llvm and asm")


def _parts(path: Path, sizes: Sequence[int]) -> list[Array]:
    """What lies in a file, one after the other, each aligned; nothing is read."""
    starts = np.cumsum([0, *(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]).tolist()
    whole = map_file(path, starts[-1])
    return [whole[start : start + size] for start, size in zip(starts, sizes, strict=False)]


class _Call:
    """The memory of one call: arena and scratch, and the table of pointers that the entry takes."""

    def __init__(self, signature: Signature, weights: Array, large: Sequence[Array], threads: int) -> None:
        self.arena = aligned(signature.arena)
        self.scratch = aligned(signature.scratch * threads)
        self.barrier = aligned(BARRIER_BYTES)
        first = Slot.FIRST_IO + len(signature.inputs) + len(signature.outputs)
        self.table = (ctypes.c_size_t * (first + len(large)))()
        self.address = ctypes.addressof(self.table)
        self.table[Slot.ARENA] = address_of(self.arena)
        self.table[Slot.WEIGHTS] = address_of(weights)
        self.table[Slot.SCRATCH] = address_of(self.scratch)
        self.table[Slot.BARRIER] = address_of(self.barrier)
        self.table[first:] = [address_of(array) for array in large]
