"""The CPU backend: lowered graphs become blocked, instructions become kernels, kernels become machine code."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path

from glowpy_backends.base import Backend, BackendOptions, Executable
from glowpy_backends.cpu.blocked import Blocked, Pack, Rearrange, Unpack
from glowpy_backends.cpu.cache import Cache
from glowpy_backends.cpu.compiler import KernelCompiler
from glowpy_backends.cpu.executable import NativeProgram
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.layout import ChooseLayout, ExpandRest
from glowpy_backends.cpu.net import emit_net
from glowpy_backends.cpu.packed_conv import Depthwise, Direct, PackedConv, Winograd
from glowpy_backends.cpu.packed_matmul import PackedMatMul
from glowpy_backends.cpu.select import has_kernel, likeness, select_kernel, takes_epilogue
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.tiling import Tiling
from glowpy_ir.errors import Findings, GlowError, Unsupported
from glowpy_ir.literals import CORE, Vocabulary
from glowpy_ir.op import Composite, Op
from glowpy_ir.ops.fused import Fused
from glowpy_ir.program import Compute, Instruction, Program
from glowpy_ir.rewrite import Pass
from glowpy_ir.strided import Strided

OPERATORS = (Blocked, Depthwise, Direct, Pack, PackedConv, PackedMatMul, Rearrange, Target, Tiling, Unpack, Winograd)


class Cpu(Backend):
    """Native code for this machine's CPU, or for another instruction set of it."""

    name = "cpu"
    saves = True
    vocabulary: Vocabulary = {**CORE, **{cls.__name__: cls for cls in OPERATORS}}

    def __init__(self, options: BackendOptions) -> None:
        super().__init__(options)
        self.target = Target.named(options.target) if options.target else Target.host()
        self.cache = Cache(options.cache)

    def passes(self) -> tuple[Pass, ...]:
        return (
            Pass("layout", ChooseLayout(self.target, self.options.exact)),
            Pass("lower the rest", ExpandRest(has_kernel)),
        )

    def keeps(self, op: Composite) -> bool:
        return has_kernel(op) or has_kernel(Blocked(op))

    def fuses(self, head: Op) -> bool:
        return takes_epilogue(head)

    def accepts(self, op: Op, index: int, layout: Strided) -> bool:
        """Blocks must stay together; everything else takes any strides."""
        head = op.head if isinstance(op, Fused) else op
        if isinstance(head, Blocked | PackedConv | Rearrange):
            return not layout.shape or layout.shape[-1] == 1 or layout.strides[-1] in (0, 1)
        return True

    def compile(self, program: Program) -> Executable:
        self.check(program)
        kernels: dict[Instruction, Kernel] = {}
        known: dict[Hashable, Kernel] = {}
        modules: dict[str, str] = {}
        with KernelCompiler(self.target, self.cache, jobs=len(os.sched_getaffinity(0))) as compiler:
            for instruction in program.instructions:
                same = likeness(instruction)
                if same not in known:
                    known[same] = kernel = select_kernel(instruction, self.target)
                    if kernel.symbol not in modules:
                        compiler.submit(kernel.symbol, kernel.ir)
                    modules[kernel.symbol] = kernel.ir
                kernels[instruction] = known[same]
            net = emit_net(program, kernels, self.target, self.options.flush_denormals)
            modules[net.symbol] = net.ir
            compiler.submit(net.symbol, net.ir)
            objects = compiler.finish()
        return NativeProgram.of(program, net, modules, objects, self.target, self.options)

    def check(self, program: Program) -> None:
        """Raise Findings that tell all instructions for which there is no kernel."""
        missing: list[GlowError] = []
        for instruction in program.instructions:
            if isinstance(instruction, Compute) and not has_kernel(instruction.op):
                types = ", ".join(str(buffer.type) for buffer in instruction.inputs)
                missing.append(Unsupported(f"no CPU kernel for {instruction.op.name} of {types}").at(instruction.origin))
        if missing:
            raise Findings("the CPU backend cannot compile this model; try --backend=interpreter", missing)

    @classmethod
    def load(cls, folder: Path, options: BackendOptions) -> Executable:
        return NativeProgram.load(folder, options)
