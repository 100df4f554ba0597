"""The benchmark of memory placement: files are read strictly, and the exit code tells a loss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.memory import main, read_traces
from glowpy.program.placement import LiveRange
from glowpy_ir.errors import SyntaxFault

GOOD = """
# two buffers
MODEL net.onnx
ALIGN 16
ALLOC a 100   # in use at steps 0 and 1
ALLOC b 10
FREE a
FREE b
MEM 128
EFF 1.0
MODEL empty
ALIGN 64
MEM 0
"""


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    path = tmp_path / "traces.txt"
    path.write_text(GOOD)
    return path


def test_traces_are_read() -> None:
    net, empty = read_traces(GOOD.splitlines(), "traces.txt")
    assert (net.name, net.alignment, net.recorded) == ("net.onnx", 16, 128)
    assert net.ranges == (LiveRange("a", 100, 0, 2), LiveRange("b", 10, 1, 3))
    assert empty.ranges == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ALIGN 64", "t.txt:1: ALIGN before the first MODEL"),
        ("MODEL m\nALLOC a", "t.txt:2: ALLOC takes 2 values, not 1"),
        ("MODEL m\nALLOC a -4", "t.txt:2: expected a number of bytes, not '-4'"),
        ("MODEL m\nALLOC a 99999999999999999999", "t.txt:2: expected a number of bytes"),
        ("MODEL m\nALIGN 0", "t.txt:2: an alignment of 0 bytes"),
        ("MODEL m\nALLOC a 4\nALLOC a 4", "t.txt:3: buffer a is allocated twice"),
        ("MODEL m\nFREE a", "t.txt:2: buffer a is freed but not in use"),
        ("MODEL m\nALLOC a 4\nFREE a\nFREE a", "t.txt:4: buffer a is freed but not in use"),
        ("MODEL m\nALLOC a 4", "t.txt:2: trace 'm' ends, but buffer a is not freed"),
        ("MODEL m\nMEM 0", "t.txt:2: trace 'm' has no ALIGN line"),
        ("MODEL m\nALIGN 1", "t.txt:2: trace 'm' has no MEM line"),
        ("MODEL m\nEFF good", "t.txt:2: expected a ratio, not 'good'"),
        ("MODEL", "t.txt:1: MODEL takes 1 value, not 0"),
        ("hello world", "t.txt:1: unknown statement 'hello'"),
    ],
)
def test_a_wrong_line_is_named(text: str, message: str) -> None:
    with pytest.raises(SyntaxFault) as caught:
        list(read_traces(text.splitlines(), "t.txt"))
    assert str(caught.value).startswith(message)


def test_placing_as_recorded_succeeds(trace_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trace_file)]) == 0
    assert "2 traces: 2 at the live peak; 2 not above the recorded arena, 0 below it" in capsys.readouterr().out


def test_an_arena_above_the_recorded_one_fails(trace_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace_file.write_text(GOOD.replace("MEM 128", "MEM 127"))
    assert main([str(trace_file)]) == 1
    assert "LARGER" in capsys.readouterr().out


def test_figures_as_json(trace_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trace_file), "--json"]) == 0
    net, _ = json.loads(capsys.readouterr().out)["traces"]
    assert net == {
        "trace": "net.onnx", "buffers": 2, "bytes": 128, "live_peak": 128, "ratio": 1.0, "recorded": 128,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", 2, "holds no trace"),
        (b"\xff\xfe\x00MODEL", 2, "is not a text file"),
        (b"MODEL m\nFREE a\n", 3, ":2: buffer a is freed but not in use"),
    ],
)
def test_a_bad_file_is_one_sentence(
    content: bytes, code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    assert main([str(path)]) == code
    assert message in capsys.readouterr().err
    assert main([str(tmp_path / "missing.txt")]) == 2
