"""Which models there are, which of them to run, whether they are what they should be, and how to load them.

The list is catalog.toml. Importing this file imports no engine: an engine's file is imported when its entry is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from models.base import ChatModel, Synthesizer, Transcriber, VoiceActivityDetector, VoiceError, WeightsError
from models.lock import LOCK, LockedEntry, fault, read_lock

KINDS = ("vad", "stt", "llm", "tts")
BUNDLED = Path(__file__).parent / "bundled"
_AUTO = ("gpu", "cpu")
_FALLBACK = "tiny"
_CATALOG = Path(__file__).with_name("catalog.toml")


class CatalogError(VoiceError):
    """The catalogue cannot do what was asked: an unknown profile, an engine that this version does not have."""


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue; the fields are those of catalog.toml. Either bundled or hub is set."""

    name: str
    kind: str
    engine: str
    licence: str
    languages: tuple[str, ...]
    size_mb: float
    about: str
    bundled: str | None = None
    hub: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> str:
        return f"models.{self.kind}.{self.engine.split('.')[0]}"

    @property
    def available(self) -> bool:
        """Whether this version of Kammerton has the engine."""
        return importlib.util.find_spec(self.module) is not None


@dataclass(frozen=True)
class Profile:
    """entries: one for each of KINDS."""

    name: str
    about: str
    entries: Mapping[str, Entry]


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


@cache
def entries() -> Mapping[str, Entry]:
    """All models of the catalogue, by name."""
    found = _read()["entries"]
    return MappingProxyType({name: Entry(name=name, **_tuples(facts)) for name, facts in found.items()})


@cache
def profiles() -> Mapping[str, Profile]:
    """All profiles of the catalogue, by name."""
    return MappingProxyType(
        {
            name: Profile(name, facts["about"], {kind: entries()[facts[kind]] for kind in KINDS})
            for name, facts in _read()["profiles"].items()
        }
    )


def resolve(profile: str, weights_dir: Path) -> ResolvedProfile:
    """The profile on this machine. ``auto`` takes gpu or cpu if its weights are on disk, and else tiny. Raises
    CatalogError for a profile that does not exist. Looks at no hashes: that is ``verify``."""
    known = profiles()
    if profile == "auto":
        return _best(weights_dir)
    if profile not in known:
        names = ", ".join([*sorted(known), "auto"])
        raise CatalogError(f"there is no profile {profile!r}; known profiles: {names}")
    return _resolved(known[profile], weights_dir, "as asked for")


def verify(resolved: ResolvedProfile) -> None:
    """Every file is there, with the size and SHA-256 that models.lock says. Raises WeightsError, which names the first
    file that is not, what is wrong with it, and the command that mends it."""
    for model in resolved.models.values():
        locked = _locked(model.root).get(model.entry.name)
        mend = _mend(resolved, model)
        if locked is None:
            raise WeightsError(model.entry.name, f"the weights of {model.entry.name} are missing; {mend}")
        for file, expected in locked.files.items():
            wrong = fault(model.root, file, expected)
            if wrong:
                raise WeightsError(model.entry.name, f"{model.root / file} {wrong}; {_mend(resolved, model, file)}")


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
    alone = {} if batching else {"max_batch": 1, "by_priority": False}
    limits = {kind: dict(alone) for kind in KINDS}
    for limit, by_kind in (("threads", threads or {}), ("workers", workers or {})):
        for kind, value in by_kind.items():
            limits[kind][limit] = value
    return Engines(**{kind: load_engine(resolved, kind, **limits[kind]) for kind in KINDS})


def load_engine(resolved: ResolvedProfile, kind: str, **limits: int) -> Any:
    """Load the engine of one kind."""
    model = resolved.models[kind]
    if not model.on_disk:
        raise WeightsError(
            model.entry.name, f"the weights of {model.entry.name} are not complete; {_mend(resolved, model)}"
        )
    if not model.entry.available:
        raise CatalogError(f"this version of Kammerton has no engine {model.entry.engine} for {model.entry.name}")
    loader = getattr(importlib.import_module(model.entry.module), model.entry.engine.split(".")[1]).load
    taken = inspect.signature(loader).parameters
    fitting = {limit: value for limit, value in limits.items() if limit in taken}
    return loader(model.path, name=model.entry.name, **{**model.entry.options, **fitting})


def _best(weights_dir: Path) -> ResolvedProfile:
    known = profiles()
    for name in _AUTO:
        found = _resolved(known[name], weights_dir, f"its weights are in {weights_dir}")
        if found.on_disk and all(model.entry.available for model in found.models.values()):
            return found
    reason = f"no others are in {weights_dir}; `kammerton models fetch cpu` (or gpu) gets real ones"
    return _resolved(known[_FALLBACK], weights_dir, reason)


def _resolved(profile: Profile, weights_dir: Path, reason: str) -> ResolvedProfile:
    models = {kind: _place(entry, weights_dir) for kind, entry in profile.entries.items()}
    return ResolvedProfile(profile.name, profile.about, reason, MappingProxyType(models))


def _place(entry: Entry, weights_dir: Path) -> ResolvedModel:
    root = BUNDLED if entry.bundled is not None else weights_dir
    locked = _locked(root).get(entry.name)
    whole = locked is not None and not any(fault(root, *file, hashed=False) for file in locked.files.items())
    return ResolvedModel(entry, root / (entry.bundled or entry.name), root, whole)


def _locked(root: Path) -> dict[str, LockedEntry]:
    try:
        return read_lock(root)
    except ValueError as error:
        mend = _reinstall(LOCK) if root == BUNDLED else "fetch the profile again with `kammerton models fetch`"
        raise WeightsError("catalogue", f"{error}; {mend}") from error


def _mend(resolved: ResolvedProfile, model: ResolvedModel, file: str | None = None) -> str:
    if model.entry.hub is not None:
        return f"get them with `kammerton models fetch {resolved.name}`"
    return _reinstall(file or model.entry.bundled or "")


def _reinstall(file: str) -> str:
    return f"restore it with `git checkout -- models/bundled/{file}` in a clone, else reinstall kammerton"


@cache
def _read() -> dict[str, dict[str, dict[str, Any]]]:
    return cast(dict[str, dict[str, dict[str, Any]]], tomllib.loads(_CATALOG.read_text(encoding="utf-8")))


def _tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
