"""What several verbs say in the same words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from glowpy_ir.types import Array, TensorType

MOST_NAMES = 6
"""How many dimensions a message lists."""


def note(options: argparse.Namespace, text: str) -> None:
    """Print ``text``, unless there is none, or only errors or only JSON is wanted."""
    if text and not options.quiet and not options.json:
        print(text)


def show_json(content: Mapping[str, Any]) -> None:
    print(json.dumps(content, indent=1))


def assumed_text(assumed: Mapping[str, int]) -> str:
    """Which dimensions were bound without being told."""
    if not assumed:
        return ""
    bound = ", ".join(f"{name} = {extent}" for name, extent in list(assumed.items())[:MOST_NAMES])
    more = f" and {len(assumed) - MOST_NAMES} more" if len(assumed) > MOST_NAMES else ""
    return f"open dimensions: {bound}{more} (choose with --dim {next(iter(assumed))}=N)"


def summary(array: Array) -> dict[str, Any]:
    """What can be said of a tensor in one line."""
    facts: dict[str, Any] = {"type": str(TensorType.of(array))}
    if array.size and array.dtype.kind not in "OSUb":
        values = array.astype(np.float64)
        facts |= {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
    return facts
