"""The command line as its users meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from models import linear, model, sum_and_product, tensor
from onnx import TensorProto, helper

from glowpy.cli import main
from glowpy.cli.tensors import read_archive, write_archive
from glowpy_ir.types import Array

X = np.array([[1, 2, 3], [-1, 0, 1]], np.float32)
COMPLEX = 14
INTERPRETER = "--backend=interpreter"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A small model in a file."""
    file = tmp_path / "linear.onnx"
    file.write_bytes(linear("rows").SerializeToString())
    return str(file)


def ends_with(code: int, *arguments: str) -> None:
    """Run ``glowc`` and check its exit code, however it gives it."""
    try:
        result = main(arguments)
    except SystemExit as stop:
        result = int(stop.code or 0)
    assert result == code


def test_help_is_light() -> None:
    code = "\n".join(
        [
            "import sys, glowpy.cli",
            "try: glowpy.cli.main(['--help'])",
            "except SystemExit: pass",
            "assert not {'numpy', 'onnx', 'llvmlite', 'glowpy_ir'} & set(sys.modules)",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "verbs (glowc VERB --help)" in done.stdout
    assert "exit codes: 0 done" in done.stdout


@pytest.mark.parametrize("verb", ["compile", "run", "bench", "inspect", "verify"])
def test_each_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, verb, "--help")
    assert f"usage: glowc {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["interpreter", "cpu"])
def test_compiling_tells_what_was_done(backend: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, path, f"--backend={backend}")
    out, err = capsys.readouterr()
    assert err == ""
    for part in ("linear.onnx", "rows = 1", "--dim rows=N", "x: f32[1,3]", "y: f32[1,4]", "memory", "an inference"):
        assert part in out


def test_compiling_as_json(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, "compile", path, INTERPRETER, "--dim", "rows=2", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["inputs"] == {"x": "f32[2,3]"}
    assert facts["assumed"] == {}
    assert facts["memory"]["arena"] >= facts["memory"]["live_peak"]
    assert facts["inference"]["median"] > 0


def test_quiet_is_quiet(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, path, "-q", "-o", str(tmp_path / "out"))
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "out" / "model.json").exists()


@pytest.mark.parametrize(
    ("stage", "part"),
    [
        ("graph", "graph test {"),
        ("lowered", "graph test {"),
        ("dot", "digraph"),
        ("program", "} arena"),
        ("llvm", "define"),
        ("asm", "ret"),
    ],
)
def test_stages_are_printed(stage: str, part: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, path, f"--emit={stage}")
    assert part in capsys.readouterr().out


def test_dump_writes_all_stages(path: str, tmp_path: Path) -> None:
    ends_with(0, path, "-q", "--dump", str(tmp_path / "stages"))
    names = {file.name for file in (tmp_path / "stages").iterdir()}
    assert {"graph.txt", "lowered.txt", "lowered.dot", "program.txt", "code.ll", "code.s"} <= names
    assert any(name.startswith("graph-00-") for name in names)


def test_passes_can_be_watched(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, path, INTERPRETER, "--print-after", "all", "--stop-after", "lower")
    out = capsys.readouterr().out
    assert "// after lower\ngraph test {" in out
    ends_with(2, path, INTERPRETER, "--print-after", "magic")
    assert "no pass 'magic'; there are: " in capsys.readouterr().err


def test_run_compares_and_writes(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", X)
    given, made = f"x=@{tmp_path}/x.npy", tmp_path / "y.npz"
    ends_with(0, "run", path, INTERPRETER, given, "-o", str(made))
    assert "y: f32[2,4]" in capsys.readouterr().out
    ends_with(0, "run", path, "--backend=cpu", given, "--expect", str(made))
    assert "ok" in capsys.readouterr().out
    write_archive(made, {"y": read_archive(made)["y"] + 1})
    ends_with(1, "run", path, "--backend=cpu", given, "--expect", str(made))
    assert "MISMATCH" in capsys.readouterr().out


def test_written_code_runs(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "code"
    ends_with(0, path, "--dim", "rows=2", "-o", str(out))
    capsys.readouterr()
    ends_with(0, "run", str(out), "x=2x3xf32=1", "--json")
    assert json.loads(capsys.readouterr().out)["outputs"]["y"]["type"] == "f32[2,4]"
    ends_with(0, "bench", str(out), "--repeat", "3", "--json")
    assert json.loads(capsys.readouterr().out)["inferences"] == 3
    ends_with(2, "run", str(out), "x=3x3xf32=1")


def test_verify_against_both_oracles(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(0, "verify", path, "--against", "interpreter", "--against", "onnxruntime", "--dim", "rows=7")
    out = capsys.readouterr().out
    assert "cpu against interpreter" in out
    assert "cpu against onnxruntime" in out
    ends_with(1, "verify", path, INTERPRETER, "--tolerance=-1")


def test_verify_says_with_which_session_it_agrees(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its optimizer may change how quantized operators round."""
    ends_with(0, "verify", path, "--against", "onnxruntime", "--json")
    assert json.loads(capsys.readouterr().out)["onnxruntime"]["session"] == "as the model stands"
    tried: list[str] = []

    def run(model: str, feeds: object, level: str) -> list[Array]:
        tried.append(level)
        return [np.full((1, 4), np.nan if level == "ORT_DISABLE_ALL" else 0, np.float32)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glowpy.cli.verify._onnxruntime", run)
        ends_with(0, "verify", path, "--against", "onnxruntime", "--tolerance=1e9")
        assert "cpu against onnxruntime, optimized" in capsys.readouterr().out
        assert tried == ["ORT_DISABLE_ALL", "ORT_ENABLE_ALL"]
        ends_with(1, "verify", path, "--against", "onnxruntime", "--tolerance=-1")


def test_a_model_whose_inputs_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It runs and can be inspected, but there is no code before it runs."""
    upper = helper.make_node("StringNormalizer", ["t"], ["u"], case_change_action="UPPER")
    texts = [helper.make_tensor_value_info("t", TensorProto.STRING, ["n"])]
    graph = helper.make_graph([upper], "g", texts, [helper.make_tensor_value_info("u", TensorProto.STRING, None)])
    file, out = tmp_path / "m.onnx", tmp_path / "u.npz"
    file.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    ends_with(0, "inspect", str(file))
    assert "part by part" in capsys.readouterr().out
    ends_with(4, str(file))
    assert "run the model instead; open dimensions: n = 1" in capsys.readouterr().err
    ends_with(0, "run", str(file), "t=2xstring=a,bc", "-o", str(out))
    assert read_archive(out)["u"].tolist() == ["A", "BC"]
    ends_with(0, "run", str(file), "t=2xstring=a,bc", "--expect", str(out))

    shape = helper.make_node("Reshape", ["x", "s"], ["y"])
    inputs = [tensor("x", [6]), helper.make_tensor_value_info("s", TensorProto.INT64, ["k"])]
    graph = helper.make_graph([shape], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    file.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    ends_with(0, "inspect", str(file))
    capsys.readouterr()
    ends_with(4, str(file))
    assert "bind the inputs that decide; open dimensions: k = 1" in capsys.readouterr().err
    ends_with(0, str(file), "--value", "s=2xi64=2,3")


def test_a_model_of_sequences_can_be_inspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    join = helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)
    inputs = [helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)]
    graph = helper.make_graph([join], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    ends_with(2, "inspect", str(tmp_path / "m.onnx"))
    out = capsys.readouterr().out
    assert "1  ConcatFromSequence" in out
    assert "only from Python" in out


def test_inspect_counts_and_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("Cast", ["x"], [f"y{i}"], to=COMPLEX) for i in range(3)]
    outputs = [tensor(f"y{i}", [2]) for i in range(3)]
    (tmp_path / "m.onnx").write_bytes(model(nodes, [tensor("x", [2])], outputs).SerializeToString())
    ends_with(4, "inspect", str(tmp_path / "m.onnx"))
    out = capsys.readouterr().out
    assert "3  Cast" in out
    assert "1 problem:\n  m.onnx: Cast 'y0' and 2 more: elements of type" in out
    ends_with(4, "inspect", str(tmp_path / "m.onnx"), "--json", "-v")
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 3


def test_errors_have_one_line_and_a_code(tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    cases = [
        (2, ("nothing.onnx",), "nothing.onnx: no such file"),
        (2, (path, "--backend=abacus"), "no backend 'abacus'"),
        (2, (path, "--dim", "columns=1"), "no dimension 'columns'"),
        (2, ("run", path, INTERPRETER), "input 'x' is missing; expected f32[rows,3]"),
        (2, ("run", path, INTERPRETER, "x=1x4xf32=0"), "expected f32[rows,3], given f32[1,4]"),
        (2, (path, "-q", "-o", str(tmp_path)), "was not written by glowpy"),
        (2, (path, "-q", "-o", str(tmp_path / "no" / "folder")), "there is no folder"),
        (3, (str(tmp_path / "empty.onnx"),), "empty.onnx is empty"),
    ]
    for code, arguments, message in cases:
        ends_with(code, *arguments)
        out, err = capsys.readouterr()
        assert out == "" or code == 2
        assert err.count("\n") == 1
        assert err.startswith("error: ")
        assert message in err


@pytest.mark.parametrize(
    "arguments",
    [(), ("--shape", "x=1y2"), ("--dim", "rows"), ("--threads", "0"), ("--emit", "ode"), ("--x",)],
)
def test_wrong_options_are_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(2, *arguments) if not arguments else ends_with(2, "model.onnx", *arguments)
    assert "error: " in capsys.readouterr().err


def test_internal_errors_ask_for_a_report(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("glowpy.cli.compile.read_source", fail)
    ends_with(5, path)
    err = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: oops" in err
    assert "Please report it" in err
    assert "Traceback" not in err
    ends_with(5, path, "-vv")
    assert "Traceback" in capsys.readouterr().err


def test_findings_are_grouped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [helper.make_node("Cast", ["x"], [f"y\n{i}"], to=COMPLEX) for i in range(30)]
    proto = model(nodes, [tensor("x", [2])], [tensor(f"y\n{i}", [2]) for i in range(30)])
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    ends_with(4, str(tmp_path / "m.onnx"))
    err = capsys.readouterr().err
    assert err.startswith("error: m.onnx: Cast 'y")
    assert err.count("\n") == 1
    assert "and 29 more: elements of type" in err
    ends_with(4, str(tmp_path / "m.onnx"), "-v")
    assert capsys.readouterr().err.count("Cast") >= 30


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=COMPLEX)]
    proto = model(nodes, [tensor("x", [2])], [tensor("y", [2])])
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    ends_with(4, str(tmp_path / "m.onnx"), "-o", str(tmp_path / "out"))
    ends_with(4, str(tmp_path / "m.onnx"), "--dump", str(tmp_path / "dump"))
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def glowc(*arguments: str) -> subprocess.Popen[str]:
    """A process of its own, for what has to do with processes; interrupts reach it even if these tests get none."""
    command = [sys.executable, "-m", "glowpy", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_interrupt_is_clean(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(sum_and_product().SerializeToString())
    process = glowc("bench", str(tmp_path / "m.onnx"), INTERPRETER, "--seconds", "60")
    time.sleep(3)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    # Where the signal comes while Python imports, it passes it on at the end; a shell sees 130 in both cases.
    assert process.returncode in (130, -signal.SIGINT), out + err
    assert err == "interrupted\n"


def test_interrupt_ends_all_compiling(tmp_path: Path) -> None:
    """Nothing stays: no process, no half of a result, no draft in the cache."""
    cache = tmp_path / "cache"
    process = glowc("onnx:squeezenet", "-q", "-o", str(tmp_path / "out"), "--cache-dir", str(cache))
    while not any(cache.glob("*/??/*")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert [file.name for file in tmp_path.iterdir()] == ["cache"]
    assert not any(cache.glob("*/drafts/*"))
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_broken_pipe_is_clean(path: str) -> None:
    process = glowc(path, "--emit=graph")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_errors_tell_what_nobody_chose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])
    proto = model([pool], [tensor("x", [1, 1, "h", "w"])], [tensor("y", [1, 1, None, None])])
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    ends_with(3, str(tmp_path / "m.onnx"))
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "open dimensions: h = 1, w = 1 (choose with --dim h=N)" in err
    ends_with(0, str(tmp_path / "m.onnx"), INTERPRETER, "--dim", "h=2", "--dim", "w=5")
