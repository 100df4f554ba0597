"""The thread pool: every thread runs once, nobody hangs, nobody burns the others' time."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from glowpy_backends.cpu.emit import emit_object
from glowpy_backends.cpu.link import Library, link
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.threadcode import BARRIER, FLUSH_DENORMALS, RESTORE_DENORMALS, RUN, thread_code
from glowpy_backends.cpu.threads import Pool, pool, thread_library
from glowpy_ir.errors import Unsupported, UsageError

CODE = """
declare void @glowpy_barrier(ptr, i64)
declare i64 @glowpy_run(ptr, ptr, ptr, i64)
declare i32 @glowpy_flush_denormals()
declare void @glowpy_restore_denormals(i32)

; Context: 256 counters, one a thread, each then again behind 256 sums of n.
define void @count(ptr %c, i64 %t, i64 %n) {
  %p = getelementptr i64, ptr %c, i64 %t
  %v = load i64, ptr %p
  %w = add i64 %v, 1
  store i64 %w, ptr %p
  %i = add i64 %t, 256
  %q = getelementptr i64, ptr %c, i64 %i
  %s = load i64, ptr %q
  %r = add i64 %s, %n
  store i64 %r, ptr %q
  ret void
}

; Thread t writes the round to its own word, all meet, then each adds its neighbour's word to its sum, all meet.
; Context: barrier (128 bytes), rounds, then 64 words, then 64 sums.
define void @rounds(ptr %c, i64 %t, i64 %n) {
entry:
  %k.at = getelementptr i64, ptr %c, i64 16
  %k = load i64, ptr %k.at
  %own.i = add i64 %t, 17
  %own = getelementptr i64, ptr %c, i64 %own.i
  %next = add i64 %t, 1
  %wrap = urem i64 %next, %n
  %other.i = add i64 %wrap, 17
  %other = getelementptr i64, ptr %c, i64 %other.i
  %sum.i = add i64 %t, 81
  %sum = getelementptr i64, ptr %c, i64 %sum.i
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%j, %loop]
  store i64 %i, ptr %own
  call void @glowpy_barrier(ptr %c, i64 %n)
  %v = load i64, ptr %other
  %s = load i64, ptr %sum
  %u = add i64 %s, %v
  store i64 %u, ptr %sum
  call void @glowpy_barrier(ptr %c, i64 %n)
  %j = add i64 %i, 1
  %more = icmp ult i64 %j, %k
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Context: the pool, the context of the inner runs.
define void @nested(ptr %c, i64 %t, i64 %n) {
  %pool = load ptr, ptr %c
  %inner.at = getelementptr ptr, ptr %c, i64 1
  %inner = load ptr, ptr %inner.at
  %first = icmp eq i64 %t, 0
  br i1 %first, label %again, label %done
again:
  call i64 @glowpy_run(ptr %pool, ptr @count, ptr %inner, i64 %n)
  br label %done
done:
  ret void
}

; Context: two floats, their product, and the product computed with denormals flushed.
define void @multiply(ptr %c, i64 %t, i64 %n) {
  %a = load volatile float, ptr %c
  %b.at = getelementptr float, ptr %c, i64 1
  %b = load volatile float, ptr %b.at
  %ieee.at = getelementptr float, ptr %c, i64 2
  %ieee = fmul float %a, %b
  store volatile float %ieee, ptr %ieee.at
  %state = call i32 @glowpy_flush_denormals()
  %x = load volatile float, ptr %c
  %y = load volatile float, ptr %b.at
  %flushed.at = getelementptr float, ptr %c, i64 3
  %flushed = fmul float %x, %y
  store volatile float %flushed, ptr %flushed.at
  call void @glowpy_restore_denormals(i32 %state)
  ret void
}
"""
NAMES = ("count", "rounds", "nested", "multiply")


def load() -> Library:
    runtime = thread_library()
    symbols = (BARRIER, RUN, FLUSH_DENORMALS, RESTORE_DENORMALS)
    return link([emit_object(CODE, Target.host())], NAMES, {s: runtime.address(s) for s in symbols})


LIBRARY = load()
COUNT, ROUNDS, NESTED, MULTIPLY = (LIBRARY.address(name) for name in NAMES)


def words(n: int = 512) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Zeroed memory on a 64-byte boundary."""
    raw = np.zeros(n + 8, np.int64)
    start = -(raw.ctypes.data // 8) % 8
    return raw[start : start + n]


SCRATCH = words()
"""For runs whose counts nobody reads."""


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_every_thread_runs_once(threads: int) -> None:
    context = words()
    assert pool().run(COUNT, context.ctypes.data, threads) == threads
    assert context[:8].tolist() == [1] * threads + [0] * (8 - threads)
    assert context[256:264].tolist() == [threads] * threads + [0] * (8 - threads)


def test_hundred_thousand_runs() -> None:
    """With all numbers of threads in turn, and with pauses in which the workers fall asleep."""
    calls, context = [0] * 4, words()
    for number in range(100_000 if len(os.sched_getaffinity(0)) > 1 else 5_000):
        threads = 1 + number % 2 + (number % 1000 == 7)
        assert pool().run(COUNT, context.ctypes.data, threads) == threads
        for thread in range(threads):
            calls[thread] += 1
        if number % 5000 == 1:
            time.sleep(0.001)
    assert context[:4].tolist() == calls


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_barriers_order_memory(threads: int) -> None:
    rounds = 2000 if len(os.sched_getaffinity(0)) >= threads else 200
    context = words()
    context[16] = rounds
    for repetition in range(1, 4):
        assert pool().run(ROUNDS, context.ctypes.data, threads) == threads
        expected = [repetition * rounds * (rounds - 1) // 2] * threads
        assert context[81 : 81 + threads].tolist() == expected


def test_a_run_within_a_run_is_single_threaded() -> None:
    inner = words()
    context = np.array([pool().address, inner.ctypes.data], np.int64)
    assert pool().run(NESTED, context.ctypes.data, 3) == 3
    assert inner[:4].tolist() == [1, 0, 0, 0]
    assert inner[256] == 1
    assert pool().run(COUNT, inner.ctypes.data, 3) == 3  # and the pool is free again


def test_python_threads_do_not_wait_for_each_other() -> None:
    def call(_: int) -> list[int]:
        context, used = words(), []
        for _ in range(300):
            used.append(pool().run(COUNT, context.ctypes.data, 2))
        assert context[0] == 300
        assert context[1] == used.count(2)
        return used

    with ThreadPoolExecutor(4) as threads:
        used = [n for result in threads.map(call, range(8)) for n in result]
    assert set(used) <= {1, 2}
    assert 2 in used


def test_pools_grow_from_several_python_threads() -> None:
    own = Pool()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(own.grow, [2, 5, 3, 4, 5, 1] * 4))
    assert own.size == 5
    context = words()
    assert own.run(COUNT, context.ctypes.data, 5) == 5
    own.close()
    assert own.run(COUNT, context.ctypes.data, 5) == 1


def test_more_threads_than_processors_take_turns_quickly() -> None:
    """A wait that kept the processor for a time slice (3 ms or more) would take seconds here."""
    threads = 2 * len(os.sched_getaffinity(0)) + 1
    context = words()
    context[16] = 100
    pool().run(ROUNDS, context.ctypes.data, threads)
    start = time.perf_counter()
    assert pool().run(ROUNDS, context.ctypes.data, threads) == threads
    assert time.perf_counter() - start < 200 * threads * 0.0015


def test_idle_workers_sleep() -> None:
    pool().run(COUNT, SCRATCH.ctypes.data, 3)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.05


def test_the_caller_keeps_its_affinity_and_workers_its_processor_free() -> None:
    allowed = os.sched_getaffinity(0)
    known = set(os.listdir("/proc/self/task"))
    own = Pool()
    own.grow(3)
    own.run(COUNT, SCRATCH.ctypes.data, 3)
    workers = [int(task) for task in set(os.listdir("/proc/self/task")) - known]
    assert os.sched_getaffinity(0) == allowed
    assert len(workers) == 2
    for worker in workers:
        assert len(os.sched_getaffinity(worker)) == max(1, len(allowed) - 1)
    own.close()
    assert not set(map(str, workers)) & set(os.listdir("/proc/self/task"))


def test_signals_reach_python() -> None:
    pool().run(COUNT, SCRATCH.ctypes.data, 3)
    caught = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: caught.set())
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert caught.wait(1)
        assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_denormals_are_flushed_only_on_request() -> None:
    context = np.array([1e-30, 1e-10, 7, 7], np.float32)
    pool().run(MULTIPLY, context.ctypes.data, 1)
    assert context[2] == np.float32(1e-30) * np.float32(1e-10) > 0
    assert context[3] == 0
    context = np.array([1e-40, 1e10, 7, 7], np.float32)
    pool().run(MULTIPLY, context.ctypes.data, 1)
    assert context[2] > 0
    assert context[3] == 0


def test_unreasonable_numbers_are_refused() -> None:
    for threads in (0, -1, 257, 1 << 40):
        with pytest.raises(UsageError, match="number from 1 to 256"):
            pool().grow(threads)


def test_other_systems_are_refused() -> None:
    with pytest.raises(Unsupported, match="use --threads=1"):
        thread_code(Target.named("avx2", "x86_64-pc-windows-msvc"))


def in_new_process(code: str) -> str:
    """What a fresh interpreter prints; it must end by itself, quietly and well."""
    head = f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\nimport test_threads as t\n"
    head = head.replace("[:0] = ", "[:0] = " + repr([os.path.dirname(__file__)]) + " + ")
    run = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_a_forked_child_has_its_own_pool() -> None:
    code = """
import os
def used(): return t.pool().run(t.COUNT, t.SCRATCH.ctypes.data, 2)
print(used())
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    print(used(), len(t.pool.__globals__["_pools"]))
else:
    sys.stdout = None  # what is printed so far is the parent's
    assert used() == used() == 2
"""
    assert in_new_process(code).split() == ["2", "2", "1"]


@pytest.mark.parametrize("pause", [0, 0.01])
def test_the_interpreter_ends_cleanly(pause: float) -> None:
    for _ in range(2):
        run = "t.pool().run(t.COUNT, t.SCRATCH.ctypes.data, 3)"
        code = f"import time; {run}; time.sleep({pause}); print('end')"
        assert in_new_process(code) == "end\n"


def test_the_interpreter_ends_cleanly_while_a_daemon_runs() -> None:
    code = """
import threading, time
def work():
    context = t.words()
    while True:
        context[16] = 2000
        t.pool().run(t.ROUNDS, context.ctypes.data, 2)
threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
print("end")
"""
    for _ in range(2):
        assert in_new_process(code) == "end\n"


def test_ctypes_signature() -> None:
    """Generated code and Python call the same entry."""
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    context = words()
    pool().grow(2)
    used = run(thread_library().address(RUN))(pool().address, COUNT, context.ctypes.data, 2)
    assert (used, context[0], context[1]) == (2, 1, 1)
