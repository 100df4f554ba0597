"""How many threads this process can make good use of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def default_threads(root: Path = Path("/")) -> int:
    """The least of: processors that we may use, whole processors that our control group gets, physical cores.

    A second thread on a core adds nothing, as one keeps its vector units busy; a fraction of a processor would
    stop all threads at every barrier. ``root`` is where /proc and /sys are.
    """
    allowed = os.sched_getaffinity(0)
    return max(1, min(len(allowed), _physical_cores(allowed, root), _quota(root)))


def _physical_cores(processors: set[int], root: Path) -> int:
    """Cores that these processors belong to; a processor of which nothing is known counts as a core."""
    cores = set()
    for number in processors:
        siblings = root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        cores.add(_read(siblings) or f"processor {number}")
    return len(cores)


def _quota(root: Path) -> int:
    """Whole processors' worth of time that the control groups of this process, of either version, allow it."""
    least = float(os.cpu_count() or 1)
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            mount, names = "sys/fs/cgroup", ["cpu.max"]
        elif "cpu" in controllers.split(","):
            mount, names = "sys/fs/cgroup/cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        for folder in _upward(root / mount, group):
            texts = " ".join(_read(folder / name) for name in names).split()
            if len(texts) == 2 and texts[0].isdigit() and texts[1].isdigit():  # "max" or -1: no limit
                least = min(least, int(texts[0]) / max(1, int(texts[1])))
    return int(least)


def _upward(mount: Path, group: str) -> Iterator[Path]:
    """The folder of a control group and of those that contain it; in a container, some are not to be seen."""
    folder = mount / group.lstrip("/")
    while folder != mount:
        yield folder
        folder = folder.parent
    yield mount


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
