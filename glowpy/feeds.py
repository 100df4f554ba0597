"""What a model takes and gives, the check that arrays fit, and random arrays that do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from glowpy_ir.dims import bind, symbols
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array, Kind, TensorType, kind_of

if TYPE_CHECKING:  # it takes longer to import than a known model to load
    from numpy.random import Generator

Form: TypeAlias = "TensorType | tuple[Form, ...] | None"
"""What an input is, or a sequence of such things, or nothing."""

Shapes: TypeAlias = "tuple[tuple[int, ...] | Form, ...]"
"""The shape of each input, in the model's order; of one that is no tensor of a known rank, its form."""

Feed: TypeAlias = "Array | list[Feed] | None"
"""An input: a tensor, a sequence, or an optional that holds nothing."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The name and the type of an input or an output."""

    name: str
    type: TensorType
    symbols: tuple[str | None, ...] = field(init=False, repr=False, compare=False)
    """For each dimension its name, if it is one symbol; told beforehand, as each call asks."""

    def __post_init__(self) -> None:
        names = (str(dim) if symbols(dim) == {str(dim)} else None for dim in self.type.shape)
        object.__setattr__(self, "symbols", tuple(names))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type of its elements."""
        return self.type.kind.dtype

    @property
    def shape(self) -> tuple[int | str, ...]:
        """Its extents; a dimension that is not known yet is the text of its symbol."""
        return tuple(dim if isinstance(dim, int) else str(dim) for dim in self.type.shape)

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


TENSOR, SEQUENCE = "tensor", "sequence"
"""The forms of a tensor of an unknown rank, and of a list of tensors."""


@dataclass(frozen=True, slots=True)
class LooseSpec:
    """The name and the form of an input or an output of which no tensor type is known.

    It is a sequence, an optional, or a tensor of which the model does not say how many dimensions it has.
    """

    name: str
    form: str
    """``TENSOR``, or the standard's name of another form: sequence, optional."""

    def __str__(self) -> str:
        return f"{self.name}: {self.form}"


Spec = TensorSpec | LooseSpec


def form_of(feed: Feed) -> Form:
    """What is fed."""
    if isinstance(feed, list):
        return tuple(map(form_of, feed))
    return None if feed is None else TensorType.of(feed)


def shapes_of(inputs: Sequence[Spec], feeds: Sequence[Feed]) -> Shapes:
    """What decides which program computes these inputs."""
    return tuple(
        feed.shape if isinstance(spec, TensorSpec) and isinstance(feed, np.ndarray) else form_of(feed)
        for spec, feed in zip(inputs, feeds, strict=True)
    )


def name_feeds(
    inputs: Sequence[Spec], positional: Sequence[object], named: Mapping[str, object]
) -> dict[str, object]:
    """The arguments of a call by the names of the inputs; a single mapping may stand for all of them."""
    if len(positional) == 1 and isinstance(positional[0], Mapping) and not named:
        return dict(positional[0])
    if len(positional) > len(inputs):
        raise UsageError(f"{len(positional)} arrays given; the model takes {len(inputs)}: {_list(inputs)}")
    feeds: dict[str, object] = {spec.name: array for spec, array in zip(inputs, positional, strict=False)}
    twice = feeds.keys() & named.keys()
    if twice:
        raise UsageError(f"input {min(twice)!r} is given twice, by position and by name")
    return {**feeds, **named}


def check_feeds(inputs: Sequence[Spec], feeds: Mapping[str, object]) -> list[Feed]:
    """The arrays to run with, in the order of the inputs, and as they are where that will do.

    UsageError tells at once of all inputs that are missing, unknown, or have another dtype or shape. Nothing is
    cast. Where two inputs share a symbolic dimension, their extents must be the same.
    """
    if len(feeds) == len(inputs) and all(_is_ready(spec, feeds.get(spec.name)) for spec in inputs):
        return [feeds[spec.name] for spec in inputs]  # type: ignore[misc]
    names = {spec.name for spec in inputs}
    problems = [_unknown(name, inputs) for name in feeds if name not in names]
    arrays: dict[str, Feed] = {}
    extents: dict[str, tuple[int, str]] = {}
    for spec in inputs:
        if spec.name not in feeds:
            problems.append(f"input {spec.name!r} is missing; expected {_wanted(spec)}")
            continue
        try:
            if isinstance(spec, LooseSpec):
                arrays[spec.name] = _as_feed(spec, feeds[spec.name])
                continue
            array = _as_array(spec, feeds[spec.name])
            _check_type(spec, array)
            _bind_symbols(spec, array, extents)
            arrays[spec.name] = array
        except UsageError as problem:
            problems.append(str(problem))
    if not problems:
        problems = [text for spec in inputs for text in _disagreements(spec, arrays[spec.name], extents)]
    if problems:
        raise UsageError("; ".join(problems))
    return list(arrays.values())


class Gate:
    """Checks what a model is called with; what looks like something that passed before, passes at once."""

    MOST_LOOKS = 64

    def __init__(self, inputs: Sequence[Spec]) -> None:
        self._inputs = inputs
        self._names = [spec.name for spec in inputs]
        self._passed: dict[Hashable, Shapes] = {}

    def admit(self, feeds: Mapping[str, object]) -> tuple[list[Feed], Shapes]:
        """The result of ``check_feeds``, and what decides which program computes it."""
        given = [feeds.get(name) for name in self._names] if len(feeds) == len(self._names) else []
        look = tuple([(feed.shape, feed.dtype) if type(feed) is np.ndarray else None for feed in given])
        if (known := self._passed.get(look)) is not None:
            return given, known  # type: ignore[return-value]  # only arrays are noted
        checked = check_feeds(self._inputs, feeds)
        shapes = shapes_of(self._inputs, checked)
        if None not in look and all(map(_is_same_number, given, checked)):
            if len(self._passed) == self.MOST_LOOKS:
                self._passed.clear()
            self._passed[look] = shapes
        return checked, shapes


def _is_same_number(given: object, checked: Feed) -> bool:
    """Whether an array of numbers passed as it is: its elements do not matter, as they do where they could be texts."""
    return given is checked and isinstance(checked, np.ndarray) and checked.dtype != object


def _as_feed(spec: LooseSpec, given: object) -> Feed:
    """What a loose input is given; an optional may hold anything, or nothing."""
    if spec.form == TENSOR:
        return _as_array(spec, given)
    if spec.form == SEQUENCE and not isinstance(given, list | tuple):
        raise UsageError(f"input {spec.name!r}: expected a list of tensors, given {_told(given)}")
    return _as_items(spec, given)


def _as_items(spec: LooseSpec, given: object) -> Feed:
    if given is None:
        return None
    if isinstance(given, list | tuple):
        return [_as_items(spec, item) for item in given]
    return _as_array(spec, given)


def _told(given: object) -> str:
    return "None" if given is None else "an array" if isinstance(given, np.ndarray) else f"a {type(given).__name__}"


def _wanted(spec: Spec) -> str:
    return str(spec.type) if isinstance(spec, TensorSpec) else spec.form


def _is_ready(spec: Spec, given: object) -> bool:
    """Whether an array surely needs no copy and no other look: the common case, which must cost next to nothing."""
    return (
        isinstance(spec, TensorSpec)
        and isinstance(given, np.ndarray)
        and given.shape == spec.type.shape
        and given.dtype == spec.dtype
        and given.flags.c_contiguous
        and given.dtype != object
    )


def _list(inputs: Sequence[Spec]) -> str:
    return ", ".join(map(str, inputs)) or "nothing"


def _unknown(name: str, inputs: Sequence[Spec]) -> str:
    near = get_close_matches(str(name), [spec.name for spec in inputs], n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the model takes {_list(inputs)}"
    return f"no input {name!r}; {hint}"


def _as_array(spec: Spec, given: object) -> Array:
    if given is None:
        raise UsageError(f"input {spec.name!r}: expected {_wanted(spec)}, given None")
    try:
        array = np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"input {spec.name!r}: expected {_wanted(spec)}, given no array ({error})") from None
    if array.dtype.kind in "UT" and (isinstance(spec, LooseSpec) or spec.type.kind is Kind.STRING):
        return array.astype(object)
    if array.dtype == object and not all(isinstance(element, str) for element in array.flat):
        raise UsageError(f"input {spec.name!r}: expected {_wanted(spec)}, given an array of Python objects")
    if isinstance(spec, LooseSpec) and kind_of(array.dtype) is None:
        raise UsageError(f"input {spec.name!r}: expected {_wanted(spec)}, given elements of type {array.dtype}")
    return array


def _check_type(spec: TensorSpec, array: Array) -> None:
    if kind_of(array.dtype) is spec.type.kind and _fits(spec.type, array.shape):
        return
    kind = kind_of(array.dtype)
    given = f"{kind.value if kind else array.dtype}[{','.join(map(str, array.shape))}]"
    name = "str" if spec.type.kind is Kind.STRING else spec.dtype.name
    hint = f"; convert it with .astype({name!r})" if kind is not spec.type.kind else ""
    raise UsageError(f"input {spec.name!r}: expected {spec.type}, given {given}{hint}")


def _fits(type: TensorType, shape: tuple[int, ...]) -> bool:
    return type.rank == len(shape) and all(
        dim == extent for dim, extent in zip(type.shape, shape, strict=True) if isinstance(dim, int)
    )


def _bind_symbols(spec: TensorSpec, array: Array, extents: dict[str, tuple[int, str]]) -> None:
    """Note the extents of the symbols that stand alone as a dimension of this input."""
    for name, extent in zip(spec.symbols, array.shape, strict=True):
        if name is None:
            continue
        known, where = extents.setdefault(name, (extent, spec.name))
        if known != extent:
            raise UsageError(f"dimension {name} is {known} in input {where!r} and {extent} in input {spec.name!r}")


def check_arrays(inputs: Sequence[TensorSpec], feeds: Mapping[str, object]) -> list[Array]:
    """The same for inputs that are all tensors."""
    return [feed for feed in check_feeds(inputs, feeds) if isinstance(feed, np.ndarray)]


def _disagreements(spec: Spec, array: Feed, extents: Mapping[str, tuple[int, str]]) -> list[str]:
    """The dimensions made of several symbols that do not come out as given."""
    if not (isinstance(spec, TensorSpec) and isinstance(array, np.ndarray)):
        return []
    if all(name or isinstance(dim, int) for name, dim in zip(spec.symbols, spec.type.shape, strict=True)):
        return []
    values = {name: extent for name, (extent, _) in extents.items()}
    wanted = _bound(spec.type, values).shape
    return [
        f"input {spec.name!r}: dimension {i} must be {dim} = {want}, given {extent}"
        for i, (dim, want, extent) in enumerate(zip(spec.type.shape, wanted, array.shape, strict=True))
        if isinstance(want, int) and want != extent
    ]


def bind_open(
    inputs: Sequence[Spec], feeds: Mapping[str, object], extent: int = 1
) -> tuple[tuple[TensorSpec, ...], dict[str, int]]:
    """The inputs with all dimensions known: as in the arrays that are given, and ``extent`` where these do not tell.

    The second answer is what was bound without being told. UsageError if an input's rank is not known.
    """
    tensors = [_as_tensor(spec, feeds) for spec in inputs]
    known: dict[str, int] = {}
    for spec in tensors:
        if spec.name in feeds:
            known |= zip(map(str, spec.type.shape), np.asarray(feeds[spec.name]).shape, strict=False)
    names = dict.fromkeys(name for spec in tensors for dim in spec.type.shape for name in sorted(symbols(dim)))
    assumed = {name: extent for name in names if name not in known}
    values = {name: known.get(name, extent) for name in names}
    return tuple(replace(spec, type=_bound(spec.type, values)) for spec in tensors), assumed


def _as_tensor(spec: Spec, feeds: Mapping[str, object]) -> TensorSpec:
    if isinstance(spec, TensorSpec):
        return spec
    if isinstance(given := feeds.get(spec.name), np.ndarray):
        return TensorSpec(spec.name, TensorType.of(given))
    hint = "give its shape" if spec.form == TENSOR else "it can be given only from Python"
    raise UsageError(f"the model does not say how large input {spec} is; {hint}")


def _bound(type: TensorType, values: Mapping[str, int]) -> TensorType:
    return type.with_shape(*(bind(dim, values) for dim in type.shape))


def random_feeds(inputs: Sequence[TensorSpec], seed: int) -> dict[str, Array]:
    """Arrays for inputs whose dimensions are all known, the same for each seed."""
    generator = np.random.default_rng(seed)
    return {spec.name: random_array(generator, spec.dtype, spec.type.extents) for spec in inputs}


def random_array(generator: Generator, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Normally distributed floats; bools, and integers that are 0 or 1, for these are valid as indices and masks."""
    kind = kind_of(dtype)
    if kind is Kind.STRING:
        return generator.choice(np.array(["a", "b"], object), shape)
    if kind is not None and kind.is_float:
        return np.asarray(generator.standard_normal(shape), np.float32).astype(dtype)
    return np.asarray(generator.integers(0, 2, shape)).astype(dtype)
