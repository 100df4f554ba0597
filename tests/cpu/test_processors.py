"""The default number of threads: affinity, control groups of both versions, cores with several threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glowpy_backends.cpu.processors import default_threads


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of eight processors, two a core, of which six are allowed."""
    for number in range(8):
        write(
            tmp_path,
            f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list",
            f"{number % 4},{number % 4 + 4}",
        )
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 4, 5, 6})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text + "\n")


def test_physical_cores(root: Path) -> None:
    assert default_threads(root) == 3


def test_affinity(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    assert default_threads(root) == 1


def test_unknown_topology_counts_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 9})
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert default_threads(tmp_path) == 3


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("200000 100000", 2), ("max 100000", 3), ("150000 100000", 1), ("1000 100000", 1), ("junk", 3)],
)
def test_version_2(root: Path, limit: str, expected: int) -> None:
    write(root, "proc/self/cgroup", "0::/user.slice/job")
    write(root, "sys/fs/cgroup/user.slice/job/cpu.max", "max 100000")
    write(root, "sys/fs/cgroup/user.slice/cpu.max", limit)
    assert default_threads(root) == expected


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2), ("-1", 3), ("50000", 1)])
def test_version_1(root: Path, quota: str, expected: int) -> None:
    write(root, "proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/")
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota)  # a container sees its own group as the root
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert default_threads(root) == expected


def test_this_machine() -> None:
    assert 1 <= default_threads() <= len(os.sched_getaffinity(0))
