"""The house keeps its shape: every package is shipped, imports run downward, every file says what it is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"glowpy_ir": ROOT / "ir", "glowpy_backends": ROOT / "backends", "glowpy": ROOT}
"""The packages and where they lie; each may import those before it."""

LONGEST = 600
"""A file with more lines holds more than one idea."""


@cache
def modules() -> dict[str, Path]:
    """Every module by its name."""
    found: dict[str, Path] = {}
    for package, root in FLOORS.items():
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(module: str, path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a module of ours imports, and whether it does so when it is loaded."""
    lazy = {id(n) for f in ast.walk(tree(path)) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    lazy |= {id(n) for branch in ast.walk(tree(path)) if _is_for_types(branch) for n in ast.walk(branch)}
    for node in ast.walk(tree(path)):
        match node:
            case ast.ImportFrom(module=str() as name, names=names) if name.split(".")[0] in FLOORS:
                for alias in names:
                    whole = f"{name}.{alias.name}"
                    yield (whole if whole in modules() else name), id(node) not in lazy
            case ast.Import(names=names):
                yield from ((a.name, id(node) not in lazy) for a in names if a.name.split(".")[0] in FLOORS)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_every_package_is_shipped() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    present = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert set(config["options"]["packages"].split()) == present
    folders = {path.parent for path in modules().values()}
    assert all((folder / "__init__.py").exists() for folder in folders), "a folder of code is no package"


@pytest.mark.parametrize("package", FLOORS)
def test_types_are_shipped(package: str) -> None:
    assert (FLOORS[package] / package / "py.typed").exists()


def test_imports_run_downward() -> None:
    order = list(FLOORS)
    wrong = [
        f"{module} imports {target}"
        for module, path in modules().items()
        for target, _ in imports(module, path)
        if order.index(target.split(".")[0]) > order.index(module.split(".")[0])
    ]
    assert not wrong


@pytest.mark.xfail(reason="glowpy.model_cache takes Cache and Target from the cpu backend", strict=True)
def test_the_front_door_knows_no_backend() -> None:
    named = re.compile(r"glowpy_backends\.(?!base\b)\w+")
    wrong = [
        f"{module} imports {target}"
        for module, path in modules().items()
        if module.split(".")[0] == "glowpy"
        for target, _ in imports(module, path)
        if named.match(target)
    ]
    assert not wrong


def test_imports_have_no_circle() -> None:
    arrows = [(m, target) for m, path in modules().items() for target, now in imports(m, path) if now and target != m]
    circles = list(networkx.simple_cycles(networkx.DiGraph(arrows), length_bound=6))
    assert not circles


def test_every_file_says_what_it_is() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    silent = [str(path) for path in (*modules().values(), *tests) if not ast.get_docstring(tree(path))]
    assert not silent


def test_files_hold_one_idea() -> None:
    long = [f"{path}: {n} lines" for path in modules().values() if (n := len(path.read_text().splitlines())) > LONGEST]
    assert not long


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert not [str(path) for path in modules().values() if marks.search(path.read_text(encoding="utf-8"))]


def test_the_graph_is_imported_without_the_heavy_ones() -> None:
    """The intermediate representation needs no ONNX and no LLVM, and the front door loads them only when used."""
    script = "import sys, glowpy, glowpy_ir; print(*(m for m in ('onnx', 'llvmlite', 'networkx') if m in sys.modules))"
    environment = {"PYTHONPATH": ":".join(str(root) for root in dict.fromkeys(FLOORS.values()))}
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert not loaded.stdout.strip()
