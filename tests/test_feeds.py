"""What callers hand to a model: strict about names, dtypes and shapes, and never silent."""

from __future__ import annotations

import numpy as np
import pytest

from glowpy.feeds import Gate, TensorSpec, bind_open, check_feeds, name_feeds, random_feeds
from glowpy_ir.errors import UsageError
from glowpy_ir.types import TensorType


def spec(name: str, type: str) -> TensorSpec:
    return TensorSpec(name, TensorType.parse(type))


X = spec("x", "f32[1,3]")
TOKENS = spec("tokens", "i64[batch,seq]")
MASK = spec("mask", "bool[batch,seq]")


def test_spec_tells_dtype_and_shape() -> None:
    assert (TOKENS.dtype, TOKENS.shape) == (np.dtype(np.int64), ("batch", "seq"))
    assert str(X) == "x: f32[1,3]"


def test_arrays_that_fit_are_not_copied() -> None:
    x = np.ones((1, 3), np.float32)
    (checked,) = check_feeds([X], {"x": x})
    assert checked is x


def test_strided_arrays_are_taken_as_they_are() -> None:
    x = np.arange(6, dtype=np.float32).reshape(3, 2)[:, :1].T
    assert not x.flags.c_contiguous
    (checked,) = check_feeds([X], {"x": x})
    assert checked is x


def test_scalars_stay_scalars() -> None:
    (checked,) = check_feeds([spec("s", "f32[]")], {"s": np.float32(2)})
    assert checked.shape == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"input 'x' is missing; expected f32\[1,3\]"),
        ({"x": np.ones((1, 3))}, r"expected f32\[1,3\], given f64\[1,3\]; convert it with .astype\('float32'\)"),
        ({"x": np.ones((1, 3), ">f4")}, r"given >f4\[1,3\]"),
        ({"x": np.ones((3, 1), np.float32)}, r"expected f32\[1,3\], given f32\[3,1\]"),
        ({"x": np.ones(3, np.float32)}, r"expected f32\[1,3\], given f32\[3\]"),
        ({"x": np.ones((1, 3), np.float32), "y": 1}, r"no input 'y'; the model takes x: f32\[1,3\]"),
        ({"X": np.ones((1, 3), np.float32)}, "no input 'X'.*input 'x' is missing"),
        ({"x": [[1], [1, 2]]}, "given no array"),
        ({"x": None}, "given None"),
        ({"x": object()}, "given an array of Python objects"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_feeds([X], given)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"tokens.*mask"):
        check_feeds([TOKENS, MASK], {"tokens": np.ones(1), "mask": np.ones(1)})


def test_near_names_are_suggested() -> None:
    with pytest.raises(UsageError, match="no input 'token'; did you mean 'tokens'"):
        check_feeds([TOKENS], {"token": np.ones((1, 1), np.int64)})


def test_one_symbol_has_one_extent() -> None:
    feeds = {"tokens": np.ones((1, 4), np.int64), "mask": np.ones((1, 5), np.bool_)}
    with pytest.raises(UsageError, match="dimension seq is 4 in input 'tokens' and 5 in input 'mask'"):
        check_feeds([TOKENS, MASK], feeds)


def test_sums_of_symbols_are_checked() -> None:
    inputs = [spec("now", "f32[seq]"), spec("all", "f32[past+seq]"), spec("past", "f32[past]")]
    good = {"now": np.ones(2, np.float32), "past": np.ones(3, np.float32), "all": np.ones(5, np.float32)}
    assert len(check_feeds(inputs, good)) == 3
    with pytest.raises(UsageError, match="input 'all': dimension 0 must be past\\+seq = 5, given 4"):
        check_feeds(inputs, good | {"all": np.ones(4, np.float32)})


def test_strings_come_in_both_forms() -> None:
    (checked,) = check_feeds([spec("s", "string[2]")], {"s": np.array(["a", "b"])})
    assert checked.dtype == object


def test_arguments_are_named() -> None:
    assert name_feeds([TOKENS, MASK], [1, 2], {}) == {"tokens": 1, "mask": 2}
    assert name_feeds([TOKENS, MASK], [1], {"mask": 2}) == {"tokens": 1, "mask": 2}
    assert name_feeds([TOKENS, MASK], [{"mask": 2, "tokens": 1}], {}) == {"tokens": 1, "mask": 2}
    with pytest.raises(UsageError, match="3 arrays given; the model takes 2: tokens"):
        name_feeds([TOKENS, MASK], [1, 2, 3], {})
    with pytest.raises(UsageError, match="'tokens' is given twice"):
        name_feeds([TOKENS, MASK], [1], {"tokens": 2})


def test_open_dimensions_follow_what_is_given() -> None:
    inputs, assumed = bind_open([TOKENS, MASK], {"mask": np.ones((3, 1), np.bool_)})
    assert ([s.shape for s in inputs], assumed) == ([(3, 1), (3, 1)], {})
    inputs, assumed = bind_open([TOKENS, MASK], {})
    assert ([s.shape for s in inputs], assumed) == ([(1, 1), (1, 1)], {"batch": 1, "seq": 1})


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "i64", "u8", "i4", "bool", "string", "f8e4m3fn"])
def test_random_arrays_fit_and_repeat(kind: str) -> None:
    inputs = [spec("a", f"{kind}[2,3]"), spec("b", f"{kind}[]")]
    first, again, other = (random_feeds(inputs, seed) for seed in (1, 1, 2))
    check_feeds(inputs, first)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_what_passed_once_passes_again_and_nothing_else_does() -> None:
    gate = Gate([TOKENS, MASK])
    for batch in (2, 3, 2, 3):
        feeds = {"mask": np.ones((batch, 4), np.bool_), "tokens": np.zeros((batch, 4), np.int64)}
        arrays, shapes = gate.admit(feeds)
        assert arrays[0] is feeds["tokens"]
        assert arrays[1] is feeds["mask"]
        assert shapes == ((batch, 4), (batch, 4))
    tokens, mask = np.zeros((2, 4), np.int64), np.ones((2, 4), np.bool_)
    for wrong in (
        {"tokens": tokens},
        {"tokens": tokens, "mask": mask, "more": mask},
        {"tokens": tokens.astype(np.int32), "mask": mask},
        {"tokens": tokens, "mask": mask[:, :3]},
        {"tokens": tokens, "masks": mask},
    ):
        with pytest.raises(UsageError):
            gate.admit(wrong)


def test_texts_are_looked_at_each_time() -> None:
    gate = Gate([spec("s", "string[1]")])
    gate.admit({"s": np.array(["a"], object)})
    with pytest.raises(UsageError, match="Python objects"):
        gate.admit({"s": np.array([3], object)})
