"""How a tensor lies in memory: an offset, and a stride for each dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides, in elements."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@dataclass(frozen=True, slots=True)
class Strided:
    """Element ``i`` lies at ``offset + sum(i[d] * strides[d])``; all in elements."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def dense(cls, shape: Sequence[int]) -> Strided:
        """Row-major, from offset 0."""
        return cls(0, tuple(shape), dense_strides(shape))

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether the elements follow each other in row-major order without a gap."""
        wanted = dense_strides(self.shape)
        row_major = all(n == 1 or s == w for n, s, w in zip(self.shape, self.strides, wanted, strict=True))
        return row_major or self.count == 0

    @property
    def is_injective(self) -> bool:
        """Whether no two elements share a place, so that the view may be written (strides may not interleave)."""
        reach = 1
        for stride, n in sorted((abs(s), n) for s, n in zip(self.strides, self.shape, strict=True) if n > 1):
            if stride < reach:
                return self.count == 0
            reach = stride * n
        return True

    @property
    def span(self) -> tuple[int, int]:
        """The first and one past the last element touched, relative to the buffer; (offset, offset) if empty."""
        if self.count == 0:
            return self.offset, self.offset
        reach = [s * (n - 1) for s, n in zip(self.strides, self.shape, strict=True)]
        return self.offset + sum(r for r in reach if r < 0), self.offset + sum(r for r in reach if r > 0) + 1

    def slice(self, starts: Sequence[int], shape: Sequence[int], steps: Sequence[int]) -> Strided:
        """From ``starts``, every ``steps``-th element, ``shape`` of them; a step may be negative."""
        offset = self.offset + sum(a * s for a, s in zip(starts, self.strides, strict=True))
        return Strided(offset, tuple(shape), tuple(s * k for s, k in zip(self.strides, steps, strict=True)))

    def permute(self, order: Sequence[int]) -> Strided:
        """Dimension ``order[i]`` becomes dimension ``i``."""
        return Strided(
            self.offset, tuple(self.shape[i] for i in order), tuple(self.strides[i] for i in order)
        )

    def expand(self, shape: Sequence[int]) -> Strided:
        """Broadcast to ``shape``: repeated dimensions get stride 0."""
        lead = len(shape) - len(self.shape)
        strides = (*(0,) * lead, *self.strides)
        kept = (*(1,) * lead, *self.shape)
        return Strided(
            self.offset,
            tuple(shape),
            tuple(0 if n == 1 and m != 1 else s for s, n, m in zip(strides, kept, shape, strict=True)),
        )

    def reshape(self, shape: Sequence[int]) -> Strided | None:
        """The same elements in the same order with another shape; None if that needs a copy."""
        if self.count == 0:
            return replace(self, shape=tuple(shape), strides=dense_strides(shape))
        runs = self._runs()  # (extent, stride) of what is contiguous, outermost first
        strides: list[int] = []
        position = len(runs) - 1
        left = runs[position][0] if runs else 1
        for n in reversed(shape):
            while n > 1 and left == 1 and position > 0:
                position -= 1
                left = runs[position][0]
            if n > 1 and left % n:
                return None
            extent, stride = runs[position] if runs else (1, 1)
            strides.append(stride * (extent // left))
            left //= n if n > 1 else 1
        return Strided(self.offset, tuple(shape), tuple(reversed(strides)))

    def _runs(self) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        for n, s in zip(self.shape, self.strides, strict=True):
            if n == 1:
                continue
            if runs and runs[-1][1] == n * s:
                runs[-1] = (runs[-1][0] * n, s)
            else:
                runs.append((n, s))
        return runs
