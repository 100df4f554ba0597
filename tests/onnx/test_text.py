"""Operators on texts, as the host computes them between the parts of a model."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_cases import node_cases, node_model

import glowpy
from glowpy.errors import BadModel, Findings, Unsupported, UsageError
from glowpy_ir.infer import infer
from glowpy_ir.ops.text import RegexFullMatch
from glowpy_ir.types import Array, Kind, TensorType


def texts(*words: str) -> Array:
    return np.array(words, object)


@pytest.mark.parametrize("operator", ["StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch"])
def test_the_standards_cases(operator: str) -> None:
    for case in node_cases(operator):
        compiled = glowpy.compile(case.model)
        for inputs, results in case.data_sets or ():
            names = [spec.name for spec in compiled.inputs]
            made = compiled.run(None, dict(zip(names, inputs, strict=True)))
            for one, expected in zip(made, results, strict=True):
                assert isinstance(one, np.ndarray)
                assert one.shape == np.shape(expected), case.name
                assert one.tolist() == np.asarray(expected).tolist(), case.name


def test_texts_of_a_wrong_shape_are_refused() -> None:
    compiled = glowpy.compile(node_model("StringNormalizer", {"x": np.full((2, 2), "a", object)}, 10))
    with pytest.raises(BadModel, match=r"texts of shape \[2, 2\] cannot be normalised"):
        compiled.run(None, {"x": np.full((2, 2), "a", object)})


def test_texts_that_cannot_be_joined_are_refused() -> None:
    compiled = glowpy.compile(node_model("StringConcat", {"a": texts("a", "b"), "b": texts("a", "b", "c")}, 20))
    with pytest.raises(UsageError, match="StringConcat cannot be computed"):
        compiled.run(None, {"a": texts("a", "b"), "b": texts("a", "b", "c")})


@pytest.mark.parametrize("pattern", ["(a+)+b", "(?:x*)*", "((a{2,})?)*", "(a"])
def test_patterns_that_are_refused(pattern: str) -> None:
    with pytest.raises((Unsupported, BadModel), match="pattern"):
        RegexFullMatch(pattern)
    with pytest.raises(Findings, match="RegexFullMatch"):
        glowpy.compile(node_model("RegexFullMatch", {"x": texts("a")}, 20, pattern=pattern))


def test_what_the_host_computes_has_no_type_before() -> None:
    with pytest.raises(Unsupported, match="RegexFullMatch has no type before it is computed"):
        infer(RegexFullMatch("a"), TensorType(Kind.STRING, (1,)))
