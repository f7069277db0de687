"""What a Session must know of tools: the client's, and those that the server runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

EMPTY: Mapping[str, Any] = MappingProxyType({})
ANY_LANGUAGE = ""
"""Key of a text for callers whose language has none of its own."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function tool. parameters: JSON Schema of the argument object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """How a tool is run, and what is said meanwhile.

    timeout_s: seconds that a call may take in all. on_interrupt: when the caller speaks over the answer, ``cancel``
    ends the call, which must leave nothing behind then, ``finish`` lets it go on and reports its result later; "" ends
    what changes nothing, and lets go on what may have begun to. safe: it only looks things up, so it may be tried again
    and asked twice; anything else is never run twice (RFC 9110 means the same by "safe" methods).
    result_limit_bytes: a longer result is not shown to the model.
    filler: what is said when the model calls the tool without a word of its own, by ISO 639-1 language; ANY_LANGUAGE
    for all others, no entry for silence. second_filler: said when slow_after_s seconds have passed without a result.
    unlimited: a call does not count towards ToolLimits, and is never refused for them. read_only: whoever offers it
    says that it changes nothing (MCP: ``readOnlyHint``), which is enough to choose it by, not to run it twice.
    """

    timeout_s: float = 10.0
    on_interrupt: str = ""
    safe: bool = False
    result_limit_bytes: int = 16 * 1024
    filler: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    second_filler: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    slow_after_s: float = 5.0
    unlimited: bool = False
    read_only: bool = False

    @property
    def cancels(self) -> bool:
        """Whether an interruption ends a call."""
        return self.on_interrupt == "cancel" or (not self.on_interrupt and (self.safe or self.read_only))


@dataclass(frozen=True, slots=True)
class ServerTool:
    """A tool that the server runs: the model is offered it beside the client's, who never sees it in ``session.tools``.

    server_label: of the protocol's ``mcp`` tool that it came from, "" for any other. approval: the client is asked
    before each call.
    """

    tool: Tool
    policy: ToolPolicy = ToolPolicy()
    server_label: str = ""
    approval: bool = False


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """Some tools of an MCP server: those of these names (None: of any), which change nothing by the server's own word,
    or may (None: either)."""

    names: frozenset[str] | None = None
    read_only: bool | None = None

    def takes(self, name: str, read_only: bool) -> bool:
        """Whether it is one of them."""
        return (self.names is None or name in self.names) and self.read_only in (None, read_only)


@dataclass(frozen=True, slots=True)
class Approval:
    """``require_approval``: tools that the client is always asked for before a call, and those that it never is."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None

    def needed(self, name: str, read_only: bool) -> bool:
        """Whether the client is asked. Who names only tools to be asked for is asked for no others."""
        if self.always is not None and self.always.takes(name, read_only):
            return True
        if self.never is not None:
            return not self.never.takes(name, read_only)
        return self.always is None


NO_APPROVAL = Approval(never=ToolFilter())


@dataclass(frozen=True, slots=True)
class McpEndpoint:
    """A client's ``mcp`` tool (Realtime API, ``session.tools``). allowed: the tools to offer. approval: which of them
    need the client's approval before each call. authorization: an OAuth access token, "" for none."""

    server_label: str
    server_url: str
    authorization: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    allowed: ToolFilter = ToolFilter()
    approval: Approval = Approval()


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """Calls of server tools that one caller's turn, and the whole session, may have; the next ones are refused."""

    turn: int = 8
    session: int = 200


def name_taken(named: Iterable[str], own: Iterable[ServerTool]) -> str:
    """What a client is told whose tool has the name of one that the server runs; "" if none has."""
    taken = {tool.tool.name for tool in own}
    found = next((name for name in named if name in taken), None)
    return f"The name '{found}' is taken by a tool that this server runs; choose another one." if found else ""


def in_language(texts: Mapping[str, str], language: str | None) -> str:
    """The text for a caller of this language; "" when there is none."""
    return texts.get(language or ANY_LANGUAGE) or texts.get(ANY_LANGUAGE, "")
