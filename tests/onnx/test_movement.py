"""Operators that move elements mean what the standard says, in every version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_reference, agree_with_runtime, check_case, compare, node_cases, node_model, run_model

from glowpy.onnx.model import import_model
from glowpy.onnx.operators import movement, slicing
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

X = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)

CASES = [
    case
    for case in node_cases(*{name for name, _ in (*movement.LOADERS, *slicing.LOADERS)})
    if not any(part in case.name for part in ("training_dropout", "identity_opt", "identity_sequence"))
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    scalars = ("t", "r", "shape", "repeats", "split", "axes", "pads", "value", "starts", "ends", "steps")
    check_case(case, *scalars)


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("shape", [(2, 105), (0, -1), (0, 0, 35), (-1,), (210,), (2, 0, 0, 7, 1), (6, -1, 1, 5)])
def test_reshape_keeps_and_infers(shape: tuple[int, ...]) -> None:
    agree_with_reference("Reshape", {"x": X, "_shape": ints(*shape)}, 14)


def test_reshape_to_nothing() -> None:
    agree_with_reference("Reshape", {"x": X[:0], "_shape": ints(5, 0, 3)}, 14, allowzero=1)


@pytest.mark.parametrize("axis", [-4, -1, 0, 1, 2, 4])
def test_flatten(axis: int) -> None:
    agree_with_reference("Flatten", {"x": X}, 13, axis=axis)


def test_flatten_counts_from_the_end_of_all_axes() -> None:
    run = run_model(node_model("Flatten", {"x": X}, 13, axis=-4), {"x": X})
    assert run["y0"].shape == (1, 210)


@pytest.mark.parametrize(("opset", "axes"), [(11, (0, -1)), (13, (0, -1)), (11, None), (13, None)])
def test_squeeze(opset: int, axes: tuple[int, ...] | None) -> None:
    x = X.reshape(1, 6, 35, 1)
    if axes is None:
        agree_with_reference("Squeeze", {"x": x}, opset)
    elif opset < 13:
        agree_with_runtime("Squeeze", {"x": x}, opset, axes=axes)
    else:
        agree_with_reference("Squeeze", {"x": x, "_axes": ints(*axes)}, opset)


@pytest.mark.parametrize("axes", [(0,), (-1, 1), (2, 0, 5)])
def test_unsqueeze(axes: tuple[int, ...]) -> None:
    agree_with_reference("Unsqueeze", {"x": X[0, :1], "_axes": ints(*axes)}, 13)
    agree_with_runtime("Unsqueeze", {"x": X[0, :1]}, 11, axes=axes)


SLICES = [
    ((1, 0), (2, 3), (0, 2), (1, 1)),
    ((-1, 6), (-(2**31), 0), (2, 3), (-1, -2)),
    ((5, 2), (-(2**63), -(2**63)), (3, 1), (-2, -1)),
    ((0, 1), (2**63 - 1, 2**31 - 1), (-1, -2), (3, 2)),
    ((4, -100), (2, 100), (2, 3), (1, 1)),
    ((100,), (0,), (3,), (-7,)),
    ((-3,), (-1,), (2,), (1,)),
]


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
def test_slice_as_numpy(
    starts: tuple[int, ...], ends: tuple[int, ...], axes: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    operands = {"x": X, "_s": ints(*starts), "_e": ints(*ends), "_a": ints(*axes), "_st": ints(*steps)}
    run = run_model(node_model("Slice", operands, 13), {"x": X})
    index = [slice(None)] * 4
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, None if end < -1000 else end, step)
    compare(run["y0"], X[tuple(index)])


@pytest.mark.parametrize("start", [-100, -6, -5, 2, 100])
@pytest.mark.parametrize("end", [-100, -5, 0, 3])
@pytest.mark.parametrize("step", [-1, -7])
def test_a_slice_backwards_starts_inside(start: int, end: int, step: int) -> None:
    operands = {"x": X, "_s": ints(start), "_e": ints(end), "_a": ints(2), "_st": ints(step)}
    agree_with_runtime("Slice", operands, 13)
    agree_with_runtime("Slice", {**operands, "x": X[:, :, :0]}, 13)


def test_slice_by_attributes() -> None:
    agree_with_runtime("Slice", {"x": X}, 9, starts=(1, -3), ends=(2, 100), axes=(1, 3))
    agree_with_runtime("Slice", {"x": X}, 9, starts=(1, 0), ends=(2, 2))


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize(("axis", "sizes"), [(1, (1, 2)), (-1, (0, 3, 4)), (2, None)])
def test_split(opset: int, axis: int, sizes: tuple[int, ...] | None) -> None:
    x = X if sizes else X[:, :, :4]
    results = len(sizes) if sizes else 2
    operands: dict[str, Array | None] = {"x": x}
    attributes: dict[str, Any] = {"axis": axis}
    if sizes and opset < 13:
        attributes["split"] = sizes
    elif sizes:
        operands["_split"] = ints(*sizes)
    elif opset >= 18:
        attributes["num_outputs"] = 2
    agree_with_runtime("Split", operands, opset, results, **attributes)


def test_split_into_parts_of_which_the_last_is_smaller() -> None:
    run = run_model(node_model("Split", {"x": X}, 18, 3, axis=3, num_outputs=3), {"x": X})
    assert [run[f"y{i}"].shape[3] for i in range(3)] == [3, 3, 1]
    compare(np.concatenate([run[f"y{i}"] for i in range(3)], 3), X)


@pytest.mark.parametrize("shape", [(3, 1, 7), (1,), (2, 1, 1, 1, 1), (4, 2, 3, 5, 7)])
def test_expand_in_both_directions(shape: tuple[int, ...]) -> None:
    x = X[:, :, :, :1] if shape != (1,) else X
    agree_with_reference("Expand", {"x": x if len(shape) != 3 else X[:1, :, :1], "_shape": ints(*shape)}, 13)


@pytest.mark.parametrize("repeats", [(1, 1, 1, 1), (2, 1, 3, 1), (1, 0, 2, 2)])
def test_tile(repeats: tuple[int, ...]) -> None:
    agree_with_reference("Tile", {"x": X, "_repeats": ints(*repeats)}, 13)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("pads", [(0, 0, 1, 2, 0, 0, 3, 1), (1, 1, 0, 0, 0, 2, 0, 6), (0,) * 8])
def test_pad_modes(mode: str, pads: tuple[int, ...]) -> None:
    x = X if mode != "reflect" else X.repeat(2, 0)
    widths = list(zip(pads[:4], pads[4:], strict=True))
    expected = np.pad(x, widths, mode=mode)  # type: ignore[call-overload]
    run = run_model(node_model("Pad", {"x": x, "_pads": ints(*pads)}, 19, mode=mode), {"x": x})
    compare(run["y0"], expected)


def test_pad_with_negative_pads_cuts_off() -> None:
    operands = {"x": X, "_pads": ints(0, -1, 2, 0, 0, 0, -3, 1), "_value": np.array(9, np.float32)}
    run = run_model(node_model("Pad", operands, 13), {"x": X})
    compare(run["y0"], np.pad(X[:, 1:, :2], ((0, 0), (0, 0), (2, 0), (0, 1)), constant_values=9))


def test_pad_along_some_axes() -> None:
    operands = {"x": X, "_pads": ints(1, 2, 3, 0), "_value": None, "_axes": ints(-1, 1)}
    run = run_model(node_model("Pad", operands, 18), {"x": X})
    compare(run["y0"], np.pad(X, ((0, 0), (2, 0), (0, 0), (1, 3))))


def test_pad_with_a_value_known_at_run_time() -> None:
    inputs = {"x": X, "value": np.array(-2.5, np.float32)}
    model = node_model("Pad", {"x": X, "_pads": ints(0, 1, 0, 0, 2, 0, 0, 0), "value": inputs["value"]}, 13)
    run = run_model(model, inputs)
    compare(run["y0"], np.pad(X, ((0, 2), (1, 0), (0, 0), (0, 0)), constant_values=-2.5))


def test_pad_of_large_integers_is_exact() -> None:
    x = ints(2**62 + 1)
    operands = {"x": x, "_pads": ints(1, 0), "_value": np.array(2**62 + 3)}
    assert run_model(node_model("Pad", operands, 13), {"x": x})["y0"].tolist() == [2**62 + 3, 2**62 + 1]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_depth_and_space(mode: str, block: int) -> None:
    x = np.arange(2 * 5 * block * block * 3 * 2, dtype=np.float32).reshape(2, 5 * block * block, 3, 2)
    agree_with_runtime("DepthToSpace", {"x": x}, 13, blocksize=block, mode=mode)
    run = run_model(node_model("DepthToSpace", {"x": x}, 13, blocksize=block), {"x": x})
    back = run_model(node_model("SpaceToDepth", {"x": run["y0"]}, 13, blocksize=block), {"x": run["y0"]})
    compare(back["y0"], x)


@pytest.mark.parametrize("opset", [7, 10, 12, 22])
def test_dropout_does_nothing_in_inference(opset: int) -> None:
    run = run_model(node_model("Dropout", {"x": X}, opset, 2), {"x": X})
    compare(run["y0"], X)
    assert run["y1"].dtype == (bool if opset >= 10 else X.dtype)
    assert run["y1"].all()


FAULTS = [
    ("Reshape", {"x": X, "_shape": ints(4, -1)}, {}, "does not have as many elements"),
    ("Reshape", {"x": X, "_shape": ints(-1, -1)}, {}, "no shape to reshape to"),
    ("Reshape", {"x": X, "_shape": ints(1, 1, 1, 1, 0)}, {}, "keeps dimensions"),
    ("Reshape", {"x": X, "_shape": ints(-1, 0)}, {"allowzero": 1}, "open"),
    ("Squeeze", {"x": X, "_axes": ints(1)}, {}, "not all have extent 1"),
    ("Unsqueeze", {"x": X, "_axes": ints(0, 0)}, {}, "one axis twice"),
    ("Transpose", {"x": X}, {"perm": (0, 1, 1, 3)}, "no order"),
    ("Concat", {"x": X}, {"axis": 4}, "axis 4"),
    ("Slice", {"x": X, "_s": ints(0), "_e": ints(1), "_a": ints(0), "_st": ints(0)}, {}, "step of a slice is 0"),
    ("Slice", {"x": X, "_s": ints(0, 1), "_e": ints(1)}, {}, "differ"),
    ("Split", {"x": X, "_sizes": ints(1, 1)}, {"axis": 1}, "do not make"),
    ("Expand", {"x": X, "_shape": ints(2, 2, 5, 7)}, {}, "do not broadcast"),
    ("Expand", {"x": X, "_shape": ints(-2)}, {}, "cannot have the shape"),
    ("Tile", {"x": X, "_repeats": ints(1, 2)}, {}, "repeats"),
    ("Pad", {"x": X, "_pads": ints(1, 2)}, {}, "do not fit"),
    ("Pad", {"x": X, "_pads": ints(0, 0, 0, 7, 0, 0, 0, 0)}, {"mode": "reflect"}, "needs 8 elements"),
    ("Pad", {"x": X, "_pads": ints(0, 0, 0, -4, 0, 0, 0, -4)}, {}, "cut off more"),
    ("Pad", {"x": X, "_pads": ints(0, 0, 0, 2**62, 0, 0, 0, 0)}, {}, "do not fit"),
    ("DepthToSpace", {"x": X}, {"blocksize": 2}, "do not make blocks"),
    ("DepthToSpace", {"x": X}, {"blocksize": 0}, "positive"),
]


@pytest.mark.parametrize(("operator", "operands", "attributes", "message"), FAULTS)
def test_fault_is_told(
    operator: str, operands: dict[str, Array], attributes: dict[str, Any], message: str
) -> None:
    results = 2 if operator == "Split" else 1
    with pytest.raises(Findings, match=message):
        import_model(node_model(operator, operands, 18, results, **attributes))
