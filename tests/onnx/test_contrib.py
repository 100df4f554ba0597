"""com.microsoft's operators compute what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper
from onnx_cases import compare, run_model

from glowpy.onnx.model import import_model
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(29)


def floats(*shape: int) -> Array:
    return np.asarray(RNG.standard_normal(shape), np.float32)


def integers(dtype: type[np.integer[Any]], *shape: int) -> Array:
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


def scale(most: float = 0.1, *shape: int) -> Array:
    return np.asarray(RNG.uniform(most / 2, most, shape), np.float32)


def model(
    operator: str, inputs: Mapping[str, Array | None], outputs: list[str], domain: str, attributes: Any
) -> ModelProto:
    """A model of one node; inputs whose names start with an underscore are constants."""
    given = {name: array for name, array in inputs.items() if array is not None}
    names = [name if name in given else "" for name in inputs]
    node = helper.make_node(operator, names, outputs, domain=domain, **attributes)

    def info(name: str) -> Any:
        array = given[name]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        [node], "one",
        [info(name) for name in given if not name.startswith("_")],
        [helper.make_empty_tensor_value_info(name) for name in outputs if name],
        [numpy_helper.from_array(array, name) for name, array in given.items() if name.startswith("_")],
    )  # fmt: skip
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8)


def agree(
    operator: str, inputs: Mapping[str, Array | None], outputs: tuple[str, ...] = ("y",), domain: str = "com.microsoft",
    rtol: float = 1e-4, atol: float = 1e-5, **attributes: Any,
) -> None:  # fmt: skip
    """Compare the imported node with ONNX Runtime; steps of quantized results may differ by one, in few places."""
    made = model(operator, inputs, list(outputs), domain, attributes)
    feeds = {name: array for name, array in inputs.items() if array is not None and not name.startswith("_")}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    run = run_model(made, feeds)
    for name, expected in zip(filter(None, outputs), session.run(None, feeds), strict=True):
        if expected.dtype.kind == "f":
            compare(run[name], expected, rtol, atol)
            continue
        assert (run[name].dtype, run[name].shape) == (expected.dtype, expected.shape)
        steps = np.abs(run[name].astype(np.int64) - expected)
        assert steps.max() <= 1
        assert np.count_nonzero(steps) <= max(1, 0.001 * steps.size)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("operator", ["QLinearAdd", "QLinearMul"])
def test_elementwise(operator: str, dtype: type[np.integer[Any]]) -> None:
    left = {"a": integers(dtype, 3, 5, 7), "as": scale(), "az": integers(dtype)}
    right = {"b": integers(dtype, 5, 1), "bs": scale(), "bz": integers(dtype)}
    agree(operator, {**left, **right, "ys": scale(0.3 if operator == "QLinearAdd" else 2), "yz": integers(dtype)})


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(("operator", "attributes"), [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.2})])
def test_activation(operator: str, attributes: dict[str, Any], dtype: type[np.integer[Any]]) -> None:
    inputs = {"x": integers(dtype, 9, 33), "_xs": scale(), "_xz": integers(dtype)}
    agree(operator, {**inputs, "_ys": scale(0.02), "_yz": integers(dtype)}, **attributes)


def test_softmax() -> None:
    inputs = {"x": integers(np.uint8, 5, 9), "_xs": scale(), "_xz": integers(np.uint8)}
    inputs |= {"_ys": np.asarray(1 / 256, np.float32), "_yz": np.asarray(0, np.uint8)}
    agree("QLinearSoftmax", inputs, axis=-1, opset=13)


def test_where() -> None:
    inputs = {"c": RNG.integers(0, 2, (3, 7)).astype(bool)}
    inputs |= {"x": integers(np.uint8, 3, 7), "_xs": scale(), "_xz": integers(np.uint8)}
    inputs |= {"other": integers(np.uint8, 3, 1), "_os": scale(), "_oz": integers(np.uint8)}
    agree("QLinearWhere", {**inputs, "_ys": scale(), "_yz": integers(np.uint8)})


def test_concat() -> None:
    inputs = {"_ys": scale(), "_yz": integers(np.uint8)}
    for name, count in (("a", 3), ("b", 4)):
        inputs |= {name: integers(np.uint8, 2, count, 5), f"_{name}s": scale(), f"_{name}z": integers(np.uint8)}
    agree("QLinearConcat", inputs, axis=1)


@pytest.mark.parametrize("channels_last", [0, 1])
def test_pools(channels_last: int) -> None:
    rest = {"_xs": scale(), "_xz": integers(np.uint8), "_ys": scale(), "_yz": integers(np.uint8)}
    inputs = {"x": integers(np.uint8, 2, 7, 9, 6), **rest}
    agree("QLinearGlobalAveragePool", inputs, channels_last=channels_last)
    windows: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]}
    agree("QLinearAveragePool", inputs, channels_last=channels_last, **windows)


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("is_quantized", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_gemm(by_column: bool, is_quantized: bool, bias: bool) -> None:
    shape = (9,) if by_column else ()
    inputs: dict[str, Array | None] = {
        "a": integers(np.uint8, 5, 33), "_as": scale(), "_az": integers(np.uint8),
        "_b": integers(np.int8, 9, 33), "_bs": scale(0.1, *shape), "_bz": np.zeros(shape, np.int8),
        "_c": RNG.integers(-5000, 5000, 9).astype(np.int32) if bias else None,
    }  # fmt: skip
    if is_quantized:
        inputs |= {"_ys": scale(10), "_yz": integers(np.uint8)}
    agree("QGemm", inputs, transB=1, alpha=0.5 if not bias else 1.0)


@pytest.mark.parametrize("by_column", [False, True])
def test_products_of_integers(by_column: bool) -> None:
    shape = (9,) if by_column else ()
    weights = {"_b": integers(np.int8, 33, 9)}
    bias = {"_bias": floats(9)}
    inputs = {"a": floats(2, 5, 33), **weights, "_s": scale(0.1, *shape), "_z": np.zeros(shape, np.int8), **bias}
    agree("DynamicQuantizeMatMul", inputs)
    scales = {"as": scale(), "_bs": scale(0.1, *shape), "az": integers(np.uint8), "_bz": np.zeros(shape, np.int8)}
    agree("MatMulIntegerToFloat", {"a": integers(np.uint8, 5, 33), **weights, **scales, **bias})


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [None, np.uint8, np.float32])
@pytest.mark.parametrize("depth", [32, 96, 100])
def test_matmul_of_few_bits(bits: int, zeros: type[np.generic] | None, depth: int) -> None:
    if bits == 8 and zeros is np.float32:
        pytest.skip("ONNX Runtime does not take it")
    columns, block = 7, 32
    blocks = -(-depth // block)
    zero = None
    if zeros is np.uint8:
        zero = integers(np.uint8, columns * -(-blocks * bits // 8))
    elif zeros is np.float32:
        zero = floats(columns, blocks)
    inputs = {
        "a": floats(2, 3, depth), "_b": integers(np.uint8, columns, blocks, block * bits // 8),
        "_s": scale(0.1, columns * blocks), "_z": zero,
    }  # fmt: skip
    agree("MatMulNBits", inputs, K=depth, N=columns, bits=bits, block_size=block, rtol=1e-3, atol=1e-3)


def test_rows_in_another_order_are_refused() -> None:
    a = floats(2, 32)
    inputs = {"a": a, "_b": integers(np.uint8, 7, 1, 16), "_s": scale(0.1, 7), "_z": None}
    order: dict[str, Array | None] = {**inputs, "_g": np.zeros(32, np.int32)}
    made = model("MatMulNBits", order, ["y"], "com.microsoft", {"K": 32, "N": 7, "block_size": 32})
    with pytest.raises(Findings, match="rows in another order"):
        run_model(made, {"a": a})


@pytest.mark.parametrize(
    ("left", "right", "attributes"),
    [
        ((3, 5), (5, 4), {"alpha": 0.5}),
        ((2, 5, 3), (5, 4), {"transA": 1}),
        ((2, 3, 5), (2, 4, 5), {"transB": 1, "alpha": 2.0}),
        ((3, 2, 5), (5, 2, 4), {"transBatchA": 1, "transBatchB": 1}),
        ((5, 2, 3), (4, 2, 5), {"transBatchA": 1, "transBatchB": 1, "transA": 1, "transB": 1}),
        ((5,), (5, 4), {}),
    ],
)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...], attributes: dict[str, Any]) -> None:
    agree("FusedMatMul", {"a": floats(*left), "b": floats(*right)}, **attributes)


@pytest.mark.parametrize("activation", ["Relu", "Tanh", "Sigmoid"])
def test_fused_activations(activation: str) -> None:
    image = {"x": floats(1, 4, 5, 7), "w": floats(8, 4, 3, 3), "b": floats(8)}
    agree("FusedConv", image, activation=activation)
    agree("FusedGemm", {"a": floats(3, 5), "b": floats(4, 5), "c": floats(4)}, transB=1, activation=activation)


def test_parameters_of_fused_activations() -> None:
    image = {"x": floats(1, 4, 5, 7), "w": floats(8, 4, 3, 3), "b": floats(8), "z": floats(1, 8, 3, 5)}
    for name, parameters in (("LeakyRelu", [0.3]), ("Clip", [-0.5, 1.0]), ("HardSigmoid", [0.3, 0.4])):
        agree("FusedConv", {**image, "z": None}, activation=name, activation_params=parameters)
    agree("FusedConv", image, activation="Relu")
    agree("FusedGemm", {"a": floats(3, 4), "b": floats(4, 5)}, activation="LeakyRelu", activation_alpha=0.2)


def test_convolution_with_channels_last() -> None:
    """ONNX Runtime has no kernel for this one here: compared with the same convolution of the standard."""
    x, w, b = floats(1, 5, 7, 4), floats(6, 3, 3, 4), floats(6)
    made = model("NhwcConv", {"x": x, "w": w, "b": b}, ["y"], "com.microsoft", {"strides": [1, 2]})
    first = {"x": x.transpose(0, 3, 1, 2), "w": w.transpose(0, 3, 1, 2), "b": b}
    expected = run_model(model("Conv", first, ["y"], "", {"strides": [1, 2]}), first)["y"]
    compare(run_model(made, {"x": x, "w": w, "b": b})["y"], expected.transpose(0, 2, 3, 1))


def test_gelus() -> None:
    x, bias = floats(3, 5, 8), floats(8)
    agree("Gelu", {"x": x})
    agree("BiasGelu", {"x": x, "b": bias})
    agree("FastGelu", {"x": x})
    agree("FastGelu", {"x": x, "b": bias})
    agree("QuickGelu", {"x": x}, alpha=1.3)


def test_bias_add() -> None:
    """ONNX Runtime has no kernel for this one here."""
    inputs = {"x": floats(2, 3, 8), "b": floats(8), "s": floats(2, 3, 8)}
    run = run_model(model("BiasAdd", inputs, ["y"], "com.microsoft", {}), inputs)
    compare(run["y"], inputs["x"] + inputs["b"] + inputs["s"])


@pytest.mark.parametrize("parameters", [1, 2, 3])
def test_layer_normalizations_of_sums(parameters: int) -> None:
    inputs = {"x": floats(2, 3, 8), "s": floats(2, 3, 8), "g": floats(8), "b": floats(8), "bias": floats(8)}
    some = dict(list(inputs.items())[: 2 + parameters])
    agree("SkipLayerNormalization", some, ("y", "", "", "sum"), epsilon=1e-3)
    if parameters < 3:
        agree("SkipSimplifiedLayerNormalization", some, ("y", "", "", "sum"), epsilon=1e-3)


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("positions", [False, True])
def test_embeddings(segments: bool, positions: bool) -> None:
    ids = RNG.integers(0, 11, (2, 5)).astype(np.int32)
    inputs: dict[str, Array | None] = {
        "ids": ids, "seg": ids % 2 if segments else None,
        "_words": floats(11, 8), "_places": floats(9, 8), "_kinds": floats(2, 8) if segments else None,
        "_g": floats(8), "_b": floats(8), "mask": None,
        "pos": RNG.integers(0, 9, (2, 5)).astype(np.int32) if positions else None,
    }  # fmt: skip
    agree("EmbedLayerNormalization", inputs, ("y", "", "sum"), epsilon=1e-5)
    agree("EmbedLayerNormalization", inputs, ("y", "counts", "sum"), epsilon=1e-5)
    inputs["mask"] = RNG.integers(0, 2, (2, 5)).astype(np.int32)
    agree("EmbedLayerNormalization", inputs, ("y", "counts"), epsilon=1e-5)


def test_an_operator_that_is_not_there_is_not_supported() -> None:
    graph = helper.make_graph([helper.make_node("Whisper", ["x"], ["y"], "w", domain="com.microsoft")], "g", [], [])
    graph.input.append(helper.make_tensor_value_info("x", 1, [2]))
    graph.output.append(helper.make_empty_tensor_value_info("y"))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    with pytest.raises(Findings, match=r"'w': operator Whisper is not supported \(domain 'com.microsoft'") as told:
        import_model(helper.make_model(graph, opset_imports=opsets))
    assert told.value.code == 4


def test_simplified_layer_normalization() -> None:
    agree("SimplifiedLayerNormalization", {"x": floats(3, 5, 8), "g": floats(8)}, domain="", axis=-1, epsilon=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_quantization(axis: int) -> None:
    x, parts = floats(5, 7), {"s": scale(0.1, (5, 7)[axis]), "z": integers(np.uint16, (5, 7)[axis])}
    agree("QuantizeLinear", {"x": x, **parts}, axis=axis)
    agree("DequantizeLinear", {"x": integers(np.uint16, 5, 7), **parts}, axis=axis)
