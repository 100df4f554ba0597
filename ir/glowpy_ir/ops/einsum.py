"""Einstein's notation: sums of products over named dimensions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Generic

from glowpy_ir.dims import Dim, product
from glowpy_ir.errors import TypeMismatch, Unsupported
from glowpy_ir.op import Composite, Emitter, Primitive, T
from glowpy_ir.ops.elementwise import Mul, broadcast_shapes
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Expand, Reshape, Transpose, full_slice
from glowpy_ir.ops.reduction import ReduceSum, cast, wide

Labels = tuple[int, ...]
"""A number for each dimension; equal numbers name equal dimensions."""


@dataclass(frozen=True)
class Einsum(Composite):
    """The product of all operands for each choice of labels, summed over those that ``result`` lacks (ONNX Einsum).

    ``ij,jk->ik`` is ``terms=((0,1),(1,2)) result=(0,2)``. A label that an operand has twice takes its diagonal; a
    dimension of one is repeated to the extent that the label has elsewhere. Operands are multiplied from left to
    right, each product as a matrix product.
    """

    terms: tuple[Labels, ...]
    result: Labels

    def expand(self, e: Emitter[T], *operands: T) -> T:
        if not operands or len(operands) != len(self.terms):
            raise TypeMismatch(f"{len(self.terms)} terms for {len(operands)} operands")
        if len(set(self.result)) < len(self.result) or not {*self.result} <= {n for term in self.terms for n in term}:
            raise TypeMismatch(f"the result {self.result} must take its labels from {self.terms}, each once")
        kind = e.type_of(operands[0]).kind
        extents = self._extents(e, operands)
        terms = [
            _Term(e, wide(e, operand) if kind.is_float else operand, labels).widened(extents).diagonal()
            for operand, labels in zip(operands, self.terms, strict=True)
        ]
        total = terms[0].summed({*self.result}.union(*self.terms[1:]))
        for i, term in enumerate(terms[1:], start=1):
            later = {*self.result}.union(*self.terms[i + 1 :])
            total = total.times(term.summed(later | {*total.labels}), later)
        return cast(e, total.ordered(self.result), kind)

    def _extents(self, e: Emitter[T], operands: tuple[T, ...]) -> dict[int, Dim]:
        extents: dict[int, Dim] = {}
        for operand, labels in zip(operands, self.terms, strict=True):
            type = e.type_of(operand)
            if type.rank != len(labels):
                raise TypeMismatch(f"{type} has not the {len(labels)} dimensions of its term")
            for label, dim in zip(labels, type.shape, strict=True):
                (extents[label],) = broadcast_shapes((extents.get(label, 1),), (dim,))
        return extents


@dataclass(frozen=True)
class _Term(Generic[T]):
    """A tensor whose dimensions have labels."""

    e: Emitter[T]
    value: T
    labels: Labels

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.e.type_of(self.value).shape

    def extents(self, labels: Iterable[int]) -> tuple[Dim, ...]:
        return tuple(self.shape[self.labels.index(label)] for label in labels)

    def widened(self, extents: Mapping[int, Dim]) -> _Term[T]:
        """Dimensions of one repeated to the extents of their labels."""
        shape = tuple(extents[label] for label in self.labels)
        return self if shape == self.shape else replace(self, value=self.e.add(Expand(shape), self.value))

    def diagonal(self) -> _Term[T]:
        """The elements at which the dimensions of one label agree."""
        for label in self.labels:
            if self.labels.count(label) == 1:
                continue
            first = self.labels.index(label)
            second = self.labels.index(label, first + 1)
            others = [axis for axis in range(len(self.labels)) if axis not in (first, second)]
            shape, extent = tuple(self.shape[axis] for axis in others), self.shape[first]
            if not isinstance(extent, int):
                raise Unsupported(f"the diagonal of {self.e.type_of(self.value)} needs its extent; bind it (--dim)")
            square = self.e.add(Transpose((*others, first, second)), self.value)
            flat = self.e.add(Reshape((*shape, extent * extent)), square)
            diagonal = self.e.add(full_slice((*shape, extent * extent), len(shape), 0, extent, extent + 1), flat)
            return _Term(self.e, diagonal, (*(self.labels[axis] for axis in others), label)).diagonal()
        return self

    def summed(self, kept: Collection[int]) -> _Term[T]:
        """Summed over the labels that are not ``kept``."""
        axes = tuple(axis for axis, label in enumerate(self.labels) if label not in kept)
        if not axes:
            return self
        labels = tuple(label for label in self.labels if label in kept)
        return _Term(self.e, self.e.add(ReduceSum(axes, keepdims=False), self.value), labels)

    def ordered(self, labels: Labels) -> T:
        """The tensor with its dimensions in this order."""
        order = tuple(self.labels.index(label) for label in labels)
        return self.value if order == tuple(range(len(order))) else self.e.add(Transpose(order), self.value)

    def grouped(self, *groups: Labels, apart: Labels = ()) -> T:
        """``apart`` as dimensions of their own, then one dimension for each group."""
        value = self.ordered((*apart, *(label for group in groups for label in group)))
        return self.e.add(Reshape((*self.extents(apart), *(product(self.extents(g)) for g in groups))), value)

    def times(self, other: _Term[T], kept: Collection[int]) -> _Term[T]:
        """The product, summed over the labels that both have and that are not ``kept``."""
        shared = tuple(label for label in self.labels if label in other.labels)
        batch = tuple(label for label in shared if label in kept)
        inner = tuple(label for label in shared if label not in kept)
        left = tuple(label for label in self.labels if label not in shared)
        right = tuple(label for label in other.labels if label not in shared)
        e = self.e
        multiply: Primitive = MatMul() if inner else Mul()
        lhs, rhs = self.grouped(left, inner, apart=batch), other.grouped(inner, right, apart=batch)
        shape = (*self.extents((*batch, *left)), *other.extents(right))
        made = cast(e, e.add(multiply, lhs, rhs), e.type_of(lhs).kind)
        return _Term(e, e.add(Reshape(shape), made), (*batch, *left, *right))
