"""Large weights that several programs of one model have in common: they lie in memory once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from threading import Lock
from weakref import ReferenceType, ref

import numpy as np

from glowpy_ir.types import Array

LARGE = 1 << 20
"""Bytes; smaller weights are not worth a look."""

_SAMPLE = 1 << 12
"""Bytes at either end that are compared before all are."""


class WeightPool:
    """Keeps track of weights as long as a program uses them."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], list[ReferenceType[Array]]] = {}
        self._lock = Lock()

    def placed(self, weights: Sequence[Array], allocate: Callable[[int], Array], alignment: int) -> list[Array]:
        """The same bytes as those of ``weights``: where they lie already, or in one new block from ``allocate``."""
        flat = [np.ascontiguousarray(weight).reshape(-1).view(np.uint8) for weight in weights]
        with self._lock:
            found = [self._find(array) for array in flat]
            missing = [array for array, known in zip(flat, found, strict=True) if known is None]
            block = allocate(sum(-(-array.nbytes // alignment) * alignment for array in missing))
            end = 0
            for i, (array, known) in enumerate(zip(flat, found, strict=True)):
                if known is None:
                    found[i] = place = block[end : end + array.nbytes]
                    place[...] = array
                    end += -(-array.nbytes // alignment) * alignment
                    self._known.setdefault(_key(place), []).append(ref(place))
        return [place for place in found if place is not None]

    def _find(self, array: Array) -> Array | None:
        alike = self._known.get(_key(array), [])
        alive = [place for known in alike if (place := known()) is not None]
        alike[:] = [ref(place) for place in alive]
        return next((place for place in alive if np.array_equal(place, array)), None)


def _key(array: Array) -> tuple[int, int]:
    ends = np.concatenate([array[:_SAMPLE], array[-_SAMPLE:]])
    return array.nbytes, zlib.crc32(ends.tobytes())
