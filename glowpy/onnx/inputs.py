"""What a model declares about its inputs and outputs, and which of the dimensions the caller has given a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from onnx import GraphProto, TensorShapeProto, TypeProto, ValueInfoProto

from glowpy.feeds import Form
from glowpy.onnx.weights import kind_of_code
from glowpy_ir.dims import Dim, Expr, symbol
from glowpy_ir.errors import BadModel, TypeMismatch, Unsupported, UsageError
from glowpy_ir.types import Array, Kind, TensorType

Shape = tuple[int | str, ...]
"""Extents, and names of those that are open."""


@dataclass(frozen=True)
class Bindings:
    """What the caller gave: values of named dimensions, whole shapes, and values of whole inputs."""

    dims: Mapping[str, Dim]
    shapes: Mapping[str, tuple[Dim, ...]]
    values: Mapping[str, Array]
    forms: Mapping[str, Form] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        graph: GraphProto,
        dims: Mapping[str, int],
        shapes: Mapping[str, Sequence[Dim]],
        values: Mapping[str, Array],
    ) -> Self:
        """The bindings for a model; UsageError if they name what it does not have, or contradict it."""
        inputs = {value.name: value for value in free_inputs(graph)}
        shapes = {**shapes, **{name: value.shape for name, value in values.items()}}
        _check_names("input", shapes, list(inputs))
        declared = {name: shape for name, value in inputs.items() if (shape := declared_shape(value)) is not None}
        names = dict.fromkeys(d for shape in declared.values() for d in shape if isinstance(d, str))
        _check_names("dimension", dims, list(names))
        bound: dict[str, Dim] = {name: _extent(f"dimension '{name}'", value) for name, value in dims.items()}
        for name, given in shapes.items():
            extents = tuple(_extent(f"shape of '{name}'", extent) for extent in given)
            for extent, dim in zip(extents, _fitting(name, extents, declared.get(name)), strict=True):
                if isinstance(dim, str) and bound.setdefault(dim, extent) != extent:
                    raise UsageError(f"dimension '{dim}' is given as {bound[dim]} and as {extent}")
        return cls(bound, {name: tuple(given) for name, given in shapes.items()}, values)

    def knowing(self, values: Mapping[str, Array]) -> Self:
        """The same, with the values of some more inputs."""
        return replace(self, values={**self.values, **values})

    def type_of(self, value: ValueInfoProto) -> TensorType:
        """The type of an input, as far as it is known; BadModel or Unsupported if it is no tensor."""
        kind = _kind(value)
        shape = declared_shape(value)
        if shape is None:
            if value.name not in self.shapes:
                raise Unsupported("the model does not say how many dimensions this input has; give its shape")
            return TensorType(kind, self.shapes[value.name])
        return TensorType(kind, tuple(self._dim(dim) for dim in shape))

    def form_of(self, value: ValueInfoProto) -> Form:
        """What an input is that may be no tensor; TypeMismatch if its elements are of another kind than declared."""
        form = self.forms[value.name]
        kind = _innermost_kind(value.type)
        if any(type.kind is not kind for type in tensors_in(form)):
            raise TypeMismatch(f"the elements of this input must be {kind.value}")
        return form

    def value_of(self, name: str, type: TensorType) -> Array:
        """The value of an input; UsageError if it has another type than the input."""
        given = TensorType.of(self.values[name])
        if given != type:
            raise UsageError(f"the input is {type}; its value is {given}")
        return self.values[name]

    def _dim(self, dim: int | str) -> Dim:
        return dim if isinstance(dim, int) else self.dims.get(dim, symbol(symbol_name(dim)))


def symbol_name(name: str) -> str:
    """``name`` as the IR can print it."""
    clean = re.sub(r"[^\w.:/]", "_", name, flags=re.ASCII)
    return clean if re.match(r"[A-Za-z_]", clean) else f"_{clean}"


def free_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that the caller brings; old models list their weights as inputs too."""
    weights = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in weights]


def declared_shape(value: ValueInfoProto) -> Shape | None:
    """Extents, or for open ones their name (a new one if they have none); None if even the rank is open."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(_declared(dim, f"{value.name}_{axis}") for axis, dim in enumerate(value.type.tensor_type.shape.dim))


def contradicts(declared: ValueInfoProto, made: TensorType) -> bool:
    """Whether a value cannot be what the model says it is.

    Only element types count. The shapes that models declare for their outputs are too often left from other inputs (a
    batch that was 1 once), or rounded otherwise than what is computed: a hint, as ONNX Runtime takes them.
    """
    code = declared.type.tensor_type.elem_type
    return bool(code) and kind_of_code(code) is not made.kind


def _declared(dim: TensorShapeProto.Dimension, fresh: str) -> int | str:
    if dim.HasField("dim_value"):
        return dim.dim_value if dim.dim_value > 0 else fresh  # real models write -1 and 0 for what they do not know
    return dim.dim_param if re.search(r"\w", dim.dim_param) and dim.dim_param != "None" else fresh


def tensors_in(form: Form) -> Iterator[TensorType]:
    """The types of all tensors."""
    if isinstance(form, TensorType):
        yield form
    for item in form if isinstance(form, tuple) else ():
        yield from tensors_in(item)


def _innermost_kind(type: TypeProto) -> Kind:
    """Of the tensors that a sequence or an optional consists of."""
    match type.WhichOneof("value"):
        case "tensor_type":
            return kind_of_code(type.tensor_type.elem_type)
        case "sequence_type":
            return _innermost_kind(type.sequence_type.elem_type)
        case "optional_type":
            return _innermost_kind(type.optional_type.elem_type)
        case other:
            raise Unsupported(f"inputs of the form {other} are not supported; tensors, sequences and optionals are")


def _kind(value: ValueInfoProto) -> Kind:
    form = value.type.WhichOneof("value")
    if form is None:
        raise BadModel("the type of this input is missing")
    if form != "tensor_type":
        raise Unsupported(f"inputs that are a {form.removesuffix('_type')} are not supported; only tensors are")
    return kind_of_code(value.type.tensor_type.elem_type)


def _check_names(what: str, given: Mapping[str, object], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            have = ", ".join(map(repr, known)) or "none"
            raise UsageError(f"the model has no {what} {name!r}; it has {have}")


def _extent(what: str, value: object) -> Dim:
    if isinstance(value, Expr):
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise UsageError(f"{what}: {value!r} is no extent")
    return value


def _fitting(name: str, given: tuple[Dim, ...], declared: Shape | None) -> Sequence[Dim | str]:
    shape: Sequence[Dim | str] = given if declared is None else declared
    fixed_differ = any(isinstance(d, int) and d != g for d, g in zip(shape, given, strict=False))
    if len(shape) != len(given) or fixed_differ:
        raise UsageError(f"input '{name}' has the shape {_text(shape)}; {_text(given)} is given")
    return shape


def _text(shape: Sequence[Dim | str]) -> str:
    return f"[{','.join(map(str, shape))}]"
