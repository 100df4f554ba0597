"""ONNX's spectral operators mean what the standard says."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, check_case, node_cases, node_model, run_model

from glowpy_ir.errors import Findings

CASES = node_cases("DFT", "STFT", "MelWeightMatrix")
RNG = np.random.default_rng(1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    """The results of the inverse transform are wrong by 2e-7, for they were computed in float32."""
    if "dft_inverse" in case.name:
        case.atol = 1e-6
    scalars = ("axis", "frame_step", "frame_length", "num_mel_bins", "dft_length", "sample_rate")
    check_case(case, *scalars, "lower_edge_hertz", "upper_edge_hertz")


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("length", [None, 5, 12])
@pytest.mark.parametrize(("inverse", "onesided"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_dft(opset: int, length: int | None, inverse: int, onesided: int) -> None:
    x = RNG.standard_normal((2, 9, 3, 1 if onesided and not inverse else 2)).astype(np.float32)
    count = None if length is None else np.array(length, np.int64)
    attributes = {"inverse": inverse, "onesided": onesided}
    if opset == 17:
        agree_with_reference("DFT", {"x": x, "_length": count}, opset, **attributes, axis=1)
    else:
        axis = np.array(-3, np.int64)
        agree_with_reference("DFT", {"x": x, "_length": count, "_axis": axis}, opset, **attributes)


def test_a_signal_without_a_last_dimension_is_real() -> None:
    x = RNG.standard_normal((2, 50)).astype(np.float32)
    step, length = np.array(7, np.int64), np.array(16, np.int64)
    others = {"_step": step, "_window": None, "_length": length}
    runs = [
        run_model(node_model("STFT", {"x": signal, **others}, 17), {"x": signal}) for signal in (x, x[..., None])
    ]
    assert np.array_equal(runs[0]["y0"], runs[1]["y0"])


@pytest.mark.parametrize("length", [None, 16])
@pytest.mark.parametrize("with_window", [False, True])
def test_stft(length: int | None, with_window: bool) -> None:
    inputs = {
        "x": RNG.standard_normal((2, 100, 1)).astype(np.float32),
        "_step": np.array(7, np.int64),
        "_window": np.hamming(16).astype(np.float32) if with_window else None,
        "_length": None if length is None else np.array(length, np.int64),
    }
    agree_with_reference("STFT", inputs, 17, rtol=1e-4, atol=1e-5)


def mel(bands: int, length: int, rate: int, low: float, high: float) -> dict[str, np.ndarray]:
    numbers = {"_bands": bands, "_length": length, "_rate": rate}
    edges = {"_low": low, "_high": high}
    return {
        **{name: np.array(number, np.int64) for name, number in numbers.items()},
        **{name: np.array(edge, np.float32) for name, edge in edges.items()},
    }


@pytest.mark.parametrize("case", [(8, 16, 8192, 0, 4096), (40, 400, 16000, 20, 7600), (80, 400, 16000, 0, 8000)])
def test_mel_weights(case: tuple[int, int, int, float, float]) -> None:
    agree_with_reference("MelWeightMatrix", mel(*case), 17)


@pytest.mark.parametrize("case", [(8, -16, 8192, 0, 4096), (8, 16, 0, 0, 4096), (8, 1 << 50, 8192, 0, 4096)])
def test_absurd_mel_weights_are_refused(case: tuple[int, int, int, float, float]) -> None:
    with pytest.raises(Findings, match="no 8 bands"):
        run_model(node_model("MelWeightMatrix", mel(*case), 17), {})
