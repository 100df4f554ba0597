"""Linear models and support vector machines of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ml_cases import agree_with_reference, agree_with_runtime, ml_model

from glowpy.onnx.model import import_model
from glowpy.onnx_backend import prepare
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(2)
X = RNG.standard_normal((9, 4)).astype(np.float32)
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]


def numbers(*shape: int) -> list[float]:
    return RNG.standard_normal(shape).astype(np.float32).ravel().tolist()


@pytest.mark.parametrize("how", TRANSFORMS)
@pytest.mark.parametrize("targets", [1, 3])
def test_linear_regressor(targets: int, how: str) -> None:
    """ONNX Runtime does not transform single scores."""
    attributes = {"coefficients": numbers(targets, 4), "intercepts": numbers(targets), "targets": targets}
    if targets > 1 or how == "NONE":
        agree_with_runtime("LinearRegressor", {"x": X}, 1, post_transform=how, **attributes)


def test_integers_are_taken_as_floats() -> None:
    x: Array = (X * 3).astype(np.int64)
    one, other = (
        prepare(ml_model("LinearRegressor", {"x": x}, 1, coefficients=[1, 2, 3, 4.0])).run([x])[0]
        for x in (x, x.astype(np.float32))
    )
    np.testing.assert_array_equal(one, other)
    assert one.dtype == np.float32


@pytest.mark.parametrize("how", TRANSFORMS)
@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("texts", [False, True])
def test_linear_classifier(classes: int, texts: bool, how: str) -> None:
    """With scores for two classes, or for one of them; of these ONNX Runtime makes others than the standard."""
    count = max(classes, 2)
    labels = {"classlabels_strings": list("abc")[:count]} if texts else {"classlabels_ints": [7, -1, 4][:count]}
    attributes = {"coefficients": numbers(classes, 4), "intercepts": numbers(classes), "post_transform": how}
    agree = agree_with_runtime if classes > 1 or how == "LOGISTIC" else agree_with_reference
    agree("LinearClassifier", {"x": X}, 1, 2, **attributes, **labels)


LINEAR: dict[str, Any] = {"kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 0.0]}
KERNELS = ["LINEAR", "POLY", "RBF", "SIGMOID"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("one_class", [0, 1])
def test_svm_regressor(kernel: str, one_class: int) -> None:
    agree_with_runtime(
        "SVMRegressor", {"x": X}, coefficients=numbers(5), support_vectors=numbers(5, 4), n_supports=5, rho=[0.3],
        kernel_type=kernel, kernel_params=[0.4, 0.1, 3.0], one_class=one_class,
    )  # fmt: skip


def test_linear_svm_regressor() -> None:
    agree_with_runtime("SVMRegressor", {"x": X}, coefficients=numbers(4), n_supports=0, rho=[0.3], **LINEAR)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("counts", [(3, 2), (2, 3, 4), (1, 2, 3, 2)])
@pytest.mark.parametrize("chances", [False, True])
def test_svm_classifier(kernel: str, counts: tuple[int, ...], chances: bool) -> None:
    """ONNX Runtime iterates also for two classes, and stops at an error of 0.0025."""
    classes, vectors = len(counts), sum(counts)
    pairs = classes * (classes - 1) // 2
    attributes: dict[str, Any] = {"prob_a": [-1.1, -0.5, -2.0, -1.0, -0.7, -1.5][:pairs], "prob_b": numbers(pairs)}
    agree_with_runtime(
        "SVMClassifier", {"x": X}, 1, 2, coefficients=numbers(classes - 1, vectors), rho=numbers(pairs),
        support_vectors=numbers(vectors, 4), vectors_per_class=counts, classlabels_ints=[5, 3, 9, 1][:classes],
        kernel_type=kernel, kernel_params=[0.4, 0.1, 2.0], rtol=2e-3, atol=3e-3, **(attributes if chances else {}),
    )  # fmt: skip


@pytest.mark.parametrize("how", TRANSFORMS)
def test_svm_of_two_classes_transforms_scores(how: str) -> None:
    """ONNX Runtime takes the other class's score from 1 for some transforms, the standard from 0."""
    agree = agree_with_runtime if how in ("NONE", "LOGISTIC") else agree_with_reference
    agree(
        "SVMClassifier", {"x": X}, 1, 2, coefficients=numbers(5), rho=[0.2], support_vectors=numbers(5, 4),
        vectors_per_class=[2, 3], classlabels_ints=[3, 1], post_transform=how, **LINEAR,
    )  # fmt: skip


def test_linear_svm_classifier() -> None:
    agree_with_runtime(
        "SVMClassifier", {"x": X}, 1, 2, coefficients=numbers(3, 4), rho=[0.2], classlabels_ints=[1, 2, 3], **LINEAR
    )


FAULTS: list[tuple[str, Array, dict[str, Any], str]] = [
    ("LinearRegressor", X, {"coefficients": [1.0] * 5, "targets": 2}, "do not make"),
    ("LinearRegressor", X, {"coefficients": [1.0] * 8, "intercepts": [1.0], "targets": 2}, "do not make"),
    ("LinearRegressor", X, {"coefficients": [1.0] * 8, "targets": 0}, "0 targets"),
    ("LinearRegressor", X, {"coefficients": [1.0] * 3}, "columns"),
    ("LinearClassifier", X, {"coefficients": [1.0] * 4}, "either"),
    ("LinearClassifier", X, {"coefficients": [1.0] * 4, "classlabels_ints": [1, 2, 3]}, "3 labels for 1"),
    ("SVMRegressor", X, {"coefficients": [1.0] * 4, "rho": [1.0], "kernel_params": [1.0]}, "gamma"),
    ("SVMRegressor", X, {"coefficients": [1.0], "rho": [], "n_supports": 1, "support_vectors": [1.0] * 4}, "rho"),
    ("SVMRegressor", X, {"coefficients": [1.0], "rho": [0.0], "n_supports": 1, "support_vectors": [1.0]}, "features"),
    ("SVMClassifier", X, {"coefficients": [1.0], "classlabels_ints": [1, 2], "vectors_per_class": [1]}, "labels"),
]


@pytest.mark.parametrize(("operator", "x", "attributes", "message"), FAULTS)
def test_fault_is_told(operator: str, x: Array, attributes: dict[str, Any], message: str) -> None:
    given = {name: value for name, value in attributes.items() if value != []}
    with pytest.raises(Findings, match=message):
        import_model(ml_model(operator, {"x": x}, 1, 2 if "Classifier" in operator else 1, **given))
