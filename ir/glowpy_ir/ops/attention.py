"""Operators of language models on states that are carried on from token to token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.counting import Iota
from glowpy_ir.ops.elementwise import FLOATS, Add, require_kind, scalar, widened
from glowpy_ir.ops.functions import Exp
from glowpy_ir.ops.indexing import ScatterND
from glowpy_ir.ops.movement import Concat, Expand, Reshape, full_slice
from glowpy_ir.ops.reduction import cast
from glowpy_ir.ops.remainder import Mod
from glowpy_ir.types import Array, Kind, TensorType


@dataclass(frozen=True)
class CacheUpdate(Composite):
    """``cache`` with the elements of ``update`` from ``start[n]`` on along ``axis`` (ONNX TensorScatter)

    ``[N, …, length, …]`` and ``[N, …, count, …]``; without ``start``, from 0 on. ``circular``, what would stand behind
    the end stands at the front.
    """

    axis: int
    circular: bool = False

    def expand(self, e: Emitter[T], cache: T, update: T, start: T | None = None) -> T:
        whole, part, axis = e.type_of(cache), e.type_of(update), self.axis
        if not 0 < axis < whole.rank or part != whole.with_shape(
            *whole.shape[:axis], *part.shape[axis : axis + 1], *whole.shape[axis + 1 :]
        ):
            raise TypeMismatch(f"{part} is no part of {whole} along axis {axis}")
        length, count = whole.shape[axis], part.shape[axis]
        if isinstance(length, int) and isinstance(count, int) and count > length:
            raise TypeMismatch(f"{part} is more than {whole} holds along axis {axis}")
        if start is None:
            if length == count:
                return update
            return e.add(Concat(axis), update, e.add(full_slice(whole.shape, axis, count, length - count), cache))
        if e.type_of(start) != TensorType(Kind.I64, whole.shape[:1]):
            raise TypeMismatch(f"each of {whole} needs a start, not {e.type_of(start)}")
        shape = part.shape[: axis + 1]
        tuples = []
        for d, extent in enumerate(shape):
            number = _along(e, e.add(Iota(extent)), d, axis + 1)
            if d == axis:
                number = e.add(Add(), number, _along(e, start, 0, axis + 1))
                number = e.add(Mod(), number, scalar(e, length, number)) if self.circular else number
            tuples.append(e.add(Reshape((*shape, 1)), e.add(Expand(shape), number)))
        return e.add(ScatterND(), cache, e.add(Concat(axis + 1), *tuples), update)


def _along(e: Emitter[T], numbers: T, axis: int, rank: int) -> T:
    """A list as a tensor of ``rank`` that has it along one axis."""
    (extent,) = e.type_of(numbers).shape
    shape: list[Dim] = [1] * rank
    shape[axis] = extent
    return e.add(Reshape(tuple(shape)), numbers)


@dataclass(frozen=True)
class LinearAttention(Composite):
    """Attention by a state that each token decays, writes to and reads from (ONNX LinearAttention)

    The operands hold ``[N, tokens, heads * size]``: ``query``, and for fewer heads ``key`` and ``value``. The state is
    ``[N, heads, key size, value size]``. With ``decays``, the first of ``gates`` is the logarithm of a factor for each
    head or each row of its state; with ``corrects``, the last one is the rate at which a value replaces what the state
    has for the key (Yang and others, arXiv 2412.06464). The results are ``[N, tokens, heads * value size]`` and the
    last state.
    """

    heads: int
    shared_heads: int
    scale: float
    decays: bool = True
    corrects: bool = True

    def expand(self, e: Emitter[T], query: T, key: T, value: T, state: T, *gates: T) -> tuple[T, T]:
        if self.heads < 1 or self.shared_heads < 1:
            raise TypeMismatch(f"there are {self.heads} and {self.shared_heads} heads")
        if len(gates) != self.decays + self.corrects:
            raise TypeMismatch(f"{len(gates)} gates are given, {self.decays + self.corrects} are needed")
        parts = [_by_head(e, query, self.heads), *(_by_head(e, x, self.shared_heads) for x in (key, value))]
        if self.decays:
            parts.append(e.add(Exp(), cast(e, _by_head(e, gates[0], self.shared_heads), Kind.F32)))
        if self.corrects:
            (*_, heads) = e.type_of(gates[-1]).shape
            rate = _by_head(e, gates[-1], self.shared_heads if heads == self.shared_heads else 1)
            parts.append(rate)
        walk = StateWalk(self.scale, self.decays, self.corrects)
        result, last = e.add_all(walk, *parts[:3], state, *parts[3:])
        batch, tokens, heads, size = e.type_of(result).shape
        return e.add(Reshape((batch, tokens, heads * size)), result), last


def _by_head(e: Emitter[T], packed: T, heads: int) -> T:
    type = e.type_of(packed)
    if type.rank != 3 or (isinstance(type.shape[2], int) and type.shape[2] % heads):
        raise TypeMismatch(f"{type} is not [N, tokens, {heads} heads * size]")
    return e.add(Reshape((*type.shape[:2], heads, type.shape[2] // heads)), packed)


@dataclass(frozen=True)
class StateWalk(Primitive):
    """For each token in order: ``state = state * decay``, ``state += key ⊗ (value - stateᵀ key) * rate``, and the
    result ``stateᵀ query * scale``; and the last state

    ``query [N, tokens, heads, K]``, ``key [N, tokens, shared, K]``, ``value [N, tokens, shared, V]``, ``state
    [N, shared, K, V]``, each of whose heads as many of the query's share. ``decays`` brings a factor ``[N, tokens,
    shared, K or 1]``; ``corrects`` a rate ``[N, tokens, shared or 1, 1]``, and else the value is written as it is.
    Everything is computed in f32.
    """

    scale: float = 1.0
    decays: bool = False
    corrects: bool = False

    def infer(
        self, query: TensorType, key: TensorType, value: TensorType, state: TensorType, *gates: TensorType
    ) -> tuple[TensorType, TensorType]:
        for operand in (query, key, value, state, *gates):
            require_kind(self.name, operand.kind, FLOATS - {Kind.F64})
            if operand.rank != 4:
                raise TypeMismatch(f"{self.name} takes tensors of 4 dimensions, not {operand}")
        batch, tokens, heads, depth = query.shape
        shared, width = key.shape[2], value.shape[3]
        wanted = [(batch, tokens, shared, depth), (batch, tokens, shared, width), (batch, shared, depth, width)]
        if [key.shape, value.shape, state.shape] != wanted or len(gates) != self.decays + self.corrects:
            raise TypeMismatch(f"{self.name}: {query}, {key}, {value}, {state} and {len(gates)} gates do not fit")
        if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
            raise TypeMismatch(f"{self.name}: {heads} heads of {query} cannot share {shared} states")
        allowed = [[(shared, depth), (shared, 1)]] * self.decays + [[(shared, 1), (1, 1)]] * self.corrects
        for gate, shapes in zip(gates, allowed, strict=True):
            if gate.shape[:2] != (batch, tokens) or gate.shape[2:] not in shapes:
                raise TypeMismatch(f"{self.name}: a gate for {key} cannot be {gate}")
        return query.with_shape(batch, tokens, heads, width), state

    def evaluate(self, query: Array, key: Array, value: Array, state: Array, *gates: Array) -> tuple[Array, Array]:
        queries, keys, values, current, *factors = (
            np.moveaxis(widened(x), 1, 2) if i != 3 else widened(x).copy()
            for i, x in enumerate((query, key, value, state, *gates))
        )
        batch, heads, tokens, depth = queries.shape
        shared, width = values.shape[1], values.shape[3]
        grouped = queries.reshape(batch, shared, heads // shared, tokens, depth)
        result = np.zeros((batch, tokens, shared, heads // shared, width), np.float32)
        for t in range(tokens):
            written = values[:, :, t]
            if self.decays:
                current *= factors[0][:, :, t, :, None]
            if self.corrects:
                written = factors[-1][:, :, t] * (written - np.einsum("nhkv,nhk->nhv", current, keys[:, :, t]))
            current += keys[:, :, t, :, None] * written[:, :, None]
            read = np.einsum("nhkv,nhgk->nhgv", current, grouped[:, :, :, t])
            result[:, t] = np.float32(self.scale) * read
        return result.reshape(batch, tokens, heads, width).astype(query.dtype), current.astype(state.dtype)
