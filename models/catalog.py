"""Which models to run on this machine, whether they are what they should be, and how to load them.

What there is stands in catalog.toml (models/entries.py). Importing this file imports no engine: an engine's file is
imported when its entry is loaded.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.base import CatalogError, ChatModel, Synthesizer, Transcriber, Voice, VoiceActivityDetector, WeightsError
from models.entries import KINDS, Entry, Kind, Profile, entries, profiles
from models.gpu import check_fits
from models.lock import LOCK, LockedEntry, fault, read_lock

__all__ = [
    "BUNDLED",
    "KINDS",
    "CatalogError",
    "Engines",
    "Entry",
    "Profile",
    "ResolvedModel",
    "ResolvedProfile",
    "entries",
    "faults",
    "limits",
    "load",
    "load_engine",
    "locked",
    "missing",
    "profile_with",
    "profiles",
    "resolve",
    "verify",
    "voices",
]

BUNDLED = Path(__file__).parent / "bundled"
_AUTO = ("gpu-large", "gpu", "cpu")
_FALLBACK = "tiny"


@dataclass(frozen=True)
class ResolvedModel:
    """An entry and where its weights are. path: what the engine loads. root: the folder whose models.lock lists the
    files. on_disk: all of them are there in full (their hashes are looked at by ``verify``)."""

    entry: Entry
    path: Path
    root: Path
    on_disk: bool


@dataclass(frozen=True)
class ResolvedProfile:
    """A profile on this machine. reason: why this one, in a short sentence. models: one for each of KINDS."""

    name: str
    about: str
    reason: str
    models: Mapping[str, ResolvedModel]

    @property
    def on_disk(self) -> bool:
        return all(model.on_disk for model in self.models.values())


@dataclass(frozen=True)
class Engines:
    """One loaded engine of each kind."""

    vad: VoiceActivityDetector
    stt: Transcriber
    llm: ChatModel
    tts: Synthesizer


def resolve(profile: str, weights_dir: Path) -> ResolvedProfile:
    """The profile on this machine. ``auto`` takes the best of gpu-large, gpu and cpu whose weights are on disk and that
    there is memory for, and else tiny. Raises CatalogError for a profile that does not exist. Looks at no hashes: that
    is ``verify``."""
    known = profiles()
    if profile == "auto":
        return _best(weights_dir)
    if profile not in known:
        names = ", ".join([*sorted(known), "auto"])
        raise CatalogError(f"there is no profile {profile!r}; known profiles: {names}")
    return _resolved(known[profile], weights_dir, "as asked for")


def profile_with(kind: Kind, name: str, weights_dir: Path) -> ResolvedProfile:
    """A profile that has this entry, on this machine. Raises CatalogError when there is none."""
    known = {profile.entries[kind].name: profile for profile in profiles().values()}
    if name not in known:
        raise CatalogError(f"{name!r} is no {kind} entry of the catalogue; there are: {', '.join(known)}")
    return _resolved(known[name], weights_dir, f"it has {name}")


def voices(resolved: ResolvedProfile) -> tuple[Voice, ...]:
    """The voices that a profile will have, read from their descriptions: nothing is loaded. Raises WeightsError."""
    model = resolved.models["tts"]
    if not model.on_disk:
        raise missing(resolved, model)
    found: tuple[Voice, ...] = _engine(model.entry).described(model.path, name=model.entry.name)
    return found


def faults(resolved: ResolvedProfile, kinds: Collection[str] = KINDS) -> Iterator[WeightsError]:
    """Each file that is not there with the size and SHA-256 that models.lock says: what is wrong with it, and the
    command that mends it."""
    for kind, model in resolved.models.items():
        if kind not in kinds:
            continue
        expected = locked(model.root).get(model.entry.name)
        if expected is None:
            yield missing(resolved, model)
            continue
        for file, facts in expected.files.items():
            wrong = fault(model.root, file, facts)
            if wrong:
                mend = _mend(resolved, model, file)
                yield WeightsError(model.entry.name, f"{model.root / file} {wrong}; {mend}")


def verify(resolved: ResolvedProfile, kinds: Collection[str] = KINDS) -> None:
    """Raises the first of ``faults``."""
    for found in faults(resolved, kinds):
        raise found


def missing(resolved: ResolvedProfile, model: ResolvedModel) -> WeightsError:
    """The error for a model that is not on disk."""
    name = model.entry.name
    return WeightsError(name, f"the weights of {name} are missing; {_mend(resolved, model)}")


def load(
    resolved: ResolvedProfile,
    *,
    threads: Mapping[str, int] | None = None,
    workers: Mapping[str, int] | None = None,
    batching: bool = True,
) -> Engines:
    """Load the four engines. threads, workers: by kind, for those engines that have such a limit. batching: False has
    the engines of this process serve one request at a time, in order of arrival. Blocks until all of them are loaded.
    Raises WeightsError and CatalogError."""
    engines: dict[str, Any] = {}
    for kind in KINDS:
        own = {"threads": (threads or {}).get(kind), "workers": (workers or {}).get(kind)}
        engines[kind] = load_engine(resolved, kind, **limits(batching=batching, **own))
    return Engines(**engines)


def limits(*, batching: bool = True, **given: int | None) -> dict[str, int]:
    """What ``load_engine`` is told of the machine's share that an engine may take; see ``load``."""
    alone = {} if batching else {"max_batch": 1, "by_priority": False}
    return alone | {limit: value for limit, value in given.items() if value is not None}


def load_engine(resolved: ResolvedProfile, kind: str, **limits: int) -> Any:
    """Load the engine of one kind."""
    model = resolved.models[kind]
    if not model.on_disk:
        raise WeightsError(
            model.entry.name, f"the weights of {model.entry.name} are not complete; {_mend(resolved, model)}"
        )
    loader = _engine(model.entry).load
    taken = inspect.signature(loader).parameters
    # A chat model has to call functions, unless its entry says that it need not.
    options = {"tools": True, **limits}
    fitting = {name: value for name, value in options.items() if name in taken and name not in model.entry.options}
    try:
        return loader(model.path, name=model.entry.name, **{**model.entry.options, **fitting})
    except WeightsError as error:
        raise WeightsError(error.engine, f"{error}; {_mend(resolved, model)}") from error


def _engine(entry: Entry) -> Any:
    """Its class. Raises CatalogError."""
    if not entry.available:
        raise CatalogError(f"this version of Kammerton has no engine {entry.engine} for {entry.name}")
    return getattr(importlib.import_module(entry.module), entry.engine.split(".")[1])


def _best(weights_dir: Path) -> ResolvedProfile:
    known = profiles()
    reason = f"no others are in {weights_dir}; `kammerton models fetch cpu` (or gpu) gets real ones"
    for name in _AUTO:
        found = _resolved(known[name], weights_dir, f"its weights are in {weights_dir}")
        if not found.on_disk or not all(model.entry.available for model in found.models.values()):
            continue
        try:
            check_fits(known[name])
        except CatalogError as error:
            reason = str(error)
        else:
            return found
    return _resolved(known[_FALLBACK], weights_dir, reason)


def _resolved(profile: Profile, weights_dir: Path, reason: str) -> ResolvedProfile:
    models: dict[str, ResolvedModel] = {kind: _place(entry, weights_dir) for kind, entry in profile.entries.items()}
    return ResolvedProfile(profile.name, profile.about, reason, MappingProxyType(models))


def _place(entry: Entry, weights_dir: Path) -> ResolvedModel:
    """What comes with the source is taken from the weights folder if it was imported there: the same files, by hash.
    After an update that brings others it is these."""
    root, folder = weights_dir, entry.name
    if entry.bundled is not None:
        own = locked(BUNDLED).get(entry.name)
        imported = locked(weights_dir).get(entry.name)
        root, folder = weights_dir if imported and own in (None, imported) else BUNDLED, entry.bundled
    found = locked(root).get(entry.name)
    whole = found is not None and not any(fault(root, *file, hashed=False) for file in found.files.items())
    return ResolvedModel(entry, root / folder, root, whole)


def locked(root: Path) -> dict[str, LockedEntry]:
    """The lock of a folder. Raises WeightsError when it is damaged."""
    try:
        return read_lock(root)
    except ValueError as error:
        mend = _reinstall(LOCK) if root == BUNDLED else "fetch the profile again with `kammerton models fetch`"
        raise WeightsError("catalogue", f"{error}; {mend}") from error


def _mend(resolved: ResolvedProfile, model: ResolvedModel, file: str | None = None) -> str:
    if model.entry.hub is not None:
        fetch = f"get them with `kammerton models fetch {resolved.name}`"
        return f"{fetch}, or bring them with `kammerton models export` and `import` from a machine that has them"
    if model.root != BUNDLED:
        return "import the bundle again with `kammerton models import`"
    return _reinstall(file or model.entry.bundled or "")


def _reinstall(file: str) -> str:
    return f"restore it with `git checkout -- models/bundled/{file}` in a clone, else reinstall kammerton"
