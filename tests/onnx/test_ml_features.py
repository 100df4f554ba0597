"""Operators of ai.onnx.ml that prepare features and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ml_cases import agree_with_reference, agree_with_runtime, ml_model
from onnx import helper, numpy_helper
from onnx.parser import parse_model

import glowpy
from glowpy.onnx.model import import_model
from glowpy.onnx_backend import prepare
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(8)
X = RNG.standard_normal((5, 3)).astype(np.float32)
N = RNG.integers(-2, 4, (5, 3))
TEXTS = np.array([["a", "b", "c"], ["b", "zz", "a"]], object)


def ran(operator: str, *inputs: Array, version: int = 3, **attributes: Any) -> Array:
    named = {f"x{i}": x for i, x in enumerate(inputs)}
    (result,) = prepare(ml_model(operator, named, version, **attributes)).run(inputs)
    return np.asarray(result)


@pytest.mark.parametrize("x", [X, N, X[0], TEXTS, X.reshape(1, 5, 3)], ids=str)
@pytest.mark.parametrize("places", [[1], [0, 2, 1, 1]])
def test_array_feature_extractor(x: Array, places: list[int]) -> None:
    agree_with_runtime("ArrayFeatureExtractor", {"x": x, "i": np.array(places)}, 1)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("x", [X, N], ids=str)
def test_binarizer(x: Array, threshold: float) -> None:
    agree_with_reference("Binarizer", {"x": x}, 1, threshold=threshold)


@pytest.mark.parametrize("x", [X, N, X[:, :1]], ids=str)
@pytest.mark.parametrize("single", [False, True])
def test_scaler(x: Array, single: bool) -> None:
    count = 1 if single else x.shape[1]
    agree_with_runtime("Scaler", {"x": x}, 1, offset=[1.0, -2.0, 0.5][:count], scale=[2.0, 3.0, -1.0][:count])


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
@pytest.mark.parametrize("x", [X, N, np.zeros_like(X), X[0]], ids=str)
def test_normalizer(x: Array, norm: str) -> None:
    agree_with_runtime("Normalizer", {"x": x}, 1, norm=norm)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("missing", [2.0, float("nan")])
def test_imputer(count: int, missing: float) -> None:
    floats = N.astype(np.float32)
    floats[floats == 2] = missing
    numbers = {"imputed_value_floats": [5.0, 6.0, 7.0][:count], "replaced_value_float": missing}
    agree_with_runtime("Imputer", {"x": floats}, 1, **numbers)
    agree_with_runtime("Imputer", {"x": N}, 1, imputed_value_int64s=[5, 6, 7][:count], replaced_value_int64=2)


@pytest.mark.parametrize("widths", [[3, 3], [2, 4], [5, 0]])
def test_feature_vectorizer(widths: list[int]) -> None:
    made = ran("FeatureVectorizer", X, X * 2, version=1, inputdimensions=widths)
    parts = [np.pad(x, ((0, 0), (0, 4)))[:, :width] for x, width in zip((X, X * 2), widths, strict=True)]
    np.testing.assert_array_equal(made, np.concatenate(parts, 1))


ENCODERS: list[tuple[Array, dict[str, Any]]] = [
    (TEXTS, {"keys_strings": ["a", "b"], "values_int64s": [5, 6], "default_int64": 9}),
    (TEXTS, {"keys_strings": ["a", "b"], "values_floats": [0.5, 6.0]}),
    (TEXTS, {"keys_strings": ["a", "b"], "values_strings": ["x", "y"], "default_string": "?"}),
    (N, {"keys_int64s": [-1, 0, 3], "values_strings": ["x", "y", "z"]}),
    (N, {"keys_int64s": [-1, 0, 3], "values_floats": [1.0, 2.0, 3.0], "default_float": 4.0}),
    (N.astype(np.float32), {"keys_floats": [-1.0, 0.0], "values_int64s": [3, 4]}),
]


@pytest.mark.parametrize(("x", "attributes"), ENCODERS)
def test_label_encoder(x: Array, attributes: dict[str, Any]) -> None:
    agree_with_runtime("LabelEncoder", {"x": x}, 2, **attributes)


def test_label_encoder_of_nan_and_of_tensors() -> None:
    x = np.array([[np.nan, 1.0, -0.0]], np.float32)
    given = {"keys_floats": [float("nan"), 0.0], "values_int64s": [3, 4], "default_int64": 7}
    np.testing.assert_array_equal(ran("LabelEncoder", x, version=2, **given), [[3, 7, 4]])
    tensors = {"keys_tensor": np.array([1, 3]), "values_tensor": np.array([0.5, 2]), "default_tensor": np.array([9.0])}
    named = {name: numpy_helper.from_array(array, name) for name, array in tensors.items()}
    np.testing.assert_array_equal(ran("LabelEncoder", np.array([3, 4]), version=4, **named), [2.0, 9.0])


@pytest.mark.parametrize("x", [TEXTS, N], ids=str)
def test_first_label_encoder_and_category_mapper(x: Array) -> None:
    agree_with_runtime("LabelEncoder", {"x": x}, 1, classes_strings=["b", "a", "q"], default_string="?")
    agree_with_runtime("CategoryMapper", {"x": x}, 1, cats_strings=["b", "a"], cats_int64s=[2, 3], default_int64=-7)


def test_one_hot_encoder() -> None:
    agree_with_runtime("OneHotEncoder", {"x": N[:, 0]}, 1, cats_int64s=[0, 1, 3], zeros=1)
    agree_with_runtime("OneHotEncoder", {"x": N[:, 0].astype(np.float32)}, 1, cats_int64s=[0, 1, 3], zeros=1)
    agree_with_runtime("OneHotEncoder", {"x": TEXTS}, 1, cats_strings=["a", "c"], zeros=1)


FAULTS: list[tuple[str, Array, dict[str, Any], str]] = [
    ("Scaler", X, {"offset": [1.0, 2.0]}, "2 numbers for 3 features"),
    ("Normalizer", X.reshape(5, 3, 1), {}, "rows"),
    ("Normalizer", X, {"norm": "L7"}, "L7"),
    ("Imputer", X, {"imputed_value_int64s": [1]}, "no values"),
    ("Imputer", X, {"imputed_value_floats": [1.0, 2.0]}, "2 numbers for 3 features"),
    ("FeatureVectorizer", X, {"inputdimensions": [-1]}, "widths"),
    ("FeatureVectorizer", X, {"inputdimensions": [1, 2]}, "2 widths are given for 1"),
    ("LabelEncoder", N, {"keys_int64s": [1, 2], "values_floats": [1.0]}, "2 keys and 1 values"),
    ("LabelEncoder", N, {"keys_int64s": [1, 2]}, "keys and values"),
    ("LabelEncoder", N, {"keys_strings": ["a"], "values_floats": [1.0]}, "keys of i64"),
    ("OneHotEncoder", N, {}, "either"),
]


@pytest.mark.parametrize(("operator", "x", "attributes", "message"), FAULTS)
def test_fault_is_told(operator: str, x: Array, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(Findings, match=message):
        import_model(ml_model(operator, {"x": x}, 3, **attributes))


def test_maps_as_inputs_are_refused() -> None:
    with pytest.raises(Findings, match="maps as inputs are not supported"):
        import_model(ml_model("DictVectorizer", {"x": X}, 1, int64_vocabulary=[1, 2, 3]))


@pytest.mark.parametrize("labels", [{"classlabels_int64s": [4, 2, 9]}, {"classlabels_strings": ["a", "b", "c"]}])
def test_scores_come_out_as_maps_from_labels(labels: dict[str, Any]) -> None:
    model = parse_model("""<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 1]>
        scores (float[n,3] x) => (seq(map(int64, float)) maps, float[n,3] y)
        { y = Neg(x) maps = ai.onnx.ml.ZipMap(y) }""")
    model.graph.node[1].attribute.extend(helper.make_attribute(name, found) for name, found in labels.items())
    keys = next(iter(labels.values()))
    compiled = glowpy.compile(model)
    for rows in (2, 0, 5):
        x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        maps, y = compiled(x)
        assert maps == [dict(zip(keys, row, strict=True)) for row in (-x).tolist()]
        assert np.array_equal(y, -x)


def test_rows_without_a_label_for_each_element_are_refused() -> None:
    with pytest.raises(Findings, match="rows of 2 elements"):
        import_model(ml_model("ZipMap", {"x": X}, 1, classlabels_int64s=[1, 2]))
