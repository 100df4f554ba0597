"""Where figures were measured: the machine, its load, and the versions of all that took part."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def environment() -> dict[str, str]:
    """What a reader needs to judge the figures; what this system does not tell is left out."""
    affinity = sorted(os.sched_getaffinity(0))
    facts = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cpus": f"{','.join(map(str, affinity))} of {os.cpu_count()}",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _cpu_model() -> str:
    lines = _read("/proc/cpuinfo").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
