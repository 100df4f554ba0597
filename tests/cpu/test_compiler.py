"""Compiling many kernels: same code wherever it is made, and clear errors when a process fails."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from glowpy_backends.cpu import emit
from glowpy_backends.cpu.cache import Cache
from glowpy_backends.cpu.compiler import KernelCompiler, compile_kernels
from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import InvalidIR

HOST = Target.host()


def kernel(symbol: str, amount: int, padding: int = 0) -> str:
    """A small function in a text as long as that of a big one."""
    head = f"define i64 @{symbol}(i64 %x) {{\n  %r = xor i64 %x, {amount}\n  ret i64 %r\n}}\n"
    return head + "; comment\n" * (padding // 10)


SMALL = [(f"s{n}", kernel(f"s{n}", n)) for n in range(5)]
LARGE = [(f"l{n}", kernel(f"l{n}", n, 400_000 + n)) for n in range(6)]


def test_processes_make_the_same_code() -> None:
    alone = compile_kernels([*SMALL, *LARGE], HOST)
    together = compile_kernels([*SMALL, *LARGE], HOST, jobs=3)
    assert alone == together
    assert alone["s3"] == emit.emit_object(SMALL[3][1], HOST)
    assert len(alone) == len(SMALL) + len(LARGE)


def test_workers_start_only_when_worth_it() -> None:
    with KernelCompiler(HOST, jobs=4) as compiler:
        for symbol, ir in SMALL:
            compiler.submit(symbol, ir)
        assert not compiler._workers
        for symbol, ir in LARGE:
            compiler.submit(symbol, ir)
        assert 1 <= len(compiler._workers) <= 3
        assert set(compiler.finish()) == {symbol for symbol, _ in [*SMALL, *LARGE]}


def test_cache_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = compile_kernels(SMALL, HOST, Cache(tmp_path))
    monkeypatch.setattr(emit, "emit_object", lambda ir, machine: pytest.fail("compiled again"))
    assert compile_kernels(SMALL, HOST, Cache(tmp_path), jobs=2) == cold


def test_cache_tells_targets_apart(tmp_path: Path) -> None:
    ir = "define <8 x float> @f(<8 x float> %a) {\n  %b = fadd <8 x float> %a, %a\n  ret <8 x float> %b\n}"
    cache = Cache(tmp_path)
    codes = {compile_kernels([("f", ir)], Target.named(n), cache)["f"] for n in ("sse2", "avx2", "sse2")}
    assert len(codes) == 2


def test_a_damaged_entry_is_built_anew(tmp_path: Path) -> None:
    cold = compile_kernels(SMALL, HOST, Cache(tmp_path))
    for data in tmp_path.rglob("data"):
        data.write_bytes(data.read_bytes()[:-1])
    assert compile_kernels(SMALL, HOST, Cache(tmp_path)) == cold


@pytest.mark.parametrize("jobs", [1, 2])
def test_refused_ir_names_the_kernel(jobs: int) -> None:
    broken = ("broken", LARGE[0][1].replace("ret i64", "ret i32"))
    with pytest.raises(InvalidIR, match=r"kernel 'broken' for .*: "):
        compile_kernels([*LARGE[1:], broken], HOST, jobs=jobs)


def test_a_crash_of_llvm_names_the_kernel() -> None:
    call = "call <16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32> %a, <64 x i8> %b, <64 x i8> %b)"
    name = "<16 x i32> @llvm.x86.avx512.vpdpbusd.512(<16 x i32>, <64 x i8>, <64 x i8>)"
    crash = f"""
        declare {name}
        define <16 x i32> @crash(<16 x i32> %a, <64 x i8> %b) {{
          %r = {call}
          ret <16 x i32> %r
        }}"""
    with KernelCompiler(Target.named("sse2"), jobs=2) as compiler:
        compiler.submit("crash", crash + "\n" * 600_000)
        while compiler._queue:  # so that the worker has it, and not this process
            time.sleep(0.001)
        with pytest.raises(InvalidIR, match=r"kernel 'crash' .* ended with code -\d+: (.|\n)*LLVM ERROR"):
            compiler.finish()


def test_a_program_that_is_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with KernelCompiler(HOST, jobs=2) as compiler:
        compiler.submit("k", kernel("k", 1, 600_000))
        while compiler._queue:
            time.sleep(0.001)
        with pytest.raises(InvalidIR, match=r"kernel 'k' .* ended with code 1"):
            compiler.finish()
    for missing in ("", "/nowhere/python"):
        monkeypatch.setattr(sys, "executable", missing)
        assert len(compile_kernels(LARGE, HOST, jobs=2)) == len(LARGE)


def test_leaving_early_ends_the_processes() -> None:
    with pytest.raises(KeyboardInterrupt), KernelCompiler(HOST, jobs=3) as compiler:  # noqa: PT012
        for symbol, ir in LARGE:
            compiler.submit(symbol, ir)
        assert compiler._workers
        raise KeyboardInterrupt
    assert all(worker._process.poll() is not None for worker in compiler._workers)
    assert not any(thread.is_alive() for thread in compiler._threads)


def test_works_in_a_script_without_a_main_guard(tmp_path: Path) -> None:
    """And from standard input, as in a REPL; and with files beside it that look like the standard library."""
    (tmp_path / "struct.py").write_text("raise SystemExit('imported by mistake')")
    script = f"""
import sys
sys.path[:] = [p for p in {sys.path!r} if p]
from glowpy_backends.cpu.compiler import compile_kernels
from glowpy_backends.cpu.target import Target
ir = "define void @f() {{\\n  ret void\\n}}\\n" + "; comment\\n" * 60000
print(len(compile_kernels([(s, ir.replace("@f", "@" + s)) for s in "abcd"], Target.host(), jobs=2)))
"""
    run = subprocess.run(
        [sys.executable, "-I", "-"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (run.stdout, run.stderr) == ("4\n", "")
