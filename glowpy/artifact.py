"""Compiled models as folders: ``model.json`` says what is inside, each program has a folder of its backend's files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glowpy.feeds import LooseSpec, Shapes, Spec, TensorSpec
from glowpy.files import writing_folder
from glowpy.growing import Growing
from glowpy.program.plan import BufferPlan, MemoryPlan
from glowpy.specialise import Runnable, Specialisation
from glowpy_backends.base import BackendOptions, Executable, backend_class
from glowpy_ir.errors import GlowError, UsageError
from glowpy_ir.types import TensorType

MANIFEST = "model.json"
IN_PARTS = "the model is compiled in parts, as data decide, and cannot be written; fix the inputs that decide"

FORMAT = 2
"""Raised when older readers would misread what is written."""


@dataclass(frozen=True)
class Artifact:
    """What lies in such a folder."""

    name: str
    backend: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    programs: Mapping[Shapes, Runnable]
    growing: Sequence[Growing] = ()
    """Those that serve many shapes."""


def write_artifact(folder: Path, artifact: Artifact) -> None:
    """Write compiled programs, by the shapes of their inputs; UsageError if there are none."""
    if not artifact.programs and not artifact.growing:
        raise UsageError("nothing is compiled yet: run the model once, or bind its open dimensions when compiling")
    with writing_folder(folder, MANIFEST) as partial:
        fill_artifact(partial, artifact)


def fill_artifact(folder: Path, artifact: Artifact) -> None:
    """The same, into an empty folder that appears to others only when it is full."""
    listed: list[dict[str, Any]] = []
    for shapes, program in artifact.programs.items():
        if not isinstance(program, Specialisation):
            raise UsageError(IN_PARTS)
        place = _save(program, folder / str(len(listed)))
        listed.append({**place, "inputs": program.inputs, "shapes": shapes})
    grown = [
        {**_save(program, folder / str(number)), **program.entry()}
        for number, program in enumerate(artifact.growing, start=len(listed))
    ]
    manifest = {
        "format": FORMAT,
        "name": artifact.name,
        "backend": artifact.backend,
        "inputs": _texts(artifact.inputs),
        "outputs": _texts(artifact.outputs),
        "programs": listed,
        "growing": grown,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))


def _save(program: Specialisation | Growing, place: Path) -> dict[str, Any]:
    place.mkdir()
    program.executable.save(place)
    return {"folder": place.name, "memory": asdict(program.memory)}


def read_artifact(folder: Path, options: BackendOptions) -> Artifact:
    """What ``write_artifact`` wrote; UsageError if the folder holds nothing of that kind."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no compiled model: {MANIFEST} is missing") from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{folder / MANIFEST} cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UsageError(f"{folder} was written by another version of glowpy; compile the model again")
    try:
        return _read(folder, manifest, options)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error})") from None


def _read(folder: Path, manifest: Mapping[str, Any], options: BackendOptions) -> Artifact:
    backend = backend_class(manifest["backend"])

    def loaded(entry: Mapping[str, Any]) -> tuple[Executable, MemoryPlan]:
        place = folder / Path(entry["folder"]).name
        if not place.is_dir():
            raise UsageError(f"{place} is missing; compile the model again")
        return backend.load(place, options), _memory(entry["memory"])

    programs: dict[Shapes, Runnable] = {}
    for entry in manifest["programs"]:
        shapes = tuple(tuple(map(int, shape)) for shape in entry["shapes"])
        programs[shapes] = Specialisation(*loaded(entry), tuple(entry["inputs"]))
    growing = [Growing.read(entry, *loaded(entry)) for entry in manifest["growing"]]
    inputs, outputs = _tensors(manifest["inputs"]), _specs(manifest["outputs"])
    return Artifact(manifest["name"], manifest["backend"], inputs, outputs, programs, growing)


def _memory(entry: Mapping[str, Any]) -> MemoryPlan:
    buffers = tuple(BufferPlan(**row) for row in entry["buffers"])
    return MemoryPlan(entry["arena"], entry["live_peak"], entry["weights"], buffers)


def _texts(specs: Sequence[Spec]) -> list[list[str]]:
    return [[spec.name, str(spec.type) if isinstance(spec, TensorSpec) else spec.form] for spec in specs]


def _tensors(texts: Sequence[Sequence[str]]) -> tuple[TensorSpec, ...]:
    try:
        return tuple(TensorSpec(name, TensorType.parse(type)) for name, type in texts)
    except GlowError as error:
        raise ValueError(str(error)) from None


def _specs(texts: Sequence[Sequence[str]]) -> tuple[Spec, ...]:
    return tuple(_tensors([text])[0] if "[" in text[1] else LooseSpec(*text) for text in texts)
