"""The contract of server-run tools: what a tool is, what it gets to work with, and who remembers its calls.

Kinds of tools (Python functions, HTTP endpoints, MCP servers) implement ``RunnableTool``; the store implements
``CallLedger`` and ``SharedState``; a connector implements ``McpConnector``. One session's choice of all of them is its
``Toolbox``. Who runs a call has parsed its arguments and checked them against the schema before, and bounds its time
and the size of its result after: a tool does neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from models.base import ToolSpec
from server.core.facts import ToolOutcome
from server.core.tools import EMPTY, McpEndpoint, ServerTool, Tool, ToolPolicy
from server.errors import ToolError

__all__ = [
    "MAY_HAVE_HAPPENED",
    "CallLedger",
    "Earlier",
    "McpConnector",
    "McpEndpoint",
    "McpSession",
    "MemoryLedger",
    "MemoryState",
    "Partial",
    "Result",
    "RunnableTool",
    "SharedState",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolPolicy",
    "Toolbox",
    "offered",
]

MAY_HAVE_HAPPENED = frozenset({ToolOutcome.TIMEOUT, ToolOutcome.UNCERTAIN})
"""Of a deed that ended so nobody knows whether it was done."""


def _nothing() -> None:
    """Nobody waits for the end of a session."""


def _nobody(to: str) -> bool:
    """There is no call, so that it cannot be handed to anybody."""
    return False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, ready to be run. arguments: the parsed object, valid by the tool's schema; to be left as it is.

    call_id: unique in the session. response_id: of the response that made it. turn_id: the caller's item that it
    answers, "" when there is none. said: words of that response before the call. idempotency_key: the same for two
    calls exactly if they are one and the same deed; hand it on to whatever carries out side effects (an
    ``Idempotency-Key`` header, a unique column).
    """

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    idempotency_key: str
    response_id: str
    turn_id: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Partial:
    """A part of the result that is spoken as soon as it comes: whole sentences, in the caller's language."""

    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a call; the last thing that a tool yields.

    value: what the model reads; a str as it is, anything else as JSON (must be serialisable). changes: fields of
    SessionConfig with new values, in force before the answer is made: how a hand-off changes instructions, voice and
    tools. say: the answer, spoken word for word instead of asking the model; "" asks the model. repeats: the answer
    that made the call has said as much itself, so that nothing more is said, unless it was cut short. facts: what the
    client is told beside the next answer (``response.kammerton``), by name.
    """

    value: Any
    changes: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    say: str = ""
    repeats: bool = False
    facts: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


class SharedState(Protocol):
    """Facts and slots of one session, outside its conversation. Values are JSON-serialisable.

    Every method may raise StoreError, which fails the call, not the session.
    """

    async def get(self, name: str, default: Any = None) -> Any: ...
    async def set(self, name: str, value: Any) -> None: ...
    async def delete(self, name: str) -> None:
        """Unknown names are ignored."""
        ...

    async def all(self) -> Mapping[str, Any]:
        """A copy of everything, what was set last at the end."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a call may know of its surroundings.

    scope: whose deeds count as the same: the session's id, or what outlives a dropped connection (a caller's number).
    agent: name of the agent whose turn it is, "" without one. language: ISO 639-1 of the caller, None when unknown.
    transfer: hands a phone call to whoever the operator has set down under this name, "" for any, as soon as what is
    said now was heard; False where there is no call that can be handed on, or nobody of that name.
    """

    session_id: str
    scope: str
    agent: str
    language: str | None
    state: SharedState
    transfer: Callable[[str], bool] = _nobody


class RunnableTool(Protocol):
    """A tool that the server runs. One object serves all sessions at once, so it keeps nothing of a call."""

    @property
    def spec(self) -> ToolSpec:
        """Name, description and JSON Schema, as the model is told."""
        ...

    @property
    def policy(self) -> ToolPolicy: ...

    def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """Partials as they come, then exactly one Result.

        Raises ToolError for what the model should be told (its text is shown to it: short, no secrets), with
        ``retryable`` where nothing has happened yet and once more may help, and ``uncertain`` where it may have
        happened: either is tried once more if the policy says ``safe``. Any other exception is logged, and the model is
        told "internal error". On timeout and on a barge-in (see ToolPolicy) the generator is cancelled: CancelledError
        must pass through.
        """
        ...


@dataclass(frozen=True, slots=True)
class Earlier:
    """A deed that was begun before. output: what the model was given for it; None when it was begun and its
    outcome was never written down (the process died in between): nobody knows whether it happened."""

    output: str | None


class CallLedger(Protocol):
    """Remembers calls, so that none that already happened is run again, also after a crash between call and answer.

    The life of a deed: ``begin`` → it runs → ``finish`` → the caller is told → ``told``. An identical call that comes
    before ``told`` is the same deed and gets its outcome; one that comes after is a new deed. deed: a name for what is
    done and for whom, up to 128 characters. Each method has to be durable when it returns, and ``begin`` atomic between
    processes. Raises StoreError when it cannot be.
    """

    async def key(self, deed: str) -> str:
        """The idempotency key under which it is done next: another one each time that the caller was told of it, also
        in another session, as who carries deeds out may remember keys for days. One that may have happened (a timeout,
        or an uncertain outcome) keeps its key when it is tried again."""
        ...

    async def begin(self, deed: str, call: ToolCall, context: ToolContext) -> Earlier | None:
        """None: the deed is new, it is written down as begun, run it. Otherwise do not run it."""
        ...

    async def finish(self, deed: str, outcome: str, output: str, seconds: float) -> None:
        """The deed is over. outcome: a ToolOutcome value. output: the JSON text the model gets."""
        ...

    async def abandon(self, deed: str) -> None:
        """The deed certainly never happened (nothing was sent out): forget that it was begun."""
        ...

    async def told(self, deed: str) -> None:
        """The answer that reports the deed has been spoken. Unknown ones are ignored."""
        ...


class McpSession(Protocol):
    """An MCP server that is connected and has listed its tools."""

    @property
    def tools(self) -> Sequence[RunnableTool]: ...
    async def close(self) -> None: ...


class McpConnector(Protocol):
    """Connects to MCP servers that a client names, as far as the operator lets it."""

    async def connect(self, endpoint: McpEndpoint) -> McpSession:
        """Raises ToolError with a text for the client: not allowed, not reached, not understood."""
        ...


class MemoryState:
    """Shared state that ends with the process."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    async def get(self, name: str, default: Any = None) -> Any:
        return self._values.get(name, default)

    async def set(self, name: str, value: Any) -> None:
        self._values.pop(name, None)
        self._values[name] = value

    async def delete(self, name: str) -> None:
        self._values.pop(name, None)

    async def all(self) -> Mapping[str, Any]:
        return dict(self._values)


class MemoryLedger:
    """A ledger that ends with the process."""

    def __init__(self) -> None:
        self._outputs: dict[str, str | None] = {}
        self._uncertain: set[str] = set()
        self._told: Counter[str] = Counter()

    async def key(self, deed: str) -> str:
        return f"{deed}.{self._told[deed]}"

    async def begin(self, deed: str, call: ToolCall, context: ToolContext) -> Earlier | None:
        if deed in self._outputs:
            return Earlier(self._outputs[deed])
        self._outputs[deed] = None
        return None

    async def finish(self, deed: str, outcome: str, output: str, seconds: float) -> None:
        self._outputs[deed] = output
        (self._uncertain.add if outcome in MAY_HAVE_HAPPENED else self._uncertain.discard)(deed)

    async def abandon(self, deed: str) -> None:
        self._outputs.pop(deed, None)

    async def told(self, deed: str) -> None:
        if self._outputs.pop(deed, None) is not None and deed not in self._uncertain:
            self._told[deed] += 1


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What one session's calls are run with. tools: by name, for every agent; which of them the model is offered is
    ``SessionConfig.server_tools``. agents: those of single agents, by the agent's name: no other one can call them.
    transfer: see ToolContext. over: called when the session has ended, and its last call with it."""

    tools: Mapping[str, RunnableTool] = field(default_factory=dict)
    ledger: CallLedger = field(default_factory=MemoryLedger)
    state: SharedState = field(default_factory=MemoryState)
    scope: str = ""
    mcp: McpConnector | None = None
    transfer: Callable[[str], bool] = _nobody
    agents: Mapping[str, Mapping[str, RunnableTool]] = field(default_factory=dict)
    over: Callable[[], None] = _nothing

    def of(self, agent: str) -> Mapping[str, RunnableTool]:
        """The tools that this agent has, by name."""
        return {**self.tools, **self.agents.get(agent, {})}


def offered(tool: RunnableTool) -> ServerTool:
    """The tool as a session's configuration lists it."""
    spec = tool.spec
    return ServerTool(Tool(spec.name, spec.description, spec.parameters), tool.policy)
