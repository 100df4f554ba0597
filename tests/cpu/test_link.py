"""From IR text over object code to a function that can be called."""

from __future__ import annotations

import ctypes
import gc
from concurrent.futures import ThreadPoolExecutor

import pytest

from glowpy_backends.cpu.emit import EmitError, emit_assembly, emit_object
from glowpy_backends.cpu.link import Library, link
from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import InvalidIR

HOST = Target.host()


def adder(symbol: str, amount: int) -> str:
    return f"define i64 @{symbol}(i64 %x) {{\n  %r = add i64 %x, {amount}\n  ret i64 %r\n}}\n"


def call(library: Library, symbol: str, x: int) -> int:
    result: int = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address(symbol))(x)
    return result


def test_object_runs() -> None:
    library = link([emit_object(adder("f", 5), HOST)], ["f"])
    assert call(library, "f", 37) == 42


def test_objects_see_each_other_the_process_and_imports() -> None:
    caller = """
        declare i64 @f(i64)
        declare i64 @labs(i64)
        declare i64 @g(i64)
        define i64 @main_(i64 %x) {
          %a = call i64 @f(i64 %x)
          %b = call i64 @labs(i64 %a)
          %c = call i64 @g(i64 %b)
          ret i64 %c
        }"""
    other = link([emit_object(adder("h", 1), HOST)], ["h"])
    objects = [emit_object(adder("f", -10), HOST), emit_object(caller, HOST)]
    library = link(objects, ["main_"], {"g": other.address("h")})
    assert call(library, "main_", 3) == 8


def test_libraries_may_define_the_same_symbol() -> None:
    one, two = (link([emit_object(adder("f", n), HOST)], ["f"]) for n in (1, 2))
    assert (call(one, "f", 0), call(two, "f", 0)) == (1, 2)


def test_a_library_outlives_others() -> None:
    libraries = [link([emit_object(adder("f", n), HOST)], ["f"]) for n in range(20)]
    kept = libraries[7]
    del libraries
    gc.collect()
    assert call(kept, "f", 0) == 7


def test_linking_from_several_threads() -> None:
    def make(n: int) -> int:
        return call(link([emit_object(adder("f", n), HOST)], ["f"]), "f", 0)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(make, range(40))) == list(range(40))


def test_missing_and_double_symbols() -> None:
    data = emit_object(adder("f", 1), HOST)
    with pytest.raises(InvalidIR, match="g"):
        link([data], ["g"])
    with pytest.raises(InvalidIR, match="duplicate definition of symbol 'f'"):
        link([data, data], ["f"])


@pytest.mark.parametrize("ir", ["define i64 @f( {", "define i64 @f() {\n  br label %nowhere\n}"])
def test_bad_ir_is_refused(ir: str) -> None:
    with pytest.raises(EmitError, match=r"\w"):
        emit_object(ir, HOST)


def test_the_target_chooses_the_instructions() -> None:
    ir = "define <8 x float> @f(<8 x float> %a) {\n  %b = fadd <8 x float> %a, %a\n  ret <8 x float> %b\n}"
    assert "%ymm" in emit_assembly(ir, Target.named("avx2", HOST.triple))
    assert "%ymm" not in emit_assembly(ir, Target.named("sse2", HOST.triple))
