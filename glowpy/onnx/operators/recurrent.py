"""Recurrent networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields

from glowpy.onnx.context import Loader, NodeContext, Table
from glowpy_ir.dims import Dim
from glowpy_ir.errors import BadModel, Unsupported
from glowpy_ir.graph import Value
from glowpy_ir.op import Op
from glowpy_ir.ops.activation import Elu, HardSigmoid, LeakyRelu, Relu, Softplus, Softsign, ThresholdedRelu
from glowpy_ir.ops.elementwise import Splat
from glowpy_ir.ops.functions import Sigmoid, Tanh
from glowpy_ir.ops.recurrent import Affine, Cell, GruCell, LstmCell, RnnCell, ScaledTanh
from glowpy_ir.ops.recurrent_layers import Direction, Layer, RecurrentLayer

ACTIVATIONS: Mapping[str, type[Op]] = {
    cls.__name__.lower(): cls
    for cls in (
        Affine,
        Elu,
        HardSigmoid,
        LeakyRelu,
        Relu,
        ScaledTanh,
        Sigmoid,
        Softplus,
        Softsign,
        Tanh,
        ThresholdedRelu,
    )
}
"""The activation functions that a cell may have, by their names in ONNX, which do not tell large from small letters."""

MakeCell = Callable[[NodeContext, float | None, Sequence[Op]], Cell]
"""A cell with this clip and these activation functions."""


def layer(usual: Sequence[type[Op]], make: MakeCell) -> Loader:
    """A loader for a recurrent operator whose cells have these activation functions, unless the node names others."""

    def load(c: NodeContext) -> tuple[Value, ...]:
        op = RecurrentLayer(
            cells_of(c, usual, make),
            c.attributes.choice("direction", Direction, Direction.FORWARD),
            c.attributes.flag("layout", False),
            is_ragged(c),
        )
        if c.opset < 7:
            c.attributes.flag("output_sequence", False)  # whether the first result is wanted, which its name tells
        if c.type(2).rank != 3:
            raise BadModel(f"weights must have three dimensions, but are {c.type(2)}")
        return c.b.add_all(op, c.input(0), c.input(1), c.input(2), *rest_of(c, op, c.type(2).shape[2]))

    return load


def cells_of(c: NodeContext, usual: Sequence[type[Op]], make: MakeCell) -> tuple[Cell, ...]:
    """The cell of each direction, from a node's attributes."""
    count = len(c.attributes.choice("direction", Direction, Direction.FORWARD).reverses)
    functions = _activations(c, [cls.__name__ for cls in usual] * count)
    clip = c.attributes.float("clip", None)
    if clip is not None and not clip > 0:
        raise BadModel(f"attribute 'clip' is {clip}, but must be positive")
    per_cell = len(usual)
    return tuple(make(c, clip, functions[n * per_cell : (n + 1) * per_cell]) for n in range(count))


def _activations(c: NodeContext, usual: list[str]) -> list[Op]:
    """The activation functions; ``activation_alpha`` has one number for each that takes an alpha, as far as it goes."""
    names = c.attributes.strings("activations", tuple(usual))
    if len(names) != len(usual):
        raise BadModel(f"{len(names)} activations are given where there must be {len(usual)}")
    numbers: dict[str, Iterator[float]] = {
        name: iter(c.attributes.floats(f"activation_{name}", ())) for name in ("alpha", "beta")
    }
    result = []
    for name in names:
        cls = ACTIVATIONS.get(name.lower())
        if cls is None:
            raise Unsupported(f"activation {name!r} is unknown; known: {', '.join(ACTIVATIONS)}")
        op = cls()
        given = {f.name: next(numbers[f.name], getattr(op, f.name)) for f in fields(op)}  # type: ignore[arg-type]
        result.append(cls(**given))
    return result


def is_ragged(c: NodeContext) -> bool:
    """Whether sequences have lengths of their own."""
    if c.optional(4) is None:
        return False
    time = 1 if c.attributes.flag("layout", False) else 0
    if not c.is_known(4) or c.type(0).rank != 3:
        return True
    return any(length != c.type(0).shape[time] for length in c.known_ints(4))


def rest_of(c: NodeContext, op: Layer, hidden: Dim) -> list[Value]:
    """The operands of a layer of ``hidden`` units after its weights: zeros for what is left out."""
    cell, x = op.cells[0], c.type(0)
    if x.rank != 3:
        raise BadModel(f"sequences must have three dimensions, but are {x}")
    if isinstance(hidden, int) and (stated := c.attributes.int("hidden_size", hidden)) != hidden:
        raise BadModel(f"attribute 'hidden_size' is {stated}, but the weights are for {hidden} units")
    directions, batch = len(op.direction.reverses), x.shape[0 if op.batch_first else 1]
    state = (batch, directions, hidden) if op.batch_first else (directions, batch, hidden)

    def given(index: int, shape: tuple[Dim, ...]) -> Value:
        return c.optional(index) or c.b.add(Splat(0, x.kind, shape))

    operands = [given(3, (directions, 2 * cell.gates * hidden))]
    operands += [given(5 + number, state) for number in range(cell.states)]
    if cell.peepholes:
        operands.append(c.input(7))
    return [*operands, c.input(4)] if op.ragged else operands


def make_rnn(c: NodeContext, clip: float | None, functions: Sequence[Op]) -> Cell:
    """The cell of ONNX RNN."""
    return RnnCell(clip, *functions)


def make_gru(c: NodeContext, clip: float | None, functions: Sequence[Op]) -> Cell:
    """The cell of ONNX GRU."""
    f, g = functions
    return GruCell(clip, f, g, c.attributes.flag("linear_before_reset", False))


def make_lstm(c: NodeContext, clip: float | None, functions: Sequence[Op]) -> Cell:
    """The cell of ONNX LSTM."""
    f, g, h = functions
    return LstmCell(clip, f, g, h, c.attributes.flag("input_forget", False), c.optional(7) is not None)


LOADERS: Table = {
    ("GRU", 1): layer((Sigmoid, Tanh), make_gru),
    ("LSTM", 1): layer((Sigmoid, Tanh, Tanh), make_lstm),
    ("RNN", 1): layer((Tanh,), make_rnn),
}
