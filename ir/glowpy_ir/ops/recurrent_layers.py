"""Layers of recurrent networks: recurrences in one or both directions, and the product that feeds them.

T is the number of steps, N that of sequences, I that of inputs, H that of hidden units, G that of a cell's gates, D
that of directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from glowpy_ir.dims import Dim, is_static
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.op import Composite, Emitter, T
from glowpy_ir.ops.elementwise import Add, Mul, Splat
from glowpy_ir.ops.linear import MatMul
from glowpy_ir.ops.movement import Concat, Expand, Reshape, Transpose, full_slice
from glowpy_ir.ops.quantization import DynamicQuantizeLinear, MatMulInteger, centered
from glowpy_ir.ops.recurrent import Cell, Recurrence
from glowpy_ir.ops.reduction import cast, wide
from glowpy_ir.types import Kind, TensorType


class Direction(Enum):
    """Which way a layer passes over its sequences."""

    FORWARD = "forward"
    REVERSE = "reverse"
    BIDIRECTIONAL = "bidirectional"

    @property
    def reverses(self) -> tuple[bool, ...]:
        """For each pass over the sequences, whether it begins at their ends."""
        return {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[self.value]


@dataclass(frozen=True)
class Layer(Composite):
    """Recurrences over the same sequences, one with a cell of its own for each direction."""

    cells: tuple[Cell, ...]
    direction: Direction = Direction.FORWARD
    batch_first: bool = False
    ragged: bool = False

    def _passes(
        self,
        e: Emitter[T],
        input: T,
        hidden: Dim,
        bias: T,
        rest: Sequence[T],
        factors: Callable[[T, int], tuple[T, tuple[T, ...]]],
    ) -> tuple[T, ...]:
        """The results, for the operands as a layer without quantization has them.

        ``factors`` makes of the input and of a direction's number the product outside and the recurrent operands.
        """
        kind = e.type_of(input).kind
        cell = self.cells[0]
        self._check([e.type_of(operand) for operand in (input, bias, *rest)], hidden)
        lengths = rest[-1:] if self.ragged else ()
        states = rest[: cell.states]
        if self.batch_first:
            input = e.add(Transpose((1, 0, 2)), input)
            states = [e.add(Transpose((1, 0, 2)), state) for state in states]
        input = wide(e, input)
        passes = []
        for number, (one, reverse) in enumerate(zip(self.cells, self.direction.reverses, strict=True)):
            biases, *initial = (part(e, wide(e, x), number) for x in (bias, *states))
            outer, parameters = _split_bias(e, one, biases)
            if one.peepholes:
                seen = part(e, wide(e, rest[cell.states]), number)
                parameters = [*parameters, e.add(Reshape((one.peepholes, hidden)), seen)]
            if len(parameters) > 1:
                parameters = [e.add(Concat(0), *parameters)]
            product, recurrent = factors(input, number)
            outside = e.add(Add(), product, outer)
            op = Recurrence(one, reverse, self.ragged)
            passes.append(e.add_all(op, outside, *recurrent, *initial, *parameters, *lengths))
        sequences, *ends = zip(*passes, strict=True)
        sequence, finals = _stack(e, sequences, 1), [_stack(e, parts, 0) for parts in ends]
        if self.batch_first:
            sequence = e.add(Transpose((2, 0, 1, 3)), sequence)
            finals = [e.add(Transpose((1, 0, 2)), final) for final in finals]
        return tuple(cast(e, result, kind) for result in (sequence, *finals))

    def _check(self, operands: Sequence[TensorType], hidden: Dim) -> None:
        """Raise TypeMismatch unless the operands have the right numbers of dimensions, and one pass for each cell."""
        cell = self.cells[0]
        _, bias, *rest = operands
        count = len(self.direction.reverses)
        if len(self.cells) != count or len({type(one) for one in self.cells}) > 1:
            raise TypeMismatch(f"a {self.direction.value} layer has {count} cells of one type, not {self.cells}")
        if len(rest) != cell.states + (cell.peepholes > 0) + self.ragged:
            raise TypeMismatch(f"{self.name} of {cell} does not take {len(rest)} operands besides its weights")
        ranks = (3, 2, *(3,) * cell.states, *(2,) * (cell.peepholes > 0), *(1,) * self.ragged)
        for operand, rank in zip(operands, ranks, strict=True):
            if operand.rank != rank:
                raise TypeMismatch(f"{self.name} takes an operand of {rank} dimensions where it is given {operand}")
        self._require(bias, count, 2 * cell.gates * hidden)

    def _require(self, operand: TensorType, *shape: Dim) -> None:
        """Raise TypeMismatch unless the operand begins with these dimensions."""
        if operand.rank < len(shape):
            raise TypeMismatch(f"{self.name} takes no operand {operand}")
        found = operand.shape[: len(shape)]
        if found != shape and is_static((*found, *shape)):
            what = f"{self.cells[0].gates} gates in {len(self.direction.reverses)} directions"
            begin = " and ".join(map(str, shape))
            raise TypeMismatch(f"{what} need an operand that begins with {begin}; not {operand}")


@dataclass(frozen=True)
class RecurrentLayer(Layer):
    """Recurrences over the same sequences, one with a cell of its own for each direction (ONNX RNN, GRU and LSTM)

    Operands: ``input [T, N, I]``, ``weights [D, G * H, I]``, ``recurrent [D, G * H, H]``, ``bias [D, 2 * G * H]`` (of
    both products); the initial states ``[D, N, H]``; peepholes ``[D, 3 * H]`` if the cells have them; and the lengths
    of the sequences ``[N]`` if these are ``ragged``. Results: ``[T, D, N, H]`` and the final states ``[D, N, H]``. If
    ``batch_first``, N is the first dimension of the input, of the states and of the results. Half-precision floats
    are computed in f32.
    """

    def expand(self, e: Emitter[T], input: T, weights: T, recurrent: T, bias: T, *rest: T) -> tuple[T, ...]:
        hidden = e.type_of(recurrent).shape[-1]
        for matrix in (weights, recurrent):
            self._require(e.type_of(matrix), len(self.direction.reverses), self.cells[0].gates * hidden)

        def factors(input: T, number: int) -> tuple[T, tuple[T, ...]]:
            w, r = (e.add(Transpose((1, 0)), part(e, wide(e, matrix), number)) for matrix in (weights, recurrent))
            return e.add(MatMul(), input, w), (r,)

        return self._passes(e, input, hidden, bias, rest, factors)


@dataclass(frozen=True)
class DynamicQuantizeLayer(Layer):
    """A recurrent layer with quantized weights; what they are multiplied by is quantized as it comes
    (com.microsoft DynamicQuantizeLSTM)

    Operands as of ``RecurrentLayer``, but for ``weights [D, I, G * H]`` and ``recurrent [D, H, G * H]``, integers of
    eight bits, each followed by its scales and its zeros: ``[D]``, or ``[D, G * H]`` for each column. The input is
    quantized as a whole, the hidden states as ``Recurrence`` says.
    """

    def expand(
        self, e: Emitter[T],
        input: T, weights: T, weights_scale: T, weights_zero: T, recurrent: T, recurrent_scale: T, recurrent_zero: T,
        bias: T, *rest: T,
    ) -> tuple[T, ...]:  # fmt: skip
        count, hidden = len(self.direction.reverses), e.type_of(recurrent).shape[1]
        columns = self.cells[0].gates * hidden
        self._require(e.type_of(recurrent), count, hidden, columns)
        self._require(e.type_of(weights), count, e.type_of(input).shape[-1], columns)

        def factors(input: T, number: int) -> tuple[T, tuple[T, ...]]:
            steps, scale, zero = e.add_all(DynamicQuantizeLinear(), input)
            w, w_scale, w_zero = (part(e, x, number) for x in (weights, weights_scale, weights_zero))
            sums = e.add(MatMulInteger(), steps, w, zero, w_zero)
            product = e.add(Mul(), cast(e, sums, Kind.F32), e.add(Mul(), scale, w_scale))
            r, r_scale, r_zero = (part(e, x, number) for x in (recurrent, recurrent_scale, recurrent_zero))
            return product, (centered(e, r, r_zero), e.add(Expand((columns,)), r_scale))

        return self._passes(e, input, hidden, bias, rest, factors)


def part(e: Emitter[T], operand: T, direction: int) -> T:
    """What of ``operand`` belongs to one direction."""
    shape = e.type_of(operand).shape
    return e.add(Reshape(shape[1:]), e.add(full_slice(shape, 0, direction, 1), operand))


def _split_bias(e: Emitter[T], cell: Cell, bias: T) -> tuple[T, list[T]]:
    """What of the biases ``[2 * G * H]`` can be added outside, and what is a parameter of the cell ``[1, H]``."""
    shape = e.type_of(bias).shape
    half = shape[0] // 2
    hidden = half // cell.gates
    split = half - cell.own_biases * hidden
    input = e.add(full_slice(shape, 0, 0, half), bias)
    outer = e.add(full_slice(shape, 0, half, split), bias)
    if not cell.own_biases:
        return e.add(Add(), input, outer), []
    nothing = e.add(Splat(0, e.type_of(bias).kind, (half - split,)))
    own = e.add(full_slice(shape, 0, half + split, half - split), bias)
    outer = e.add(Add(), input, e.add(Concat(0), outer, nothing))
    return outer, [e.add(Reshape((cell.own_biases, hidden)), own)]


def _stack(e: Emitter[T], parts: Sequence[T], axis: int) -> T:
    """The parts along a new dimension."""
    shape = e.type_of(parts[0]).shape
    apart = [e.add(Reshape((*shape[:axis], 1, *shape[axis:])), part) for part in parts]
    return e.add(Concat(axis), *apart) if len(apart) > 1 else apart[0]
