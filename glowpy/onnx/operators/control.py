"""Operators that choose which nodes run, and how often.

What is known when the model is imported leaves no choice. Otherwise the nested graphs become regions, which are
compiled with all the rest, if their tensors have the same types whatever is chosen, and in each iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto

from glowpy.onnx.context import NodeContext, Table
from glowpy.onnx.folding import FoldingBuilder
from glowpy.onnx.inputs import declared_shape
from glowpy.onnx.regions import NotStatic, Region
from glowpy.onnx.scope import Hole, Named, Nothing
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, TypeMismatch
from glowpy_ir.graph import Constant, Value
from glowpy_ir.ops.control import COUNT, If, Loop
from glowpy_ir.ops.movement import Reshape, Slice
from glowpy_ir.types import Kind

FOREVER = np.array(np.iinfo(np.int64).max)
"""The number of trips of a loop that only its condition ends."""

MOST_TRIPS = 1 << 50
"""So many iterations of a nanosecond take a fortnight."""

MOST_STACKED = 1 << 26
"""Bytes for which what a loop stacks may have room that it does not use; else its iterations are counted first."""


def load_if(c: NodeContext) -> tuple[Named, ...]:
    """If: both branches as regions, or the one that is taken."""
    branches = c.attributes.graph("then_branch"), c.attributes.graph("else_branch")
    if any(dim != 1 for dim in c.type(0).shape):
        raise TypeMismatch(f"a condition must be one truth value, not {c.type(0)}")
    if not c.is_known(0):
        try:
            return _choose(c, branches)
        except NotStatic:
            pass  # one of them can be imported once it is known which
    return c.inline(branches[0 if c.known(0).item() else 1])


def _choose(c: NodeContext, branches: Sequence[GraphProto]) -> tuple[Value, ...]:
    regions = [c.region(name) for name in If.regions]
    types = []
    for region, proto in zip(regions, branches, strict=True):
        results = region.run(proto)
        types.append([value.type for value in results])
        region.finish(zip((output.name for output in proto.output), results, strict=True))
    if types[0] != types[1] or not types[0]:
        raise NotStatic("the branches give tensors of different types")
    captures = [*dict.fromkeys(value for region in regions for value in region.captures)]
    graphs = [region.graph(captures) for region in regions]
    return c.b.add_all(If(), scalar_of(c.b, c.input(0)), *captures, regions=graphs)


def scalar_of(b: FoldingBuilder, value: Value) -> Value:
    """The only element of a value."""
    return b.add(Reshape(()), value) if value.type.rank else value


def load_loop(c: NodeContext) -> tuple[Named, ...]:
    """Loop: the body as a region; or put down for each iteration, where that changes types or carries sequences."""
    body = c.attributes.graph("body")
    carried = c.inputs[2:]
    if len(body.input) != 2 + len(carried) or len(body.output) < 1 + len(carried):
        numbers = f"takes {len(body.input)} and gives {len(body.output)}"
        raise BadModel(f"the body {numbers}, which {len(carried)} carried tensors do not fit")
    trips, condition = (c.optional(index) for index in (0, 1))
    for value, kind in ((trips, Kind.I64), (condition, Kind.BOOL)):
        if value is not None and (value.type.kind is not kind or any(dim != 1 for dim in value.type.shape)):
            raise TypeMismatch(f"the number of trips and the condition must be single elements, not {value.type}")
    tensors = tuple(thing for thing in carried if isinstance(thing, Value))
    if len(tensors) == len(carried):
        loop = StaticLoop(
            c,
            scalar_of(c.b, trips) if trips else c.constant(FOREVER),
            scalar_of(c.b, condition) if condition else c.constant(np.array(True)),
            tensors,
            lambda region, number, *now: _run_body(region, body, number, now),
            [c.wants(len(carried) + k) for k in range(len(body.output) - 1 - len(carried))],
        )
        try:
            return loop.load()
        except NotStatic:
            pass  # what is wrong with the body, if anything, is told when it is put down
    return c.unroll(body, trips, condition, [Nothing() if thing is None else thing for thing in carried])


def _run_body(region: Region, body: GraphProto, number: Value, now: Sequence[Value]) -> list[Value]:
    """The outputs of a loop's body in an iteration; its condition, which holds there, is a constant."""
    lists = [declared_shape(value) == (1,) for value in body.input[:2]]
    counter = region.b.add(Reshape((1,)), number) if lists[0] else number
    holds = region.b.constant(np.ones((1,) if lists[1] else (), np.bool_))
    condition, *rest = region.run(body, counter, holds, *now)
    if condition.type.kind is not Kind.BOOL or any(dim != 1 for dim in condition.type.shape):
        raise BadModel(f"the condition that the body gives must be one truth value, not {condition.type}")
    return [scalar_of(region.b, condition), *rest]


Body = Callable[..., list[Value]]
"""Builds an iteration: takes the region, the number of the iteration and what is carried; gives the condition for the
next one, what is carried on, and what is stacked."""


@dataclass(frozen=True)
class StaticLoop:
    """A loop whose body is a region, on its way into the graph."""

    c: NodeContext
    trips: Value
    condition: Value
    initial: tuple[Value, ...]
    body: Body
    wanted: Sequence[bool]
    """Which of the stacked results are used."""
    room: Dim | None = None
    """How many elements are stacked, even if there are fewer iterations; None: as many as there are iterations."""

    def load(self) -> tuple[Named, ...]:
        """What is carried at last, and what the iterations stacked."""
        region = self._region(self.wanted)
        if self._goes_on(region) and isinstance(self.trips, Constant) and self.trips.data.item() > MOST_TRIPS:
            raise BadModel("the loop does not end, or not in years: its condition stays true")
        if not any(self.wanted):
            return (*self._add(region, None)[:-1], *(Hole.ABSENT for _ in self.wanted))
        room = self._room(region)
        if room is not None:
            *results, _ = self._add(region, room)
        else:
            *results, done = self._add(region, self._enough(region))
            results[len(self.initial) :] = self._cut(results[len(self.initial) :], done)
        given = iter(results[len(self.initial) :])
        return (*results[: len(self.initial)], *(next(given) if wants else Hole.ABSENT for wants in self.wanted))

    def _room(self, region: Region) -> Dim | None:
        """How many elements are stacked, if that can be told: then one for each trip, as nothing ends the loop early;
        or if there is no telling how many there could be, and the iterations must be counted first."""
        if self.room is not None:
            return self.room
        if self._goes_on(region):
            dims = self.c.b.dims_of(self.trips)
            if dims and not isinstance(dims[0], int):
                return dims[0]
            return max(0, int(self.c.demand(self.trips, "the number of trips").item()))
        if self._enough(region) is not None:
            return None
        done = self._add(self._region([False] * len(self.wanted)), None)[-1]
        return int(self.c.demand(done, "the number of iterations").item())

    def _goes_on(self, region: Region) -> bool:
        """Whether the conditions, before the loop and after each iteration, are known to be true."""
        return all(isinstance(v, Constant) and v.data.item() for v in (region.outputs[0], self.condition))

    def _enough(self, region: Region) -> int | None:
        """For how many iterations there must be room, if that is not far too much."""
        elements = [value.type for value in region.outputs[1 + len(self.initial) :]]
        if not isinstance(self.trips, Constant) or not all(type.is_static for type in elements):
            return None
        most = max(0, int(self.trips.data.item()))
        return most if most * sum(type.nbytes for type in elements) <= MOST_STACKED else None

    def _cut(self, stacks: Sequence[Value], done: Value) -> list[Value]:
        """The elements of the iterations that were."""
        count = int(self.c.demand(done, "the number of iterations").item())
        shapes = [(count, *stack.type.shape[1:]) for stack in stacks]
        cuts = [Slice((0,) * len(shape), shape, (1,) * len(shape)) for shape in shapes]
        return [self.c.b.add(cut, stack) for cut, stack in zip(cuts, stacks, strict=True)]

    def _region(self, wanted: Sequence[bool]) -> Region:
        """The body; NotStatic if an iteration makes other types than it takes."""
        region = self.c.region("body")
        number = region.input("iteration", COUNT)
        now = [region.input(f"carried.{k}", value.type) for k, value in enumerate(self.initial)]
        condition, *rest = self.body(region, number, *now)
        following, stacked = rest[: len(now)], rest[len(now) :]
        for k, (before, after) in enumerate(zip(now, following, strict=True)):
            if before.type != after.type:
                raise NotStatic(f"carried tensor {k} is {before.type} before an iteration, and {after.type} after it")
        kept = [value for value, wants in zip(stacked, wanted, strict=True) if wants]
        named = [("condition", condition), *((f"carried.{k}", value) for k, value in enumerate(following))]
        region.finish([*named, *((f"stacked.{k}", value) for k, value in enumerate(kept))])
        return region

    def _add(self, region: Region, bound: Dim | None) -> tuple[Value, ...]:
        captures = [*region.captures]
        loop = Loop(len(self.initial), bound)
        operands = (self.trips, self.condition, *self.initial, *captures)
        return self.c.b.add_all(loop, *operands, regions=[region.graph(captures)])


LOADERS: Table = {("If", 1): load_if, ("Loop", 1): load_loop}
