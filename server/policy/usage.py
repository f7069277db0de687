"""What keys with a limit have used today, in a file beside the keys, so that a restart does not give it back."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_log = logging.getLogger(__name__)


class Usage(BaseModel):
    """day: number of the UTC day since 1970. seconds: of audio, by the key's hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: int = 0
    seconds: Mapping[str, float] = Field(default_factory=dict)


class UsageFile:
    """JSON, readable by its owner alone, replaced as a whole. It is one server's: of two that share the keys, each
    counts for itself, and the last one to write is remembered."""

    def __init__(self, keys_file: Path) -> None:
        self.path = keys_file.expanduser().with_name(keys_file.name + ".usage")
        self._written = Usage()

    def read(self) -> Usage:
        """Nothing when there is no file, or one that cannot be used: better a caller too many than none."""
        try:
            self._written = Usage.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            _log.warning(
                "what keys have used today cannot be read", extra={"file": str(self.path), "error": str(error)}
            )
        return self._written

    def write(self, usage: Usage) -> None:
        """Unless it says so already. Where no key has used anything there need not be a file, nor its folder."""
        if usage == self._written or not (usage.seconds or self._written.seconds):
            return
        new = self.path.with_name(self.path.name + ".new")
        try:
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(usage.model_dump_json() + "\n")
            new.replace(self.path)
        except OSError as error:
            _log.warning("what keys have used cannot be written", extra={"file": str(self.path), "error": str(error)})
            return
        self._written = usage
