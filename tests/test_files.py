"""Files and folders are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from glowpy.files import writing, writing_folder
from glowpy_ir.errors import UsageError


def test_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with writing(target) as partial:
        partial.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(UnicodeError), writing(target) as partial:
        partial.write_text("half \ud800")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("one", "two"):
        with writing_folder(target, "mark") as partial:
            (partial / "mark").write_text(content)
            (partial / content).mkdir()
    assert sorted(path.name for path in target.iterdir()) == ["mark", "two"]
    with pytest.raises(ZeroDivisionError), writing_folder(target, "mark"):
        raise ZeroDivisionError
    assert (target / "mark").read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]


def test_folders_of_others_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(UsageError, match="was not written by glowpy"), writing_folder(tmp_path, "mark"):
        pytest.fail("the folder is not ours to write")
    assert (tmp_path / "precious").read_text() == "mine"


def test_missing_parent_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"), writing(tmp_path / "no" / "file"):
        pytest.fail("there is nowhere to write")
