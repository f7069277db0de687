"""A chat model as one session of an agent has it: with the agent's limits, and its script behind it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from models.base import ChatDelta, ChatDone, ChatModel, ChatRequest, ContextError, EngineError, TextDelta, Usage
from server.agents.escalation import Watch, called
from server.agents.files import AgentFile, Limits, ScriptEntry, in_order
from server.agents.hearing import Heard
from server.agents.script import play
from server.runtime.tools import SharedState

_log = logging.getLogger(__name__)

_UNCLEAR_IN_A_ROW = 2


class LimitedModel:
    """See ChatModel. Answers with the agent's own sentences where the model must not or cannot go on: a limit of the
    session is reached, the model has failed as often as the script allows, or the caller was not understood; with a
    call of the tool that brings a human in, where ``watch`` says so.

    agents: all that the session may come to, by name; first: who it begins with, whose limits they are all under. Each
    has a script and a goodbye of its own, or those of the first. The script, once it has taken over, stays. tokens are
    counted also for answers that were thrown away: they were paid for. heard: of the session. clock: seconds.
    """

    def __init__(
        self,
        model: ChatModel,
        agents: Mapping[str, AgentFile],
        first: str,
        state: SharedState,
        heard: Heard,
        watch: Watch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = model.name
        self.context = model.context
        self._model = model
        self._agents = agents
        self._first = agents[first]
        self._state = state
        self._heard = heard
        self._watch = watch
        self._clock = clock
        self._started = clock()
        self._tokens = 0
        self._failures = 0
        self._unclear: set[int] = set()
        self._said: list[str] = []
        self._script: ScriptEntry | None = None
        """The one that has taken over."""
        self._taken_over_at = 0

    async def warm(self, request: ChatRequest) -> None:
        """See ChatModel."""
        await self._model.warm(self._watch.shown(request))

    async def close(self) -> None:
        """See ChatModel. The model behind it serves others, and stays."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """See ChatModel."""
        said = self._turns(request)
        agent = self._agents.get(request.agent, self._first)
        limit = self._limit_reached(self._first.limits, len(said))
        trigger = self._watch.due(request, self._failures, limit)
        sentence = None if trigger else await self._own_sentence(agent, said, limit)
        while sentence is None:
            if trigger:
                _log.info("to a human", extra={"agent": request.agent, "trigger": trigger.value})
                yield called(trigger)
                yield ChatDone("tool_calls", Usage(0, 0))
                return
            try:
                async with aclosing(self._answer(self._watch.shown(request))) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            except _NothingSaidError as nothing:
                self._failures += 1
                trigger = self._watch.due(request, self._failures, None)
                sentence = None if trigger else await self._after_failure(nothing.error, agent, said)
        yield TextDelta(sentence)
        yield ChatDone("stop", Usage(0, 0))

    def _turns(self, request: ChatRequest) -> list[str]:
        """All turns of the caller so far, of which a long call's request no longer holds the first ones."""
        said = [message.text for message in request.messages if message.role == "user"]
        known = self._said[: request.earlier_turns]
        unknown = [""] * (request.earlier_turns - len(known))
        self._said = [*known, *unknown, *said]
        return self._said

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """The model's answer. Raises _NothingSaidError while it may still be asked once more."""
        begun = False
        try:
            async with aclosing(self._model.stream(request)) as deltas:
                async for delta in deltas:
                    begun = True
                    if isinstance(delta, ChatDone):
                        self._failures = 0
                        self._tokens += delta.usage.prompt + delta.usage.completion
                    yield delta
        except ContextError:
            # No failure: it is asked again with less of the conversation.
            raise
        except EngineError as error:
            if begun:
                self._failures += 1
                raise
            raise _NothingSaidError(error) from error

    async def _after_failure(self, error: EngineError, agent: AgentFile, said: Sequence[str]) -> str | None:
        """A sentence instead of the answer; None to ask the model again. Raises the error when there is neither."""
        script = agent.script or self._first.script
        if script is None:
            raise error
        _log.warning("the model failed", extra={"failures": self._failures, "error": str(error)})
        return await self._take_over(script, said) if self._failures >= script.failures else None

    async def _own_sentence(self, agent: AgentFile, said: Sequence[str], reached: str | None) -> str | None:
        if self._script is not None:
            return await self._play(self._script, said)
        script = agent.script or self._first.script
        if reached:
            _log.info("a limit of the agent is reached", extra={"limit": reached})
            goodbye = agent.goodbye or self._first.goodbye
            return await self._take_over(script, said) if script else in_order(goodbye, self._language) or None
        if script is None:
            return None
        if self._failures >= script.failures:
            return await self._take_over(script, said)
        return await self._if_unclear(script, said)

    async def _if_unclear(self, script: ScriptEntry, said: Sequence[str]) -> str | None:
        if not said or self._heard.sure(said[-1]) >= script.min_confidence:
            return None
        # A turn may be prepared more than once: it counts by its place.
        self._unclear.add(len(said))
        in_a_row = all(len(said) - back in self._unclear for back in range(_UNCLEAR_IN_A_ROW))
        return await self._take_over(script, said) if in_a_row else in_order(script.unclear, self._language)

    @property
    def _language(self) -> str:
        return self._heard.language or self._first.language

    def _limit_reached(self, limits: Limits, turns: int) -> str | None:
        if limits.turns is not None and turns > limits.turns:
            return "turns"
        if limits.minutes is not None and self._clock() - self._started >= limits.minutes * 60:
            return "minutes"
        if limits.tokens is not None and self._tokens >= limits.tokens:
            return "tokens"
        return None

    async def _take_over(self, script: ScriptEntry, said: Sequence[str]) -> str:
        self._script, self._taken_over_at = script, len(said)
        return await self._play(script, said)

    async def _play(self, script: ScriptEntry, said: Sequence[str]) -> str:
        line = play(script, said[self._taken_over_at :], self._language)
        for name, value in line.slots.items():
            await self._state.set(name, value)
        return line.sentence


class _NothingSaidError(Exception):
    """The model failed before its first word. error: how."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(str(error))
        self.error = error
