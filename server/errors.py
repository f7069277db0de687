"""Everything that Kammerton raises on purpose, in one tree.

VoiceError
├── ClientError      the peer sent something wrong: one ``error`` event, the session lives
├── EngineError      a model failed: that response fails, the session lives
│   ├── ContextError     the prompt is longer than the model reads: tried again with less of it, HTTP 400
│   └── WeightsError     weights missing or altered: the server does not start
├── CatalogError     the models asked for cannot be run here: the server does not start
├── PolicyError      not allowed by the operator: refused and audited
│   └── AccessError      no right key, or a page of another origin: close code 3000, HTTP 401 or 403
├── ToolError        a tool could not do it: the model is told, the session lives
├── AuditError       what must be answered for cannot be written down, so it is not done; or a log was altered
├── StoreError       what must be written down cannot be: that call fails, the session lives
├── CapacityError    a queue is full: HTTP 429, close code 1013
│   └── DrainingError    the server is going down: HTTP 503, close code 1013, or 1001 for a session that was there
└── SettingsError    a setting is wrong: one line, exit code 2

Anything else that comes up is a bug: close code 1011, no detail to the peer. Those that engines and the
catalogue raise are written down in models/base.py, which imports nothing of the server.
"""

from __future__ import annotations

from models.base import CapacityError, CatalogError, ContextError, EngineError, VoiceError, WeightsError

__all__ = [
    "AccessError",
    "AuditError",
    "CapacityError",
    "CatalogError",
    "ClientError",
    "ContextError",
    "DrainingError",
    "EngineError",
    "PolicyError",
    "SettingsError",
    "StoreError",
    "ToolError",
    "VoiceError",
    "WeightsError",
    "innermost",
]


class ClientError(VoiceError):
    """The peer sent something that cannot be accepted.

    code: as in the Realtime API's error list. param: dotted path of the field at fault, None when there is none.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


class PolicyError(VoiceError):
    """The operator's rules forbid it. The message says which rule."""


class AccessError(PolicyError):
    """Nobody who may come in. reason: one of a fixed few words, for the metrics. The message never holds a key."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    @property
    def wants_key(self) -> bool:
        """Whether a right key would help. It does not help a page of another origin."""
        return self.reason != "origin"

    @property
    def code(self) -> str:
        """As in the Realtime API's error list."""
        return "invalid_api_key" if self.wants_key else "origin_not_allowed"


class DrainingError(CapacityError):
    """The server is going down: it takes nothing new."""


class SettingsError(VoiceError):
    """A setting is unknown, misspelt or out of range. The message names it and where its value came from."""


class ToolError(VoiceError):
    """A tool could not do what was asked. The message is for the model: short, without secrets.

    retryable: nothing has happened yet, or once more does no more than once, and the same call may work at once.
    uncertain: it may have happened, and nobody knows; the message should say so.
    """

    def __init__(self, message: str, *, retryable: bool = False, uncertain: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.uncertain = uncertain


class StoreError(VoiceError):
    """The side store cannot be read or written."""


class AuditError(VoiceError):
    """The audit log cannot be written, or is not as it was written. The message names file and row."""


def innermost(error: BaseException) -> BaseException:
    """The first exception in groups of groups that is no group itself: what there is to say about what ended a task."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
