"""Fetching the weights of a profile from the Hugging Face hub: the one place in Kammerton that downloads models.

Called by an explicit command only, never by a running server. Broken downloads are gone on with; every file is hashed,
and what was fetched is written down in models.lock, which ``catalog.verify`` holds it to from then on.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from models.base import WeightsError
from models.catalog import Entry, ResolvedModel, resolve
from models.entries import NEWEST
from models.lock import LockedEntry, measure, read_lock, sha256, write_lock

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

Progress = Callable[[str, int, int], None]
"""Called with (file, bytes so far, bytes in all) while a file comes in, and at its end."""

_PARTIAL = ".partial"
_PARTIAL_CONTENT = 206
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEXTS = ("README", "MODEL_CARD", "LICENSE")
_CHUNK = 1024 * 1024
_ATTEMPTS = 4
_SILENCE_S = 20.0
"""A hub that says nothing for so long has hung."""
_PAUSE_S = 1.0


def fetch(profile: str, weights_dir: Path, progress: Progress, *, endpoint: str | None = None) -> list[str]:
    """Fetch into weights_dir what the profile lacks, and what the catalogue names in another revision than it was
    fetched in; return the names of the models that were fetched.

    endpoint: base address of the hub or a mirror, None for the hub's own. A damaged lock is begun anew. Raises
    CatalogError for an unknown profile, WeightsError when the hub cannot be reached or sends something else than it
    announced; fetching again then goes on where it stopped.
    """
    fetched = []
    try:
        weights_dir.mkdir(parents=True, exist_ok=True)
        drop_damaged_lock(weights_dir)
        for model in resolve(profile, weights_dir).models.values():
            if model.entry.hub is None or (model.on_disk and _is_wanted(model)):
                continue
            locked = _fetch_entry(model.entry, weights_dir, progress, endpoint)
            write_lock(weights_dir, {**read_lock(weights_dir), model.entry.name: locked})
            fetched.append(model.entry.name)
    except OSError as error:
        raise WeightsError("catalogue", f"cannot write to {weights_dir}: {error.strerror or error}") from error
    shutil.rmtree(weights_dir / _PARTIAL, ignore_errors=True)
    return fetched


def drop_damaged_lock(weights_dir: Path) -> None:
    """A lock that cannot be read is begun anew. Raises OSError."""
    try:
        read_lock(weights_dir)
    except ValueError:
        write_lock(weights_dir, {})


def _is_wanted(model: ResolvedModel) -> bool:
    """Whether what is on disk is of the revision that the catalogue names, and as it was fetched."""
    locked = read_lock(model.root)[model.entry.name]
    revision = model.entry.revision in (locked.revision, NEWEST)
    return revision and measure(model.root, locked.files) == locked.files


def _fetch_entry(entry: Entry, weights_dir: Path, progress: Progress, endpoint: str | None) -> LockedEntry:
    import httpx2
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    assert entry.hub is not None
    try:
        info = HfApi(endpoint=endpoint).model_info(
            entry.hub, revision=entry.revision, files_metadata=True, timeout=_SILENCE_S
        )
        if not _COMMIT.fullmatch(str(info.sha)):  # it becomes the name of a folder
            raise WeightsError(entry.name, f"{entry.hub} is at no commit: {str(info.sha)[:80]!r}")
        wanted = _choose(entry, info.siblings or [])
        _check_room(entry, weights_dir, wanted)
        folder = weights_dir / entry.name
        folder.mkdir(exist_ok=True)
        for name, sibling in wanted.items():
            if not _is_announced(folder / name, sibling):
                url = hf_hub_url(entry.hub, sibling.rfilename, revision=info.sha, endpoint=endpoint)
                part = weights_dir / _PARTIAL / entry.name / str(info.sha) / name
                _download(url, part, sibling.size or 0, partial(_report, progress, sibling))
                if not _is_announced(part, sibling):
                    part.unlink()
                    raise WeightsError(
                        entry.name, f"{entry.hub} sent another {name} than it announced; fetch again", retryable=True
                    )
                part.replace(folder / name)
            _report(progress, sibling, (folder / name).stat().st_size)
    except (httpx2.HTTPError, HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, httpx2.TimeoutException):
            reason = f"the hub said nothing for {_SILENCE_S:g} s"
        elif isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise WeightsError(
            entry.name, f"could not fetch {entry.hub}: {reason}; fetch again to go on where it stopped", retryable=True
        ) from error
    files = measure(weights_dir, [f"{entry.name}/{name}" for name in wanted])
    return LockedEntry(info.sha, files)


def _choose(entry: Entry, siblings: list[RepoSibling]) -> Mapping[str, RepoSibling]:
    """The files that the catalogue asks for, by the name they get on disk."""
    chosen: dict[str, RepoSibling] = {}
    for pattern in entry.files:
        found = [sibling for sibling in siblings if fnmatch.fnmatchcase(sibling.rfilename, pattern)]
        if not found and "*" not in pattern:
            raise WeightsError(entry.name, f"{entry.hub} has no file {pattern}")
        chosen.update({_name_on_disk(sibling.rfilename): sibling for sibling in found})
    if not chosen:
        raise WeightsError(entry.name, f"{entry.hub} has none of the files of {entry.name}")
    return chosen


def _name_on_disk(path: str) -> str:
    """Its own; model cards and licences of several voices in one repository have the same, and keep their folders'."""
    place = PurePosixPath(path)
    if place.stem in _TEXTS and len(place.parts) > 1:
        return f"{place.parent.as_posix().replace('/', '-')}-{place.name}"
    return place.name


def _check_room(entry: Entry, weights_dir: Path, wanted: Mapping[str, RepoSibling]) -> None:
    """Said before the first byte, and not after hours."""
    needed = 0
    for name, sibling in wanted.items():
        here = weights_dir / entry.name / name
        needed += (sibling.size or 0) - (here.stat().st_size if here.is_file() else 0)
    partial_ = weights_dir / _PARTIAL / entry.name
    needed -= sum(path.stat().st_size for path in partial_.rglob("*") if path.is_file())
    check_room(entry.name, weights_dir, needed)


def check_room(name: str, folder: Path, needed: int) -> None:
    """Raises WeightsError when the disk under ``folder`` has fewer bytes free than needed. name: of what needs them."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        room = f"{needed / 1e6:,.0f} MB, and {folder} has {free / 1e6:,.0f} MB free"
        raise WeightsError(name, f"the disk is too full: {name} needs {room}")


def _download(url: str, part: Path, size: int, report: Callable[[int], None]) -> None:
    """Until the file is complete: from its beginning, or on from what an earlier attempt or an earlier call got. Gives
    up after a few attempts in a row that brought nothing."""
    import httpx2

    part.parent.mkdir(parents=True, exist_ok=True)
    fruitless = 0
    while not (part.exists() and part.stat().st_size == size):
        have = part.stat().st_size if part.exists() else 0
        try:
            _append(url, part, have if have < size else 0, report)
        except httpx2.TransportError:
            fruitless = 0 if part.exists() and part.stat().st_size > have else fruitless + 1
            if fruitless == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_S * fruitless)
        else:
            if part.stat().st_size != size:
                return  # whole, and not what was announced: for the check to say


def _append(url: str, part: Path, have: int, report: Callable[[int], None]) -> None:
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=_SILENCE_S) as response:
        hf_raise_for_status(response)
        # A server that knows no ranges sends the whole file with 200.
        with part.open("ab" if response.status_code == _PARTIAL_CONTENT else "wb") as file:
            for chunk in response.iter_bytes(_CHUNK):
                file.write(chunk)
                report(file.tell())


def _is_announced(path: Path, sibling: RepoSibling) -> bool:
    """The hub announces large files with their SHA-256 and the others with git's hash of them."""
    if not path.is_file():
        return False
    if sibling.lfs is not None:
        return sha256(path) == sibling.lfs.sha256
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return blob.hexdigest() == sibling.blob_id


def _report(progress: Progress, sibling: RepoSibling, done: int) -> None:
    progress(sibling.rfilename, done, sibling.size or done)
