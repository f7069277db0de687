"""models.lock: what the weights on disk must be, file by file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

LOCK = "models.lock"


@dataclass(frozen=True)
class LockedFile:
    """size in bytes; sha256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class LockedEntry:
    """One entry of the catalogue. revision: the commit that was fetched, None for what comes with the source.
    files: by path below the lock's folder, with forward slashes."""

    revision: str | None
    files: Mapping[str, LockedFile]


def read_lock(folder: Path) -> dict[str, LockedEntry]:
    """The lock of a folder of weights, by entry; empty if there is none. Raises ValueError if it is damaged."""
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: LockedEntry(
                entry["revision"], {file: LockedFile(**facts) for file, facts in sorted(entry["files"].items())}
            )
            for name, entry in found.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error


def write_lock(folder: Path, entries: Mapping[str, LockedEntry]) -> None:
    """Written beside and moved into place: a reader finds the old one or the new one."""
    text = json.dumps({name: asdict(entries[name]) for name in sorted(entries)}, indent=1, sort_keys=True) + "\n"
    beside = folder / f"{LOCK}.new"
    beside.write_text(text, encoding="utf-8")
    beside.replace(folder / LOCK)


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
