"""Runs a model in parts: each is compiled when it is known how it looks, which earlier parts may have to decide."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np

from glowpy.feeds import Feed
from glowpy.onnx.importer import Fact
from glowpy.onnx.parts import Answer, HostStep, Maps, Part, Result
from glowpy.onnx.scope import input_key
from glowpy.program.plan import MemoryPlan
from glowpy.specialise import LIMIT, Output, Specialisation
from glowpy_ir.errors import GlowError, UsageError
from glowpy_ir.evaluate import apply, evaluate
from glowpy_ir.graph import Graph
from glowpy_ir.op import Movement
from glowpy_ir.ops.movement import Concat
from glowpy_ir.types import Array, TensorType

Import = Generator[Part, Answer, None]
"""A model's parts, one after the other; see ``onnx.parts``."""


@dataclass(frozen=True)
class Rearrangement:
    """A part that computes nothing, but cuts, joins and turns tensors: NumPy does that at once, and without code."""

    graph: Graph

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs, which may be views of what the part takes."""
        return evaluate(self.graph, {value.name: array for value, array in zip(self.graph.inputs, arrays, strict=True)})

    @classmethod
    def fits(cls, graph: Graph) -> bool:
        return all(isinstance(node.op, Movement | Concat) for node in graph.nodes)


@dataclass(eq=False)
class Stage:
    """A part at work, and what followed it for what came out of it."""

    part: Part
    code: Specialisation | Rearrangement | None
    """None if nothing is left to do."""
    before: tuple[Stage, Answer] | None = None
    """The part that this one follows, and what came out of it."""
    following: OrderedDict[Hashable, Stage] = field(default_factory=OrderedDict)
    rest: Import | None = None
    """The import that stopped after this part; only one can go on."""

    def run(self, found: dict[str, Array]) -> Answer:
        """Compute what the part gives, and add it to what is found; the answer decides about the next part."""
        if self.code is not None:
            results = self.code.run([found[key] for key in self.part.takes])
            found.update(zip(self.part.gives, results, strict=True))  # type: ignore[arg-type]  # tensors only
        made = tuple(_run_step(step, found) for step in self.part.steps)
        return Answer(tuple(found[key] for key in self.part.asks), made)

    def answers(self) -> list[Answer]:
        """What came out of the parts before, one after the other."""
        found: list[Answer] = []
        stage = self
        while stage.before is not None:
            stage, answer = stage.before
            found.append(answer)
        return found[::-1]

    def stages(self) -> list[Stage]:
        """This one and all that followed it."""
        found = [self]
        for stage in found:  # which grows meanwhile
            found += stage.following.values()
        return found


class Staged:
    """A model for inputs of certain shapes that is compiled in more than one part.

    A stage keeps as many different continuations as ``specialise.LIMIT``, those that were used last.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        first: Part,
        rest: Import,
        again: Callable[[], Import],
        compile: Callable[[Graph], Specialisation],
    ) -> None:
        """Compile the first part; ``inputs`` are the names of the model's inputs, ``again`` starts another import."""
        self._keys = [input_key(name) for name in inputs]
        self._again = again
        self._compile = compile
        self._lock = Lock()
        self._first = self._stage(first, None, rest)

    @property
    def memory(self) -> MemoryPlan:
        """Of the part that needs most; UsageError before one is compiled."""
        return max((code.memory for code in self._codes()), key=lambda plan: plan.arena)

    def listing(self, kind: str) -> str:
        """The code of all parts, as text."""
        return "\n".join(code.listing(kind) for code in self._codes())

    def run(self, feeds: Sequence[Feed]) -> list[Output]:
        """The outputs for inputs that fit, both in the model's order."""
        found: dict[str, Array] = {}
        for key, feed in zip(self._keys, feeds, strict=True):
            _lay_out(key, feed, found)
        stage = self._first
        while stage.part.results is None:
            stage = self._after(stage, stage.run(found))
        stage.run(found)
        return [_output(result, found) for result in stage.part.results or ()]

    def _codes(self) -> list[Specialisation]:
        with self._lock:
            codes = [stage.code for stage in self._first.stages() if isinstance(stage.code, Specialisation)]
        if not codes:
            raise UsageError("the code depends on the elements of inputs; run the model once")
        return codes

    def _after(self, stage: Stage, answer: Answer) -> Stage:
        """The stage that follows; it is compiled if there was no such answer before."""
        key = (*map(_key, answer.asked), *answer.made)
        with self._lock:
            if key not in stage.following:
                stage.following[key] = self._continue(stage, answer)
                if len(stage.following) > LIMIT:
                    stage.following.popitem(last=False)
            stage.following.move_to_end(key)
            return stage.following[key]

    def _continue(self, stage: Stage, answer: Answer) -> Stage:
        parts, stage.rest = stage.rest, None
        if parts is None:
            parts = self._again()
            next(parts)
            for earlier in stage.answers():
                parts.send(earlier)
        return self._stage(parts.send(answer), (stage, answer), parts)

    def _stage(self, part: Part, before: tuple[Stage, Answer] | None, rest: Import) -> Stage:
        code = (Rearrangement if Rearrangement.fits(part.graph) else self._compile)(part.graph) if part.gives else None
        return Stage(replace(part, graph=Graph(part.graph.name)), code, before, rest=rest)


def _lay_out(key: str, feed: Feed, found: dict[str, Array]) -> None:
    """Add all tensors of an input; the items of a sequence are numbered."""
    if isinstance(feed, list):
        for number, item in enumerate(feed):
            _lay_out(f"{key}.{number}", item, found)
    elif feed is not None:
        found[key] = feed


def _run_step(step: HostStep, found: dict[str, Array]) -> tuple[TensorType, ...]:
    arrays = [found[fact] if isinstance(fact, str) else fact for fact in step.inputs]
    try:
        results = apply(step.op, *arrays)
    except GlowError:
        raise
    except (ArithmeticError, ValueError, TypeError, LookupError) as error:
        raise UsageError(f"{step.op.name} cannot be computed for these inputs: {error}") from error
    found.update((f"{step.key}.{i}", np.asarray(array)) for i, array in enumerate(results))
    return tuple(TensorType.of(np.asarray(array)) for array in results)


def _key(array: Array) -> Hashable:
    elements = tuple(array.flat) if array.dtype == object else array.tobytes()
    return array.shape, array.dtype.str, elements


def _output(result: Result, found: dict[str, Array]) -> Output:
    match result:
        case None:
            return None
        case tuple():
            return [_output(item, found) for item in result]
        case Maps(labels=labels, rows=rows):
            matrix = _array(rows, found)
            return [dict(zip(labels, row, strict=True)) for row in matrix.reshape(-1, len(labels)).tolist()]
        case _:
            return _array(result, found).copy()


def _array(fact: Fact, found: dict[str, Array]) -> Array:
    return found[fact] if isinstance(fact, str) else fact
