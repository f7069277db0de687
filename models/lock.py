"""models.lock: what the weights on disk must be, file by file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LOCK = "models.lock"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_PATH = re.compile(r"[\\:\x00-\x1f\x7f]|^/|/$")


@dataclass(frozen=True)
class LockedFile:
    """size in bytes; sha256 in hexadecimal. Raises ValueError for what is neither."""

    size: int
    sha256: str

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 0:
            raise ValueError(f"{self.size!r} is no size")
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.sha256!r} is no SHA-256")


@dataclass(frozen=True)
class LockedEntry:
    """One entry of the catalogue. revision: the commit that was fetched, None for what comes with the source.
    files: by path below the lock's folder, with forward slashes. Raises ValueError for a path that leads elsewhere."""

    revision: str | None
    files: Mapping[str, LockedFile]

    def __post_init__(self) -> None:
        for file in self.files:
            check_path(file)


def check_path(file: str) -> None:
    """Raises ValueError for a path that does not lead, by its name, to a file below a folder."""
    if _NO_PATH.search(file) or any(part in ("", ".", "..") for part in file.split("/")):
        raise ValueError(f"{file!r} is no path below a folder")


def read_lock(folder: Path) -> dict[str, LockedEntry]:
    """The lock of a folder of weights, by entry; empty if there is none. Raises ValueError if it is damaged."""
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def write_lock(folder: Path, entries: Mapping[str, LockedEntry]) -> None:
    """Written beside and moved into place: a reader finds the old one or the new one. Raises OSError."""
    text = json.dumps(to_json(entries), indent=1, sort_keys=True) + "\n"
    beside = folder / f"{LOCK}.new"
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(folder / LOCK)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def to_json(entries: Mapping[str, LockedEntry]) -> dict[str, Any]:
    """As it is written down."""
    return {name: asdict(entries[name]) for name in sorted(entries)}


def from_json(found: Any) -> dict[str, LockedEntry]:
    """What ``to_json`` gave. Raises ValueError for anything else."""
    try:
        return {name: LockedEntry(entry["revision"], files_from_json(entry["files"])) for name, entry in found.items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is no list of models: {error!r}") from error


def files_from_json(found: Any) -> dict[str, LockedFile]:
    """The files of an entry. Raises ValueError, TypeError or AttributeError for what is none."""
    return {file: LockedFile(**facts) for file, facts in sorted(found.items())}


def measure(folder: Path, files: Iterable[str]) -> dict[str, LockedFile]:
    """Size and hash of files below a folder."""
    return {file: LockedFile((folder / file).stat().st_size, sha256(folder / file)) for file in sorted(files)}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault(folder: Path, file: str, expected: LockedFile, *, hashed: bool = True) -> str | None:
    """What is wrong with a file, or None. hashed False: only look whether it is there in full."""
    path = folder / file
    try:
        size = path.stat().st_size
        if size < expected.size:
            return f"is cut short: {size} of {expected.size} bytes"
        if size != expected.size or (hashed and sha256(path) != expected.sha256):
            return "is not the file that was released: it was altered"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None
