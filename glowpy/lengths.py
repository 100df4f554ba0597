"""Decides which calls one program for all lengths shall serve, and keeps these programs.

A dimension grows if the model says so: an output is declared as an input is, but for one dimension that is open in
both, as the keys and values of a decoder are. Or if it has been seen to: shapes came that differ in nothing but one
length, and it had more than ``MOST_VALUES`` values. The caller may also name it and say how far it will go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self, cast

from glowpy.feeds import Shapes as Forms
from glowpy.feeds import Spec, TensorSpec
from glowpy.growing import LENGTH, Family, Growing, Shapes
from glowpy_ir.dims import Expr, symbols
from glowpy_ir.errors import GlowError, UsageError

if TYPE_CHECKING:
    from glowpy.options import Options
    from glowpy.source import Source

MOST_VALUES = 3
"""A dimension with more values than this is not worth a program for each."""

MOST_SEEN = 64
"""How many shapes are remembered to compare others with."""

WASTE = 4
"""A program for what grows may have so many times the room that a length is given."""

Build = Callable[[Family, int], Growing]
"""Compiles the program of a family for a capacity; GlowError if it cannot be one program."""

Place = tuple[int, int]
"""An input and one of its axes."""


LEAST_ROOM = 512
"""Room for what grows is no less than this: some hundred steps compile nothing, and cost little more for it."""


def room_to_grow(length: int) -> int:
    """The next power of two that leaves room for a quarter more, and for 64."""
    return max(LEAST_ROOM, 1 << (length + length // 4 + 63).bit_length())


def tight_room(length: int) -> int:
    """The next multiple of an eighth of the next power of two: less than a quarter of the work is in vain."""
    step = max(4, (1 << (length - 1).bit_length()) // 8)
    return -(-length // step) * step


class Lengths:
    """The programs for all lengths of one model."""

    def __init__(
        self,
        inputs: Sequence[TensorSpec] = (),
        outputs: Sequence[Spec] = (),
        build: Build | None = None,
        bounds: Mapping[str, int] | None = None,
        programs: Sequence[Growing] = (),
    ) -> None:
        """``build`` makes programs besides those that are there; ``bounds`` are how far the caller says it will go."""
        self._inputs = inputs
        self._bounds = bounds or {}
        self._named = list(self._bounds) or _growing_symbols(inputs, outputs)
        self._build = build
        self._seen: list[Shapes] = []
        self._refused: set[Family] = set()
        self._growing: set[Family] = set()
        """Those of which the length is known to grow, not just to have several values."""
        self._programs: dict[Family, list[Growing]] = {}
        for program in sorted(programs, key=lambda program: program.most):
            self._programs.setdefault(program.family, []).append(program)

    @classmethod
    def of(cls, source: Source, options: Options, bounds: Mapping[str, int]) -> Self | None:
        """Those of a model; None if it takes other things than tensors. UsageError for a bound of no dimension."""
        from glowpy.compiler import compile_graph  # with what only compiling needs
        from glowpy.passes.bounds import bounded

        inputs = [spec for spec in source.inputs if isinstance(spec, TensorSpec)]
        names = {str(dim) for spec in inputs for dim in spec.type.shape if isinstance(dim, Expr)}
        for name in bounds:
            if name not in names:
                raise UsageError(f"no dimension {name!r} to bound; there are: {', '.join(sorted(names)) or 'none'}")

        def build(family: Family, capacity: int) -> Growing:
            graph = source.graph_for(family.shapes)  # type: ignore[arg-type]  # the length stays open
            work = bounded(graph, LENGTH, capacity)
            return Growing.of(family, work, compile_graph(work.graph, options))

        return cls(inputs, source.outputs, build, bounds) if len(inputs) == len(source.inputs) else None

    def known(self, forms: Forms) -> Growing | None:
        """The program for inputs of these shapes, if they are of a family that has programs."""
        shapes = cast(Shapes, forms)
        for family in self._programs:
            length = family.length(shapes)
            if length is not None:
                return self._fitting(family, length)
        return None

    def learned(self, forms: Forms) -> Growing | None:
        """A new program for these shapes, which came for the first time; None if they shall have one of their own."""
        if self._build is None:
            return None
        shapes = cast(Shapes, forms)
        for family, grows in self._candidates(shapes):
            length = family.length(shapes)
            if family in self._refused or length is None:
                continue
            if grows:
                self._growing.add(family)
            try:
                return self._fitting(family, length)
            except GlowError:
                self._refused.add(family)
        self._seen = [*self._seen[1 - MOST_SEEN :], shapes]
        return None

    def all(self) -> list[Growing]:
        """The programs that are there now."""
        return [program for programs in self._programs.values() for program in programs]

    def _fitting(self, family: Family, length: int) -> Growing | None:
        """The smallest program with room for a length that is not much too large; if there is none, a new one.

        None if it would be too long, or too short, for all that can be had.
        """
        known = self._programs.get(family, [])
        if any(length < program.least for program in known):
            return None
        large_enough = [program for program in known if length <= program.most]
        if self._build is None:
            return next(iter(large_enough), None)
        if family in self._growing or any(program.rooms for program in known):
            wanted = max(room_to_grow(length), *(n for n in (0, *self._bounds.values()) if n > length or not n))
            limit = WASTE * wanted
        else:
            limit = wanted = tight_room(length)
        for program in large_enough:
            if program.most <= limit:
                return program
        made = self._build(family, wanted)
        if made.most < length:
            made = self._build(family, 2 * wanted - made.most)
        self._programs[family] = sorted([*known, made], key=lambda program: program.most)
        return made if length >= made.least else None

    def _candidates(self, shapes: Shapes) -> Iterator[tuple[Family, bool]]:
        """Families that the shapes may be of, and whether their length is known to grow."""
        for name in self._named:
            moving = _places(self._inputs, name)
            length = shapes[moving[0][0]][moving[0][1]]
            longer = [
                (i, axis)
                for i, spec in enumerate(self._inputs)
                for axis, dim in enumerate(spec.type.shape)
                if isinstance(dim, Expr) and symbols(dim) != {name} and shapes[i][axis] > length
            ]
            # What is longer, as a mask over past and present is, likely grows along; if it does not, the types tell.
            for others in (longer, []) if longer else ([],):
                yield Family.of(shapes, [*moving, *others]), True
        alike: dict[tuple[Place, ...], int] = {}
        for seen in self._seen:
            places = _moved_together(shapes, seen)
            alike[places] = alike.get(places, 0) + 1
        for places, count in alike.items():
            if places and count >= MOST_VALUES:
                yield Family.of(shapes, places), False


def _growing_symbols(inputs: Sequence[TensorSpec], outputs: Sequence[Spec]) -> list[str]:
    """The names of dimensions of inputs that outputs continue, as far as one can see that in what is declared."""
    found: dict[str, None] = {}
    for source in inputs:
        for result in outputs:
            if not isinstance(result, TensorSpec) or (result.type.kind, result.type.rank) != (
                source.type.kind,
                source.type.rank,
            ):
                continue
            pairs = list(zip(source.type.shape, result.type.shape, strict=True))
            differing = [(old, new) for old, new in pairs if old != new]
            if len(differing) == 1 and all(isinstance(dim, Expr) for dim in differing[0]):
                (old, _) = differing[0]
                if symbols(old) == {str(old)} and source.type.rank > 2:
                    found[str(old)] = None
    return list(found)


def _places(inputs: Sequence[TensorSpec], name: str) -> list[Place]:
    return [
        (i, axis)
        for i, spec in enumerate(inputs)
        for axis, dim in enumerate(spec.type.shape)
        if isinstance(dim, Expr) and str(dim) == name
    ]


def _moved_together(shapes: Shapes, others: Shapes) -> tuple[Place, ...]:
    """Where two lists of shapes differ, if all the differences are the same; else nothing."""
    if [len(shape) for shape in shapes] != [len(shape) for shape in others]:
        return ()
    differences = {
        (i, axis): a - b
        for i, (shape, other) in enumerate(zip(shapes, others, strict=True))
        for axis, (a, b) in enumerate(zip(shape, other, strict=True))
        if a != b
    }
    return tuple(differences) if len(set(differences.values())) == 1 else ()
