"""Writes files and folders whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glowpy_ir.errors import UsageError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes ``path`` at the end, and vanishes if an error comes first."""
    partial = _beside(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path, marker: str) -> Iterator[Path]:
    """An empty folder, which becomes ``path`` at the end, and vanishes if an error comes first.

    A folder that is there already is replaced if it is empty or has a file called ``marker``, which says that it is
    ours; UsageError if not.
    """
    check_folder(path, marker)
    partial, old = _beside(path), _beside(path)
    try:
        partial.mkdir()
        yield partial
        if path.exists():
            path.replace(old)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_folder(path: Path, marker: str) -> None:
    """Raise UsageError if ``writing_folder`` could not write there: better before the work than after it."""
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or (path / marker).exists())):
        raise UsageError(f"{path} is there already and was not written by glowpy; choose another name or remove it")
    _check_parent(path)


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def _beside(path: Path) -> Path:
    """A name that nobody uses, in the same folder, so that renaming is one step."""
    _check_parent(path)
    return path.parent / f".{path.name}.{secrets.token_hex(6)}"
