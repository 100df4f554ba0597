"""The CPU backend: lowered graphs become blocked, instructions become kernels, kernels become machine code.

What only compiling needs is imported by the methods that compile: a saved program is loaded without it.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from glowpy_backends.base import Backend, BackendOptions, Executable
from glowpy_backends.cpu.cache import Cache
from glowpy_backends.cpu.executable import NativeProgram
from glowpy_backends.cpu.target import Target
from glowpy_ir.errors import Findings, GlowError, Unsupported

if TYPE_CHECKING:
    from glowpy_backends.cpu.kernel import Kernel
    from glowpy_ir.literals import Vocabulary
    from glowpy_ir.op import Composite, Op
    from glowpy_ir.program import Instruction, Program
    from glowpy_ir.rewrite import Pass
    from glowpy_ir.strided import Strided


class Cpu(Backend):
    """Native code for this machine's CPU, or for another instruction set of it."""

    name = "cpu"
    saves = True

    def __init__(self, options: BackendOptions) -> None:
        super().__init__(options)
        self.target = Target.named(options.target) if options.target else Target.host()
        self.cache = Cache(options.cache)

    def vocabulary(self) -> Vocabulary:
        from glowpy_backends.cpu.operators import OPERATORS

        return {**super().vocabulary(), **{cls.__name__: cls for cls in OPERATORS}}

    def passes(self) -> tuple[Pass, ...]:
        from glowpy_backends.cpu.layout import ChooseLayout, ExpandRest
        from glowpy_backends.cpu.select import has_kernel
        from glowpy_ir.rewrite import Pass

        return (
            Pass("layout", ChooseLayout(self.target, self.options.exact)),
            Pass("lower the rest", ExpandRest(has_kernel)),
        )

    def keeps(self, op: Composite) -> bool:
        from glowpy_backends.cpu.select import keeps_whole

        return keeps_whole(op)

    def fuses(self, head: Op, converts: bool = False) -> bool:
        from glowpy_backends.cpu.select import stores_any_kind, takes_epilogue

        return takes_epilogue(head) and (not converts or stores_any_kind(head))

    def accepts(self, op: Op, index: int, layout: Strided) -> bool:
        from glowpy_backends.cpu.pairs import may_be_pairs
        from glowpy_backends.cpu.select import wants_no_gaps, wants_pairs, wants_whole_blocks

        if wants_pairs(op, index) and not may_be_pairs(layout):
            return False
        if wants_no_gaps(op, index):
            return layout.is_dense
        if wants_whole_blocks(op):
            return not layout.shape or layout.shape[-1] == 1 or layout.strides[-1] in (0, 1)
        return super().accepts(op, index, layout)

    def compile(self, program: Program) -> Executable:
        from glowpy_backends.cpu.compiler import KernelCompiler
        from glowpy_backends.cpu.net import attach_scratch, emit_net
        from glowpy_backends.cpu.select import likeness, select_kernel

        self._check(program)
        kernels: dict[Instruction, Kernel] = {}
        known: dict[Hashable, Kernel] = {}
        modules: dict[str, str] = {}
        refused: list[GlowError] = []
        with KernelCompiler(self.target, self.cache, jobs=len(os.sched_getaffinity(0))) as compiler:
            for instruction in program.leaves():
                same = likeness(instruction)
                try:
                    kernel = known.get(same) or select_kernel(instruction, self.target)
                except Unsupported as error:
                    refused.append(error.at(instruction.origin))
                    continue
                if kernel.symbol not in modules:
                    compiler.submit(kernel.symbol, kernel.ir)
                kernels[instruction] = known[same] = kernel
                modules[kernel.symbol] = kernel.ir
            _refuse(refused)
            net = emit_net(program, kernels, self.target, self.options.flush_denormals)
            modules[net.symbol] = net.ir
            compiler.submit(net.symbol, net.ir)
            objects = compiler.finish()
        attach_scratch(program, kernels)
        return NativeProgram.of(program, net, modules, objects, self.target, self.options)

    def _check(self, program: Program) -> None:
        """Raise Findings that tell all instructions for which there is no kernel."""
        from glowpy_backends.cpu.select import has_kernel
        from glowpy_backends.cpu.view import ELEMENTS
        from glowpy_ir.program import Compute

        missing: list[GlowError] = []
        for instruction in program.leaves():
            if not isinstance(instruction, Compute):
                continue
            kinds = {buffer.type.kind for buffer in (*instruction.inputs, *instruction.outputs)}
            if not has_kernel(instruction.op) or not kinds <= ELEMENTS.keys():
                types = ", ".join(str(buffer.type) for buffer in instruction.inputs)
                fault = Unsupported(f"no CPU kernel for {instruction.op.name} of {types}; try --backend=interpreter")
                missing.append(fault.at(instruction.origin))
        _refuse(missing)

    @classmethod
    def load(cls, folder: Path, options: BackendOptions) -> Executable:
        return NativeProgram.load(folder, options)


def _refuse(faults: list[GlowError]) -> None:
    """Raise Findings if there are faults."""
    if faults:
        raise Findings("the CPU backend cannot compile this model:", faults)
