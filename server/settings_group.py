"""The base of all groups of settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """Frozen, and without anything that is not written down."""

    model_config = ConfigDict(frozen=True, extra="forbid")
