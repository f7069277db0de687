"""Secrets that tools need (keys of other services): a TOML file of ``name = "value"``, for its owner's eyes only."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

from server.errors import SettingsError

_PLACE = re.compile(r"\$\{(\w+)\}")


class Vault:
    """Looks secrets up by name. The file is read when the first one is asked for, and need not be there before."""

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser()

    def fill(self, text: str) -> str:
        """The text with each ``${name}`` replaced by that secret. Raises SettingsError, which never holds a value."""
        return _PLACE.sub(lambda place: self._secret(place[1]), text)

    def _secret(self, name: str) -> str:
        secrets = self._read()
        if name not in secrets:
            raise SettingsError(f"there is no secret {name} in {self._path}")
        return secrets[name]

    def _read(self) -> dict[str, str]:
        try:
            with self._path.open("rb") as file:
                if stat.S_IMODE(self._path.stat().st_mode) & 0o077:
                    raise SettingsError(f"others can read the secrets in {self._path}: chmod 600 it")
                found = tomllib.load(file)
        except OSError as error:
            raise SettingsError(f"cannot read the secrets in {self._path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            # What the parser says may show a line of the file.
            raise SettingsError(f"the file of secrets {self._path} is not valid TOML") from None
        if any(not isinstance(value, str) for value in found.values()):
            raise SettingsError(f'every line of {self._path} must be: name = "value"')
        return found
