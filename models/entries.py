"""catalog.toml, read and checked: the models that Kammerton knows, and the profiles made of them."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.base import CatalogError

Kind = Literal["vad", "stt", "llm", "tts"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NEWEST = "main"
"""As a revision: whatever is newest when it is fetched."""

_CATALOG = Path(__file__).with_name("catalog.toml")


class Entry(BaseModel):
    """One model of the catalogue; the fields are those of catalog.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    engine: str = Field(pattern=r"^\w+\.\w+$")
    licence: str = Field(min_length=1)
    languages: tuple[str, ...]
    size_mb: float = Field(gt=0)
    about: str = Field(min_length=1)
    bundled: str | None = None
    hub: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str | None = Field(default=None, pattern=rf"^([0-9a-f]{{40}}|{NEWEST})$")
    files: tuple[str, ...] = ()
    gpu_mb: float = Field(default=0, ge=0)
    options: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _from_one_place(self) -> Entry:
        if (self.bundled is None) == (self.hub is None):
            raise ValueError("it is either bundled or on a hub")
        if self.hub and not (self.revision and self.files):
            raise ValueError("a model on a hub needs the hash of its revision, and files")
        return self

    @property
    def module(self) -> str:
        return f"models.{self.kind}.{self.engine.split('.')[0]}"

    @property
    def available(self) -> bool:
        """Whether this version of Kammerton has the engine."""
        return importlib.util.find_spec(self.module) is not None


class Profile(BaseModel):
    """entries: one for each of KINDS."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str = Field(min_length=1)
    entries: Mapping[Kind, Entry]

    @property
    def gpu_mb(self) -> float:
        """Memory of a GPU that its models take together; 0 for none."""
        return sum(entry.gpu_mb for entry in self.entries.values())


@cache
def entries() -> Mapping[str, Entry]:
    """All models of the catalogue, by name. Raises CatalogError, which names the entry and what is wrong with it."""
    found = {}
    for name, facts in _read("entries").items():
        try:
            found[name] = Entry(**{"name": name, **facts})
        except ValidationError as error:
            raise CatalogError(f"{_CATALOG.name}: entry {name}: {_faults(error)}") from error
    return MappingProxyType(found)


@cache
def profiles() -> Mapping[str, Profile]:
    """All profiles of the catalogue, by name. Raises CatalogError."""
    return MappingProxyType({name: _profile(name, facts) for name, facts in _read("profiles").items()})


def _profile(name: str, facts: Mapping[str, Any]) -> Profile:
    chosen: dict[Kind, Entry] = {}
    for kind in KINDS:
        entry = entries().get(str(facts.get(kind)))
        if entry is None or entry.kind != kind:
            raise CatalogError(f"{_CATALOG.name}: profile {name}: {facts.get(kind)!r} is no entry of the kind {kind}")
        chosen[kind] = entry
    rest = {key: value for key, value in facts.items() if key not in KINDS}
    try:
        return Profile(**{**rest, "name": name, "entries": chosen})
    except ValidationError as error:
        raise CatalogError(f"{_CATALOG.name}: profile {name}: {_faults(error)}") from error


def _faults(error: ValidationError) -> str:
    """All faults in one line, each with its field."""
    found = []
    for fault in error.errors(include_url=False):
        field = ".".join(map(str, fault["loc"]))
        if fault["type"] == "missing":
            found.append(f"{field} is missing")
        else:
            found.append(": ".join(filter(None, [field, fault["msg"].removeprefix("Value error, ")])))
    return "; ".join(found)


@cache
def _read(table: str) -> dict[str, dict[str, Any]]:
    try:
        found = tomllib.loads(_CATALOG.read_text(encoding="utf-8"))[table]
    except (OSError, ValueError, KeyError) as error:
        raise CatalogError(f"{_CATALOG} cannot be read: {error!r}") from error
    if not isinstance(found, dict) or not all(isinstance(facts, dict) for facts in found.values()):
        raise CatalogError(f"{_CATALOG}: {table} is no table of tables")
    return found
