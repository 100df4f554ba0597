"""The layout pass: convolutions and what stands between them work on blocked values.

Each convolution becomes ``Unpack(PackedConv(Pack(x)))``. Then unpacks sink through the operators that can as well
work on blocks, until they meet a pack, and both vanish: the layout is chosen for the whole graph, and what is left of
it stands at the edges, as nodes that anyone can see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from glowpy_backends.cpu.algorithms import choose_algorithm
from glowpy_backends.cpu.blocked import Blocked, Pack, Unpack, blocks, pack, packed_type
from glowpy_backends.cpu.channels import (
    concat_of_unpack,
    gather_of_unpack,
    pack_of_unpack,
    parts_of,
    shuffle_of_unpack,
    slice_of_unpack,
    unpacked,
)
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernels import lrn
from glowpy_backends.cpu.kernels.convolution import Convolution, suits_parts
from glowpy_backends.cpu.kernels.depthwise import is_depthwise
from glowpy_backends.cpu.narrow import product_of_f32, product_of_i16, product_of_i32, product_of_pairs
from glowpy_backends.cpu.packed_conv import PackedConv
from glowpy_backends.cpu.packed_matmul import pack_matrix
from glowpy_backends.cpu.packed_recurrence import PackedRecurrence, pack_weights
from glowpy_backends.cpu.quads import fits_quads, has_quads
from glowpy_backends.cpu.signals import elementwise_of_signal, image_of_signal
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.evaluate import OnArrays, apply
from glowpy_ir.graph import Builder, Constant, Graph, Node, Value
from glowpy_ir.op import Composite, Op, Primitive
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.elementwise import Elementwise, Splat
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Pad, Reshape
from glowpy_ir.ops.normalization import Lrn, Standardize
from glowpy_ir.ops.pooling import AveragePool, MaxPool
from glowpy_ir.ops.recurrent import Recurrence
from glowpy_ir.ops.reduction import Reduction
from glowpy_ir.ops.resampling import Repeat, Resample
from glowpy_ir.rewrite import Replacement, Rule, rewrite
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class ChooseLayout:
    """The pass, for one target."""

    target: Target
    exact: bool

    def __call__(self, graph: Graph) -> bool:
        pack_conv = self._pack_conv
        rules: tuple[Rule, ...] = (
            conv_of_row,
            image_of_signal,
            elementwise_of_signal,
            product_of_f32,
            product_of_i16,
            pack_conv,
            self._pack_matmul,
            self._pack_recurrence,
            pack_of_unpack,
            pack_of_constant,
            pool_of_row,
            self._pack_pool,
            lrn_of_unpack,
            elementwise_of_unpack,
            concat_of_unpack,
            shuffle_of_unpack,
            slice_of_unpack,
            gather_of_unpack,
            reduction_of_unpack,
            standardize_of_unpack,
            resampling_of_unpack,
        )
        return rewrite(graph, rules)

    def _pack_conv(self, node: Node, b: Builder) -> Value | None:
        """conv(x, w, bias) = unpack(packed_conv(pack(x), packed w, packed bias))"""
        match node:
            case Node(op=Conv() as conv, inputs=(image, kernels, *bias)) if image.type.rank == 4:
                weights = known(kernels)
            case _:
                return None
        if weights is None or image.type.kind not in (Kind.F32, Kind.I16):
            return None
        lanes = wide = self.target.lanes(4)
        results, _, height, width = weights.shape
        channels = image.type.extents[1]
        few = channels < lanes // 2 and conv.groups == 1 and unpacked(image) is None
        planar = few and image.type.kind is Kind.F32
        if few and not planar:
            wide = channels + channels % 2
        kernel = (height, width)
        type = image.type if planar else packed_type(image.type, wide)
        spec = dense_specification(conv, kernel, type, node.output.type, channels, lanes)
        if not spec.has_kernel:
            return None
        parts = parts_of(image) if is_depthwise(spec) else conv.groups if suits_parts(spec) else 1
        blocked = image if planar else b.add(Pack(wide, parts), image)
        spec = dense_specification(conv, kernel, blocked.type, node.output.type, channels, lanes, parts)
        algorithm = choose_algorithm(spec, self.target, self.exact)
        op = PackedConv(conv, kernel, channels, results, lanes, algorithm, parts)
        operands = [blocked, b.constant(algorithm.pack(weights, spec), f"{node.inputs[1].name}.packed")]
        if bias:
            row = b.add(Reshape((1, results, 1, 1)), bias[0])
            operands.append(b.add(Pack(lanes, parts), row))
        return b.add(Unpack(results, parts), b.add(op, *operands))

    def _pack_pool(self, node: Node, b: Builder) -> Value | None:
        """pool(x) = unpack(blocked pool(pack(x)))"""
        match node:
            case Node(op=MaxPool() | AveragePool() as op, inputs=(x,)) if x.type.rank == 4 and x.type.kind is Kind.F32:
                packed = b.add(Pack(self.target.lanes(4), parts_of(x)), x)
                return b.add(Unpack(x.type.extents[1], parts_of(x)), b.add(Blocked(op), packed))
        return None

    def _pack_matmul(self, node: Node, b: Builder) -> Value | None:
        """matmul(x, w) = packed_matmul(x, packed w)"""
        match node:
            case Node(op=MatMul(), inputs=(lhs, Value(type=TensorType(kind=Kind.F32 | Kind.I16, rank=2)) as rhs)):
                matrix = known(rhs)
                if matrix is None or not matrix.size or not lhs.type.count:
                    return None
                if rhs.type.kind is Kind.I16 and len(matrix) % 2:
                    none = (0,) * (lhs.type.rank - 1)
                    lhs = b.add(Pad((*none, 0), (*none, 1)), lhs)
                op, weights = pack_matrix(matrix, lhs.type, self.target)
                return b.add(op, lhs, b.constant(weights, f"{node.inputs[1].name}.packed"))
        return None

    def _pack_recurrence(self, node: Node, b: Builder) -> tuple[Value, ...] | None:
        """recurrence(x, w, …) = packed_recurrence(x, packed w, …)"""
        match node:
            case Node(op=Recurrence() as op, inputs=(input, weights, *rest)):
                lanes = self.target.lanes(input.type.kind.nbytes)
                matrix = known(weights)
                if matrix is None:
                    packed = pack_weights(b, op, weights, lanes)
                else:
                    if matrix.dtype == np.int16 and has_quads(self.target) and fits_quads(matrix):
                        matrix = matrix.astype(np.int8)
                    arrays = map(np.ascontiguousarray, pack_weights(OnArrays(), op, matrix, lanes))
                    packed = tuple(b.constant(array, f"{weights.name}.packed") for array in arrays)
                return b.add_all(PackedRecurrence(op), input, *packed, *rest)
        return None


def dense_specification(
    conv: Conv,
    kernel: tuple[int, int],
    image: TensorType,
    result: TensorType,
    channels: int,
    lanes: int,
    parts: int = 1,
) -> Convolution:
    """What the convolution computes, before it is known how its operands will lie."""
    batch, results, height, width = result.extents
    shape = (batch, blocks(results, lanes, parts), height, width, lanes)
    (sy, sx), (dy, dx), (py, px) = conv.strides, conv.dilations, conv.before
    return Convolution(
        View.dense(image.kind, image.extents), View.dense(result.kind, shape), channels, results, kernel,
        (sy, sx), (dy, dx), (py, px), conv.groups, Epilogue(), parts,
    )  # fmt: skip


def conv_of_row(node: Node, b: Builder) -> Value | None:
    """conv of [N, C, W] = reshape(conv of [N, C, 1, W])"""
    match node:
        case Node(op=Conv() as conv, inputs=(image, weights, *bias)) if image.type.rank == 3:
            batch, channels, width = image.type.extents
            row = b.add(Reshape((batch, channels, 1, width)), image)
            results, depth, taps = weights.type.extents
            kernel = b.add(Reshape((results, depth, 1, taps)), weights)
            wide = Conv(
                (1, *conv.strides), (0, *conv.before), (0, *conv.after), (1, *conv.dilations), conv.groups
            )
            return b.add(Reshape(node.output.type.shape), b.add(wide, row, kernel, *bias))
    return None


def pool_of_row(node: Node, b: Builder) -> Value | None:
    """pool of [N, C, W] = reshape(pool of [N, C, 1, W])"""
    match node:
        case Node(op=MaxPool() | AveragePool() as op, inputs=(x,)) if x.type.rank == 3:
            batch, channels, width = x.type.extents
            wide = replace(
                op, kernel=(1, *op.kernel), strides=(1, *op.strides), before=(0, *op.before), after=(0, *op.after),
                dilations=(1, *op.dilations),
            )  # fmt: skip
            if isinstance(wide, AveragePool) and wide.overhang:
                wide = replace(wide, overhang=(0, *wide.overhang))
            row = b.add(Reshape((batch, channels, 1, width)), x)
            return b.add(Reshape(node.output.type.shape), b.add(wide, row))
    return None


def pack_of_constant(node: Node, b: Builder) -> Value | None:
    """pack(constant) = constant"""
    data = known(node.inputs[0]) if node.inputs else None
    if data is None:
        return None
    match node.op:
        case Pack(lanes=lanes, parts=parts):
            return b.constant(np.ascontiguousarray(pack(data, lanes, parts)), node.inputs[0].name)
        case Reshape():
            return b.constant(data.reshape(node.output.type.extents), node.inputs[0].name)
    return None


def known(value: Value) -> Array | None:
    """The elements of a constant or of a splat."""
    match value:
        case Constant(data=data):
            return data
        case Value(type=type, producer=Node(op=Splat(value=number))) if isinstance(number, int | float):
            return np.broadcast_to(np.asarray(number, type.kind.dtype), type.extents)
    return None


def lrn_of_unpack(node: Node, b: Builder) -> Value | None:
    """lrn(unpack(x)) = unpack(blocked lrn(x)), where every lane has a channel"""
    match node:
        case Node(op=Lrn() as op, inputs=(value,)) if (x := unpacked(value)) is not None and x.type.rank == 5:
            channels, lanes = value.type.extents[1], x.type.extents[-1]
            if channels == x.type.extents[1] * lanes and lrn.fits(op, lanes):
                return b.add(Unpack(channels), b.add(Blocked(op), x))
    return None


def elementwise_of_unpack(node: Node, b: Builder) -> Value | None:
    """op(unpack(x), …) = unpack(op(x, …)), where all operands have blocks, or are the same for all of them"""
    if not isinstance(node.op, Elementwise) or node.output.type.rank != 4:
        return None
    result = node.output.type.extents
    lead = max((v for v in node.inputs if unpacked(v) and v.type.extents == result), key=parts_of, default=None)
    x = unpacked(lead) if lead else None
    if lead is None or x is None:
        return None
    lanes, parts = x.type.extents[-1], parts_of(lead)
    operands: list[Value] = []
    for value in node.inputs:
        if value.type.count == 1 and value.type.extents != result:
            operands.append(b.add(Reshape(()), value) if value.type.rank else value)
            continue
        if value.type.rank > 4 or not isinstance(value.type.shape[0], int):
            return None
        shape = (*(1,) * (4 - value.type.rank), *value.type.extents)
        if shape[1] != result[1]:
            return None
        wide = value if value.type.rank == 4 else b.add(Reshape(shape), value)
        operands.append(b.add(Pack(lanes, parts), wide))
    if result[1] != x.type.extents[1] * lanes and not _keeps_lanes_finite(node.op, node.inputs):
        return None
    return b.add(Unpack(result[1], parts), b.add(node.op, *operands))


def _keeps_lanes_finite(op: Primitive, inputs: tuple[Value, ...]) -> bool:
    """Whether the lanes without a channel stay finite: a later convolution multiplies them by zero."""
    stand_ins = [_spare_lane(value) for value in inputs]
    with np.errstate(all="ignore"):
        (result,) = apply(op, *stand_ins)
    return bool(np.isfinite(result.astype(np.float64)).all())


def _spare_lane(value: Value) -> Array:
    """What stands in the lanes of ``value`` that have no channel."""
    match value:
        case Constant(data=data) if data.size == 1:
            return data.reshape(())
        case Value(producer=Node(op=Splat(value=number))):
            return np.asarray(number, value.type.kind.dtype)
        case Value(producer=Node(op=Elementwise() as op, inputs=inputs)):
            with np.errstate(all="ignore"):
                return apply(op, *(_spare_lane(v) for v in inputs))[0]
        case Value(producer=Node(op=Reshape() | Unpack() | Blocked(), inputs=(inner,))):
            return _spare_lane(inner)
    return np.zeros((), value.type.kind.dtype)


def reduction_of_unpack(node: Node, b: Builder) -> Value | None:
    """reduce(unpack(x)) over height and width = unpack(reduce(x))"""
    match node:
        case Node(op=Reduction(axes=axes, keepdims=keepdims) as op, inputs=(Value(type=type) as value,)):
            x = unpacked(value)
            if x is None or type.rank != 4 or not set(axes) <= {2, 3}:
                return None
        case _:
            return None
    reduced = b.add(Unpack(type.extents[1], parts_of(value)), b.add(replace(op, keepdims=True), x))
    return reduced if keepdims else b.add(Reshape(node.output.type.shape), reduced)


def standardize_of_unpack(node: Node, b: Builder) -> Value | None:
    """standardize(unpack(x)) = unpack(standardize(x)) along height and width; lanes without a channel stay finite"""
    match node:
        case Node(op=Standardize(axes=axes, epsilon=epsilon) as op, inputs=(value,)) if set(axes) <= {2, 3}:
            x = unpacked(value)
            if x is not None and epsilon > 0:
                return b.add(Unpack(value.type.extents[1], parts_of(value)), b.add(op, x))
    return None


def resampling_of_unpack(node: Node, b: Builder) -> Value | None:
    """op(unpack(x)) along height or width = unpack(op(x)), for what makes an image larger or smaller"""
    x = unpacked(node.inputs[0]) if node.inputs else None
    if x is None or x.type.rank != 5:
        return None
    channels, parts = node.inputs[0].type.extents[1], parts_of(node.inputs[0])
    match node.op:
        case Resample(axis=axis) if axis >= 2:
            return b.add(Unpack(channels, parts), b.add(node.op, x, *node.inputs[1:]))
        case Repeat(factors=factors) if factors[:2] == (1, 1):
            return b.add(Unpack(channels, parts), b.add(Repeat((*factors, 1)), x))
    return None


@dataclass(frozen=True)
class ExpandRest:
    """Expands what the layout pass left over: packs, unpacks, and operators that have a kernel for blocks alone."""

    has_kernel: Callable[[Op], bool]

    def __call__(self, graph: Graph) -> bool:
        return rewrite(graph, (self.expand, product_of_pairs, product_of_i32))

    def expand(self, node: Node, b: Builder) -> Replacement:
        """op(x) = its expansion, if no kernel computes it as it stands"""
        if isinstance(node.op, Composite) and not self.has_kernel(node.op):
            return node.op.expand(b, *node.inputs)
        return None
