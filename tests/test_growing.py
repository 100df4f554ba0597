"""Inputs that grow from call to call: decoders whose caches are continued where they lie."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import decoders
import numpy as np
import onnxruntime
import pytest
from models import model, tensor
from onnx import helper, numpy_helper

import glowpy
from glowpy.growing import Family, Room, Store, room_of
from glowpy.lengths import room_to_grow, tight_room
from glowpy_ir.dims import symbol
from glowpy_ir.errors import UsageError
from glowpy_ir.types import Array, Kind, TensorType

LAYERS = 1
NAMES = [f"{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]


@pytest.fixture(scope="module")
def session() -> Any:
    return onnxruntime.InferenceSession(decoders.decoder(LAYERS).SerializeToString())


def compiled(backend: str = "cpu", **options: Any) -> glowpy.Model:
    return glowpy.compile(decoders.decoder(LAYERS), backend=backend, threads=1, **options)


def step(past: int, cache: list[Array], token: int = 3) -> dict[str, Array]:
    """The inputs for one token after ``past`` others, whose keys and values are the cache."""
    names = (f"past.{name}" for name in NAMES)
    one = {"ids": np.array([[token]]), "mask": np.ones((1, past + 1), np.int64), "positions": np.array([[past]])}
    return {**one, **dict(zip(names, cache, strict=True))}


def start(past: int) -> list[Array]:
    feeds = decoders.feeds(past, 1, past, LAYERS)
    return [feeds[f"past.{name}"] for name in NAMES]


def assert_same(made: list[Any], wanted: list[Array]) -> None:
    for a, b in zip(made, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def programs(m: glowpy.Model) -> list[int]:
    """How far the programs go that serve many lengths."""
    return [program.most for program in m._programs.growing()]


@pytest.mark.parametrize("backend", ["cpu", "interpreter"])
def test_decoding(backend: str, session: Any) -> None:
    """A prefill, then one token at a time, each the most likely one; nothing is compiled but at the beginning."""
    m = compiled(backend)
    prompt = decoders.feeds(0, 7, 0, LAYERS)
    made, wanted = m.run(None, prompt), session.run(None, prompt)
    assert_same(made, wanted)
    for past in range(7, 12 if backend == "interpreter" else 30):
        token = int(wanted[0][0, -1].argmax())
        made = m.run(None, step(past, made[1:], token))
        wanted = session.run(None, step(past, wanted[1:], token))
        assert_same(made, wanted)
    assert programs(m) == [511]
    assert len(m._programs.all()) == 1


def test_caches_are_continued_where_they_lie() -> None:
    m = compiled()
    first = m.run(None, step(5, start(5)))
    second = m.run(None, step(6, first[1:]))
    kept = [array.copy() for array in first]
    third = m.run(None, step(7, second[1:]))
    for old, new in zip(first[1:], third[1:], strict=True):
        assert room_of(old) is room_of(new) is not None
        np.testing.assert_array_equal(old, new[:, :, :6])
    assert_same(first, kept)


def test_two_continuations_of_one_past(session: Any) -> None:
    m = compiled()
    shared = m.run(None, step(5, start(5)))
    a = m.run(None, step(6, shared[1:], token=1))
    b = m.run(None, step(6, shared[1:], token=2))
    assert room_of(a[1]) is room_of(shared[1])
    assert room_of(b[1]) is not room_of(shared[1])
    past = [array.copy() for array in shared[1:]]
    assert_same(a, session.run(None, step(6, past, token=1)))
    assert_same(b, session.run(None, step(6, past, token=2)))


def test_one_array_for_two_inputs(session: Any) -> None:
    m = compiled()
    one = m.run(None, step(5, start(5)))[1]
    twice = [one] * len(NAMES)
    assert_same(m.run(None, step(6, twice)), session.run(None, step(6, [np.ascontiguousarray(one)] * len(NAMES))))


def test_threads_that_continue_one_past(session: Any) -> None:
    m = compiled()
    shared = m.run(None, step(5, start(5)))
    past = [array.copy() for array in shared[1:]]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda token: m.run(None, step(6, shared[1:], token)), range(24)))
    for token, results in enumerate(made):
        assert_same(results, session.run(None, step(6, past, token)))


def other_arrays(cache: list[Any]) -> Iterator[list[Any]]:
    """Arrays that hold what the cache holds, or a part of it, and are not the cache."""
    yield [array.copy() for array in cache]
    yield [np.asfortranarray(array) for array in cache]
    yield [array[:, :, :-1] for array in cache]
    yield [array[:, :, 1:] for array in cache]
    yield [array[:, ::-1] for array in cache]


def test_only_the_very_cache_is_continued(session: Any) -> None:
    m = compiled()
    cache = m.run(None, step(5, start(5)))[1:]
    for arrays in other_arrays(cache):
        past = arrays[0].shape[2]
        made = m.run(None, step(past, arrays))
        assert room_of(made[1]) is not room_of(cache[0])
        assert_same(made, session.run(None, step(past, [np.ascontiguousarray(array) for array in arrays])))


def test_a_longer_past_gets_more_room(session: Any) -> None:
    m = compiled()
    made, wanted = m.run(None, step(9, start(9))), session.run(None, step(9, start(9)))
    assert programs(m) == [511]
    long = [np.concatenate([array] * 51, 2) for array in wanted[1:]]
    made, wanted = m.run(None, step(510, long)), session.run(None, step(510, long))
    assert programs(m) == [511]
    for past in range(511, 514):
        made, wanted = m.run(None, step(past, made[1:])), session.run(None, step(past, wanted[1:]))
        assert_same(made, wanted)
    assert programs(m) == [511, 1023]


def test_room_grows_in_powers_of_two(session: Any) -> None:
    m = compiled()
    made, wanted = m.run(None, step(40, start(40))), session.run(None, step(40, start(40)))
    assert programs(m) == [511]
    m.run(None, step(600, start(600)))
    assert programs(m) == [511, 1023]
    assert_same(m.run(None, step(41, made[1:])), session.run(None, step(41, wanted[1:])))
    assert programs(m) == [511, 1023]


def test_the_caller_says_how_far() -> None:
    m = compiled("interpreter", bounds={"past": 32})
    m.run(None, step(5, start(5)))
    assert programs(m) == [511]
    m = compiled("interpreter", bounds={"past": 600})
    m.run(None, step(5, start(5)))
    assert programs(m) == [599]
    with pytest.raises(UsageError, match="no dimension 'future'"):
        compiled(bounds={"future": 5})


def test_capacities() -> None:
    assert [room_to_grow(n) for n in (1, 128, 400, 1000, 2000)] == [512, 512, 1024, 2048, 4096]
    assert [tight_room(n) for n in (1, 16, 17, 100, 128, 129, 1000)] == [4, 16, 20, 112, 128, 160, 1024]
    for n in range(1, 5000):
        assert room_to_grow(n) > n + 1
        assert n <= tight_room(n) <= max(n + 3, 1.25 * n)


def test_many_extents_are_one_program() -> None:
    softmax = model([helper.make_node("Softmax", ["x"], ["y"], axis=0)], [tensor("x", ["n"])], [tensor("y", ["n"])])
    m = glowpy.compile(softmax, backend="interpreter")
    for n in range(1, 20):
        x = np.arange(n, dtype=np.float32)
        powers = np.exp(x - x.max())
        np.testing.assert_allclose(m(x), powers / powers.sum(), rtol=1e-5)
    assert len(m._programs.all()) == 3
    assert programs(m) == [4, 8, 12, 16, 20]


def test_what_cannot_be_one_program_stays_many() -> None:
    nodes = [helper.make_node("TopK", ["x", "one"], ["y", "i"])]
    largest = model(nodes, [tensor("x", ["n"])], [tensor("y", [1])], [numpy_helper.from_array(np.array([1]), "one")])
    m = glowpy.compile(largest, backend="interpreter")
    for n in range(1, 8):
        np.testing.assert_array_equal(m(np.arange(n, dtype=np.float32)), [n - 1])
    assert len(m._programs.all()) == 7
    assert programs(m) == []


def test_saved_programs_grow(tmp_path: Path, session: Any) -> None:
    m = compiled()
    first = m.run(None, step(5, start(5)))
    m.save(tmp_path / "m")
    loaded = glowpy.load(tmp_path / "m")
    made, wanted = loaded.run(None, step(5, start(5))), session.run(None, step(5, start(5)))
    assert_same(made, first)
    for past in range(6, 9):
        made, wanted = loaded.run(None, step(past, made[1:])), session.run(None, step(past, wanted[1:]))
        assert_same(made, wanted)
    assert room_of(made[1]) is not None
    assert loaded.memory_plan == m.memory_plan
    with pytest.raises(UsageError, match="there is no code"):
        loaded.run(None, step(600, start(600)))
    manifest = tmp_path / "m" / "model.json"
    text = manifest.read_text()
    faults = {"length+1": "width+1", "f32[1,2,length": "f32[1,2,,", '"rooms"': '"room"', '"most"': '"m"'}
    for good, bad in faults.items():
        assert good in text
        manifest.write_text(text.replace(good, bad))
        with pytest.raises(UsageError, match="damaged"):
            glowpy.load(tmp_path / "m")


def test_family() -> None:
    n = symbol("length")
    family = Family.of(((1, 1), (2, 6), (2, 5)), [(2, 1), (1, 1)])
    assert family.shapes == ((1, 1), (2, n + 1), (2, n))
    assert family.length(((1, 1), (2, 9), (2, 8))) == 8
    assert family.at(8) == ((1, 1), (2, 9), (2, 8))
    for others in (((1, 1), (2, 9), (2, 9)), ((1, 2), (2, 9), (2, 8)), ((1, 1), (2, 1), (2, 0)), ((1, 1), (2,), (2,))):
        assert family.length(others) is None


def test_room() -> None:
    type = TensorType(Kind.F32, (2, 8, 3))
    room = Room(Store.of(type), 1)
    past = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    room.begin(past, 4)
    whole = room.whole()
    assert whole.ctypes.data % 64 == 0
    assert room_of(whole[:, :4]) is room
    assert room_of(past) is None
    np.testing.assert_array_equal(whole[:, :3], past)
    assert not whole[:, 3:].any()
    assert not room.extend(whole[:, :3], type, 4)
    assert not room.extend(whole[:, :4], TensorType(Kind.F32, (2, 9, 3)), 5)
    assert room.extend(whole[:, :4], type, 5)
    assert not room.extend(whole[:, :4], type, 5)


def test_memory_is_used_again(session: Any) -> None:
    """What was behind the beginning of another past is zero then."""
    m = compiled()
    made = m.run(None, step(20, start(20)))
    kept, address = made[1].copy(), made[1].ctypes.data
    made = m.run(None, step(21, made[1:]))
    del made
    gc.collect()
    for past in (3, 4):
        made, wanted = m.run(None, step(past, start(past))), session.run(None, step(past, start(past)))
        assert_same(made, wanted)
        room = room_of(made[1])
        assert room is not None
        assert not room.whole()[:, :, past + 1 :].any()
        addresses = {array.ctypes.data for array in made[1:]}
        if past == 3:
            assert address in addresses
        del made, room
    assert kept.any()
