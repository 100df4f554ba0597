"""Ensembles of decision trees."""

from __future__ import annotations

from collections.abc import Sequence

from glowpy_backends.cpu.builder import I8, I32, I64, Builder, Index, Ssa, Type, constant, index
from glowpy_backends.cpu.kernel import Call, Kernel, define_kernel
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.ops.trees import Outcome, TreeEnsemble, Vote


def tree_ensemble(op: TreeEnsemble, result: View, operands: Sequence[View], target: Target) -> Kernel:
    """Each row walks down all trees, ``op.depth`` steps in each: a leaf is its own child. Units are rows.

    Numbers in the tables that are out of range are moved into it.
    """
    input, roots, *tables = operands
    element = result.element
    nodes, weights = tables[0].shape[0], tables[6].shape[0]

    def unit(b: Builder, call: Call) -> None:
        into, row, root, *pointers = call.operands
        into = b.gep(into, b.mul(call.unit, result.strides[0]), element)
        row = b.gep(row, b.mul(call.unit, input.strides[0]), element)

        def look(table: int, at: Index, type: Type) -> Ssa:
            value = b.load(b.gep(pointers[table], b.mul(at, tables[table].strides[0]), type), type)
            return b.cast("sext", value, I64) if type == I32 else value

        def number(table: int, at: Index, most: int) -> Ssa:
            return b.intrinsic("umin", look(table, at, I32), index(most))

        def step(_: Index, node: list[Ssa]) -> list[Ssa]:
            feature = number(0, node[0], input.shape[1] - 1)
            x = b.load(b.gep(row, b.mul(feature, input.strides[1]), element), element)
            y = look(1, node[0], element)
            ways = look(2, node[0], I8)
            leads = constant(0, I8)
            for predicate, flag in _RELATIONS.items():
                leads = b.select(b.compare(predicate, x, y), constant(flag.value, I8), leads)
            is_first = b.compare("ne", b.op("and", ways, leads), constant(0, I8))
            child = b.select(is_first, look(3, node[0], I32), look(4, node[0], I32))
            return [b.intrinsic("umin", child, index(nodes - 1))]

        def vote(w: Index, _: list[Ssa]) -> None:
            place = b.gep(into, b.mul(number(6, w, op.targets - 1), result.strides[1]), element)
            b.store(_combined(b, op.vote, b.load(place, element), look(7, w, element)), place)

        def tree(t: Index, _: list[Ssa]) -> None:
            start = b.load(b.gep(root, b.mul(t, roots.strides[0]), I32), I32)
            first = b.intrinsic("umin", b.cast("sext", start, I64), index(nodes - 1))
            (leaf,) = b.loop(0, op.depth, 1, step, [first])
            begin, end = number(5, leaf, weights), number(5, b.add(leaf, 1), weights)

            def votes() -> None:
                b.loop(begin, end, 1, vote)

            b.branch(b.less(begin, end), votes)

        def clear(k: Index, _: list[Ssa]) -> None:
            b.store(constant(op.vote.neutral, element), b.gep(into, b.mul(k, result.strides[1]), element))

        def settle(k: Index, _: list[Ssa]) -> None:
            place = b.gep(into, b.mul(k, result.strides[1]), element)
            value = b.load(place, element)
            untouched = b.compare("oeq", value, constant(op.vote.neutral, element))
            b.store(b.select(untouched, constant(0, element), value), place)

        b.loop(0, op.targets, 1, clear)
        b.loop(0, roots.shape[0], 1, tree)
        if op.vote is not Vote.SUM:
            b.loop(0, op.targets, 1, settle)

    return define_kernel("trees", target, 2 + 1 + len(tables), result.shape[0], 0, unit)


_RELATIONS = {"olt": Outcome.LESS, "oeq": Outcome.EQUAL, "ogt": Outcome.GREATER, "uno": Outcome.UNORDERED}


def _combined(b: Builder, vote: Vote, total: Ssa, weight: Ssa) -> Ssa:
    if vote is Vote.SUM:
        return b.op("fadd", total, weight)
    better = b.compare("olt" if vote is Vote.MIN else "ogt", weight, total)
    return b.select(better, weight, total)
