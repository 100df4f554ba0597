"""Writes LLVM IR as text: typed values, folded index arithmetic, counted loops, regions."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glowpy_backends.cpu.target import Target

_BITS = {
    "i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "ptr": 64,
    "half": 16, "bfloat": 16, "float": 32, "double": 64,
}  # fmt: skip
_MANGLED = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64", "ptr": "p0"}


@dataclass(frozen=True, slots=True)
class Type:
    """A scalar (``lanes == 0``) or a vector of ``lanes`` elements."""

    element: str
    lanes: int = 0

    def __str__(self) -> str:
        return f"<{self.lanes} x {self.element}>" if self.lanes else self.element

    @property
    def scalar(self) -> Type:
        return Type(self.element)

    @property
    def is_float(self) -> bool:
        return self.element in ("half", "bfloat", "float", "double")

    @property
    def element_bytes(self) -> int:
        return (_BITS[self.element] + 7) // 8

    @property
    def mangled(self) -> str:
        """The type as it stands in the names of overloaded intrinsics, such as ``v16f32``."""
        element = _MANGLED.get(self.element, self.element)
        return f"v{self.lanes}{element}" if self.lanes else element

    def vector(self, lanes: int) -> Type:
        return replace(self, lanes=lanes)

    def with_element(self, element: Type) -> Type:
        """The same number of lanes of another element."""
        return Type(element.element, self.lanes)


F16, BF16, F32, F64 = Type("half"), Type("bfloat"), Type("float"), Type("double")
I1, I8, I16, I32, I64, PTR = Type("i1"), Type("i8"), Type("i16"), Type("i32"), Type("i64"), Type("ptr")
VOID = Type("void")


@dataclass(frozen=True, slots=True)
class Ssa:
    """A value: the text that names it in an instruction (a register or a constant), and its type."""

    name: str
    type: Type

    @property
    def typed(self) -> str:
        return f"{self.type} {self.name}"


Index = int | Ssa
"""An offset or a counter: an int is known while generating and folds; an Ssa is an ``i64`` of run time."""

Body = Callable[[Index, list[Ssa]], Sequence[Ssa] | None]
"""The body of a loop: takes the counter and the carried values, gives the values to carry on."""


def index(value: Index) -> Ssa:
    """The index as an ``i64`` value."""
    return Ssa(str(value), I64) if isinstance(value, int) else value


def constant(value: float, type: Type) -> Ssa:
    """``value`` in every lane; exact, rounded to the element's precision first."""
    if not type.is_float:
        text = ("true" if value else "false") if type.element == "i1" else str(int(value))
    elif type.element == "double":
        text = f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    elif type.element == "float":
        text = f"0x{struct.unpack('<Q', struct.pack('<d', _single(value)))[0]:016X}"
    elif type.element == "half":
        text = f"0xH{struct.unpack('<H', struct.pack('<e', value))[0]:04X}"
    else:
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        text = f"0xR{(bits + 0x7FFF + ((bits >> 16) & 1)) >> 16:04X}"
    return Ssa(f"splat ({type.scalar} {text})" if type.lanes else text, type)


def _single(value: float) -> float:
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return rounded


def zero(type: Type) -> Ssa:
    """All bits zero."""
    return Ssa("zeroinitializer", type) if type.lanes or not type.is_float else constant(0.0, type)


class Builder:
    """One LLVM module under construction. Instructions go to the end of the block that is open."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._has_fma = target.has_fma
        self._lines: list[str] = []
        self._declarations: dict[str, str] = {}
        self._block = ""
        self._count = 0

    def text(self) -> str:
        """The module."""
        return "\n".join(
            [
                *self._declarations.values(),
                *self._lines,
                f'attributes #0 = {{ nounwind "prefer-vector-width"="{self.target.vector_bits}" }}',
                "!0 = distinct !{!0, !1}",
                '!1 = !{!"llvm.loop.unroll.disable"}',
                "",
            ]
        )

    # Instructions in general

    def emit(self, instruction: str) -> None:
        """An instruction without a result."""
        self._lines.append("  " + instruction)

    def value(self, instruction: str, type: Type) -> Ssa:
        """An instruction with a result of ``type``."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {instruction}")
        return Ssa(name, type)

    def declare(self, name: str, result: Type, parameters: Sequence[Type]) -> None:
        """A function that another object, or LLVM itself, defines; saying it twice is fine."""
        self._declarations[name] = f"declare {result} @{name}({', '.join(map(str, parameters))})"

    def call(self, name: str, arguments: Sequence[Ssa], result: Type = VOID, flags: str = "") -> Ssa:
        """A call of a function that the module defines or declares; no value comes back of a VOID one."""
        text = f"call {flags}{' ' if flags else ''}{result} @{name}({', '.join(a.typed for a in arguments)})"
        if result is VOID:
            self.emit(text)
            return Ssa("", VOID)
        return self.value(text, result)

    def call_pointer(self, function: Ssa, arguments: Sequence[Ssa]) -> None:
        """A call of the function without a result that the pointer ``function`` points to."""
        self.emit(f"call void {function.name}({', '.join(a.typed for a in arguments)})")

    def constants(self, name: str, fields: Sequence[Type], rows: Sequence[str]) -> None:
        """A table ``@name`` that nobody changes: its rows are typed constants with commas, one for each field."""
        row = f"{{ {', '.join(map(str, fields))} }}"
        data = ", ".join(f"{row} {{ {text} }}" for text in rows)
        self._declarations[name] = f"@{name} = internal constant [{len(rows)} x {row}] [{data}]"

    def intrinsic(self, name: str, *arguments: Ssa, flags: str = "") -> Ssa:
        """``llvm.<name>`` overloaded on the type of its first argument, which is also the result's."""
        type = arguments[0].type
        full = f"llvm.{name}.{type.mangled}"
        if full not in self._declarations:
            self.declare(full, type, [a.type for a in arguments])
        return self.call(full, arguments, type, flags)

    # Functions and control flow

    @contextmanager
    def function(self, name: str, parameters: Sequence[Type], internal: bool = False) -> Iterator[list[Ssa]]:
        """A function without a result around the instructions of the ``with`` block, which gets the parameters.

        Other objects can call it unless it is ``internal``.
        """
        arguments = [Ssa(f"%a{i}", type) for i, type in enumerate(parameters)]
        head = "define internal" if internal else "define"
        self._lines.append(f"{head} void @{name}({', '.join(a.typed for a in arguments)}) #0 {{")
        self._open("entry")
        yield arguments
        self.emit("ret void")
        self._lines.append("}")

    def _label(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _open(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label

    def loop(self, start: Index, stop: Index, step: int, body: Body, carried: Sequence[Ssa] = ()) -> list[Ssa]:
        """Runs ``body`` for ``start, start + step, …`` below ``stop``; gives the values last carried.

        The test stands at the bottom: bounds of run time promise at least one round. Known bounds may be
        empty, and a single round leaves no loop behind, with a counter that folds.
        """
        if isinstance(start, int) and isinstance(stop, int) and start + step >= stop:
            return list(body(start, list(carried)) or ()) if start < stop else list(carried)
        before, head, done = self._block, self._label("loop"), self._label("done")
        self.emit(f"br label %{head}")
        self._open(head)
        counter, following = Ssa(f"%{head}.i", I64), Ssa(f"%{head}.n", I64)
        phis = [Ssa(f"%{head}.c{n}", initial.type) for n, initial in enumerate(carried)]
        place = len(self._lines)
        results = list(body(counter, list(phis)) or ())
        self._lines[place:place] = [
            f"  {phi.name} = phi {phi.type} [{initial.name}, %{before}], [{result.name}, %{self._block}]"
            for phi, initial, result in zip(
                [counter, *phis], [index(start), *carried], [following, *results], strict=True
            )
        ]
        self.emit(f"{following.name} = add nsw i64 {counter.name}, {step}")
        again = self.value(f"icmp slt i64 {following.name}, {index(stop).name}", I1)
        self.emit(f"br i1 {again.name}, label %{head}, label %{done}, !llvm.loop !0")
        self._open(done)
        return results

    def repeat(self, body: Callable[[list[Ssa]], tuple[Ssa, Sequence[Ssa]]], carried: Sequence[Ssa]) -> list[Ssa]:
        """Runs ``body`` at least once, and again while the condition holds that it gives with the values to carry on;
        gives the values last carried."""
        before, head, done = self._block, self._label("again"), self._label("done")
        self.emit(f"br label %{head}")
        self._open(head)
        phis = [Ssa(f"%{head}.c{n}", initial.type) for n, initial in enumerate(carried)]
        place = len(self._lines)
        again, results = body(list(phis))
        self._lines[place:place] = [
            f"  {phi.name} = phi {phi.type} [{initial.name}, %{before}], [{result.name}, %{self._block}]"
            for phi, initial, result in zip(phis, carried, results, strict=True)
        ]
        self.emit(f"br i1 {again.name}, label %{head}, label %{done}")
        self._open(done)
        return list(results)

    def branch(
        self,
        condition: Ssa,
        then: Callable[[], Sequence[Ssa] | None],
        otherwise: Callable[[], Sequence[Ssa] | None] = lambda: None,
    ) -> list[Ssa]:
        """If and else: runs one of the two, gives the values of the one that ran."""
        yes, no, done = self._label("then"), self._label("else"), self._label("done")
        self.emit(f"br i1 {condition.name}, label %{yes}, label %{no}")
        ends: list[tuple[list[Ssa], str]] = []
        for label, region in ((yes, then), (no, otherwise)):
            self._open(label)
            values = list(region() or ())
            ends.append((values, self._block))
            self.emit(f"br label %{done}")
        self._open(done)
        (left, left_end), (right, right_end) = ends
        return [
            self.value(f"phi {a.type} [{a.name}, %{left_end}], [{b.name}, %{right_end}]", a.type)
            for a, b in zip(left, right, strict=True)
        ]

    # Index arithmetic: folds what is known

    def add(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        return a if b == 0 else self._index("add nsw", a, b)

    def sub(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self._index("sub nsw", a, b)

    def mul(self, a: Index, b: Index) -> Index:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        if a == 1:
            return b
        return a if b == 1 else self._index("mul nsw", a, b)

    def div(self, a: Index, b: Index) -> Index:
        """The quotient of two indices that are not negative, rounded down."""
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        return a if b == 1 else self._index("udiv", a, b)

    def rem(self, a: Index, b: Index) -> Index:
        """The remainder of two indices that are not negative."""
        if isinstance(a, int) and isinstance(b, int):
            return a % b
        return 0 if b == 1 else self._index("urem", a, b)

    def smaller(self, a: Index, b: Index) -> Index:
        """The smaller of two indices."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return self.intrinsic("smin", index(a), index(b))

    def less(self, a: Index, b: Index) -> Ssa:
        """Whether ``a < b``, as an ``i1``."""
        if isinstance(a, int) and isinstance(b, int):
            return constant(a < b, I1)
        return self.compare("slt", index(a), index(b))

    def _index(self, operation: str, a: Index, b: Index) -> Ssa:
        return self.value(f"{operation} i64 {index(a).name}, {index(b).name}", I64)

    # Arithmetic on scalars and vectors

    def op(self, name: str, a: Ssa, b: Ssa, flags: str = "") -> Ssa:
        """A binary instruction on two values of one type: ``fadd``, ``sub``, ``shl``, ``xor`` …"""
        return self.value(f"{name}{' ' if flags else ''}{flags} {a.type} {a.name}, {b.name}", a.type)

    def neg(self, a: Ssa) -> Ssa:
        return self.value(f"fneg {a.typed}", a.type) if a.type.is_float else self.op("sub", zero(a.type), a)

    def compare(self, predicate: str, a: Ssa, b: Ssa) -> Ssa:
        """A mask: ``olt``, ``une`` … for floats, ``slt``, ``eq`` … for integers."""
        name = "fcmp" if a.type.is_float else "icmp"
        return self.value(f"{name} {predicate} {a.type} {a.name}, {b.name}", a.type.with_element(I1))

    def select(self, mask: Ssa, a: Ssa, b: Ssa) -> Ssa:
        return self.value(f"select {mask.typed}, {a.typed}, {b.typed}", a.type)

    def cast(self, name: str, a: Ssa, type: Type) -> Ssa:
        """``sitofp``, ``fptosi``, ``fpext``, ``trunc``, ``bitcast`` …; no instruction if nothing changes."""
        return a if a.type == type else self.value(f"{name} {a.typed} to {type}", type)

    def fma(self, a: Ssa, b: Ssa, c: Ssa) -> Ssa:
        """``a * b + c``, with a single rounding where the target has the instruction."""
        if not a.type.is_float:
            return self.op("add", self.op("mul", a, b), c)
        if self._has_fma:
            return self.intrinsic("fma", a, b, c, flags="contract")
        return self.op("fadd", self.op("fmul", a, b), c)

    def splat(self, scalar: Ssa, lanes: int) -> Ssa:
        type = scalar.type.vector(lanes)
        first = self.value(f"insertelement {type} poison, {scalar.typed}, i32 0", type)
        every = f"<{lanes} x i32> zeroinitializer"
        return self.value(f"shufflevector {first.typed}, {type} poison, {every}", type)

    def shuffle(self, a: Ssa, b: Ssa, lanes: Sequence[int]) -> Ssa:
        """The lanes of ``a`` and ``b`` laid end to end, picked by number."""
        picks = f"<{len(lanes)} x i32> <{', '.join(f'i32 {lane}' for lane in lanes)}>"
        return self.value(f"shufflevector {a.typed}, {b.typed}, {picks}", a.type.vector(len(lanes)))

    def opaque(self, x: Ssa) -> Ssa:
        """The same vector of at least four bytes; LLVM does not look through it, nor make an instruction of it.

        Its instruction selection follows chains of shuffles backwards from each of them, which takes long.
        """
        floats = F32.vector(x.type.lanes * x.type.element_bytes // F32.element_bytes)
        return self.cast("bitcast", self.intrinsic("arithmetic.fence", self.cast("bitcast", x, floats)), x.type)

    def lane(self, vector: Ssa, number: int) -> Ssa:
        """One lane of a vector as a scalar."""
        return self.value(f"extractelement {vector.typed}, i32 {number}", vector.type.scalar)

    def insert(self, vector: Ssa, scalar: Ssa, number: int) -> Ssa:
        """The vector with one lane replaced."""
        return self.value(f"insertelement {vector.typed}, {scalar.typed}, i32 {number}", vector.type)

    # Memory

    def local(self, count: int, type: Type) -> Ssa:
        """Memory for ``count`` elements that lasts until the function returns; not for loops."""
        return self.value(f"alloca [{count} x {type}], align 8", PTR)

    def gep(self, pointer: Ssa, offset: Index, element: Type) -> Ssa:
        """The address ``offset`` elements behind ``pointer`` (before it, if negative)."""
        if offset == 0:
            return pointer
        return self.value(f"getelementptr inbounds {element}, ptr {pointer.name}, {index(offset).typed}", PTR)

    def load(self, pointer: Ssa, type: Type, align: int = 0) -> Ssa:
        """``align`` in bytes; by default that of one element."""
        return self.value(f"load {type}, ptr {pointer.name}, align {align or type.element_bytes}", type)

    def store(self, value: Ssa, pointer: Ssa, align: int = 0) -> None:
        self.emit(f"store {value.typed}, ptr {pointer.name}, align {align or value.type.element_bytes}")

    def load_first(self, pointer: Ssa, count: int, type: Type) -> Ssa:
        """The first ``count`` lanes from memory, zero in the others; reads nothing behind them."""
        if count == type.lanes:
            return self.load(pointer, type)
        name = f"llvm.masked.load.{type.mangled}.p0"
        mask = _first(count, type)
        self._declarations[name] = f"declare {type} @{name}(ptr, {mask.type}, {type})"
        address = f"ptr align {type.element_bytes} {pointer.name}"
        return self.value(f"call {type} @{name}({address}, {mask.typed}, {zero(type).typed})", type)

    def store_first(self, value: Ssa, pointer: Ssa, count: int) -> None:
        """Stores the first ``count`` lanes; writes nothing behind them."""
        type = value.type
        if count == type.lanes:
            return self.store(value, pointer)
        if count == 1:  # LLVM stores such a lane of narrowed elements in the width that these had before
            return self.store(self.lane(value, 0), pointer)
        name = f"llvm.masked.store.{type.mangled}.p0"
        mask = _first(count, type)
        self._declarations[name] = f"declare void @{name}({type}, ptr, {mask.type})"
        address = f"ptr align {type.element_bytes} {pointer.name}"
        return self.emit(f"call void @{name}({value.typed}, {address}, {mask.typed})")

    def prefetch(self, pointer: Ssa, locality: int = 3, write: bool = False) -> None:
        """Asks for the cache line at ``pointer``: locality 3 is the first-level cache, 2 the second."""
        self.declare("llvm.prefetch.p0", VOID, [PTR, I32, I32, I32])
        self.emit(f"call void @llvm.prefetch.p0(ptr {pointer.name}, i32 {int(write)}, i32 {locality}, i32 1)")


def _first(count: int, type: Type) -> Ssa:
    lanes = ", ".join(f"i1 {'true' if lane < count else 'false'}" for lane in range(type.lanes))
    return Ssa(f"<{lanes}>", type.with_element(I1))
