"""Control flow: operators that choose, or repeat, what their regions compute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Results
from glowpy_ir.structured import Region, Signature, Structured
from glowpy_ir.types import Array, Kind, TensorType

P = TypeVar("P")
Types = tuple[TensorType, ...]

TRUTH = TensorType(Kind.BOOL, ())
COUNT = TensorType(Kind.I64, ())


@dataclass(frozen=True)
class If(Structured):
    """What the first region makes of ``captures`` where ``condition``, a bool scalar, is true; else the second.

    Both take all ``captures`` and give results of equal types. Only one of them runs.
    """

    regions = ("then", "else")

    def infer(self, regions: Sequence[Signature], condition: TensorType, *captures: TensorType) -> Results:
        then, otherwise = regions
        _check_scalar("condition", condition, TRUTH)
        then.check_inputs("then", *captures)
        otherwise.check_inputs("else", *captures)
        if then.outputs != otherwise.outputs:
            left, right = (", ".join(map(str, region.outputs)) for region in regions)
            raise TypeMismatch(f"one branch gives {left or 'nothing'}, the other {right or 'nothing'}")
        if not then.outputs:
            raise TypeMismatch("the branches give nothing")
        return then.outputs

    def evaluate(self, regions: Sequence[Region], condition: Array, *captures: Array) -> tuple[Array, ...]:
        then, otherwise = regions
        return tuple((then if condition else otherwise).run(*captures))


@dataclass(frozen=True)
class Loop(Structured):
    """Runs its region again and again, each time on what the time before has made.

    ``operands`` are the initial values of those tensors that are ``carried`` from one iteration to the next, and then
    what the region captures. The region takes the number of the iteration (an i64 scalar, from 0), the carried
    tensors, and the captures. It gives a condition (a bool scalar) if the loop is ``conditional``, the carried tensors
    anew, and any number of further tensors, the *scanned* ones.

    There are at most ``trips`` iterations (none if that is negative), and never more than ``bound``, which None leaves
    open; there are none if ``condition`` is false, and no more when the region's own condition is.

    The results are the carried tensors at last, the scanned ones of all iterations stacked along a new first axis of
    extent ``bound`` (without which there can be none), zeros where no iteration was, and the number of iterations.
    """

    carried: int
    bound: Dim | None = None
    conditional: bool = True

    regions = ("body",)

    @property
    def first(self) -> int:
        """The first output of the region that is carried, behind its condition."""
        return int(self.conditional)

    @property
    def extent(self) -> int:
        """The bound, which must have a value; 0 if it is left open."""
        return TensorType(Kind.BOOL, (self.bound or 0,)).count

    def infer(
        self, regions: Sequence[Signature], trips: TensorType, condition: TensorType, *operands: TensorType
    ) -> Results:
        (body,) = regions
        _check_scalar("trips", trips, COUNT)
        _check_scalar("condition", condition, TRUTH)
        if not 0 <= self.carried <= len(operands):
            raise TypeMismatch(f"of {len(operands)} operands, {self.carried} cannot be carried")
        body.check_inputs("body", COUNT, *operands)
        if len(body.outputs) < self.first + self.carried:
            raise TypeMismatch(f"the body gives {len(body.outputs)} tensors, not a condition and {self.carried} others")
        carried, scanned = self.parts(body.outputs)
        if self.conditional:
            _check_scalar("condition of the body", body.outputs[0], TRUTH)
        if carried != operands[: self.carried]:
            gives, takes = (", ".join(map(str, row)) or "nothing" for row in (carried, operands[: self.carried]))
            raise TypeMismatch(f"the body carries on {gives}, but begins with {takes}")
        if self.bound is None:
            if scanned:
                raise TypeMismatch("a loop that stacks what its iterations give must have a bound")
            return (*carried, COUNT)
        if isinstance(self.bound, int) and self.bound < 0:
            raise TypeMismatch(f"the bound of a loop must not be negative: {self.bound}")
        return (*carried, *(type.with_shape(self.bound, *type.shape) for type in scanned), COUNT)

    def parts(self, outputs: Sequence[P]) -> tuple[tuple[P, ...], tuple[P, ...]]:
        """Of what the body gives, what is carried on, and what is scanned."""
        last = self.first + self.carried
        return tuple(outputs[self.first : last]), tuple(outputs[last:])

    def evaluate(
        self, regions: Sequence[Region], trips: Array, condition: Array, *operands: Array
    ) -> tuple[Array, ...]:
        (body,) = regions
        carried, captures = operands[: self.carried], operands[self.carried :]
        bound = int(trips) if self.bound is None else min(int(trips), self.extent)
        scanned = self.parts(body.signature.outputs)[1]
        stacked = [np.zeros((self.extent, *type.extents), type.kind.dtype) for type in scanned]
        done = 0
        while done < bound and condition:
            results = body.run(np.array(done, np.int64), *carried, *captures)
            condition = results[0] if self.conditional else condition
            carried, elements = self.parts(results)
            for stack, element in zip(stacked, elements, strict=True):
                stack[done] = element
            done += 1
        return (*carried, *stacked, np.array(done, np.int64))

    def workspace(self, *operands: TensorType, in_place: Collection[int] = ()) -> Types:
        """Another place for each carried tensor that needs two; and the condition, for this iteration and the next."""
        conditions = [TRUTH.with_shape(2)] if self.conditional else []
        return (*(operands[2 + k] for k in range(self.carried) if k not in in_place), *conditions)


def _check_scalar(name: str, type: TensorType, wanted: TensorType) -> None:
    if type != wanted:
        raise TypeMismatch(f"{name} must be {wanted}, not {type}")
