"""The cache: entries are whole or absent, whatever happens to the folder."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import warnings
from pathlib import Path

import pytest

from glowpy_backends.cpu import objects
from glowpy_backends.cpu.cache import Cache, CacheWarning, default_folder, key_of
from glowpy_backends.cpu.target import Target


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def files(cache: Cache, name: str = "*") -> list[Path]:
    return [path for path in cache.folder.glob(f"??/*/{name}") if path.is_file()]


def test_key_depends_on_every_part_and_on_their_bounds() -> None:
    keys = {key_of(*parts) for parts in [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), (b"x",)]}
    assert len(keys) == 5
    assert key_of("ab", "c") == key_of(b"ab", b"c")


def test_round_trip(cache: Cache) -> None:
    key = key_of("x")
    assert cache.read(key) is None
    cache.write(key, b"content")
    assert cache.read(key) == b"content"
    assert Cache(cache.folder.parent).read(key) == b"content"
    assert cache.read(key_of("y")) is None


def test_an_entry_may_be_many_files(cache: Cache) -> None:
    def write(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "weights").write_bytes(bytes(3 << 20))
        (folder / "program").write_text("p")

    entry = cache.put(key_of("m"), write)
    assert entry is not None
    assert entry == cache.get(key_of("m"))
    assert (entry / "sub" / "weights").stat().st_size == 3 << 20


@pytest.mark.parametrize("size", [1, 1000, (1 << 20) + 5])
@pytest.mark.parametrize(
    "damage", ["flip", "cut", "grow", "empty", "remove", "manifest", "manifest-list", "manifest-gone"]
)
def test_damage_is_noticed_and_repaired(cache: Cache, size: int, damage: str) -> None:
    key = key_of("x")
    cache.write(key, bytes(size))
    data, manifest = files(cache, "data")[0], files(cache, "manifest.json")[0]
    match damage:
        case "flip":
            with data.open("r+b") as file:
                file.seek(size // 2)
                file.write(b"!")
        case "cut":
            os.truncate(data, size - 1)
        case "grow":
            data.write_bytes(bytes(size + 1))
        case "empty":
            os.truncate(data, 0)
        case "remove":
            data.unlink()
        case "manifest":
            os.truncate(manifest, 7)
        case "manifest-list":
            manifest.write_text("[]")
        case "manifest-gone":
            manifest.unlink()
    assert cache.read(key) is None
    assert not files(cache)
    cache.write(key, bytes(size))
    assert cache.read(key) == bytes(size)


def test_a_large_file_that_was_only_copied_is_whole(cache: Cache) -> None:
    cache.write(key_of("x"), bytes(2 << 20))
    os.utime(files(cache, "data")[0], (1, 1))
    assert cache.get(key_of("x")) is not None


def test_a_writer_that_fails_leaves_nothing(cache: Cache) -> None:
    def write(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        cache.put(key_of("x"), write)
    assert cache.get(key_of("x")) is None
    assert not list((cache.folder / "drafts").iterdir())


def test_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=100_000)
    keys = [key_of(str(n)) for n in range(9)]
    for age, key in enumerate(keys):
        cache.write(key, bytes(10_000))
        os.utime(cache.folder / key[:2] / key / "manifest.json", (age, age))
    assert cache.read(keys[0]) is not None  # used now, hence young
    cache.write(key_of("new"), bytes(10_000))
    kept = [key in {path.parent.name for path in files(cache, "data")} for key in keys]
    assert kept == [True, False, False, False, True, True, True, True, True]
    assert cache.read(key_of("new")) is not None


def test_size_stays_bounded(tmp_path: Path) -> None:
    for n in range(60):
        Cache(tmp_path, limit=50_000).write(key_of(str(n)), bytes(3000))
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 51_000
    assert Cache(tmp_path).read(key_of("59")) is not None


def test_an_entry_above_the_limit_is_refused_aloud(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=1000)
    with pytest.warns(CacheWarning, match="its limit is 1000"):
        cache.write(key_of("x"), bytes(2000))
    assert cache.read(key_of("x")) is None
    cache.write(key_of("y"), bytes(500))
    assert cache.read(key_of("y")) is not None


def test_an_unwritable_folder_warns_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    with pytest.warns(CacheWarning, match="GLOWPY_CACHE_DIR"):
        cache.write(key_of("x"), b"1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.write(key_of("y"), b"1")
        assert cache.read(key_of("x")) is None


def test_what_is_there_serves_when_nothing_more_can_be_kept(cache: Cache) -> None:
    cache.write(key_of("x"), b"1")
    shutil.rmtree(cache.folder / "drafts")
    (cache.folder / "drafts").write_text("")
    with pytest.warns(CacheWarning, match="nothing more is kept"):
        cache.write(key_of("y"), b"1")
    assert cache.read(key_of("x")) == b"1"


def test_a_folder_open_to_everybody_is_not_used(tmp_path: Path) -> None:
    Cache(tmp_path).write(key_of("x"), b"1")
    cache = Cache(tmp_path)
    cache.folder.chmod(0o777)
    with pytest.warns(CacheWarning, match="others may write there"):
        assert cache.read(key_of("x")) is None
    cache.write(key_of("y"), b"1")
    assert len(files(cache, "data")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_serves(cache: Cache) -> None:
    cache.write(key_of("x"), b"1")
    for path in (cache.folder, *cache.folder.rglob("*")):
        path.chmod(0o500 if path.is_dir() else 0o400)
    assert cache.read(key_of("x")) == b"1"


def hammer(folder: Path, seed: int) -> int:
    """Reads, writes and evicts as fast as it can; counts what it read."""
    cache = Cache(folder, limit=40_000)
    hits = 0
    for n in range(120):
        text = str((n * 7 + seed) % 20)
        found = cache.read(key_of(text))
        assert found is None or found == text.encode() * 1000
        hits += found is not None
        cache.write(key_of(text), text.encode() * 1000)
    return hits


def test_processes_share_a_folder(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        hits = pool.starmap(hammer, [(tmp_path, seed) for seed in range(3)])
    assert sum(hits) > 0
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 80_000


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLOWPY_CACHE_DIR", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"
    monkeypatch.delenv("GLOWPY_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "glowpy"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "glowpy"


def test_keys_cannot_leave_the_folder(cache: Cache) -> None:
    with pytest.raises(ValueError, match="not a key"):
        cache.get("../../../etc/passwd")


def test_object_code_is_compiled_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    ir, target = "define void @f() { ret void }", Target.host()
    code = objects.kept_object(ir, target, cache)
    monkeypatch.setattr(objects, "emit_object", lambda ir, target: pytest.fail("compiled again"))
    assert objects.kept_object(ir, target, cache) == code
