"""Windows that slide over the spatial dimensions of a tensor ``[N, C, *spatial]``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from glowpy_ir.dims import Dim
from glowpy_ir.errors import TypeMismatch
from glowpy_ir.types import Array, TensorType


@dataclass(frozen=True, slots=True)
class Windows:
    """Where windows of ``kernel`` taps lie, for each spatial dimension.

    Window ``i`` starts at ``i * stride - before``, and its taps are ``dilation`` apart. The tensor is thought of as
    padded by ``before`` and ``after``; a window that would leave the padded tensor does not exist.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """The extents of one window, the gaps between its taps included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def count(self, input: TensorType) -> tuple[Dim, ...]:
        """How many windows there are in each spatial dimension; TypeMismatch if there is none, or no sense in it."""
        spatial = input.shape[2:]
        parts = (self.kernel, self.strides, self.before, self.after, self.dilations)
        if not spatial or any(len(part) != len(spatial) for part in parts):
            raise TypeMismatch(
                f"{input} has {len(spatial)} spatial dimensions; kernel {self.kernel}, strides {self.strides}, "
                f"padding {self.before} and {self.after}, dilations {self.dilations} must have one entry for each"
            )
        if min((*self.kernel, *self.strides, *self.dilations)) < 1 or min((*self.before, *self.after)) < 0:
            raise TypeMismatch(
                f"kernel {self.kernel}, strides {self.strides} and dilations {self.dilations} must be positive, "
                f"padding {self.before} and {self.after} must not be negative"
            )
        counts: list[Dim] = []
        entries = zip(spatial, self.reach, self.strides, self.before, self.after, strict=True)
        for dim, reach, stride, before, after in entries:
            if isinstance(dim, int) and dim + before + after < reach:
                raise TypeMismatch(
                    f"a window of {reach} is wider than dimension {dim} with {before + after} of padding in {input}"
                )
            counts.append((dim + before + after - reach) // stride + 1)
        return tuple(counts)

    def taps(self, input: Array, padding: float) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Each position in the kernel with what lies under it in all windows, ``[N, C, *count]``, as a view."""
        counts = TensorType.of(input).with_shape(*input.shape[:2], *self.count(TensorType.of(input))).extents[2:]
        padded = self.pad(input, padding)
        for tap in product(*map(range, self.kernel)):
            starts = [t * d for t, d in zip(tap, self.dilations, strict=True)]
            cuts = (
                slice(start, start + (count - 1) * stride + 1, stride)
                for start, count, stride in zip(starts, counts, self.strides, strict=True)
            )
            yield tap, padded[:, :, *cuts]

    def pad(self, input: Array, value: float) -> Array:
        """``input`` with ``value`` around its spatial dimensions."""
        if not any((*self.before, *self.after)):
            return input
        widths = ((0, 0), (0, 0), *zip(self.before, self.after, strict=True))
        return np.pad(input, widths, constant_values=value)
