"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"glowpy_ir": ROOT / "ir/glowpy_ir", "glowpy_backends": ROOT / "backends/glowpy_backends"}
FOLDERS["glowpy"] = ROOT / "glowpy"
MAY_IMPORT = {"glowpy_ir": set[str](), "glowpy_backends": {"glowpy_ir"}, "glowpy": {"glowpy_ir", "glowpy_backends"}}
"""Imports run downward only."""


def imported(file: Path) -> Iterator[str]:
    """The packages that a file imports, wherever it does so."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_run_downward(package: str) -> None:
    forbidden = FOLDERS.keys() - MAY_IMPORT[package] - {package} | {"benchmarks", "tests"}
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in FOLDERS[package].rglob("*.py")
        for name in imported(file)
        if name in forbidden
    ]
    assert not wrong


def test_every_package_is_shipped() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    there = {
        ".".join((package, *file.parent.relative_to(folder).parts))
        for package, folder in FOLDERS.items()
        for file in folder.rglob("*.py")
    }
    assert listed == there
    assert all((folder / "py.typed").exists() for folder in FOLDERS.values())
