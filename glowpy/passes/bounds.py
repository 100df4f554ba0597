"""Bounded dimensions: a growing dimension gets a capacity instead of a value, so that one program serves all lengths.

Every dimension ``a * length + c`` becomes ``a * capacity``. Of a tensor that has such dimensions only the part that the
model knows is meant, the first ``a * length + c`` places along each; behind it is *padding*. The length of a call is
one more input, a scalar of i64. Most operators may work on padding as on anything else, as what they make of it is
padding again. Before those that mix places along a padded dimension (sums, maxima, products of matrices), the padding
is replaced by what does not count; along concatenations, operands are written where those before them end.

The graph is read as an emitter applies operators: composites that mix padded places work through their expansion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from glowpy.passes.known import known, number_in
from glowpy.passes.padded import Bounding, Padded, Rule, has_symbols
from glowpy_ir.dims import Dim, Expr, product
from glowpy_ir.errors import GlowError, Unsupported
from glowpy_ir.graph import Builder, Graph, Placeholder, Value
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops import elementwise as ew
from glowpy_ir.ops import indexing as ix
from glowpy_ir.ops import movement as mv
from glowpy_ir.ops import reduction
from glowpy_ir.ops.convert import Cast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.counting import Iota, Running
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.normalization import Lrn, Standardize
from glowpy_ir.ops.pooling import AveragePool, MaxPool
from glowpy_ir.ops.softmax import LogSoftmax, Softmax
from glowpy_ir.types import Kind, TensorType

LENGTH = "length"
"""What the input that tells the length is called, if the model does not call one of its own so."""


@dataclass(frozen=True)
class Bounded:
    """A graph for all lengths up to the most."""

    graph: Graph
    """Its inputs are the model's, and then the length."""
    inputs: tuple[TensorType, ...]
    """The types of the model's inputs, in terms of the length. Their padding must be zero."""
    outputs: tuple[TensorType, ...]
    """Those of the outputs, whose padding may be anything."""
    continued: Mapping[int, int]
    """Outputs that are an input and something behind it, and these inputs, by number; their padding is zero."""
    least: int
    """The smallest length for which the model can be computed."""
    most: int
    """The largest length for which there is room."""


def bounded(graph: Graph, symbol: str, capacity: int) -> Bounded:
    """A graph without open dimensions that does what ``graph`` does for each length that ``symbol`` may have.

    The length is 1 at least. Unsupported if an operator mixes places in a way that no padding can be kept out of, or
    if dimensions are not simple expressions of the length.
    """
    work = Bounding(symbol, capacity, Builder(Graph(graph.name)), RULES)
    things: dict[Value, Padded] = {}
    for source in graph.inputs:
        things[source] = work.input(source)
    length = next(n for n in (LENGTH, *map(f"{LENGTH}.{{}}".format, range(len(things)))) if n not in work.taken)
    work.length = work.b.placeholder(length, TensorType(Kind.I64, ()))
    for constant in graph.constants:
        things[constant] = Padded(work.b.constant(constant.data, constant.name, constant.type), constant.type)
    for node in graph.nodes:
        work.b.origin = node.origin
        try:
            results = work.add_all(node.op, *(things[value] for value in node.inputs))
        except GlowError as error:
            raise error.at(node.origin) from None
        things.update(zip(node.outputs, results, strict=True))
    made = [things[value] for value in graph.outputs]
    for name, result in zip(graph.output_names, made, strict=True):
        work.b.graph.set_output(name, result.value)
    types = tuple(value.type for value in graph.inputs)
    numbers: dict[Value, int] = {value: i for i, value in enumerate(work.b.graph.inputs)}
    continued = {i: numbers[thing.continues] for i, thing in enumerate(made) if thing.continues}
    outputs = tuple(thing.type for thing in made)
    return Bounded(work.b.graph, types, outputs, continued, work.least, capacity - work.slack)


# ---- the rules, one for each operator that may meet padding

def _elementwise(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """What is made of padding is padding; some of it stays zero."""
    zeros: set[int] = set()
    match op, inputs:
        case Cast(), (only,):
            zeros = set(only.zeros)
        case ew.Mul(), (lhs, rhs):
            for thing, other in ((lhs, rhs), (rhs, lhs)):
                if not other.type.shape and math.isfinite(number_in(other.value) or math.inf):
                    zeros = set(thing.zeros)
    return w.apply(op, *inputs, zeros=tuple(zeros))


def _splat(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """A number that depends on the length is computed when that is known."""
    assert isinstance(op, ew.Splat)
    type = op.infer()
    if not isinstance(op.value, Expr):
        zeros = frozenset(range(type.rank)) if op.value == 0 else frozenset()
        return Padded(w.b.add(ew.Splat(op.value, op.kind, w.extents(op.shape))), type, zeros)
    number = w.number(op.value, op.kind)
    return Padded(w.b.add(mv.Expand(w.extents(op.shape)), number) if op.shape else number, type)


def _iota(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, Iota)
    return w.apply(Iota(w.extent(op.count), op.kind), like=op)


def _transpose(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, mv.Transpose)
    zeros = [d for d, source in enumerate(op.order) if source in inputs[0].zeros]
    return w.apply(op, *inputs, zeros=zeros)


def _expand(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, mv.Expand)
    (thing,) = inputs
    lead = len(op.shape) - thing.type.rank
    zeros = [lead + axis for axis in thing.zeros if thing.type.shape[axis] != 1]
    return w.apply(mv.Expand(w.extents(op.shape)), thing, like=op, zeros=zeros)


def _reshape(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """Padded dimensions move among others, or are merged with those behind them, or split from them.

    What lies otherwise is picked, element by element: padding would come between what is meant.
    """
    assert isinstance(op, mv.Reshape)
    (thing,) = inputs
    old, new = thing.type.shape, op.shape
    zeros, value = [], thing.value
    for olds, news in _groups(old, new):
        others = (*(old[d] for d in olds[1:]), *(new[d] for d in news[1:]))
        if isinstance(old[olds[0]], Expr) and isinstance(new[news[0]], Expr) and not any(map(has_symbols, others)):
            zeros += news[:1] if olds[0] in thing.zeros else []
            continue
        before, after = w.extents(new[: news[0]]), w.extents(old[olds[-1] + 1 :])
        flat = (math.prod(before), math.prod(w.extents([old[d] for d in olds])), math.prod(after))
        places = _places(w, [old[d] for d in olds], [new[d] for d in news])
        value = w.b.add(ix.Gather(1), w.b.add(mv.Reshape(flat), value), places)
    value = w.b.add(mv.Reshape(w.extents(new)), value)
    return Padded(value, thing.type.with_shape(*new), frozenset(zeros))


def _places(w: Bounding, old: list[Dim], new: list[Dim]) -> Value:
    """Where the elements of a tensor that has become ``new`` lie in the one with room that was ``old``, as a list."""
    number: Value | None = None
    for d in range(len(new)):
        along = w.b.add(ew.Mul(), w.b.add(Iota(w.extent(new[d]))), w.number(product(new[d + 1 :])))
        column = w.b.add(mv.Reshape((w.extent(new[d]), *(1 for _ in new[d + 1 :]))), along)
        number = column if number is None else w.b.add(ew.Add(), number, column)
    assert number is not None
    place = w.number(0)
    for d in range(len(old)):
        step = w.number(product(old[d + 1 :]))
        index = w.b.add(ew.Div(), number, step)
        number = w.b.add(ew.Sub(), number, w.b.add(ew.Mul(), index, step))
        room = w.number(math.prod(w.extents(old[d + 1 :])))
        place = w.b.add(ew.Add(), place, w.b.add(ew.Mul(), index, room))
    last = w.number(math.prod(w.extents(old)) - 1)
    return w.b.add(mv.Reshape((math.prod(w.extents(new)),)), w.b.add(ew.Min(), place, last))


def _groups(old: tuple[Dim, ...], new: tuple[Dim, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """Dimensions of two shapes that hold the same elements, in small groups; those that depend on the length."""
    olds, news = ([d for d, dim in enumerate(shape) if dim != 1] for shape in (old, new))
    while olds or news:
        source, target = olds[:1], news[:1]
        while (a := product(old[d] for d in source)) != (b := product(new[d] for d in target)):
            if len(target) < len(news) and (len(source) == len(olds) or _is_factor(b, a)):
                target = news[: len(target) + 1]
            elif len(source) < len(olds):
                source = olds[: len(source) + 1]
            else:
                raise Unsupported(f"how {list(map(str, new))} lies in {list(map(str, old))} depends on the length")
        olds, news = olds[len(source) :], news[len(target) :]
        if isinstance(a, Expr):
            yield source, target


def _is_factor(part: Dim, whole: Dim) -> bool:
    """Whether it can be seen that ``part`` divides ``whole``."""
    if isinstance(part, int) and isinstance(whole, int):
        return part != 0 and whole % part == 0
    quotient = whole // part if part else 0
    return isinstance(quotient, int) or not any(symbol.operands for product, _ in quotient.terms for symbol in product)


def _slice(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """Dimensions that are cut at places which depend on the length are picked from, place by place."""
    assert isinstance(op, mv.Slice)
    (thing,) = inputs
    result = thing
    whole = w.extents(thing.type.shape)
    starts, shape, steps = [0] * thing.type.rank, list(thing.type.shape), [1] * thing.type.rank
    picks = []
    for axis, (start, dim, step) in enumerate(zip(op.starts, op.shape, op.steps, strict=True)):
        room, whole_dim = w.extent(dim), thing.type.shape[axis]
        if has_symbols((start, dim, whole_dim)) and room:
            for bound in (start, whole_dim - 1 - start - (dim - 1) * step):
                w.require(bound)
        if isinstance(start, int) and (room == 0 or 0 <= start + (room - 1) * step < whole[axis]):
            starts[axis], shape[axis], steps[axis] = start, dim, step
        else:
            picks.append((axis, start, step, dim))
    cut = mv.Slice(tuple(starts), tuple(shape), tuple(steps))
    if cut != mv.Slice((0,) * len(shape), thing.type.shape, (1,) * len(shape)):
        static = mv.Slice(tuple(starts), w.extents(shape), tuple(steps))
        kept = [d for d in thing.zeros if shape[d] == thing.type.shape[d] or not isinstance(shape[d], Expr)]
        result = w.apply(static, thing, like=cut, zeros=kept)
    for axis, start, step, dim in picks:
        result = w.picked(result, axis, start, step, dim)
    return result


def _concat(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """Operands behind a padded one are written where it ends."""
    assert isinstance(op, mv.Concat)
    (type,) = infer(op, *(thing.type for thing in inputs))
    dims = [thing.type.shape[op.axis] for thing in inputs]
    zeros = frozenset.intersection(*(thing.zeros for thing in inputs)) - {op.axis}
    if not any(isinstance(dim, Expr) for dim in dims):
        return w.apply(op, *inputs, zeros=tuple(zeros))
    room = w.extent(type.shape[op.axis])
    first, *others = inputs
    start, end = dims[0], w.extent(dims[0])
    whole = first.value
    if end < room:
        after = tuple(room - end if d == op.axis else 0 for d in range(type.rank))
        whole = w.b.add(mv.Pad((0,) * type.rank, after, 0), whole)
    for thing in others:
        whole = _written(w, whole, thing, op.axis, start)
        start = start + thing.type.shape[op.axis]
    if all(isinstance(thing.type.shape[op.axis], int) or op.axis in thing.zeros for thing in inputs):
        zeros |= {op.axis}
    is_start = isinstance(first.value, Placeholder) and first.padded == (op.axis,) and op.axis in zeros
    return Padded(whole, type, zeros, first.value if is_start else None)


def _written(w: Bounding, whole: Value, part: Padded, axis: int, start: Dim) -> Value:
    """``whole`` with a part from ``start`` on; what of its padding would lie outside is left out."""
    whole_shape, shape = whole.type.extents, part.value.type.extents
    value = part.value
    most = whole_shape[axis] - (start if isinstance(start, int) else 0)
    if shape[axis] > most:
        shape = (*shape[:axis], most, *shape[axis + 1 :])
        value = w.b.add(mv.Slice((0,) * len(shape), shape, (1,) * len(shape)), value)
    if isinstance(start, Expr) and isinstance(part.type.shape[axis], Expr):
        raise Unsupported("two operands of a concatenation have a bound")  # the second one's padding may lie outside
    places = w.b.add(ew.Add(), w.b.add(Iota(shape[axis])), w.number(start))
    parts = []
    for d in range(axis + 1):
        place = places if d == axis else w.b.add(Iota(shape[d]))
        lying = tuple(shape[d] if k == d else 1 for k in range(axis + 1))
        place = w.b.add(mv.Expand(shape[: axis + 1]), w.b.add(mv.Reshape(lying), place))
        parts.append(w.b.add(mv.Reshape((*shape[: axis + 1], 1)), place))
    tuples = parts[0] if len(parts) == 1 else w.b.add(mv.Concat(axis + 1), *parts)
    return w.b.add(ix.ScatterND(), whole, tuples, value)


def _pad(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """What stands around a padded dimension is concatenated with it."""
    assert isinstance(op, mv.Pad)
    (thing,) = inputs
    before, after = list(op.before), list(op.after)
    for d in thing.padded:
        shape = thing.type.shape
        ends = [ew.Splat(op.value, thing.type.kind, (*shape[:d], n, *shape[d + 1 :])) for n in (before[d], after[d])]
        parts = [part for part in (w.add(ends[0]), thing, w.add(ends[1])) if part.type.shape[d] != 0]
        thing = w.add(mv.Concat(d), *parts) if len(parts) > 1 else thing
        before[d] = after[d] = 0
    rest = mv.Pad(tuple(before), tuple(after), op.value)
    return w.apply(rest, thing, zeros=tuple(thing.zeros) if op.value == 0 else ())


def _matmul(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """Zeros in both operands add nothing; zeros in one would, if the other's padding were infinite."""
    lhs, rhs = inputs
    lhs = w.masked(lhs, (lhs.type.rank - 1,), 0)
    rhs = w.masked(rhs, (rhs.type.rank - 2,), 0)
    return w.apply(op, lhs, rhs)


def _for_each_image(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """What is done to each image by itself is done to the padding of a batch, too."""
    images, *others = inputs
    if images.padded not in ((), (0,)) or any(other.padded for other in others):
        raise Unsupported(f"{op.name} cannot work on images whose size has a bound")
    return w.apply(op, *inputs)


def _softmax(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, Softmax | LogSoftmax)
    (thing,) = inputs
    zeros = (op.axis,) if isinstance(op, Softmax) else ()
    return w.apply(op, w.masked(thing, (op.axis,), -math.inf), zeros=zeros)


NEUTRAL: Mapping[type[Op], Callable[[Kind], float]] = {
    reduction.ReduceSum: lambda kind: 0,
    reduction.ReduceProd: lambda kind: 1,
    reduction.ReduceMax: lambda kind: reduction.bounds(kind)[0],
    reduction.ReduceMin: lambda kind: reduction.bounds(kind)[1],
    reduction.ArgMax: lambda kind: reduction.bounds(kind)[0],
    reduction.ArgMin: lambda kind: reduction.bounds(kind)[1],
}
"""What does not count, for elements of a kind."""


def _reduce(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, reduction.Reduction)
    (thing,) = inputs
    axes = [axis for axis in op.axes if axis in thing.padded]
    return w.apply(op, w.masked(thing, axes, NEUTRAL[type(op)](thing.type.kind)) if axes else thing)


def _search(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """Of equal elements the first counts, which is none of the padding."""
    assert isinstance(op, reduction.Search)
    (thing,) = inputs
    if op.axis not in thing.padded:
        return w.apply(op, thing)
    if op.select_last_index:
        raise Unsupported("the last of equal elements along a dimension with a bound may be padding")
    return w.apply(op, w.masked(thing, (op.axis,), NEUTRAL[type(op)](thing.type.kind)))


def _standardize(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, Standardize)
    if set(op.axes) & set(inputs[0].padded):
        return op.expand(w, *inputs)
    return w.apply(op, *inputs)


def _running(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    """Padding comes last."""
    return w.apply(op, *inputs)


def _gather(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, ix.Gather)
    thing, indices = inputs
    extent = thing.type.shape[op.axis]
    if isinstance(extent, Expr) and (numbers := known(indices.value)) is not None and numbers.size:
        for bound in (extent - 1 - int(numbers.max()), extent + int(numbers.min())):
            w.require(bound)
    indices = w.from_front(indices, (extent,))
    rank = indices.type.rank
    zeros = [d if d < op.axis else d + rank - 1 for d in thing.zeros if d != op.axis]
    return w.apply(op, thing, indices, zeros=zeros)


def _gather_nd(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    assert isinstance(op, ix.GatherND)
    thing, indices = inputs
    depth = indices.type.extents[-1] if indices.type.is_static else w.static(indices.type).extents[-1]
    return w.apply(op, thing, w.from_front(indices, thing.type.shape[op.batch : op.batch + depth]))


def _scatter_nd(w: Bounding, op: Op, inputs: tuple[Padded, ...]) -> Padded:
    thing, indices, updates = inputs
    if indices.padded:
        raise Unsupported("how many updates there are has a bound: what lies behind them would be written too")
    depth = indices.type.extents[-1]
    return w.apply(op, thing, w.from_front(indices, thing.type.shape[:depth]), updates)


RULES: Mapping[type[Op], Rule] = {
    ew.Elementwise: _elementwise,
    ew.Splat: _splat,
    Iota: _iota,
    mv.Copy: lambda w, op, inputs: w.apply(op, *inputs, zeros=tuple(inputs[0].zeros)),
    mv.Transpose: _transpose,
    mv.Expand: _expand,
    mv.Reshape: _reshape,
    mv.Slice: _slice,
    mv.Concat: _concat,
    mv.Pad: _pad,
    MatMul: _matmul,
    Conv: _for_each_image,
    AveragePool: _for_each_image,
    MaxPool: _for_each_image,
    Lrn: _for_each_image,
    Softmax: _softmax,
    LogSoftmax: _softmax,
    reduction.Reduction: _reduce,
    reduction.Search: _search,
    Running: _running,
    Standardize: _standardize,
    ix.Gather: _gather,
    ix.GatherND: _gather_nd,
    ix.ScatterND: _scatter_nd,
}
