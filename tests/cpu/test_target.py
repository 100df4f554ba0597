"""Targets: what the host offers, variants by name, and clear refusals."""

from __future__ import annotations

import pytest

from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import Unsupported, UsageError

X86 = "x86_64-unknown-linux-gnu"


@pytest.mark.parametrize(
    ("name", "floats", "registers", "fma"),
    [("avx512vnni", 16, 32, True), ("avx512", 16, 32, True), ("avx2", 8, 16, True), ("sse2", 4, 16, False)],
)
def test_named_variants(name: str, floats: int, registers: int, fma: bool) -> None:
    target = Target.named(name, X86)
    assert (target.lanes(4), target.registers, target.has_fma) == (floats, registers, fma)
    assert target.lanes(8) == floats // 2
    assert target.has("avx512vnni") == (name == "avx512vnni")


def test_host_runs_its_own_code() -> None:
    host = Target.host()
    assert host.runs_here
    assert Target.named("host") == host
    assert hash(host) == hash(Target.host())


def test_another_machine_does_not_run_here() -> None:
    host = Target.host()
    assert not Target.named("sse2", "x86_64-pc-windows-msvc").runs_here
    assert not Target(host.triple, host.cpu, "+not-yet-invented", 512, 32).runs_here


def test_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no target 'avx3' for x86_64.*avx512, avx2, sse2"):
        Target.named("avx3", X86)


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(Unsupported, match="no code generator for sparc64"):
        Target.named("avx2", "sparc64-sun-solaris")
