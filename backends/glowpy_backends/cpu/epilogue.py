"""What a heavy kernel does with its results while they are in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glowpy_backends.cpu.builder import Builder, Index, Ssa, Type, zero
from glowpy_backends.cpu.halves import as_bits
from glowpy_backends.cpu.view import View

Apply = Callable[[Builder, list[Ssa]], Ssa]


def keep(b: Builder, values: list[Ssa]) -> Ssa:
    """The result as it was accumulated."""
    return values[0]


@dataclass(frozen=True)
class Epilogue:
    """``apply([start + accumulated, *operands])`` for each vector of the result.

    ``start`` and ``operands`` are views broadcast to the result's logical shape. Their pointers follow the kernel's
    own inputs, ``start`` first. An operand may be the very memory of the result (in place), at equal strides;
    ``start`` may not. ``apply`` gives a vector of the result's kind; two epilogues are equal if their views and
    their ``apply`` are, so that a value (a frozen dataclass with ``__call__``) lets equal kernels be found.
    """

    operands: tuple[View, ...] = ()
    apply: Apply = keep
    start: View | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The views of all extra operands, in the order of their pointers."""
        return self.operands if self.start is None else (self.start, *self.operands)


class Output:
    """The result of a kernel and the operands of its epilogue, with their pointers."""

    def __init__(
        self, b: Builder, result: View, pointer: Ssa, epilogue: Epilogue, pointers: Sequence[Ssa], lanes: int
    ) -> None:
        self.builder = b
        self.result = result
        self.pointer = pointer
        self.epilogue = epilogue
        self.pointers = list(pointers)
        self.lanes = lanes

    def tile(self, origin: Sequence[Index]) -> Tile:
        """The elements around ``origin``, an index of the result."""
        b = self.builder

        def at(view: View, pointer: Ssa) -> _Place:
            offset: Index = 0
            for position, stride in zip(origin, view.strides, strict=True):
                offset = b.add(offset, b.mul(position, stride))
            return _Place(view, b.gep(pointer, offset, view.element))

        places = [at(view, p) for view, p in zip(self.epilogue.views, self.pointers, strict=True)]
        start = places.pop(0) if self.epilogue.start is not None else None
        return Tile(b, self.lanes, at(self.result, self.pointer), start, places, self.epilogue.apply)


@dataclass(frozen=True)
class _Place:
    view: View
    pointer: Ssa

    def address(self, b: Builder, delta: Sequence[int]) -> Ssa:
        return b.gep(self.pointer, self.view.displacement(delta), self.view.element)


class Tile:
    """Results near each other; ``delta`` is the literal distance of a vector from the tile's origin, by dimension.

    Along the last dimension a vector has ``lanes`` elements, of which ``count`` exist. One tile serves one stretch of
    code without branches, since what its vectors share is loaded only once.
    """

    def __init__(
        self, b: Builder, lanes: int, result: _Place, start: _Place | None, operands: list[_Place], apply: Apply
    ) -> None:
        self._builder = b
        self._lanes = lanes
        self._result = result
        self._start = start
        self._operands = operands
        self._apply = apply
        self._loaded: dict[tuple[int, int], Ssa] = {}

    def start(self, delta: Sequence[int], count: int, type: Type) -> Ssa:
        """What accumulation starts from."""
        return zero(type) if self._start is None else self._load(self._start, delta, count)

    def started(self, value: Ssa, delta: Sequence[int]) -> Ssa:
        """What accumulation starts from, added to a full vector that was accumulated without it."""
        if self._start is None:
            return value
        return self._builder.op("fadd", self._load(self._start, delta, self._lanes), value)

    def finish(self, value: Ssa, delta: Sequence[int], count: int) -> None:
        """Applies the epilogue to an accumulated vector and stores what comes out."""
        b = self._builder
        operands = [self._load(place, delta, count) for place in self._operands]
        result = self._apply(b, [value, *operands])
        pointer = self._result.address(b, delta)
        if self._result.view.strides[-1] == 1:
            b.store_first(result, pointer, count)
            return
        for lane in range(count):
            step = b.gep(pointer, lane * self._result.view.strides[-1], self._result.view.element)
            b.store(b.lane(result, lane), step)

    def _load(self, place: _Place, delta: Sequence[int], count: int) -> Ssa:
        """Loaded once if several vectors share it; no broadcast operand is the memory of a result."""
        b, displacement = self._builder, place.view.displacement(delta)
        key = (self._operands.index(place) if place is not self._start else -1, displacement)
        if key in self._loaded:
            return self._loaded[key]
        value = load_vector(b, place.view, place.address(b, delta), self._lanes, count)
        if place is not self._start:
            value = as_bits(b, value)
        if 0 in place.view.strides:
            self._loaded[key] = value
        return value


def load_vector(b: Builder, view: View, pointer: Ssa, lanes: int, count: int) -> Ssa:
    """``count`` elements along the last dimension as the first lanes of a vector."""
    vector = view.element.vector(lanes)
    stride = view.strides[-1]
    if stride == 1:
        return b.load_first(pointer, count, vector)
    if stride == 0:
        return b.splat(b.load(pointer, view.element), lanes)
    value = zero(vector)
    for lane in range(count):
        scalar = b.load(b.gep(pointer, lane * stride, view.element), view.element)
        value = b.insert(value, scalar, lane)
    return value
