"""Which kernel computes an instruction."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from glowpy_backends.cpu.blocked import Blocked, Rearrange
from glowpy_backends.cpu.body import Body
from glowpy_backends.cpu.epilogue import Epilogue
from glowpy_backends.cpu.kernel import Kernel
from glowpy_backends.cpu.kernels import (
    argmax_pool,
    attention,
    copy,
    counting,
    coupling,
    determinant,
    elementwise,
    fill,
    indexing,
    lookup,
    lrn,
    matmul,
    plain_convolution,
    pooling,
    rearrange,
    recurrent,
    reduction,
    resample,
    roi,
    sampling,
    search,
    selection,
    softmax,
    sorting,
    standardize,
    state_walk,
    trees,
)
from glowpy_backends.cpu.packed_conv import Direct, PackedConv, Winograd
from glowpy_backends.cpu.packed_matmul import PackedMatMul, PairedMatMul, constant_right, product
from glowpy_backends.cpu.packed_recurrence import PackedRecurrence
from glowpy_backends.cpu.pairs import as_pairs
from glowpy_backends.cpu.target import Target
from glowpy_backends.cpu.view import View
from glowpy_ir.infer import infer
from glowpy_ir.op import Op
from glowpy_ir.ops.attention import StateWalk
from glowpy_ir.ops.convert import BitCast
from glowpy_ir.ops.convolution import Conv
from glowpy_ir.ops.counting import Iota, Running, RunningProduct, RunningSum
from glowpy_ir.ops.determinant import Determinant
from glowpy_ir.ops.elementwise import Elementwise, Splat
from glowpy_ir.ops.fused import Fused, FusedAttention, Step
from glowpy_ir.ops.indexing import Gather, GatherND, ScatterND
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.lookup import FindKey
from glowpy_ir.ops.movement import Copy
from glowpy_ir.ops.normalization import Lrn, Standardize
from glowpy_ir.ops.pooling import ArgMaxPool, AveragePool, MaxPool
from glowpy_ir.ops.reduction import ArgMax, ArgMin, ReduceMax, ReduceMin, ReduceProd, ReduceSum, Reduction
from glowpy_ir.ops.resampling import Repeat, Resample
from glowpy_ir.ops.roi import MaxRoiPool, RoiAlign
from glowpy_ir.ops.sampling import Sample
from glowpy_ir.ops.scores import CouplePairs
from glowpy_ir.ops.selection import NonZero, SuppressOverlaps
from glowpy_ir.ops.softmax import LogSoftmax, Softmax
from glowpy_ir.ops.sorting import RowOrder, TopK
from glowpy_ir.ops.trees import TreeEnsemble
from glowpy_ir.program import Buffer, Instruction, ZeroHalo
from glowpy_ir.types import Kind


@dataclass(frozen=True)
class Site:
    """An operator at work: how its operands lie, what happens to its result, and what machine it runs on."""

    op: Op
    results: tuple[View, ...]
    operands: tuple[View, ...]
    epilogue: Epilogue
    target: Target


Select = Callable[[Site], Kernel]
"""The kernel for a site; its pointers are the results, the operands, and those of the epilogue."""


def view_of(buffer: Buffer) -> View:
    """How a buffer lies."""
    layout = buffer.layout
    return View(buffer.type.kind, layout.shape, layout.strides)


def likeness(instruction: Instruction) -> Hashable:
    """What decides which kernel computes an instruction: those that are equal in it have one kernel."""
    if isinstance(instruction, ZeroHalo):
        return instruction.buffer.type, instruction.buffer.halo
    return instruction.op, tuple(map(view_of, instruction.outputs)), tuple(map(view_of, instruction.inputs))


def select_kernel(instruction: Instruction, target: Target) -> Kernel:
    """The kernel that computes an instruction, for pointers to its results and then its inputs."""
    if isinstance(instruction, ZeroHalo):
        storage = instruction.buffer
        return fill.halo(storage.type.kind, storage.type.extents, storage.halo, target)
    results = tuple(map(view_of, instruction.outputs))
    inputs = tuple(map(view_of, instruction.inputs))
    op = instruction.op
    if isinstance(op, Elementwise):
        op = Fused(None, 0, (Step(op, tuple(range(len(inputs)))),))
    if not isinstance(op, Fused):
        return _emitter(op)(Site(op, results, inputs, Epilogue(), target))
    extras = tuple(view.expand(results[0].shape) for view in inputs[op.arity :])
    kinds = tuple(view.kind for view in extras)
    if op.head is None:
        return elementwise.stack(results[0], extras, Body(op.body, kinds), target)
    (head,) = infer(op.head, *(buffer.type for buffer in instruction.inputs[: op.arity]))
    body = Body(op.body, (head.kind, *kinds))
    return _emitter(op.head)(Site(op.head, results, inputs[: op.arity], Epilogue(extras, body), target))


def _emitter(op: Op) -> Select:
    if isinstance(op, Blocked):
        return BLOCKED[type(op.op)]
    return KERNELS[type(op)]


def has_kernel(op: Op) -> bool:
    """Whether the CPU computes this operator itself."""
    match op:
        case Fused(head=head, body=body):
            return (head is None or has_kernel(head)) and all(map(Body.supports, (step.op for step in body)))
        case Blocked(op=inner):
            return type(inner) in BLOCKED
        case FusedAttention(scores=scores, weights=weights):
            return has_kernel(scores) and has_kernel(weights)
        case Elementwise():
            return Body.supports(op)
        case _:
            return type(op) in KERNELS


def packed_conv(site: Site) -> Kernel:
    """A convolution; its bias is where accumulation starts from."""
    assert isinstance(site.op, PackedConv)
    (result,) = site.results
    image, _, *bias = site.operands
    start = bias[0].expand(result.shape) if bias else None
    epilogue = Epilogue(site.epilogue.operands, site.epilogue.apply, start)
    return site.op.algorithm.kernel(site.op.lying(image, result, epilogue), site.target)


def plain_conv(site: Site) -> Kernel:
    """A convolution of an image that is not blocked."""
    assert isinstance(site.op, Conv)
    (result,) = site.results
    image, weights, *bias = site.operands
    start = View(bias[0].kind, result.shape, (0, bias[0].strides[0], *(0 for _ in result.shape[2:]))) if bias else None
    epilogue = Epilogue(site.epilogue.operands, site.epilogue.apply, start)
    return plain_convolution.plain_convolution(site.op, result, image, weights, epilogue, site.target)


def packed_matmul(site: Site) -> Kernel:
    """A product with packed weights."""
    assert isinstance(site.op, PackedMatMul)
    (result,), (left, _) = site.results, site.operands
    left = as_pairs(left) if site.op.pairs else left
    spec = product(result, left, constant_right(result, left.shape[-1]), True, site.epilogue, site.op.pairs)
    return matmul.matmul(spec, site.op.tiling, site.target)


def computed_matmul(site: Site) -> Kernel:
    """A product of two tensors that are computed."""
    (result,), (left, right) = site.results, site.operands
    spec = product(result, left, right, False, site.epilogue)
    return matmul.matmul(spec, matmul.tiling_of(spec, site.target), site.target)


def fused_attention(site: Site) -> Kernel:
    """Scores, softmax and the weighted sum."""
    assert isinstance(site.op, FusedAttention)
    query, key, *extra, value = site.operands
    (result,) = site.results
    shape = (*result.shape[:-1], value.shape[-2])

    def batched(view: View) -> View:
        return view.expand((*result.shape[:-2], *view.shape[-2:]))

    def epilogue(op: Op, operands: tuple[View, ...]) -> Epilogue:
        steps = op.body if isinstance(op, Fused) else ()
        return Epilogue(operands, Body(steps, (Kind.F32, *(view.kind for view in operands))))

    spec = attention.Attention(
        result,
        batched(query),
        batched(key),
        batched(value),
        scores=epilogue(site.op.scores, tuple(view.expand(shape) for view in extra)),
        weights=epilogue(site.op.weights, ()),
    )
    return attention.attention(spec, site.target)


def paired_matmul(site: Site) -> Kernel:
    """A product of two tensors that are computed, of pairs of integers of 16 bits."""
    (result,), (left, right) = site.results, map(as_pairs, site.operands)
    spec = product(result, left, right, False, site.epilogue, pairs=True)
    return matmul.matmul(spec, matmul.tiling_of(spec, site.target), site.target)


def splat(site: Site) -> Kernel:
    """One value everywhere."""
    assert isinstance(site.op, Splat)
    return fill.splat(site.results[0], site.op, site.target)


def local_response(site: Site) -> Kernel:
    """Normalisation across channels."""
    assert isinstance(site.op, Blocked)
    assert isinstance(site.op.op, Lrn)
    return lrn.lrn(site.op.op, site.results[0], site.operands[0], site.target)


def pool(site: Site) -> Kernel:
    """The largest or the mean element under each window."""
    op = site.op.op if isinstance(site.op, Blocked) else site.op
    assert isinstance(op, MaxPool | AveragePool)
    return pooling.pool(op, site.results[0], site.operands[0], site.epilogue, site.target)


def reduce(site: Site) -> Kernel:
    """The elements along some axes, combined."""
    assert isinstance(site.op, Reduction)
    return reduction.reduction(site.op, site.results[0], site.operands[0], site.epilogue, site.target)


def gathered(site: Site) -> Kernel:
    """What stands where numbers say."""
    assert isinstance(site.op, Gather | GatherND)
    operand, indices = site.operands
    return indexing.gather(site.op, site.results[0], operand, indices, site.target)


def scattered(site: Site) -> Kernel:
    """A tensor with updates where numbers say."""
    assert isinstance(site.op, ScatterND)
    operand, indices, updates = site.operands
    return indexing.scatter(site.op, site.results[0], operand, indices, updates, site.target)


def searched(site: Site) -> Kernel:
    """Where along an axis an element stands."""
    assert isinstance(site.op, ArgMax | ArgMin)
    return search.search(site.op, site.results[0], site.operands[0], site.target)


def softmax_of_rows(site: Site) -> Kernel:
    """Numbers along an axis as weights."""
    assert isinstance(site.op, Softmax | LogSoftmax)
    return softmax.softmax(site.op, site.results[0], site.operands[0], site.epilogue, site.target)


def standardized(site: Site) -> Kernel:
    """Numbers along some axes with mean zero and variance one."""
    assert isinstance(site.op, Standardize)
    return standardize.standardize(site.op, site.results[0], site.operands[0], site.epilogue, site.target)


def resampled(site: Site) -> Kernel:
    """Weighted sums of a few elements along an axis."""
    assert isinstance(site.op, Resample)
    operand, *tables = site.operands
    return resample.resample(site.op.axis, site.results[0], operand, tables, site.target)


def repeated(site: Site) -> Kernel:
    """Each element several times in a row: a copy of the operand looked at as if it had all of them."""
    assert isinstance(site.op, Repeat)
    result, operand = resample.apart(site.op.factors, site.results[0], site.operands[0])
    return copy.copy(result, operand, site.target)


def rearranged(site: Site) -> Kernel:
    """Channels of blocks in another order."""
    assert isinstance(site.op, Rearrange)
    return rearrange.rearrange(site.op, site.results[0], site.operands, site.epilogue, site.target)


def places_of_maxima(site: Site) -> Kernel:
    """Where the largest element under each window stands."""
    assert isinstance(site.op, ArgMaxPool)
    return argmax_pool.argmax_pool(site.op, site.results[0], site.operands[0], site.target)


def bits_copied(site: Site) -> Kernel:
    """The same bits taken for another kind."""
    (result,), (operand,) = site.results, site.operands
    return copy.copy(result, View(result.kind, operand.shape, operand.strides), site.target)


def cumulated(site: Site) -> Kernel:
    """Each element and all before it, combined."""
    assert isinstance(site.op, Running)
    return counting.running(site.op, site.results[0], site.operands[0], site.target)


def first_in_order(site: Site) -> Kernel:
    """The largest or smallest elements, in order."""
    assert isinstance(site.op, TopK)
    values, places = site.results
    return sorting.top_k(site.op, values, places, site.operands[0], site.target)


def passed_over(site: Site) -> Kernel:
    """Sequences, step after step."""
    assert isinstance(site.op, PackedRecurrence)
    return recurrent.recurrence(site.op.op, site.results, site.operands, site.target)


def places_not_zero(site: Site) -> Kernel:
    """Where elements are not zero."""
    places, count = site.results
    return selection.non_zero(places, count, site.operands[0], site.target)


def boxes_apart(site: Site) -> Kernel:
    """Boxes that do not overlap."""
    boxes, scores, _, *least = site.operands
    return selection.suppress_overlaps(site.results[0], boxes, scores, bool(least), site.target)


def keys_found(site: Site) -> Kernel:
    """Where elements stand in a sorted list."""
    operand, keys = site.operands
    return lookup.find_key(site.results[0], operand, keys, site.target)


def pairs_coupled(site: Site) -> Kernel:
    """Probabilities of classes."""
    assert isinstance(site.op, CouplePairs)
    return coupling.couple_pairs(site.op, site.results[0], site.operands[0], site.target)


def trees_walked(site: Site) -> Kernel:
    """Trees that decide."""
    assert isinstance(site.op, TreeEnsemble)
    return trees.tree_ensemble(site.op, site.results[0], site.operands, site.target)


def states_walked(site: Site) -> Kernel:
    """States that tokens decay, write to and read from."""
    assert isinstance(site.op, StateWalk)
    return state_walk.state_walk(site.op, site.results, site.operands, site.target)


def plainly(kernel: Callable[..., Kernel]) -> Select:
    """The kernel that is made of the operator, its results, its operands and the target, in this order."""
    return lambda site: kernel(site.op, *site.results, *site.operands, site.target)


KERNELS: Mapping[type[Op], Select] = {
    ArgMax: searched,
    ArgMin: searched,
    ArgMaxPool: places_of_maxima,
    AveragePool: pool,
    BitCast: bits_copied,
    Conv: plain_conv,
    Copy: lambda site: copy.copy(site.results[0], site.operands[0], site.target),
    Determinant: plainly(determinant.determinant),
    CouplePairs: pairs_coupled,
    FindKey: keys_found,
    FusedAttention: fused_attention,
    Gather: gathered,
    GatherND: gathered,
    Iota: lambda site: counting.iota(site.results[0], site.target),
    LogSoftmax: softmax_of_rows,
    MatMul: computed_matmul,
    MaxPool: pool,
    MaxRoiPool: plainly(roi.max_roi_pool),
    NonZero: places_not_zero,
    PackedConv: packed_conv,
    PackedMatMul: packed_matmul,
    PackedRecurrence: passed_over,
    PairedMatMul: paired_matmul,
    Rearrange: rearranged,
    Repeat: repeated,
    Resample: resampled,
    ReduceMax: reduce,
    ReduceMin: reduce,
    ReduceProd: reduce,
    ReduceSum: reduce,
    RoiAlign: plainly(roi.roi_align),
    RowOrder: lambda site: sorting.row_order(site.results[0], site.operands[0], site.target),
    RunningProduct: cumulated,
    RunningSum: cumulated,
    Sample: plainly(sampling.sample),
    ScatterND: scattered,
    Softmax: softmax_of_rows,
    Splat: splat,
    Standardize: standardized,
    StateWalk: states_walked,
    SuppressOverlaps: boxes_apart,
    TopK: first_in_order,
    TreeEnsemble: trees_walked,
}
"""The kernel for each operator, on operands of any layout."""

BLOCKED: Mapping[type[Op], Select] = {AveragePool: pool, Lrn: local_response, MaxPool: pool}
"""Operators on [N, C, H, W] for which there is a kernel that takes blocks."""

FUSING: frozenset[type[Op]] = frozenset(
    {
        AveragePool,
        Conv,
        MatMul,
        MaxPool,
        PackedConv,
        PackedMatMul,
        PairedMatMul,
        Rearrange,
        ReduceMax,
        ReduceMin,
        ReduceProd,
        ReduceSum,
        LogSoftmax,
        Softmax,
        Standardize,
    }
)
"""Operators whose kernels apply an epilogue, on blocks or not."""


def takes_epilogue(op: Op) -> bool:
    """Whether the kernel for ``op`` applies element-wise operators to its result."""
    return type(op.op if isinstance(op, Blocked) else op) in FUSING


def keeps_whole(op: Op) -> bool:
    """Whether a kernel computes a composite operator, as it stands or on blocks."""
    return has_kernel(op) or has_kernel(Blocked(op))


def wants_whole_blocks(op: Op) -> bool:
    """Whether the kernel takes operands whose last dimension is contiguous only."""
    return isinstance(op.head if isinstance(op, Fused) else op, Blocked | PackedConv | PackedRecurrence | Rearrange)


def wants_pairs(op: Op, index: int) -> bool:
    """Whether the kernel reads operand ``index`` as pairs of integers of 16 bits."""
    match op.head if isinstance(op, Fused) else op:
        case PackedMatMul(pairs=True):
            return index == 0
        case PairedMatMul():
            return index in (0, 1)
        case PackedConv(algorithm=Direct() as direct):
            return index == 0 and direct.pairs
    return False


def stores_any_kind(head: Op) -> bool:
    """Whether the kernel for ``head`` may store elements of another kind than it sums in."""
    return isinstance(head, MatMul | PackedMatMul | PairedMatMul) or (
        isinstance(head, PackedConv) and not isinstance(head.algorithm, Winograd)
    )


def wants_no_gaps(op: Op, index: int) -> bool:
    """Whether the kernel takes operand ``index`` only if its elements follow each other."""
    return isinstance(op, PackedRecurrence) and 0 < index <= len(op.op.cell.stages)
