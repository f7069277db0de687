"""One tar file with all weights of a profile, for machines that no network reaches: written here, read there.

Its first member lists the size and SHA-256 of every other one. Nothing is extracted by a name that the tar gives:
each member has to be the next one of that list. The same weights give the same file, bit for bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from models import catalog
from models.base import WeightsError
from models.catalog import ResolvedModel, ResolvedProfile
from models.fetch import Progress, check_room, drop_damaged_lock
from models.lock import (
    LockedEntry,
    LockedFile,
    check_path,
    fault,
    files_from_json,
    from_json,
    measure,
    read_lock,
    to_json,
    write_lock,
)

MANIFEST = "kammerton-bundle.json"
_FORMAT = 1
_MAX_MANIFEST = 4 << 20
_CHUNK = 1 << 20
_TEXTS = ("LICENSE*", "MODEL_CARD*")
_ENTRY = "bundle"


@dataclass(frozen=True)
class _Contents:
    """What is in a bundle. texts: licences and model cards that models.lock does not list."""

    profile: str
    models: Mapping[str, LockedEntry]
    texts: Mapping[str, LockedFile]

    @property
    def files(self) -> dict[str, LockedFile]:
        """All of it, in the order of the tar."""
        weights = [(file, facts) for name in sorted(self.models) for file, facts in self.models[name].files.items()]
        return dict([*sorted(self.texts.items()), *weights])

    @property
    def size(self) -> int:
        return sum(facts.size for facts in self.files.values())


# ------------------------------------------------------------------------------------------------- export


def export_bundle(resolved: ResolvedProfile, target: Path, progress: Progress) -> str:
    """Write a profile's weights, licences and model cards to a new file ``target``; return its SHA-256.

    Raises WeightsError when weights are missing or are not what the lock says, when the file exists already, and when
    it cannot be written; then there is no such file.
    """
    if target.exists():
        raise WeightsError(_ENTRY, f"{target} is there already; delete it, or choose another name")
    models = {model.entry.name: _expected(resolved, model) for model in resolved.models.values()}
    roots = {file: model.root for model in resolved.models.values() for file in models[model.entry.name].files}
    notice = _notice(resolved, models).encode()
    texts = {f"licences-{resolved.name}.txt": LockedFile(len(notice), hashlib.sha256(notice).hexdigest())}
    for model in resolved.models.values():
        found = _texts_beside(model)
        texts |= measure(model.root, found)
        roots |= dict.fromkeys(found, model.root)
    contents = _Contents(resolved.name, models, texts)
    part = target.with_name(f"{target.name}.part")
    try:
        check_room(target.name, target.absolute().parent, contents.size)
        with part.open("w+b") as file:
            _write(file, contents, roots, notice, progress)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        part.replace(target)
    except OSError as error:
        raise WeightsError(_ENTRY, f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return digest


def _expected(resolved: ResolvedProfile, model: ResolvedModel) -> LockedEntry:
    expected = catalog.locked(model.root).get(model.entry.name)
    if expected is None:
        raise catalog.missing(resolved, model)
    for file, facts in expected.files.items():
        if wrong := fault(model.root, file, facts, hashed=False):
            raise WeightsError(model.entry.name, f"{model.root / file} {wrong}; see `kammerton models verify`")
    return expected


def _texts_beside(model: ResolvedModel) -> list[str]:
    """Licences and model cards of what comes with the source, beside the weights or a folder further up. Those of
    fetched weights were fetched with them."""
    if model.entry.bundled is None:
        return []
    folders = [model.path if model.path.is_dir() else model.path.parent]
    while folders[-1].parent != model.root:
        folders.append(folders[-1].parent)
    found = [path for folder in folders for pattern in _TEXTS for path in folder.glob(pattern) if path.is_file()]
    return [path.relative_to(model.root).as_posix() for path in found]


def _notice(resolved: ResolvedProfile, models: Mapping[str, LockedEntry]) -> str:
    lines = [f"Models of Kammerton's profile {resolved.name}", ""]
    for kind, model in resolved.models.items():
        entry, revision = model.entry, models[model.entry.name].revision
        source = f"{entry.hub}, revision {revision}" if entry.hub else "comes with Kammerton"
        lines += [
            f"{entry.name} ({kind})",
            f"  {entry.about}",
            f"  source: {source}",
            f"  licence: {entry.licence}",
            "",
        ]
    return "\n".join(lines)


def _write(file: IO[bytes], contents: _Contents, roots: Mapping[str, Path], notice: bytes, progress: Progress) -> None:
    listed = {
        "format": _FORMAT,
        "profile": contents.profile,
        "models": to_json(contents.models),
        "texts": {name: asdict(facts) for name, facts in contents.texts.items()},
    }
    manifest = json.dumps(listed, indent=1, sort_keys=True).encode()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_member(MANIFEST, len(manifest)), io.BytesIO(manifest))
        for name, facts in contents.files.items():
            with (roots[name] / name).open("rb") if name in roots else io.BytesIO(notice) as source:
                reader = _Hashing(source, name, facts.size, progress)
                tar.addfile(_member(name, facts.size), reader)
            if reader.hash.hexdigest() != facts.sha256:
                path = roots[name] / name
                raise WeightsError(_ENTRY, f"{path} was altered; see `kammerton models verify`")


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


class _Hashing:
    """A file that is hashed while it is read, from its beginning to its end."""

    def __init__(self, file: IO[bytes], name: str, size: int, progress: Progress) -> None:
        self.hash = hashlib.sha256()
        self._file = file
        self._name, self._size, self._done = name, size, 0
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.hash.update(data)
        self._done += len(data)
        self._progress(self._name, self._done, self._size)
        return data


# ------------------------------------------------------------------------------------------------- import


def import_bundle(source: Path, weights_dir: Path, progress: Progress) -> tuple[str, list[str]]:
    """Put the weights of a bundle into weights_dir; return the profile and the names of its models.

    Every hash is looked at before anything appears. Raises WeightsError for a file that is no bundle, was altered, is
    cut short, or holds models of another version, and for a disk that is too full: then nothing is left of it.
    """
    with _opened(source) as tar:
        contents = _read_manifest(source, tar)
        created = not weights_dir.exists()
        try:
            weights_dir.mkdir(parents=True, exist_ok=True)
            check_room(source.name, weights_dir, contents.size)
            with tempfile.TemporaryDirectory(prefix=".import-", dir=weights_dir) as stage:
                _unpack(source, tar, contents, Path(stage), progress)
                drop_damaged_lock(weights_dir)
                known = read_lock(weights_dir)
                for file in contents.files:
                    (weights_dir / file).parent.mkdir(parents=True, exist_ok=True)
                    (Path(stage) / file).replace(weights_dir / file)
                write_lock(weights_dir, {**known, **contents.models})
            created = False
        except OSError as error:
            raise WeightsError(_ENTRY, f"cannot write to {weights_dir}: {error.strerror or error}") from error
        finally:
            if created and weights_dir.exists():
                shutil.rmtree(weights_dir, ignore_errors=True)
    return contents.profile, sorted(contents.models)


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise WeightsError(_ENTRY, f"{source} is no bundle of Kammerton, or is cut short: {error}") from error
    except OSError as error:
        raise WeightsError(_ENTRY, f"cannot read {source}: {error.strerror or error}") from error


def _read_manifest(source: Path, tar: tarfile.TarFile) -> _Contents:
    member = tar.next()
    if member is None or member.name != MANIFEST or not _is_plain(member) or member.size > _MAX_MANIFEST:
        raise WeightsError(_ENTRY, f"{source} is no bundle of Kammerton: it does not begin with {MANIFEST}")
    data = _file_in(tar, member).read()
    try:
        found = json.loads(data)
        if found.get("format") != _FORMAT:
            raise WeightsError(_ENTRY, f"{source} was written by another version of Kammerton, in a form unknown here")
        contents = _Contents(str(found["profile"]), from_json(found["models"]), files_from_json(found["texts"]))
        _check_contents(source, contents)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(_ENTRY, f"{source}: {MANIFEST} is damaged: {error}") from error
    return contents


def _check_contents(source: Path, contents: _Contents) -> None:
    """Only models that this version knows, in the revision that it names, each in a place of its own."""
    if contents.profile not in catalog.profiles():
        raise WeightsError(_ENTRY, f"{source} holds a profile that this version of Kammerton does not know")
    own = catalog.locked(catalog.BUNDLED)
    tops = set()
    for name, found in contents.models.items():
        entry = catalog.entries().get(name)
        if entry is None:
            raise WeightsError(_ENTRY, f"{source} holds {name!r}, which this version of Kammerton does not know")
        pinned = entry.revision if entry.revision != found.revision else None
        if (pinned and len(pinned) == 40) or (entry.bundled and found != own.get(name, found)):
            raise WeightsError(_ENTRY, f"{source} holds {name} in another revision than this version of Kammerton runs")
        tops.add(top := (entry.bundled or name).split("/")[0])
        if any(file.split("/")[0] != top for file in found.files):
            raise ValueError(f"files of {name} are not in {top}")
    for file in contents.texts:
        check_path(file)
        if "/" in file and file.split("/")[0] not in tops:
            raise ValueError(f"{file} belongs to none of its models")
        if "/" not in file and not file.endswith(".txt"):
            raise ValueError(f"{file} is no text")
    count = len(contents.texts) + sum(len(found.files) for found in contents.models.values())
    if count != len(contents.files):
        raise ValueError("it lists a file twice")


def _unpack(source: Path, tar: tarfile.TarFile, contents: _Contents, stage: Path, progress: Progress) -> None:
    for name, facts in contents.files.items():
        member = tar.next()
        if member is None:
            raise WeightsError(_ENTRY, f"{source} is cut short: {name} is missing")
        if member.name != name or not _is_plain(member) or member.size != facts.size:
            raise WeightsError(_ENTRY, f"{source} was altered: it holds {member.name!r} in the place of {name}")
        path = stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        reader = _Hashing(_file_in(tar, member), name, facts.size, progress)
        with path.open("wb") as file:
            shutil.copyfileobj(reader, file, _CHUNK)
        if reader.hash.hexdigest() != facts.sha256:
            raise WeightsError(_ENTRY, f"{source}: {name} was altered")
    if (more := tar.next()) is not None:
        raise WeightsError(_ENTRY, f"{source} was altered: it holds {more.name!r}, which it does not list")


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()


def _file_in(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[Any]:
    file = tar.extractfile(member)
    assert file is not None
    return file
