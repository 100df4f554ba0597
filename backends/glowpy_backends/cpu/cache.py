"""Keeps on disk what was expensive to make: the object code of kernels, and whole compiled models."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b, file_digest
from pathlib import Path

Writer = Callable[[Path], None]
"""Fills the empty folder that it is given with the files of an entry."""

_FORMAT = "v1"
_MANIFEST = "manifest.json"
_DATA = "data"
_DRAFTS = "drafts"
_ALWAYS_HASHED = 1 << 20
_ABANDONED_SECONDS = 3600.0


class CacheWarning(UserWarning):
    """The cache cannot keep anything; all works, but slower."""


def default_folder() -> Path:
    """``$GLOWPY_CACHE_DIR``, else ``glowpy`` in the user's cache folder (XDG base directory specification)."""
    if chosen := os.environ.get("GLOWPY_CACHE_DIR"):
        return Path(chosen).absolute()
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else _home() / ".cache") / "glowpy"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a container's user without a name; nothing can be written there, and that is said
        return Path("/")


def key_of(*parts: str | bytes) -> str:
    """The key of all that determines a content; lists of parts that differ have different keys."""
    digest = blake2b(digest_size=20)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


class Cache:
    """A store of entries under content-derived keys, shared by threads, processes and users of one folder.

    An entry is a folder of files. It appears whole (written aside, then renamed) and never changes. Every entry
    has a manifest with the size and checksum of its files; one that does not fit its manifest counts as absent
    and is removed. Files up to 1 MiB are hashed whenever they are asked for; larger ones, which are there to be
    memory-mapped, only if their time of change is not the one that the manifest notes.

    When the entries outgrow ``limit`` bytes, those that were not asked for longest go. What a process has mapped
    or opened stays valid; between ``get`` and opening a file, another process may remove the entry.

    A folder that cannot be written gives one CacheWarning, and from then on nothing is kept. A folder that others
    could plant code in, since it is theirs or everybody may write to it, gives one too, and is not read either.
    """

    def __init__(self, folder: Path | None = None, limit: int = 4 << 30) -> None:
        self.folder = (folder or default_folder()) / _FORMAT
        self.limit = limit
        self._readable = True
        self._writable = True

    def get(self, key: str) -> Path | None:
        """The folder of the entry, or None if there is none that is whole."""
        entry = self._place(key)
        if not self._is_safe():
            return None
        try:
            whole = _is_whole(entry)
        except (OSError, ValueError, TypeError, AttributeError):
            whole = False
        if not whole:
            if entry.exists():
                self._remove(entry)
            return None
        with suppress(OSError):  # a folder that may only be read keeps no time of last use
            os.utime(entry / _MANIFEST)
        return entry

    def put(self, key: str, write: Writer) -> Path | None:
        """Makes an entry of what ``write`` writes; gives its folder, or None if it could not be kept.

        If two write the same entry, the first one stays; their contents are the same.
        """
        entry = self._place(key)
        if not (self._is_safe() and self._writable):
            return None
        try:
            with self._draft() as draft:
                write(draft)
                size = _seal(draft)
                if size > self.limit:
                    _warn(f"the cache keeps no {size} bytes; its limit is {self.limit}")
                    return None
                entry.parent.mkdir(exist_ok=True)
                try:
                    draft.rename(entry)
                except OSError:
                    if not entry.is_dir():
                        raise
                    return entry
            self._account(size)
        except OSError as error:
            self._writable = False
            _warn(f"nothing more is kept in {self.folder}: {error}; choose another with GLOWPY_CACHE_DIR")
            return None
        return entry

    def read(self, key: str) -> bytes | None:
        """The content of an entry that :meth:`write` made, or None."""
        entry = self.get(key)
        if entry is not None:
            with suppress(OSError):  # another process removed it just now
                return (entry / _DATA).read_bytes()
        return None

    def write(self, key: str, data: bytes) -> None:
        """Makes an entry of a single file."""

        def fill(folder: Path) -> None:
            (folder / _DATA).write_bytes(data)

        self.put(key, fill)

    def _place(self, key: str) -> Path:
        if not re.fullmatch("[0-9a-f]{8,128}", key):
            raise ValueError(f"not a key: {key!r}")
        return self.folder / key[:2] / key

    def _is_safe(self) -> bool:
        """Whether nobody else can put code into this process by way of the folder; says so once if not."""
        with suppress(FileNotFoundError, NotADirectoryError):
            facts = self.folder.stat()
            foreign = os.geteuid() != 0 and facts.st_uid not in (0, os.geteuid())
            if self._readable and (foreign or facts.st_mode & stat.S_IWOTH):
                self._readable = False
                _warn(f"{self.folder} is not used, as others may write there; choose another with GLOWPY_CACHE_DIR")
        return self._readable

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """An empty folder on the same file system; what is left of it afterwards goes."""
        drafts = self.folder / _DRAFTS
        drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=drafts))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _remove(self, entry: Path) -> None:
        """Takes the entry away as a whole, so that nobody meets half of it."""
        with suppress(OSError), self._draft() as draft:
            entry.rename(draft / entry.name)

    def _account(self, size: int) -> None:
        """Adds to the sum of all entries' sizes, and makes room when it is more than the limit."""
        file = os.open(self.folder / "size", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = os.pread(file, 20, 0).strip()
            total = size + (int(text) if text.isdigit() else 0)
            if total > self.limit:
                total = self._make_room()
            os.pwrite(file, b"%20d" % total, 0)  # of one width always: truncating would wait for the disk
        finally:
            os.close(file)

    def _make_room(self) -> int:
        """Removes abandoned drafts, and the entries unused for longest; gives the bytes that remain.

        A quarter of the limit becomes free, so that the next writers need not look again. The youngest stays.
        """
        for draft in (self.folder / _DRAFTS).iterdir():
            with suppress(OSError):
                if time.time() - draft.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(draft, ignore_errors=True)
        entries = []
        for entry in self.folder.glob("??/*"):
            with suppress(OSError):
                size = sum(file.stat().st_size for file in entry.rglob("*") if file.is_file())
                entries.append(((entry / _MANIFEST).stat().st_mtime_ns, size, entry))
        total = sum(size for _, size, _ in entries)
        for _, size, entry in sorted(entries)[:-1]:
            if total <= self.limit * 3 // 4:
                break
            self._remove(entry)
            total -= size
        return total


def _warn(text: str) -> None:
    warnings.warn(CacheWarning(text), stacklevel=4)


def _seal(folder: Path) -> int:
    """Writes the manifest; gives the size of all files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest: dict[str, tuple[int, int, str]] = {}
    for path in files:
        facts = path.stat()
        manifest[str(path.relative_to(folder))] = (facts.st_size, facts.st_mtime_ns, _checksum(path))
        if facts.st_size > _ALWAYS_HASHED:  # after a crash it must not pass for whole
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    text = json.dumps(manifest)
    (folder / _MANIFEST).write_text(text)
    return len(text) + sum(size for size, _, _ in manifest.values())


def _is_whole(entry: Path) -> bool:
    """Whether all files are what the manifest says; an exception of many kinds if there is no good manifest."""
    for name, (size, changed, checksum) in json.loads((entry / _MANIFEST).read_text()).items():
        facts = (entry / name).stat()
        if facts.st_size != size:
            return False
        trusted = size > _ALWAYS_HASHED and facts.st_mtime_ns == changed
        if not trusted and _checksum(entry / name) != checksum:
            return False
    return True


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
