"""Plain text for people: columns, sizes and times."""

from __future__ import annotations

from collections.abc import Sequence


def render(rows: Sequence[Sequence[str]], header: Sequence[str] = (), indent: str = "") -> str:
    """Columns as wide as they must be; a column whose cells all start with a digit stands at the right."""
    table = [header, *rows] if header else list(rows)
    columns = max(map(len, table), default=0)
    widths = [max(len(row[i]) for row in table if i < len(row)) for i in range(columns)]
    # A last cell without a heading above it (a remark) must not widen what the others share.
    right = [all(row[i][:1].isdigit() for row in rows if i < len(row) and row[i]) for i in range(columns)]
    return "\n".join(indent + _line(row, widths, right).rstrip() for row in table)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = zip(row, widths, right, strict=False)
    return "  ".join(cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in cells)


def size(count: int) -> str:
    """Bytes as a person reads them: ``25.6 MB``."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}" if count < 999.5 * step else f"{count / step:.0f} {unit}"
    return f"{count} bytes"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``12.3 ms``."""
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 0.9995e-3 else f"{seconds * 1e6:.3g} us"


def plural(count: int, noun: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
