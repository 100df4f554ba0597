"""Concatenation: members that are put together once, and not to be taken apart again."""

from __future__ import annotations

from glowpy.passes.known import is_used_once
from glowpy.passes.movement import lies_in
from glowpy_ir.graph import Builder, Node, Value
from glowpy_ir.ops.movement import Concat, Slice
from glowpy_ir.rewrite import Replacement, Rule


def concat_of_one(node: Node, b: Builder) -> Replacement:
    """concat(x) = x"""
    match node:
        case Node(op=Concat(), inputs=(x,)):
            return x
        case _:
            return None


def drop_empty_members(node: Node, b: Builder) -> Replacement:
    """concat(x, empty, y) = concat(x, y)"""
    match node:
        case Node(op=Concat(axis=axis) as concat, inputs=members) if len(members) > 1:
            kept = [member for member in members if member.type.shape[axis] != 0] or [members[0]]
            return b.add(concat, *kept) if len(kept) < len(members) else None
        case _:
            return None


def flatten_concat(node: Node, b: Builder) -> Replacement:
    """concat(x, concat(y, z)) = concat(x, y, z), where nobody else takes the inner one"""
    match node:
        case Node(op=Concat() as concat, inputs=members):
            flat: list[Value] = []
            for member in members:
                match member.producer:
                    case Node(op=Concat() as inner, inputs=parts) if inner == concat and is_used_once(b.graph, member):
                        flat += parts
                    case _:
                        flat.append(member)
            return b.add(concat, *flat) if len(flat) != len(members) else None
        case _:
            return None


def slice_of_concat(node: Node, b: Builder) -> Replacement:
    """slice(concat(x, y)) = slice(y), where it lies in y alone"""
    match node:
        case Node(
            op=Slice(starts=starts, shape=shape, steps=steps),
            inputs=(Value(producer=Node(op=Concat(axis=axis), inputs=members)),),
        ):
            start = starts[axis]
            for member in members:
                cut = Slice((*starts[:axis], start, *starts[axis + 1 :]), shape, steps)
                if lies_in(cut, member.type):
                    return b.add(cut, member)
                start = start - member.type.shape[axis]
    return None


def join_slices(node: Node, b: Builder) -> Replacement:
    """concat(x[a:b], x[b:c]) = x[a:c]"""
    match node:
        case Node(op=Concat(axis=axis) as concat, inputs=members):
            joined = [members[0]]
            for member in members[1:]:
                both = _join(joined[-1], member, axis, b)
                joined[-1:] = [both] if both else [joined[-1], member]
            return b.add(concat, *joined) if len(joined) < len(members) else None
        case _:
            return None


def _join(first: Value, second: Value, axis: int, b: Builder) -> Value | None:
    match first.producer, second.producer:
        case Node(op=Slice() as head, inputs=(x,)), Node(op=Slice() as tail, inputs=(y,)) if x is y:
            pass
        case _:
            return None
    extent = head.shape[axis]
    beside = [i for i in range(len(head.shape)) if i != axis]
    alike = all(
        (head.starts[i], head.shape[i], head.steps[i]) == (tail.starts[i], tail.shape[i], tail.steps[i]) for i in beside
    )
    adjacent = head.steps[axis] == tail.steps[axis] == 1 and tail.starts[axis] == head.starts[axis] + extent
    if not (alike and adjacent):
        return None
    shape = (*head.shape[:axis], extent + tail.shape[axis], *head.shape[axis + 1 :])
    return b.add(Slice(head.starts, shape, head.steps), x)


RULES: tuple[Rule, ...] = (concat_of_one, drop_empty_members, flatten_concat, slice_of_concat, join_slices)
