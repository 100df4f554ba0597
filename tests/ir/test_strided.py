"""Views agree with NumPy's: the same elements, and a reshape that needs a copy where NumPy needs one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from glowpy_ir.strided import Strided
from glowpy_ir.types import Array

BUFFER = np.arange(2**14)

EXTENTS = st.sampled_from((1, 1, 2, 3, 4, 6))
"""Ones, primes and products, so that reshapes split and merge dimensions."""


def look(layout: Strided) -> Array:
    """What a view of the middle of the buffer shows; there is room before it for negative offsets."""
    strides = [stride * BUFFER.itemsize for stride in layout.strides]
    return as_strided(BUFFER[2**13 + layout.offset :], layout.shape, strides, writeable=False)


@st.composite
def shapes_of(draw: st.DrawFn, count: int) -> tuple[int, ...]:
    """A shape with ``count`` elements."""
    shape: list[int] = []
    left = count
    while left > 1 and len(shape) < 4:
        shape.append(draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= shape[-1]
    return (*shape, left) if left > 1 or draw(st.booleans()) else tuple(shape)


@st.composite
def slices_of(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[list[int], list[int], list[int]]:
    """Starts, extents and steps of a slice that lies within ``shape``."""
    starts, extents, steps = [], [], []
    for n in shape:
        step = draw(st.sampled_from((1, 2, -1, -2)))
        start = draw(st.integers(0, n - 1))
        most = (n - 1 - start if step > 0 else start) // abs(step) + 1
        starts.append(start)
        extents.append(draw(st.integers(1, most)))
        steps.append(step)
    return starts, extents, steps


def python_slice(start: int, extent: int, step: int) -> slice:
    stop = start + extent * step
    return slice(start, stop if stop >= 0 else None, step)


@st.composite
def views(draw: st.DrawFn) -> tuple[Strided, Array]:
    """A view of the buffer after some movements, and NumPy's view after the same."""
    layout = Strided.dense(tuple(draw(st.lists(EXTENTS, max_size=4))))
    array = look(layout)
    for move in draw(st.lists(st.sampled_from(("permute", "slice", "expand", "reshape")), max_size=4)):
        match move:
            case "permute":
                order = draw(st.permutations(range(array.ndim)))
                layout, array = layout.permute(order), array.transpose(order)
            case "slice":
                starts, extents, steps = draw(slices_of(array.shape))
                layout = layout.slice(starts, extents, steps)
                array = array[tuple(map(python_slice, starts, extents, steps))]
            case "expand" if array.size < 500:
                shape = tuple(draw(st.sampled_from((1, 3))) if n == 1 else n for n in array.shape)
                shape = (*draw(st.sampled_from(((), (2,), (1, 2)))), *shape)
                layout, array = layout.expand(shape), np.broadcast_to(array, shape)
            case "reshape":
                shape = draw(shapes_of(array.size))
                reshaped = layout.reshape(shape)
                if reshaped is not None:
                    layout, array = reshaped, array.reshape(shape)
    return layout, array


@given(views())
def test_movements_show_what_numpy_shows(view: tuple[Strided, Array]) -> None:
    layout, array = view
    assert layout.shape == array.shape
    assert layout.count == array.size
    np.testing.assert_array_equal(look(layout), array)


@given(view=views(), data=st.data())
def test_reshape_copies_where_numpy_copies(view: tuple[Strided, Array], data: st.DataObject) -> None:
    layout, array = view
    shape = data.draw(shapes_of(array.size))
    reshaped = layout.reshape(shape)
    numpy_view = look(layout).view()
    try:
        numpy_view.shape = shape
    except AttributeError:
        assert reshaped is None
    else:
        assert reshaped is not None
        np.testing.assert_array_equal(look(reshaped), array.reshape(shape))


@given(views())
def test_span_is_what_is_touched(view: tuple[Strided, Array]) -> None:
    layout, _ = view
    touched = look(layout) - 2**13
    assert layout.span == (touched.min(), touched.max() + 1)


@given(views())
def test_dense_and_injective(view: tuple[Strided, Array]) -> None:
    layout, _ = view
    places = look(layout).ravel()
    assert layout.is_dense == np.array_equal(places, np.arange(places[0], places[0] + places.size))
    if layout.is_injective:
        assert len(set(places.tolist())) == places.size
    if 0 in [s for s, n in zip(layout.strides, layout.shape, strict=True) if n > 1]:
        assert not layout.is_injective


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (0, 0)])
def test_nothing_is_reshaped_to_nothing(shape: tuple[int, ...]) -> None:
    layout = Strided.dense(shape)
    assert layout.span == (0, 0)
    assert layout.is_dense
    reshaped = layout.reshape((5, 0))
    assert reshaped is not None
    assert math.prod(reshaped.shape) == 0
