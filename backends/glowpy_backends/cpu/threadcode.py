"""The machine code of the thread pool: gates, barriers, workers, and the state of the floating-point unit.

A *gate* is a pair of 32-bit words, a value and the number of sleepers. Who waits for the value to change looks at it
for some 50 µs, for on a free core the change comes at once, and then sleeps in the kernel (futex), for on a busy core
looking would only keep the others from running. Both sides of every wait use gates, so that no thread ever burns a
time slice.

Memory that the code works on, in bytes; all of it starts as zeros:

=========== ======================================================================================================
barrier     0 threads that have arrived, 64 gate                                                     (128 in all)
pool        0 lock, 4 processor of the last caller plus one, 8 workers, 16 workers that know it, 64 barrier,
            192 allowed processors, 320 mailboxes
mailbox     0 gate, 8 function or null for the end, 16 context, 24 threads, 32 thread handle, 40 number of the
            thread, 48 pool                                                                          (128 in all)
=========== ======================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import Unsupported

BARRIER_BYTES = 128
"""The state of a barrier: zeros before its first use, 64-byte aligned."""

MAX_THREADS = 256
POOL_BYTES = 320 + 128 * MAX_THREADS
ALLOWED = slice(192, 320)
"""The processors that workers may use, one bit each."""

RUN, BARRIER, START, STOP = "glowpy_run", "glowpy_barrier", "glowpy_start", "glowpy_stop"
FLUSH_DENORMALS, RESTORE_DENORMALS = "glowpy_flush_denormals", "glowpy_restore_denormals"
SYMBOLS = (RUN, BARRIER, START, STOP, FLUSH_DENORMALS, RESTORE_DENORMALS)


def thread_code(target: Target) -> str:
    """The LLVM module that defines :data:`SYMBOLS`; Unsupported where there is no such code yet.

    - ``i64 glowpy_run(ptr pool, ptr function, ptr context, i64 n)`` calls ``function(context, thread, n)`` on ``n``
      threads, 0 being the caller, and returns how many there were when all are done: as many as the pool has if that
      is less, and one if the pool is busy with another call.
    - ``void glowpy_barrier(ptr barrier, i64 n)`` returns when ``n`` threads have called it; nothing to do for one.
    - ``i32 glowpy_start(ptr pool)`` adds a worker; the result is that of ``pthread_create``.
    - ``i32 glowpy_stop(ptr pool)`` ends the workers, after which every run is single-threaded; 0 if the pool is busy.
    - ``i32 glowpy_flush_denormals()`` makes this thread compute zeros instead of denormals, and take them for zeros,
      until ``void glowpy_restore_denormals(i32)`` gets what it returned.
    """
    machine = _MACHINES.get((target.architecture, "linux" in target.triple))
    if machine is None:
        raise Unsupported(f"no thread pool for {target.triple}; use --threads=1")
    text = _TEXT
    for name in ("pause", "futex", "spin_ticks"):
        text = text.replace(f"${name}", str(getattr(machine, name)))
    return text + machine.denormals


@dataclass(frozen=True)
class _Machine:
    """What differs between processors."""

    pause: str
    futex: int
    """The number of the system call."""
    spin_ticks: int
    """About 50 µs of the cycle counter."""
    denormals: str


_MACHINES = {
    ("x86_64", True): _Machine(
        pause="llvm.x86.sse2.pause",
        futex=202,
        spin_ticks=1 << 17,
        denormals="""
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define i32 @glowpy_flush_denormals() nounwind {
  %place = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %place)
  %before = load i32, ptr %place
  %flushing = or i32 %before, 32832  ; FTZ and DAZ
  store i32 %flushing, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret i32 %before
}

define void @glowpy_restore_denormals(i32 %before) nounwind {
  %place = alloca i32
  store i32 %before, ptr %place
  call void @llvm.x86.sse.ldmxcsr(ptr %place)
  ret void
}
""",
    ),
}

_TEXT = """
declare i64 @syscall(i64, ...) nounwind
declare i32 @pthread_create(ptr, ptr, ptr, ptr) nounwind
declare i32 @pthread_join(i64, ptr) nounwind
declare i32 @pthread_setaffinity_np(i64, i64, ptr) nounwind
declare i32 @sched_getcpu() nounwind
declare i64 @llvm.readcyclecounter()
declare void @$pause()
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

; Waits until the gate's value is not %old any more; gives the new one.
define internal i32 @await(ptr %gate, i32 %old) nounwind noinline {
entry:
  %start = call i64 @llvm.readcyclecounter()
  br label %look
look:
  %seen = load atomic i32, ptr %gate acquire, align 4
  %opened = icmp ne i32 %seen, %old
  br i1 %opened, label %done, label %pause
pause:
  call void @$pause()
  %now = call i64 @llvm.readcyclecounter()
  %spent = sub i64 %now, %start
  %patient = icmp ult i64 %spent, $spin_ticks
  br i1 %patient, label %look, label %sleep
sleep:
  %sleepers = getelementptr i8, ptr %gate, i64 4
  atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %check
check:
  %later = load atomic i32, ptr %gate seq_cst, align 4
  %changed = icmp ne i32 %later, %old
  br i1 %changed, label %woken, label %wait
wait:  ; FUTEX_WAIT, private to the process; returns at once if the value has changed
  call i64 (i64, ...) @syscall(i64 $futex, ptr %gate, i32 128, i32 %old, ptr null, ptr null, i32 0)
  br label %check
woken:
  atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %done
done:
  %new = phi i32 [%seen, %look], [%later, %woken]
  ret i32 %new
}

; Changes the gate's value and wakes all who sleep for it. A thread on its way to sleep has either raised the number
; of sleepers before it is read here, or sees the new value.
define internal void @open(ptr %gate) nounwind {
  atomicrmw add ptr %gate, i32 1 seq_cst
  %sleepers = getelementptr i8, ptr %gate, i64 4
  %count = load atomic i32, ptr %sleepers seq_cst, align 4
  %any = icmp ne i32 %count, 0
  br i1 %any, label %wake, label %done
wake:  ; FUTEX_WAKE, private to the process
  call i64 (i64, ...) @syscall(i64 $futex, ptr %gate, i32 129, i32 2147483647, ptr null, ptr null, i32 0)
  br label %done
done:
  ret void
}

define void @glowpy_barrier(ptr %barrier, i64 %n) nounwind {
  %alone = icmp ule i64 %n, 1
  br i1 %alone, label %done, label %arrive
arrive:
  %gate = getelementptr i8, ptr %barrier, i64 64
  %old = load atomic i32, ptr %gate acquire, align 4
  %earlier = atomicrmw add ptr %barrier, i32 1 seq_cst
  %arrived = zext i32 %earlier to i64
  %others = sub i64 %n, 1
  %last = icmp eq i64 %arrived, %others
  br i1 %last, label %release, label %wait
release:
  store atomic i32 0, ptr %barrier release, align 4
  call void @open(ptr %gate)
  br label %done
wait:
  call i32 @await(ptr %gate, i32 %old)
  br label %done
done:
  ret void
}

define internal ptr @work(ptr %box) nounwind {
entry:
  %thread_at = getelementptr i8, ptr %box, i64 40
  %thread = load i64, ptr %thread_at
  %pool_at = getelementptr i8, ptr %box, i64 48
  %pool = load ptr, ptr %pool_at
  %barrier = getelementptr i8, ptr %pool, i64 64
  %function_at = getelementptr i8, ptr %box, i64 8
  %context_at = getelementptr i8, ptr %box, i64 16
  %n_at = getelementptr i8, ptr %box, i64 24
  br label %next
next:
  %old = phi i32 [0, %entry], [%new, %run]
  %new = call i32 @await(ptr %box, i32 %old)
  %function = load ptr, ptr %function_at
  %end = icmp eq ptr %function, null
  br i1 %end, label %leave, label %run
run:
  %context = load ptr, ptr %context_at
  %n = load i64, ptr %n_at
  call void %function(ptr %context, i64 %thread, i64 %n)
  call void @glowpy_barrier(ptr %barrier, i64 %n)
  br label %next
leave:
  ret ptr null
}

define internal ptr @mailbox(ptr %pool, i64 %thread) nounwind {
  %offset = mul i64 %thread, 128
  %from_first = add i64 %offset, 192  ; thread 1 has the first
  %box = getelementptr i8, ptr %pool, i64 %from_first
  ret ptr %box
}

; Keeps the workers away from the processor of the caller. Without this, when all processors are busy, Linux is apt
; to put a worker on the caller's, where the two take turns instead of running side by side.
define internal void @make_way(ptr %pool, i64 %workers) nounwind {
entry:
  %home_at = getelementptr i8, ptr %pool, i64 4
  %home = load i32, ptr %home_at
  %processor = call i32 @sched_getcpu()
  %mark = add i32 %processor, 1
  %told_at = getelementptr i8, ptr %pool, i64 16
  %told = load i64, ptr %told_at
  %same = icmp eq i32 %mark, %home
  %all_told = icmp eq i64 %told, %workers
  %nothing_new = and i1 %same, %all_told
  %unknown = icmp uge i32 %processor, 1024
  %stay = or i1 %nothing_new, %unknown
  br i1 %stay, label %done, label %move
move:
  store i32 %mark, ptr %home_at
  store i64 %workers, ptr %told_at
  %mask = alloca [128 x i8], align 8
  %allowed = getelementptr i8, ptr %pool, i64 192
  call void @llvm.memcpy.p0.p0.i64(ptr %mask, ptr %allowed, i64 128, i1 false)
  %word = lshr i32 %processor, 6
  %word_at = getelementptr i64, ptr %mask, i32 %word
  %bits = load i64, ptr %word_at
  %shift32 = and i32 %processor, 63
  %shift = zext i32 %shift32 to i64
  %bit = shl i64 1, %shift
  %others = xor i64 %bit, -1
  %kept = and i64 %bits, %others
  store i64 %kept, ptr %word_at
  br label %worker
worker:
  %thread = phi i64 [1, %move], [%following, %worker]
  %box = call ptr @mailbox(ptr %pool, i64 %thread)
  %handle_at = getelementptr i8, ptr %box, i64 32
  %handle = load i64, ptr %handle_at
  call i32 @pthread_setaffinity_np(i64 %handle, i64 128, ptr %mask)
  %following = add i64 %thread, 1
  %more = icmp ule i64 %following, %workers
  br i1 %more, label %worker, label %done
done:
  ret void
}

define i64 @glowpy_run(ptr %pool, ptr %function, ptr %context, i64 %asked) nounwind {
entry:
  %workers_at = getelementptr i8, ptr %pool, i64 8
  %single = icmp ule i64 %asked, 1
  br i1 %single, label %alone, label %try
try:
  %attempt = cmpxchg ptr %pool, i32 0, i32 1 acquire monotonic
  %taken = extractvalue {i32, i1} %attempt, 1
  br i1 %taken, label %taken.pool, label %alone
taken.pool:
  %workers = load atomic i64, ptr %workers_at acquire, align 8
  %all = add i64 %workers, 1
  %fewer = icmp ult i64 %all, %asked
  %n = select i1 %fewer, i64 %all, i64 %asked
  %none = icmp eq i64 %n, 1
  br i1 %none, label %own, label %prepare
prepare:
  call void @make_way(ptr %pool, i64 %workers)
  br label %dispatch
dispatch:
  %thread = phi i64 [1, %prepare], [%following, %dispatch]
  %box = call ptr @mailbox(ptr %pool, i64 %thread)
  %function_at = getelementptr i8, ptr %box, i64 8
  store ptr %function, ptr %function_at
  %context_at = getelementptr i8, ptr %box, i64 16
  store ptr %context, ptr %context_at
  %n_at = getelementptr i8, ptr %box, i64 24
  store i64 %n, ptr %n_at
  call void @open(ptr %box)
  %following = add i64 %thread, 1
  %more = icmp ult i64 %following, %n
  br i1 %more, label %dispatch, label %own
own:
  call void %function(ptr %context, i64 0, i64 %n)
  %barrier = getelementptr i8, ptr %pool, i64 64
  call void @glowpy_barrier(ptr %barrier, i64 %n)
  store atomic i32 0, ptr %pool release, align 4
  ret i64 %n
alone:
  call void %function(ptr %context, i64 0, i64 1)
  ret i64 1
}

define i32 @glowpy_start(ptr %pool) nounwind {
  %workers_at = getelementptr i8, ptr %pool, i64 8
  %workers = load i64, ptr %workers_at
  %thread = add i64 %workers, 1
  %box = call ptr @mailbox(ptr %pool, i64 %thread)
  %thread_at = getelementptr i8, ptr %box, i64 40
  store i64 %thread, ptr %thread_at
  %pool_at = getelementptr i8, ptr %box, i64 48
  store ptr %pool, ptr %pool_at
  %handle_at = getelementptr i8, ptr %box, i64 32
  %result = call i32 @pthread_create(ptr %handle_at, ptr null, ptr @work, ptr %box)
  %created = icmp eq i32 %result, 0
  br i1 %created, label %count, label %done
count:
  store atomic i64 %thread, ptr %workers_at release, align 8
  br label %done
done:
  ret i32 %result
}

define i32 @glowpy_stop(ptr %pool) nounwind {
entry:
  %attempt = cmpxchg ptr %pool, i32 0, i32 1 acquire monotonic
  %taken = extractvalue {i32, i1} %attempt, 1
  br i1 %taken, label %begin, label %busy
begin:
  %workers_at = getelementptr i8, ptr %pool, i64 8
  %workers = load i64, ptr %workers_at
  br label %next
next:
  %thread = phi i64 [1, %begin], [%following, %end]
  %more = icmp ule i64 %thread, %workers
  br i1 %more, label %end, label %done
end:
  %box = call ptr @mailbox(ptr %pool, i64 %thread)
  %function_at = getelementptr i8, ptr %box, i64 8
  store ptr null, ptr %function_at
  call void @open(ptr %box)
  %handle_at = getelementptr i8, ptr %box, i64 32
  %handle = load i64, ptr %handle_at
  call i32 @pthread_join(i64 %handle, ptr null)
  %following = add i64 %thread, 1
  br label %next
done:
  store i64 0, ptr %workers_at
  ret i32 1
busy:
  ret i32 0
}
"""
