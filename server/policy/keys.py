"""Keys: who may use the server, how much, and until when.

A key is 256 random bits, so one plain SHA-256 guards it in the file: slow, salted hashes protect what people make up,
and here there is no list of likely keys to try. A fast hash also keeps a flood of wrong keys cheap to refuse.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
import string
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from server.errors import AccessError, SettingsError

_log = logging.getLogger(__name__)

PREFIX = "kammerton_"
_BASE62 = string.digits + string.ascii_letters
_RANDOM = 43
"""Characters of base 62 that hold 256 bits."""


def new_token(prefix: str) -> str:
    """A secret that nobody guesses, of characters that a header and a sub-protocol may hold (RFC 9110, 5.6.2)."""
    return prefix + "".join(secrets.choice(_BASE62) for _ in range(_RANDOM))


def digest(token: str) -> str:
    """SHA-256, as 64 hexadecimal digits."""
    # What a peer sends as a key need not be text that UTF-8 has a form for.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


class Key(BaseModel):
    """What is kept of a key. max_sessions: at once; audio_minutes_a_day: heard and spoken. None: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    max_sessions: int | None = Field(default=None, ge=1)
    audio_minutes_a_day: float | None = Field(default=None, gt=0)

    def state(self, now: datetime) -> str:
        """active, expired or revoked."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class _Contents(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []


class KeyFile:
    """The file that keys are kept in: JSON, readable by its owner alone, replaced as a whole.

    A revoked key stays in it, so that the file of a server that once asked for keys never looks like that of an open
    one. Every method raises SettingsError for a file that cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()

    def read(self) -> tuple[Key, ...]:
        """All keys; none when there is no file."""
        try:
            return tuple(_Contents.model_validate_json(self.path.read_bytes()).keys)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise SettingsError(f"cannot read the keys file {self.path}: {error.strerror}") from None
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise SettingsError(f"the keys file {self.path} is damaged: {where} {fault['msg']}".strip()) from None

    def create(
        self,
        name: str,
        *,
        expires: datetime | None = None,
        max_sessions: int | None = None,
        audio_minutes_a_day: float | None = None,
        now: datetime | None = None,
    ) -> str:
        """Make a key and return its text, which is kept nowhere. It takes the place of one of that name that is no
        longer active; an active one is in the way."""
        now = now or _now()
        token = new_token(PREFIX)
        try:
            key = Key(
                name=name,
                sha256=digest(token),
                created=now.replace(microsecond=0),
                expires=expires,
                max_sessions=max_sessions,
                audio_minutes_a_day=audio_minutes_a_day,
            )
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False)[0]
            raise SettingsError(f"{fault['loc'][0]}: {fault['msg']}, not {fault['input']!r}") from None
        if key.state(now) != "active":
            raise SettingsError(f"expires: {expires} is in the past")
        with self._locked() as keys:
            if any(other.name == name and other.state(now) == "active" for other in keys):
                raise SettingsError(f"there is an active key {name} already; revoke it, or choose another name")
            self._write([*(other for other in keys if other.name != name), key])
        return token

    def revoke(self, name: str, now: datetime | None = None) -> None:
        """From now on the key opens nothing."""
        with self._locked() as keys:
            named = [key for key in keys if key.name == name]
            if not named:
                known = ", ".join(key.name for key in keys) or "none"
                raise SettingsError(f"there is no key {name} in {self.path}; the keys there: {known}")
            if named[0].revoked is None:
                gone = named[0].model_copy(update={"revoked": (now or _now()).replace(microsecond=0)})
                self._write([gone if key.name == name else key for key in keys])

    @contextmanager
    def _locked(self) -> Iterator[Sequence[Key]]:
        """The keys, with nobody else changing them. The folder is locked, as the file itself is replaced."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise SettingsError(f"cannot use the folder {self.path.parent}: {error.strerror}") from None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield self.read()
        finally:
            os.close(folder)

    def _write(self, keys: Sequence[Key]) -> None:
        text = _Contents(keys=list(keys)).model_dump_json(indent=1, exclude_none=True)
        new = self.path.with_name(self.path.name + ".new")
        try:
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise SettingsError(f"cannot write the keys file {self.path}: {error.strerror}") from None


class Keys:
    """The keys that a running server knows: those of a file, as it is at each moment, and one given by a setting.

    Raises SettingsError when the file cannot be used at the start. If it is damaged later, the keys known so far
    stay; if it is gone, so are they.
    """

    def __init__(self, path: Path, setting: str = "", clock: Callable[[], datetime] = _now) -> None:
        self._file = KeyFile(path)
        self._clock = clock
        self._given = [Key(name="auth.key", sha256=digest(setting), created=clock())] if setting else []
        self._stamp = self._stat()
        self._kept = self._file.read()
        self._configured = bool(self._all())

    @property
    def configured(self) -> bool:
        """Whether keys are asked for. Once they were, they always are: a lost file opens nothing."""
        self._refresh()
        return self._configured

    @property
    def usable(self) -> bool:
        """Whether there is a key that anybody can come in with."""
        self._refresh()
        return any(key.state(self._clock()) == "active" for key in self._all())

    def find(self, token: str | None) -> Key:
        """The active key with this text. Raises AccessError."""
        if not token:
            message = "No API key was given. Send one as 'Authorization: Bearer KEY'."
            raise AccessError("key_missing", message)
        return self.by_digest(digest(token))

    def by_digest(self, sha256: str) -> Key:
        """The active key with this hash. Raises AccessError."""
        self._refresh()
        found = None
        for key in self._all():
            # Every key is compared, and each in constant time: how long it takes tells nothing.
            if hmac.compare_digest(key.sha256, sha256):
                found = key
        if found is None:
            raise AccessError("key_unknown", "Incorrect API key provided.")
        state = found.state(self._clock())
        if state != "active":
            raise AccessError(f"key_{state}", f"The API key provided is {state}.")
        return found

    def _all(self) -> list[Key]:
        return [*self._given, *self._kept]

    def _refresh(self) -> None:
        """Looking at the file each time costs microseconds, and a revoked key is refused at once."""
        stamp = self._stat()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._kept = self._file.read()
        except SettingsError as error:
            _log.error("the changed keys file cannot be used", extra={"reason": str(error)})
        self._configured = self._configured or bool(self._kept)

    def _stat(self) -> tuple[int, ...] | None:
        try:
            status = self._file.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
