"""The thread pool that all models of a process share."""

from __future__ import annotations

import atexit
import ctypes
import mmap
import os
import signal
from functools import cache
from pathlib import Path
from threading import Lock

from glowpy_backends.cpu.cache import Cache
from glowpy_backends.cpu.link import Library, link
from glowpy_backends.cpu.objects import kept_object
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.threadcode import (
    ALLOWED,
    MAX_THREADS,
    POOL_BYTES,
    RUN,
    START,
    STOP,
    SYMBOLS,
    thread_code,
)
from glowpy_ir.errors import UsageError

_POINTER, _I64, _I32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


class Pool:
    """Native threads that wait for work; :func:`pool` gives the one of this process.

    Workers start when they are first asked for and stay. They wait for some 50 µs, then sleep until there is work
    again. They use the processors that were allowed to the thread that made the pool, except the one on which
    :meth:`run` is called; the caller's own affinity is never touched. Signals go to Python's threads only.

    One call uses the pool at a time. Another Python thread's call in the meantime runs on its own thread alone, as
    does a call from within a run: nobody waits, and kernels give the same bits for any number of threads.
    """

    def __init__(self, folder: Path | None = None) -> None:
        code = thread_library(folder)
        self._memory = mmap.mmap(-1, POOL_BYTES)  # zeros
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._memory[ALLOWED] = _mask(os.sched_getaffinity(0))
        self._run = ctypes.CFUNCTYPE(_I64, _POINTER, _POINTER, _POINTER, _I64)(code.address(RUN))
        self._start = ctypes.CFUNCTYPE(_I32, _POINTER)(code.address(START))
        self._stop = ctypes.CFUNCTYPE(_I32, _POINTER)(code.address(STOP))
        self._growing = Lock()
        self._size = 1
        self._process = os.getpid()

    @property
    def size(self) -> int:
        """How many threads a run can have, the caller's included."""
        return self._size

    def grow(self, threads: int) -> None:
        """Starts what is missing to run on so many threads; UsageError if the system has no more to give."""
        if not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"cannot run on {threads} threads; give a number from 1 to {MAX_THREADS}")
        with self._growing:
            if self._size == 1:
                atexit.register(self.close)
            before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # workers inherit it
            try:
                while self._size < threads:
                    if code := self._start(self.address):
                        raise UsageError(f"no more than {self._size} threads can start: {os.strerror(code)}")
                    self._size += 1
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self, function: int, context: int, threads: int) -> int:
        """Calls the native ``function(context, thread, n)`` on ``n`` threads; returns ``n`` when all are done.

        ``n`` is ``threads``, or 1 if the pool is busy. The GIL is released meanwhile.
        """
        if threads > self._size:
            self.grow(threads)
        used: int = self._run(self.address, function, context, threads)
        return used

    def close(self) -> None:
        """Ends the workers; every later run is single-threaded. Nothing happens while the pool is busy."""
        with self._growing:
            if self._process == os.getpid() and self._stop(self.address):
                self._size = MAX_THREADS


def pool(folder: Path | None = None) -> Pool:
    """The pool of this process; after a fork, the child gets its own. ``folder``: see :func:`thread_library`."""
    own = _pools.get(os.getpid())
    return own or _pools.setdefault(os.getpid(), Pool(folder))


_pools: dict[int, Pool] = {}
"""By process number, as a child inherits its parent's, but not the parent's threads."""


@cache
def thread_library(folder: Path | None = None) -> Library:
    """The pool's code, linked into this process; exports all of ``threadcode.SYMBOLS``.

    ``folder`` is that of the cache which keeps it for other processes; None: the user's.
    """
    target = Target.host()
    return link([kept_object(thread_code(target), target, Cache(folder))], SYMBOLS)


def _mask(processors: set[int]) -> bytes:
    """As the system takes it: a bit per processor."""
    size = 8 * (ALLOWED.stop - ALLOWED.start)
    bits = sum(1 << number for number in processors if number < size)
    return bits.to_bytes(size // 8, "little")
