"""What machine code is made for: an instruction set, its vector width and its registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glowpy_ir.errors import Unsupported, UsageError


@dataclass(frozen=True, slots=True)
class Target:
    """A machine as the code generator sees it; a value that is passed down, never the host by accident."""

    triple: str
    """LLVM's name for architecture, vendor, system: ``x86_64-unknown-linux-gnu``."""
    cpu: str
    """LLVM's name of the processor, which also chooses its scheduling model."""
    features: str
    """Instruction set extensions as LLVM takes them: ``+avx2,+fma,-avx512f``."""
    vector_bits: int
    """The width that kernels use."""
    registers: int
    """How many vector registers there are."""

    @classmethod
    def host(cls) -> Target:
        """This machine, with all it offers; Unsupported if no variant of its architecture fits it."""
        triple, cpu, features = _host()
        have = _enabled(features)
        for variant in _variants(triple):
            if have.issuperset(variant.extensions):
                return cls(triple, cpu, features, variant.vector_bits, variant.registers)
        raise Unsupported(f"no code generator for {cpu} ({triple}); use --backend=interpreter")

    @classmethod
    def named(cls, name: str, triple: str | None = None) -> Target:
        """The instruction set ``name`` ("host", "avx512", "avx2" …) on ``triple``, by default the host's.

        UsageError if the architecture has no variant of this name, Unsupported if we know no variant of it.
        """
        if name == "host":
            return cls.host()
        triple = triple or _host()[0]
        variants = {variant.name: variant for variant in _variants(triple)}
        if name not in variants:
            raise UsageError(f"no target '{name}' for {triple}; there are: host, {', '.join(variants)}")
        variant = variants[name]
        features = ",".join(f"+{extension}" for extension in variant.extensions)
        return cls(triple, variant.cpu, features, variant.vector_bits, variant.registers)

    def __str__(self) -> str:
        return f"{self.cpu} ({self.triple}, {self.vector_bits}-bit vectors)"

    @property
    def architecture(self) -> str:
        """The first part of the triple: ``x86_64``."""
        return self.triple.partition("-")[0]

    @property
    def runs_here(self) -> bool:
        """Whether the processor of this process can execute the target's code."""
        triple, _, features = _host()
        return self.triple == triple and _enabled(self.features) <= _enabled(features)

    @property
    def has_fma(self) -> bool:
        """Whether ``a * b + c`` with one rounding is an instruction."""
        return self.has("fma") or self.architecture in ("aarch64", "riscv64")

    def has(self, extension: str) -> bool:
        """Whether an instruction set extension is there, by LLVM's name: ``avx512vnni``."""
        return f"+{extension}" in self.features.split(",")

    def lanes(self, element_bytes: int) -> int:
        """How many elements of this size fill a vector."""
        return self.vector_bits // (8 * element_bytes)


@dataclass(frozen=True, slots=True)
class _Variant:
    """A step of an instruction set that kernels are written for."""

    name: str
    cpu: str
    extensions: tuple[str, ...]
    vector_bits: int
    registers: int


_AVX2 = ("sse2", "ssse3", "sse4.1", "sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi", "bmi2")
_AVX512 = (*_AVX2, "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")

_VARIANTS = {
    "x86_64": (
        _Variant("avx512vnni", "cascadelake", (*_AVX512, "avx512vnni"), 512, 32),
        _Variant("avx512", "skylake-avx512", _AVX512, 512, 32),
        _Variant("avx2", "haswell", _AVX2, 256, 16),
        _Variant("sse2", "x86-64", ("sse2",), 128, 16),
    ),
}
"""The variants of an architecture, best first; another architecture is another row."""


def _variants(triple: str) -> Sequence[_Variant]:
    architecture = triple.partition("-")[0]
    if architecture not in _VARIANTS:
        known = ", ".join(_VARIANTS)
        raise Unsupported(f"no code generator for {architecture} (there is one for {known}); use --backend=interpreter")
    return _VARIANTS[architecture]


def _enabled(features: str) -> frozenset[str]:
    return frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


def _host() -> tuple[str, str, str]:
    """Triple, processor and features of the machine that this process runs on."""
    import llvmlite.binding as llvm  # 0.15 s, which a command like --help must not pay

    return llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
