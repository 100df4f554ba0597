"""What the documents show is what happens: their Python runs, and their commands print what stands below them."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest

from glowpy.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
NUMBER = re.compile(r"(?<=[a-z])(\.\d+)+(?=[\s,)])")
"""What makes the name of a value unique; it changes whenever a pass does."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(document: Path) -> list[tuple[str, str, int]]:
    """The language, the text and the line of each block."""
    text = document.read_text()
    return [(m[1], m[2], text.count("\n", 0, m.start()) + 2) for m in BLOCK.finditer(text)]


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_document(document: Path, tmp_path: Path) -> None:
    """Run a document in a process of its own: what it changes in the compiler stays there."""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, __file__, str(document)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def run_document(document: Path) -> None:
    """Run the blocks of a document in their order, as one module."""
    module = ModuleType(document.stem)
    sys.modules[document.stem] = module
    for language, text, line in blocks(document):
        if language == "python":
            padded = "\n" * (line - 1) + text  # so that a traceback points into the document
            with redirect_stdout(StringIO()):
                exec(compile(padded, str(document), "exec", dont_inherit=True), vars(module))
        elif language == "console":
            for command, expected in commands(text):
                check(command, expected, f"{name_of(document)}:{line}")


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def check(command: str, expected: str, where: str) -> None:
    words = shlex.split(command)
    assert words[0] == "glowc", f"{where}: only glowc can be shown"
    printed = StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        main(words[1:])
    checker, made = doctest.OutputChecker(), NUMBER.sub("", printed.getvalue())
    if not checker.check_output(NUMBER.sub("", expected), made, FLAGS):
        difference = checker.output_difference(doctest.Example(command, expected), made, FLAGS)
        raise AssertionError(f"{where}: $ {command}\n{difference}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), target


def test_ci_runs_the_commands_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    wanted = re.findall(r"\$\(readme (\w+)\)", (ROOT / ".ci" / "run").read_text())
    assert wanted == ["setup", "test"]
    for name in wanted:
        assert re.search(rf"^<!-- ci: {name} -->\n```sh\n.+\n```$", text, re.MULTILINE), name
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


if __name__ == "__main__":
    run_document(Path(sys.argv[1]))
