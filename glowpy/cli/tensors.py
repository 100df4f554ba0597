"""Tensors on the command line: ``x=@file.npy``, ``x=1x3x224x224xf32=1``, and archives of them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from glowpy.feeds import Spec, TensorSpec, name_feeds
from glowpy.files import writing
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array, Kind

KINDS = {kind.value: kind for kind in Kind}
LITERAL = re.compile(rf"(?:(?P<name>.+)=)?(?P<dims>(?:\d+x)*)(?P<kind>{'|'.join(KINDS)})=(?P<data>[^=]*)")
FORMS = "INPUT=@file.npy, INPUT=1x3x224x224xf32=1 or @file.npz"


def read_inputs(arguments: Sequence[str], inputs: Sequence[Spec]) -> dict[str, object]:
    """The tensors that the arguments describe, by input; without a name they count by position."""
    positional: list[object] = []
    named: dict[str, object] = {}
    for argument in arguments:
        if argument.startswith("@") and argument.endswith(".npz"):
            named |= read_archive(Path(argument[1:]))
            continue
        name, tensor = _read(argument)
        if name is None:
            positional.append(tensor)
        elif name in named:
            raise UsageError(f"{name!r} is given twice")
        else:
            named[name] = tensor
    feeds = name_feeds(inputs, positional, named)
    specs = {spec.name: spec for spec in inputs}
    return {name: _restore(feeds[name], specs[name]) if name in specs else feeds[name] for name in feeds}


def read_named(arguments: Sequence[str]) -> dict[str, Array]:
    """The tensors that the arguments describe, each with a name."""
    tensors = dict(map(_read, arguments))
    if None in tensors:
        raise UsageError(f"a name is missing in {' '.join(arguments)!r}; expected {FORMS}")
    return {name: tensor for name, tensor in tensors.items() if name is not None}


def read_archive(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file."""
    found = _load(path)
    if isinstance(found, np.ndarray):
        raise UsageError(f"{path} holds one array; expected an .npz archive")
    return found


def write_archive(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write an .npz file whose members have these names, whatever characters they are made of."""
    with writing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            plain = array.astype(str) if array.dtype == object else array  # texts
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, plain, allow_pickle=False)


def _read(argument: str) -> tuple[str | None, Array]:
    """The name, if one is given, and the tensor."""
    name, at, path = argument.partition("=@")
    if at:
        return name, _load_one(Path(path))
    if argument.startswith("@"):
        return None, _load_one(Path(argument[1:]))
    if found := LITERAL.fullmatch(argument):
        return found["name"], _fill(argument, found)
    raise UsageError(f"cannot read {argument!r}; expected {FORMS}")


def _fill(argument: str, found: re.Match[str]) -> Array:
    """A tensor from its literal: one element for all, or each element."""
    kind = KINDS[found["kind"]]
    shape = tuple(int(extent) for extent in found["dims"].split("x")[:-1])
    words = re.split(r"[\s,\[\]]+", found["data"].strip(" []"))
    try:
        elements = np.array([_number(word, kind) for word in words], kind.dtype)
        return np.full(shape, elements[0], kind.dtype) if len(words) == 1 else elements.reshape(shape)
    except (ValueError, OverflowError, TypeError, MemoryError) as error:
        raise UsageError(f"{argument!r} is no tensor: {error}") from None


def _number(word: str, kind: Kind) -> object:
    match kind:
        case Kind.STRING:
            return word
        case Kind.BOOL:
            return ("false", "true").index(word)
    return float(word) if kind.is_float else int(word)


def _load_one(path: Path) -> Array:
    found = _load(path)
    if isinstance(found, np.ndarray):
        return found
    raise UsageError(f"{path} holds several arrays; give it without a name, as @{path}")


def _load(path: Path) -> Array | dict[str, Array]:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            return _texts(found) if isinstance(found, np.ndarray) else {name: _texts(found[name]) for name in found}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no .npy or .npz file: {error}") from None


def _texts(array: Array) -> Array:
    """Texts, which NumPy's files hold at a fixed length, as models take and give them."""
    return array.astype(object) if array.dtype.kind == "U" else array


def _restore(array: object, spec: Spec) -> object:
    """NumPy's files forget the kinds that NumPy does not know itself, such as bf16, and keep their bytes."""
    if not isinstance(spec, TensorSpec):
        return array
    if isinstance(array, np.ndarray) and array.dtype.kind == "V" and array.dtype.itemsize == spec.dtype.itemsize:
        return array.view(spec.dtype)
    return array
