"""Operators that move elements and compute nothing."""

from __future__ import annotations

from glowpy.onnx.context import NodeContext, Table, positive_axes, positive_axis
from glowpy.onnx.operators.constant import checked_shape
from glowpy.onnx.scope import Named
from glowpy_ir.dims import Dim, product
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.ops.arrangement import BlockOrder, DepthToSpace, SpaceToDepth, Tile
from glowpy_ir.ops.elementwise import Splat, broadcast_shapes
from glowpy_ir.ops.movement import Concat, Expand, Reshape, Transpose, full_slice
from glowpy_ir.types import Kind


def load_identity(c: NodeContext) -> Named:
    """Whatever it is: a tensor, a sequence or an optional."""
    thing = c.thing(0)
    return c.input(0) if thing is None else thing


def load_dropout_7(c: NodeContext) -> tuple[Value, ...]:
    """Drops nothing: training is not supported. The mask has the kind of the operand."""
    c.attributes.float("ratio", 0.5)
    return without_dropping(c, c.type(0).kind)


def load_dropout_10(c: NodeContext) -> tuple[Value, ...]:
    """The same, with a mask of bools."""
    c.attributes.float("ratio", 0.5)
    return without_dropping(c)


def without_dropping(c: NodeContext, kind: Kind = Kind.BOOL) -> tuple[Value, ...]:
    """The first operand as it is, and a mask of what was kept: all."""
    if not c.wants(1):
        return (c.input(0),)
    return c.input(0), c.b.add(Splat(1, kind, c.type(0).shape))


def load_reshape(c: NodeContext) -> Value:
    return reshaped(c, c.dims(1))


def reshaped(c: NodeContext, wanted: tuple[Dim, ...]) -> Value:
    """The first operand in a new shape: 0 keeps a dimension (unless ``allowzero``), and one -1 takes what is left."""
    shape = c.type(0).shape
    keeps = not c.attributes.flag("allowzero", False)
    if keeps and any(dim == 0 and axis >= len(shape) for axis, dim in enumerate(wanted)):
        raise TypeMismatch(f"{list(wanted)} keeps dimensions that the operand does not have")
    dims = [shape[axis] if keeps and dim == 0 else dim for axis, dim in enumerate(wanted)]
    if dims.count(-1) > 1 or any(isinstance(dim, int) and dim < -1 for dim in dims):
        raise TypeMismatch(f"{list(wanted)} is no shape to reshape to")
    if -1 in dims:
        known = product(dim for dim in dims if dim != -1)
        if known == 0:
            raise TypeMismatch(f"{list(wanted)} leaves the extent of one dimension open")
        dims[dims.index(-1)] = product(shape) // known
    return c.b.add(Reshape(tuple(dims)), c.input(0))


def load_flatten(c: NodeContext) -> Value:
    """A matrix: the dimensions before ``axis`` become its rows, the others its columns."""
    shape, axis = c.type(0).shape, c.attributes.int("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise TypeMismatch(f"axis {axis} is outside a tensor of {len(shape)} dimensions")
    axis += len(shape) if axis < 0 else 0
    return c.b.add(Reshape((product(shape[:axis]), product(shape[axis:]))), c.input(0))


def load_squeeze_1(c: NodeContext) -> Value:
    return _squeeze(c, c.attributes.ints("axes", None))


def load_squeeze_13(c: NodeContext) -> Value:
    return _squeeze(c, None if c.optional(1) is None else c.known_ints(1))


def _squeeze(c: NodeContext, given: tuple[int, ...] | None) -> Value:
    shape = c.type(0).shape
    if given is None:
        if not c.type(0).is_static:
            raise Unsupported(f"which dimensions of {c.type(0)} have extent 1 is not known; bind them, or give axes")
        given = tuple(axis for axis, dim in enumerate(shape) if dim == 1)
    axes = positive_axes(given, len(shape))
    if any(isinstance(shape[axis], int) and shape[axis] != 1 for axis in axes):
        raise TypeMismatch(f"cannot squeeze axes {list(axes)}: not all have extent 1")
    return c.b.add(Reshape(tuple(dim for axis, dim in enumerate(shape) if axis not in axes)), c.input(0))


def load_unsqueeze_1(c: NodeContext) -> Value:
    return _unsqueeze(c, c.attributes.ints("axes"))


def load_unsqueeze_13(c: NodeContext) -> Value:
    return _unsqueeze(c, c.known_ints(1))


def _unsqueeze(c: NodeContext, given: tuple[int, ...]) -> Value:
    shape = list(c.type(0).shape)
    for axis in sorted(positive_axes(given, len(shape) + len(given))):
        shape.insert(axis, 1)
    return c.b.add(Reshape(tuple(shape)), c.input(0))


def load_transpose(c: NodeContext) -> Value:
    rank = c.type(0).rank
    return c.b.add(Transpose(c.attributes.ints("perm", tuple(reversed(range(rank))))), c.input(0))


def load_concat(c: NodeContext) -> Value:
    axis = positive_axis(c.attributes.int("axis"), c.type(0).rank)
    return c.b.add(Concat(axis), *c.operands())


def load_split_2(c: NodeContext) -> tuple[Value, ...]:
    return split_into(c, c.attributes.ints("split", None), c.result_count)


def load_split_13(c: NodeContext) -> tuple[Value, ...]:
    return split_into(c, None if c.optional(1) is None else c.dims(1), c.result_count)


def load_split_18(c: NodeContext) -> tuple[Value, ...]:
    sizes = None if c.optional(1) is None else c.dims(1)
    count = c.attributes.int("num_outputs", None)
    if (sizes is None) == (count is None):
        raise BadModel("either the sizes of the parts or their number must be given")
    return split_into(c, sizes, c.result_count if count is None else count)


def split_into(c: NodeContext, sizes: tuple[Dim, ...] | None, count: int) -> tuple[Value, ...]:
    """Parts of these sizes, or ``count`` equal ones, of which the last may be smaller from version 18 on."""
    shape = c.type(0).shape
    axis = positive_axis(c.attributes.int("axis", 0), len(shape))
    extent = shape[axis]
    if sizes is None:
        sizes = _equal_sizes(extent, count, c.opset >= 18)
    total: Dim = 0
    starts = []
    for size in checked_shape(sizes):
        starts.append(total)
        total = total + size
    if len(sizes) != c.result_count or (total != extent and isinstance(total, int) and isinstance(extent, int)):
        raise TypeMismatch(f"parts of {list(sizes)} do not make {extent} in {c.result_count} results")
    return tuple(
        c.b.add(full_slice(shape, axis, start, size), c.input(0)) for start, size in zip(starts, sizes, strict=True)
    )


def _equal_sizes(extent: Dim, count: int, last_smaller: bool) -> tuple[Dim, ...]:
    if not 1 <= count <= 1 << 16:
        raise BadModel(f"cannot split into {count} parts")
    if not isinstance(extent, int):
        return (extent // count,) * count
    if extent % count and not last_smaller:
        raise TypeMismatch(f"a dimension of {extent} has no {count} equal parts")
    size = -(-extent // count)
    return tuple(max(0, min(size, extent - part * size)) for part in range(count))


def load_expand(c: NodeContext) -> Value:
    shape = broadcast_shapes(c.type(0).shape, checked_shape(c.dims(1)))
    return c.input(0) if shape == c.type(0).shape else c.b.add(Expand(shape), c.input(0))


def load_tile(c: NodeContext) -> Value:
    return c.b.add(Tile(checked_shape(c.dims(1))), c.input(0))


def load_depth_to_space(c: NodeContext) -> Value:
    order = c.attributes.choice("mode", BlockOrder, BlockOrder.DEPTH_FIRST)
    return c.b.add(DepthToSpace(_block(c), order), c.input(0))


def load_space_to_depth(c: NodeContext) -> Value:
    order = c.attributes.choice("mode", BlockOrder, BlockOrder.DEPTH_FIRST)
    return c.b.add(SpaceToDepth(_block(c), order), c.input(0))


def _block(c: NodeContext) -> int:
    block = c.attributes.int("blocksize")
    if block < 1:
        raise BadModel(f"attribute 'blocksize' is {block}, but must be positive")
    return block


LOADERS: Table = {
    ("Identity", 1): load_identity,
    ("Dropout", 7): load_dropout_7,
    ("Dropout", 10): load_dropout_10,
    ("Reshape", 5): load_reshape,
    ("Flatten", 1): load_flatten,
    ("Squeeze", 1): load_squeeze_1,
    ("Squeeze", 13): load_squeeze_13,
    ("Unsqueeze", 1): load_unsqueeze_1,
    ("Unsqueeze", 13): load_unsqueeze_13,
    ("Transpose", 1): load_transpose,
    ("Concat", 4): load_concat,
    ("Split", 2): load_split_2,
    ("Split", 13): load_split_13,
    ("Split", 18): load_split_18,
    ("Expand", 8): load_expand,
    ("Tile", 6): load_tile,
    ("DepthToSpace", 1): load_depth_to_space,
    ("SpaceToDepth", 1): load_space_to_depth,
}
