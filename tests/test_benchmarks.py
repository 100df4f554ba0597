"""The harness measures fairly: engines take turns, disagreement is told, and a failing engine spoils nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from models import linear

from benchmarks import __main__ as cli
from benchmarks.cases import Case, load_case
from benchmarks.engines import ENGINES, Run, engine_named
from benchmarks.environment import environment
from benchmarks.measure import Spread, Timing, measure
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array


class Clock:
    """Time that only passes when an engine runs, so that tests need none."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def engine(self, name: str, seconds: Callable[[int], float]) -> Run:
        """An engine whose n-th run takes ``seconds(n)``."""
        runs = 0

        def run() -> list[Array]:
            nonlocal runs
            runs += 1
            self.now += seconds(runs)
            self.log.append(name)
            return []

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("benchmarks.measure.time.perf_counter", lambda: clock.now)
    monkeypatch.setattr("benchmarks.measure.time.sleep", lambda _: None)
    return clock


def test_ratios_are_those_of_the_engines(clock: Clock) -> None:
    runs = {"a": clock.engine("a", lambda _: 0.001), "b": clock.engine("b", lambda _: 0.003)}
    result = measure(runs, rounds=5, slice_seconds=0.01)
    assert result.ratio("a", "b").median == pytest.approx(3)
    assert result.milliseconds("a").median == pytest.approx(1)


def test_slow_drift_cancels_out(clock: Clock) -> None:
    """A machine that gets slower all the time does not favour who runs first: the order rotates."""
    runs = {name: clock.engine(name, lambda _: 0.001 * (1 + clock.now)) for name in "ab"}
    ratio = measure(runs, rounds=40, slice_seconds=0.02).ratio("a", "b")
    assert ratio.median == pytest.approx(1, abs=0.02)
    assert ratio.low < 1 < ratio.high


def test_order_rotates(clock: Clock) -> None:
    runs = {name: clock.engine(name, lambda _: 0.01) for name in "abc"}
    measure(runs, rounds=3, slice_seconds=0.01)
    turns = [name for i, name in enumerate(clock.log) if i == 0 or clock.log[i - 1] != name]
    assert "".join(turns).endswith("abcbcacab")


def test_spread_has_percentiles() -> None:
    assert Spread.of(range(101)) == Spread(50, 10, 90)
    assert Timing({"a": [1, 2], "b": [2, 2]}).ratio("a", "b").high == pytest.approx(1.9)


def test_case_binds_what_is_open(tmp_path: Path) -> None:
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear("rows").SerializeToString())
    assert load_case(str(path), {}, {}, 0).shapes == {"x": (1, 3)}
    assert load_case(str(path), {"rows": 4}, {}, 0).dims == {"rows": 4}
    assert load_case(str(path), {}, {"x": (5, 3)}, 0).dims == {"rows": 5}
    np.savez(tmp_path / "linear.npz", x=np.full((2, 3), 7, np.float32))
    np.testing.assert_array_equal(load_case(str(path), {}, {}, 0).feeds["x"], np.full((2, 3), 7))
    with pytest.raises(UsageError, match="no engine 'abacus'; there are: glowpy"):
        engine_named("abacus")


def test_environment_names_the_machine() -> None:
    assert {"date", "cpus", "load", "system", "python"} <= environment().keys()


class Broken:
    """An engine that refuses every model."""

    def version(self) -> str:
        return "0"

    def prepare(self, case: Case, threads: int) -> Run:
        raise RuntimeError(f"no {case.name}\nand more")


class Wrong:
    """An engine that is fast and wrong."""

    def version(self) -> str:
        return "0"

    def prepare(self, case: Case, threads: int) -> Run:
        return lambda: [np.zeros((1, 4), np.float32)]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    (tmp_path / "linear.onnx").write_bytes(linear("rows").SerializeToString())
    return [str(tmp_path / "linear.onnx"), "--engine", "interpreter", "--rounds", "2", "--slice", "0.001"]


def test_command_line_measures_and_writes(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = ["--json", str(tmp_path / "t.json")]
    assert cli.main([*arguments, "--against", "onnxruntime", "--threads", "1,2", *written]) == 0
    out = capsys.readouterr().out
    assert out.count("onnxruntime") >= 3
    results = json.loads((tmp_path / "t.json").read_text())["results"]
    assert [result["threads"] for result in results] == [1, 2]
    assert len(results[0]["timing"]["rounds"]["onnxruntime"]) == 2


def test_charts_are_drawn(arguments: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert cli.main([*arguments, "--against", "onnxruntime", "--plot", str(tmp_path / "t.svg")]) == 0
    assert "<svg" in (tmp_path / "t.svg").read_text()


def test_what_would_fail_at_the_end_fails_at_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "compare", lambda *_: pytest.fail("measured in vain"))
    assert cli.main([*arguments, "--against", "", "--json", str(tmp_path / "no" / "t.json")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert cli.main([*arguments, "--against", "openvino"]) == 2
    assert "openvino is not installed" in capsys.readouterr().err


def test_failing_engines_are_told(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ENGINES, "broken", Broken())
    assert cli.main([*arguments, "--against", "broken"]) == 0
    assert "broken failed: RuntimeError: no linear" in capsys.readouterr().out


def test_wrong_results_are_told(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ENGINES, "wrong", Wrong())
    assert cli.main([*arguments, "--against", "wrong,onnxruntime"]) == 1
    assert "MISMATCH" in capsys.readouterr().out
