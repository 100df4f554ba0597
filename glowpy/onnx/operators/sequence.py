"""Sequences and optionals, which exist only while a model is imported: none of these operators computes anything."""

from __future__ import annotations

import numpy as np

from glowpy.onnx.context import NodeContext, Table, positive_axis
from glowpy.onnx.scope import Bundle, Named, Nothing, Operand
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.graph import Value
from glowpy_ir.ops.movement import Concat, Reshape, full_slice


def load_empty(c: NodeContext) -> Named:
    c.attributes.ignore("dtype")  # its items, once there are some, know their kind
    return Bundle(())


def load_construct(c: NodeContext) -> Named:
    return Bundle(c.operands())


def load_insert(c: NodeContext) -> Named:
    items = c.items(0)
    at_end = c.thing(2) is None or c.known(2).tolist() == len(items)
    place = len(items) if at_end else _position(c, 2, len(items))
    return Bundle((*items[:place], c.input(1), *items[place:]))


def load_erase(c: NodeContext) -> Named:
    items = c.items(0)
    place = _position(c, 1, len(items)) if c.thing(1) is not None else len(items) - 1
    if not items:
        raise BadModel("nothing can be erased from an empty sequence")
    return Bundle((*items[:place], *items[place + 1 :]))


def load_at(c: NodeContext) -> Named:
    items = c.items(0)
    return items[_position(c, 1, len(items))]


def load_length(c: NodeContext) -> Named:
    return c.constant(np.array(len(c.items(0)), np.int64))


def load_concat(c: NodeContext) -> Named:
    """Joined along an axis, or stacked along a new one."""
    found = c.items(0)
    items = [item for item in found if isinstance(item, Value)]
    if not items or len(items) < len(found):
        raise BadModel("only tensors can be joined" if found else "an empty sequence cannot be joined")
    stacks = c.attributes.flag("new_axis", False)
    axis = positive_axis(c.attributes.int("axis"), items[0].type.rank + stacks)
    if stacks:
        items = [c.b.add(Reshape((*v.type.shape[:axis], 1, *v.type.shape[axis:])), v) for v in items]
    return c.b.add(Concat(axis), *items)


def load_split(c: NodeContext) -> Named:
    """Pieces of given lengths, or of one length with a shorter rest; single ones may lose the axis."""
    axis = positive_axis(c.attributes.int("axis", 0), c.type(0).rank)
    keeps = c.attributes.flag("keepdims", True)
    extent = c.type(0).extents[axis]
    singles = c.thing(1) is None
    lengths = [1] * extent if singles else _lengths(c, extent)
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    if min(lengths, default=0) < 0 or sum(lengths) != extent:
        raise BadModel(f"pieces of {lengths} do not make {extent}")
    slices = (full_slice(c.type(0).shape, axis, *piece) for piece in zip(starts, lengths, strict=True))
    pieces = [c.b.add(piece, c.input(0)) for piece in slices]
    if singles and not keeps:
        shape = (*c.type(0).shape[:axis], *c.type(0).shape[axis + 1 :])
        pieces = [c.b.add(Reshape(shape), piece) for piece in pieces]
    return Bundle(tuple(pieces))


def _lengths(c: NodeContext, extent: int) -> list[int]:
    """A list says them all; a number says that of all but the last, which may be shorter."""
    if c.type(1).rank:
        return list(c.known_ints(1))
    (step,) = c.known_ints(1)
    if step <= 0:
        raise BadModel(f"pieces of {step} are asked for")
    return [min(step, extent - start) for start in range(0, extent, step)]


def load_map(c: NodeContext) -> tuple[Named, ...]:
    """The body once for each item; other inputs are sequences of the same length, or the same for all."""
    body = c.attributes.graph("body")
    items = c.items(0)
    things = [_thing(c, i) for i in range(len(c.inputs))]
    columns = [c.items(i) if isinstance(thing, Bundle) else [thing] * len(items) for i, thing in enumerate(things)]
    if any(len(column) != len(items) for column in columns):
        raise BadModel(f"the sequences have {', '.join(str(len(column)) for column in columns)} items")
    rows = [c.inline(body, *row) for row in zip(*columns, strict=True)]
    return tuple(Bundle(tuple(row[i] for row in rows)) for i in range(len(body.output)))


def load_optional(c: NodeContext) -> Named:
    if c.thing(0) is None:
        if "type" not in c.attributes:
            raise BadModel("an optional that holds nothing needs a type")
        c.attributes.ignore("type")
        return Nothing()
    c.attributes.ignore("type")
    return _thing(c, 0)


def load_has_element(c: NodeContext) -> Named:
    """Anything but nothing; a tensor counts as an optional that holds it."""
    return c.constant(np.array(c.thing(0) is not None and not isinstance(c.thing(0), Nothing)))


def load_get_element(c: NodeContext) -> Named:
    if isinstance(c.thing(0), Nothing):
        raise BadModel("the optional holds nothing")
    return _thing(c, 0)


def _thing(c: NodeContext, index: int) -> Operand:
    thing = c.thing(index)
    if thing is None:
        raise BadModel(f"input {index} is missing")
    return thing


def _position(c: NodeContext, index: int, length: int) -> int:
    """A place in a sequence of ``length`` places, counted from the front."""
    given = c.known(index)
    if given.size != 1 or not c.type(index).kind.is_integer:
        raise TypeMismatch(f"a position must be one integer, not {c.type(index)}")
    if not -length <= (position := int(given.item())) < length:
        raise BadModel(f"position {position} is outside a sequence with {length} places")
    return position % length


LOADERS: Table = {
    ("SequenceEmpty", 11): load_empty,
    ("SequenceConstruct", 11): load_construct,
    ("SequenceInsert", 11): load_insert,
    ("SequenceErase", 11): load_erase,
    ("SequenceAt", 11): load_at,
    ("SequenceLength", 11): load_length,
    ("SequenceMap", 17): load_map,
    ("ConcatFromSequence", 11): load_concat,
    ("SplitToSequence", 11): load_split,
    ("Optional", 15): load_optional,
    ("OptionalHasElement", 15): load_has_element,
    ("OptionalGetElement", 15): load_get_element,
}
