"""Counting n-grams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx_cases import agree_with_runtime, check_case, node_cases, node_model

from glowpy.onnx.model import import_model
from glowpy.onnx_backend import prepare
from glowpy_ir.errors import Findings
from glowpy_ir.types import Array

RNG = np.random.default_rng(3)
POOL: dict[str, Any] = {
    "ngram_counts": [0, 3, 7], "ngram_indexes": [4, 2, 0, 1, 3, 5, 6],
    "pool_int64s": [1, 2, 5, 1, 2, 2, 2, 1, 2, 3, 5, 2, 1],
    "mode": "TF", "min_gram_length": 1, "max_gram_length": 3, "max_skip_count": 2,
}  # fmt: skip
WEIGHTS = [0.5, 2.0, -1.0, 4.0, 8.0, 0.25, 3.0]


@pytest.mark.parametrize("case", node_cases("TfIdfVectorizer"), ids=lambda case: case.name)
def test_standard_case(case: TestCase) -> None:
    check_case(case)


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("weights", [[], WEIGHTS])
@pytest.mark.parametrize("shape", [(20,), (3, 11), (2, 1)])
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_numbers(dtype: type, shape: tuple[int, ...], weights: list[float], mode: str) -> None:
    words: Array = RNG.integers(1, 4, shape).astype(dtype)
    attributes = POOL | {"mode": mode} | ({"weights": weights} if weights else {})
    agree_with_runtime("TfIdfVectorizer", {"x": words}, 9, **attributes)


@pytest.mark.parametrize(("shortest", "longest", "skips"), [(1, 1, 3), (2, 2, 0), (3, 3, 5), (2, 3, 1)])
def test_lengths(shortest: int, longest: int, skips: int) -> None:
    bounds = {"min_gram_length": shortest, "max_gram_length": longest, "max_skip_count": skips}
    agree_with_runtime("TfIdfVectorizer", {"x": RNG.integers(1, 4, (4, 17))}, 9, **(POOL | bounds))


def test_texts_are_counted_likewise() -> None:
    words: Array = RNG.integers(1, 4, (3, 9))
    texts = POOL | {"pool_strings": list(map(str, POOL["pool_int64s"]))}
    del texts["pool_int64s"]
    model = node_model("TfIdfVectorizer", {"x": words.astype(str).astype(object)}, 9, **texts)
    (expected,) = prepare(node_model("TfIdfVectorizer", {"x": words}, 9, **POOL)).run([words])
    (found,) = prepare(model).run([words.astype(str).astype(object)])
    np.testing.assert_array_equal(found, expected)


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"ngram_counts": [0, 3, 2]}, "no places"),
    ({"ngram_counts": [0, 2, 7]}, "2-grams has 5"),
    ({"ngram_indexes": [0, 1]}, "7 n-grams, but there are 2"),
    ({"min_gram_length": 3, "max_gram_length": 2}, "no meaning"),
    ({"max_skip_count": -1}, "no meaning"),
    ({"mode": "IDF", "weights": [1.0]}, "1 weights"),
    ({"mode": "XYZ"}, "XYZ"),
    ({"pool_strings": ["a"]}, "either"),
    ({"ngram_indexes": [4, 2, 0, 1, 3, 5, 1 << 40]}, "too far"),
]


@pytest.mark.parametrize(("changed", "message"), FAULTS)
def test_fault_is_told(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Findings, match=message):
        import_model(node_model("TfIdfVectorizer", {"x": RNG.integers(1, 4, (2, 9))}, 9, **(POOL | changed)))


def test_absurdly_many_skips_are_refused() -> None:
    attributes = POOL | {"max_skip_count": 1 << 40}
    model = node_model("TfIdfVectorizer", {"x": np.zeros((1, 5000), np.int64)}, 9, **attributes)
    with pytest.raises(Findings, match="ways to skip"):
        import_model(model)
