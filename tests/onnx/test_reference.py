"""The page of all operators is up to date, and says what importing an operator may build."""

from __future__ import annotations

from pathlib import Path

import pytest

from glowpy.onnx import reference
from glowpy.onnx.operators import tables
from glowpy_ir.ops.activation import Clip
from glowpy_ir.ops.elementwise import Max, Min
from glowpy_ir.ops.text import StringConcat

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_up_to_date() -> None:
    if PAGE.read_text(encoding="utf-8") != reference.page():
        pytest.fail("docs/operators.md is out of date; run: python -m glowpy.onnx.reference > docs/operators.md")


def test_what_a_loader_builds() -> None:
    (_, concat), *_ = tables()[""]["StringConcat"]
    assert reference.operators_used(concat) == {StringConcat}
    (_, clip), *_ = tables()[""]["Clip"]
    assert {Clip, Max, Min} <= reference.operators_used(clip)


def test_what_the_host_computes_stands_out() -> None:
    page = reference.page()
    assert "| StringConcat | 20 | *StringConcat* |" in page
    assert "| Relu | 1 | Relu |" in page
    assert "ai.onnx.ml::CastMap" in page.partition("## Not supported")[2].partition("#")[0]
