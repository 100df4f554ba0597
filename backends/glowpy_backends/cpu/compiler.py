"""Compiles kernels side by side, in this process and in worker processes, with the cache before them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import BinaryIO, cast

import llvmlite

from glowpy_backends.cpu import emit
from glowpy_backends.cpu.cache import Cache
from glowpy_backends.cpu.objects import object_key
from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import InvalidIR

_WORTH_A_WORKER = 500_000
"""Bytes of IR that take longer to compile (0.25 s) than another process takes to start (0.15 s)."""


def compile_kernels(
    kernels: Iterable[tuple[str, str]], target: Target, cache: Cache | None = None, jobs: int = 1
) -> dict[str, bytes]:
    """The object code of each kernel, given as its symbol and its IR; see :class:`KernelCompiler`."""
    with KernelCompiler(target, cache, jobs) as compiler:
        for symbol, ir in sorted(kernels, key=lambda kernel: -len(kernel[1])):
            compiler.submit(symbol, ir)
        return compiler.finish()


class KernelCompiler:
    """Takes kernels one by one and compiles them while more are still being generated.

    LLVM serves one thread at a time, so real parallelism needs processes: up to ``jobs - 1`` of them start when
    there is enough to do, and the caller's thread helps in :meth:`finish`. What is in the cache is not compiled.

    Leaving the ``with`` block ends all processes, whatever happened inside.
    """

    def __init__(self, target: Target, cache: Cache | None = None, jobs: int = 1) -> None:
        self._target = target
        self._cache = cache
        self._jobs = jobs
        self._queue: deque[tuple[str, str]] = deque()
        self._submitted = 0
        self._objects: dict[str, bytes] = {}
        self._failures: list[InvalidIR] = []
        self._workers: list[_Worker] = []
        self._threads: list[Thread] = []

    def __enter__(self) -> KernelCompiler:
        return self

    def submit(self, symbol: str, ir: str) -> None:
        """Has the module ``ir``, which defines ``symbol``, compiled sooner or later."""
        if self._cache is not None:
            code = self._cache.read(object_key(ir, self._target))
            if code is not None:
                self._objects[symbol] = code
                return
        self._queue.append((symbol, ir))
        self._submitted += len(ir)
        if len(self._workers) < min(self._jobs - 1, self._submitted // _WORTH_A_WORKER) and _can_start_python():
            self._add_worker()

    def _add_worker(self) -> None:
        try:
            worker = _Worker(self._target)
        except OSError:  # the system allows no more processes: those that there are take longer
            self._jobs = 1 + len(self._workers)
            return
        thread = Thread(target=self._drain, args=(worker,), name="glowpy compiler", daemon=True)
        self._workers.append(worker)
        self._threads.append(thread)
        thread.start()

    def finish(self) -> dict[str, bytes]:
        """The object code of all kernels, by symbol, once the last is done.

        InvalidIR, naming the kernel, if LLVM refuses one or a worker process dies over one.
        """
        self._drain(None)
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
        return self._objects

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.clear()
        for worker in self._workers:
            worker.kill()
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.close()

    def _drain(self, worker: _Worker | None) -> None:
        """Compiles what is queued until nothing is left, or until one fails anywhere."""
        while not self._failures:
            try:
                symbol, ir = self._queue.popleft()
            except IndexError:
                return
            try:
                code = emit.emit_object(ir, self._target) if worker is None else worker.compile(ir)
            except (emit.EmitError, _WorkerDied) as error:
                self._failures.append(InvalidIR(f"kernel '{symbol}' for {self._target}: {error}"))
                return
            self._objects[symbol] = code
            if self._cache is not None:
                self._cache.write(object_key(ir, self._target), code)


class _WorkerDied(Exception):
    """A worker process ended in the middle of a kernel."""


class _Worker:
    """A process that compiles.

    It is a fresh interpreter that runs ``emit.py`` by its path: a copy of this process (fork) would inherit its
    threads' locks, and multiprocessing would import the user's main program again.
    """

    def __init__(self, target: Target) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process lives)
        folder = str(Path(llvmlite.__file__).parents[1])
        run = f"runpy.run_path({emit.__file__!r}, run_name='__main__')"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", f"import runpy, sys; sys.path.append({folder!r}); {run}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._requests = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._greeting = [target.triple, target.cpu, target.features]

    def compile(self, ir: str) -> bytes:
        """EmitError if LLVM refuses the IR, _WorkerDied if the process is no more."""
        try:
            for part in (*self._greeting, ir):
                emit.send(self._requests, part.encode())
            answer = emit.receive(self._answers)
        except OSError:  # a broken pipe
            answer = None
        self._greeting = []
        if not answer:
            raise _WorkerDied(self._last_words())
        if answer[:1] == b"-":
            raise emit.EmitError(answer[1:].decode())
        return answer[1:]

    def kill(self) -> None:
        """Ends the process; it has nothing to save."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Closes the pipes of a process that has ended."""
        for file in (self._requests, self._answers, self._errors):
            with suppress(OSError):  # what was not sent cannot be sent any more
                file.close()

    def _last_words(self) -> str:
        self.kill()
        self._errors.seek(0)
        text = self._errors.read()[-2000:].decode(errors="replace").strip()
        return f"the compiling process ended with code {self._process.returncode}" + (f": {text}" if text else "")


def _can_start_python() -> bool:
    """False in a program that embeds Python: its executable would start the program itself once more."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)
