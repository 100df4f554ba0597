"""The benchmark of decoders runs a small one."""

from __future__ import annotations

from pathlib import Path

import decoders
import onnx
import pytest
from models import linear

from benchmarks.decoding import main


def test_a_small_decoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "decoder.onnx"
    onnx.save(decoders.decoder(1), path)
    assert main([str(path), "--past", "5,9", "--steps", "3"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "past"
    assert [row.split()[0] for row in rows] == ["5", "9"]
    assert all(row.split()[4] == "3/3" for row in rows)


def test_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "linear.onnx"
    onnx.save(linear(), path)
    assert main([str(path)]) == 2
    assert "no decoder" in capsys.readouterr().err
