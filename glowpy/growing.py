"""Programs for inputs with a dimension that grows from call to call, such as the past of a decoder.

One program serves all lengths up to its capacity (see ``passes.bounds``), so that a step compiles nothing. What
continues an input, as keys and values that are kept do, lies in a *room* that has place for more: the caller gets a
view of its beginning, and where that view comes back as the input of a later call, the new is written behind it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from weakref import finalize

import numpy as np

from glowpy.feeds import Feed
from glowpy.program.plan import MemoryPlan
from glowpy_backends.base import Executable
from glowpy_ir.dims import Dim, Expr, bind, symbol
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.types import Array, TensorType

if TYPE_CHECKING:
    from glowpy.compiler import Compiled
    from glowpy.passes.bounds import Bounded
    from glowpy.specialise import Output

Shapes = tuple[tuple[int, ...], ...]
"""The shapes of inputs that are all tensors."""

LENGTH = "length"
"""The symbol of what grows."""

ALIGNMENT = 64
"""Bytes; the memory of a room begins at a multiple of them."""


@dataclass(frozen=True)
class Family:
    """Shapes of a model's inputs that depend on one length, which is 1 at least."""

    shapes: tuple[tuple[Dim, ...], ...]
    """Each dimension is a number, or the length and a number."""
    _moving: tuple[tuple[int, int, int], ...] = field(init=False)
    """Input, axis, and what is added to the length."""

    def __post_init__(self) -> None:
        moving = (
            (i, axis, _line(dim)[1])
            for i, shape in enumerate(self.shapes)
            for axis, dim in enumerate(shape)
            if isinstance(dim, Expr)
        )
        object.__setattr__(self, "_moving", tuple(moving))

    @classmethod
    def of(cls, shapes: Shapes, moving: Sequence[tuple[int, int]]) -> Self:
        """The family in which these dimensions, each an input and an axis, grow together; the first is the length."""
        n = symbol(LENGTH)
        first, axis = moving[0]
        length = shapes[first][axis]
        grown: list[list[Dim]] = [list(shape) for shape in shapes]
        for i, d in moving:
            grown[i][d] = n + (shapes[i][d] - length)
        return cls(tuple(map(tuple, grown)))

    def length(self, shapes: Shapes) -> int | None:
        """The length of these shapes; None if they are not of the family."""
        i, axis, more = self._moving[0]
        if len(shapes[i]) <= axis:
            return None
        length = shapes[i][axis] - more
        return length if length > 0 and self.at(length) == shapes else None

    def at(self, length: int) -> Shapes:
        """The shapes for a length."""
        shapes: list[Any] = list(self.shapes)
        for i, axis, more in self._moving:
            shapes[i] = (*shapes[i][:axis], length + more, *shapes[i][axis + 1 :])
        return tuple(shapes)


def _line(dim: Dim) -> tuple[int, int]:
    """``a`` and ``c`` of ``a * length + c``; ValueError if the dimension depends on anything else."""
    at_zero, at_one = (bind(dim, {LENGTH: n}) for n in (0, 1))
    if not (isinstance(at_zero, int) and isinstance(at_one, int)):
        raise ValueError(f"{dim} does not depend on the length alone")
    return at_one - at_zero, at_zero


@dataclass(eq=False)
class Store:
    """Memory for a tensor that grows along one axis."""

    memory: Array
    used: int = 0
    """How far along the axis; behind it are zeros."""

    @classmethod
    def of(cls, type: TensorType) -> Self:
        """New memory, of which nothing is used."""
        raw = np.zeros(type.nbytes + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        return cls(raw[start : start + type.nbytes].view(type.kind.dtype).reshape(type.extents))


class Room:
    """A tensor that grows along one axis; arrays that lie in it keep it alive."""

    def __init__(self, store: Store, axis: int) -> None:
        """``store`` is nobody else's as long as the room lives."""
        self._store = store
        self._memory = store.memory
        self.__array_interface__ = self._memory.__array_interface__  # what arrays made of this object look at
        self._address = self._memory.ctypes.data
        self._axis = axis
        self._lock = Lock()

    def whole(self) -> Array:
        """The tensor with the part that is not used yet."""
        return np.asarray(self)

    def begin(self, start: Array, used: int) -> None:
        """Put a start into a room that nobody has looked at; ``used`` is how far that part will reach soon."""
        self._memory[tuple(map(slice, start.shape))] = start
        rest = [slice(None)] * start.ndim
        rest[self._axis] = slice(start.shape[self._axis], self._store.used)
        self._memory[tuple(rest)] = 0
        self._store.used = used

    def extend(self, start: Array, type: TensorType, used: int) -> bool:
        """Whether ``start`` is all that is used of this room, a tensor of ``type``: then more is used from now on.

        Only one can go on from there; who else wants to needs a room of his own.
        """
        memory, axis = self._memory, self._axis
        with self._lock:
            shape = (*memory.shape[:axis], self._store.used, *memory.shape[axis + 1 :])
            if (start.shape, start.strides, start.dtype) != (shape, memory.strides, memory.dtype):
                return False
            if start.ctypes.data != self._address or type.extents != memory.shape:
                return False
            self._store.used = used
            return True


def room_of(array: Array) -> Room | None:
    """The room that an array lies in, if it lies in one."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, Room) else None


@dataclass(frozen=True)
class Tensor:
    """An input or an output of a program."""

    name: str
    room: TensorType
    """Its type in the program, with room for every length."""
    type: TensorType
    """What of it is meant, in terms of the length."""
    _lines: tuple[tuple[int, int, int], ...] = field(init=False)
    """The axes that depend on the length, with ``a`` and ``c`` of ``a * length + c``."""

    def __post_init__(self) -> None:
        lines = ((d, *_line(dim)) for d, dim in enumerate(self.type.shape) if isinstance(dim, Expr))
        object.__setattr__(self, "_lines", tuple(lines))

    @classmethod
    def read(cls, entry: Sequence[str]) -> Self:
        name, room, type = entry
        try:
            return cls(name, TensorType.parse(room), TensorType.parse(type))
        except TypeMismatch as error:
            raise ValueError(str(error)) from None

    def entry(self) -> list[str]:
        return [self.name, str(self.room), str(self.type)]

    @property
    def is_padded(self) -> bool:
        return bool(self._lines)

    def line(self) -> tuple[int, int, int]:
        """The only axis that depends on the length, with ``a`` and ``c`` of ``a * length + c``."""
        (line,) = self._lines
        return line

    def part(self, array: Array, length: int) -> Array:
        """What is meant of a tensor for this length."""
        if not self._lines:
            return array
        cuts = [slice(None)] * array.ndim
        for axis, a, c in self._lines:
            cuts[axis] = slice(a * length + c)
        return array[tuple(cuts)]


@dataclass(frozen=True, eq=False)
class Growing:
    """A program for all shapes of a family up to a length."""

    family: Family
    least: int
    """The smallest length that it can compute."""
    most: int
    """The largest length for which there is room."""
    executable: Executable
    memory: MemoryPlan
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    length: str
    """What the program calls the input that tells the length."""
    rooms: Mapping[str, str]
    """The inputs that may lie in a room, and the outputs that continue them there."""
    _continuations: Mapping[str, tuple[int, int, int]] = field(init=False)
    """For each such input, the axis along which it grows, and ``a`` and ``c`` of the extent ``a * length + c``."""

    _idle: Mapping[TensorType, deque[Store]] = field(init=False)
    """Memory that was in rooms, for one call at most."""

    def __post_init__(self) -> None:
        types = Counter(tensor.room for tensor in self.inputs if tensor.name in self.rooms)
        object.__setattr__(self, "_idle", {type: deque(maxlen=count) for type, count in types.items()})
        lines = {tensor.name: tensor.line() for tensor in self.outputs if tensor.name in self.rooms.values()}
        object.__setattr__(self, "_continuations", {name: lines[result] for name, result in self.rooms.items()})

    @classmethod
    def of(cls, family: Family, bounded: Bounded, compiled: Compiled) -> Self:
        """What was compiled of a graph with a bound."""
        from glowpy.program.continued import sharing  # with what only compiling needs

        program = compiled.program
        *inputs, length = program.inputs
        return cls(
            family,
            bounded.least,
            bounded.most,
            compiled.executable,
            compiled.memory,
            tuple(Tensor(b.name, b.type, type) for b, type in zip(inputs, bounded.inputs, strict=True)),
            tuple(Tensor(b.name, b.type, type) for b, type in zip(program.outputs, bounded.outputs, strict=True)),
            length.name,
            {source: result for result, source in sharing(program, bounded.continued).items()},
        )

    @classmethod
    def read(cls, entry: Mapping[str, Any], executable: Executable, memory: MemoryPlan) -> Self:
        """The program that ``entry`` told about; KeyError, TypeError or ValueError if it tells of none."""
        inputs, outputs = (tuple(map(Tensor.read, entry[key])) for key in ("inputs", "outputs"))
        family = Family(tuple(tensor.type.shape for tensor in inputs))
        least, most = int(entry["least"]), int(entry["most"])
        return cls(family, least, most, executable, memory, inputs, outputs, entry["length"], entry["rooms"])

    def entry(self) -> dict[str, Any]:
        """All but the code and the plan of its memory, as it can be written into a file."""
        inputs, outputs = ([tensor.entry() for tensor in tensors] for tensors in (self.inputs, self.outputs))
        tensors = {"inputs": inputs, "outputs": outputs, "length": self.length, "rooms": self.rooms}
        return {"least": self.least, "most": self.most, **tensors}

    def run(self, feeds: Sequence[Feed]) -> list[Output]:
        """The outputs for inputs whose shapes are of the family; those that continue an input are views of a room."""
        arrays = [feed for feed in feeds if isinstance(feed, np.ndarray)]
        length = self.family.length(tuple(array.shape for array in arrays))
        assert length is not None
        given: dict[str, Array] = {self.length: np.array(length)}
        into: dict[str, Array] = {}
        for tensor, array in zip(self.inputs, arrays, strict=True):
            if tensor.name in self.rooms:
                given[tensor.name] = into[self.rooms[tensor.name]] = self._room(tensor, array, length).whole()
            elif tensor.is_padded:
                given[tensor.name] = whole = np.zeros(tensor.room.extents, array.dtype)
                tensor.part(whole, length)[...] = array
            else:
                given[tensor.name] = array
        made = self.executable.run(given, into)
        return [tensor.part(made[tensor.name], length) for tensor in self.outputs]

    def _room(self, tensor: Tensor, start: Array, length: int) -> Room:
        """The room that the input lies in, or a new one that it is copied into."""
        axis, a, c = self._continuations[tensor.name]
        room, used = room_of(start), a * length + c
        if room is None or not room.extend(start, tensor.room, used):
            room = self._new_room(tensor.room, axis)
            room.begin(start, used)
        return room

    def _new_room(self, type: TensorType, axis: int) -> Room:
        """A room in memory that was another's, if there is some: new memory costs more than what is put into it."""
        idle = self._idle[type]
        try:
            store = idle.pop()
        except IndexError:
            store = Store.of(type)
        room = Room(store, axis)
        finalize(room, idle.append, store).atexit = False
        return room

    def listing(self, kind: str) -> str:
        """The generated code as text; see ``Executable.listing``."""
        return self.executable.listing(kind)
