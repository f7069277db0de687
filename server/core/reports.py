"""What server tools bring into the conversation: words while they run, and a report of what they have found."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from server.core import events as e
from server.core.floor import Floor
from server.core.response import Response
from server.core.state import State
from server.core.tool_calls import ToolCalls


class Speaker(Protocol):
    """Who makes responses of the default conversation, one at a time."""

    @property
    def answering(self) -> str | None:
        """Id of the response that is being made, None when there is none."""
        ...

    def begin(self, overrides: e.ResponseOverrides, *, script: str = "") -> list[e.Output]:
        """Make a response now. script: its words, "" to ask the model."""
        ...

    def prepare_report(self, overrides: e.ResponseOverrides, script: str) -> list[e.Output] | None:
        """Make one ahead, invisibly, unless that is done; None when it cannot be."""
        ...

    def mcp_call_over(self, fact: e.ToolFinished) -> list[e.Output]:
        """The MCP call that a response waits for is over, and the response goes on."""
        ...

    def adopt_report(self) -> list[e.Output]:
        """The one made ahead becomes visible; nothing if the conversation has changed since."""
        ...

    def resume(self) -> list[e.Output]:
        """Start what waited for tools."""
        ...


class Reports:
    """Says what tools have to say as soon as nobody speaks. A report is made ahead while the last words still play,
    goes out when they end, and is never spoken over the caller."""

    def __init__(self, state: State, speaker: Speaker) -> None:
        self._state = state
        self._speaker = speaker
        self._words: list[str] = []
        self._unprepared = False
        self.tools = ToolCalls(state)
        self.floor = Floor(state)

    def partial(self, fact: e.ToolPartial) -> list[e.Output]:
        """A running tool has something to say already."""
        if self.tools.awaits(fact.call_id) and fact.text.strip():
            self._words.append(fact.text.strip())
        return []

    def called(self, response: Response, outputs: list[e.Output]) -> list[e.Output]:
        """See ToolCalls. A call that was run ahead may be over by now."""
        said = self.tools.called(response, outputs)
        early = self.tools.early(response.waiting_call)
        return said if early is None else [*said, *self.finished(early)]

    def held(self, response: Response, fact: e.ResponseFact) -> list[e.Output]:
        """A response waits for an MCP call, and its facts with it: calls among them are run meanwhile."""
        response.held.append(fact)
        return self.tools.ahead(response, fact)

    def finished(self, fact: e.ToolFinished) -> list[e.Output]:
        """A tool has its result."""
        outputs = self._speaker.mcp_call_over(fact) if self.tools.in_item(fact) else []
        return [*outputs, *self.tools.finished(fact, self._speaker.answering), *self._speaker.resume()]

    def timer(self, fact: e.TimerFired) -> list[e.Output]:
        """The floor is free, or a tool takes its time."""
        if fact.kind is e.TimerKind.FLOOR:
            self.floor.fired(fact.token)
        elif self._speaker.answering is None:
            text = self.tools.slow(fact.token, self._state.spoken_language)
            self._words += [text] if text else []
        return []

    def over(self, response: e.ResponseView) -> list[e.Output]:
        """A response of the default conversation is over. One that had something to report and found no words for it
        is apologised for: the caller waits for an answer."""
        told = self.tools.reports(response.id)
        if told and not response.output and response.status is e.ResponseStatus.COMPLETED:
            apology = self._state.config.apologies.get(self._state.spoken_language or "")
            self._words += [apology] if apology else []
        return self.tools.settle(response)

    @property
    def busy(self) -> bool:
        """Whether there is something to say that waits for a tool or for the floor."""
        return self.tools.running or self.tools.reportable or bool(self._words)

    def interrupt(self) -> list[e.Output]:
        """The caller, or the client, has stopped what was said."""
        self._words.clear()
        self.floor.released()
        return self.tools.interrupt()

    def failed(self) -> None:
        """The report made ahead came to nothing. It is tried once more, for the client to see."""
        self._unprepared = True

    def moot(self) -> None:
        """The report made ahead is not needed."""
        self._unprepared = False

    def go_on(self, *, caller_speaks: bool) -> list[e.Output]:
        """Something has happened: say what can be said now."""
        if self._speaker.answering is not None or caller_speaks or self._state.transcribing:
            return []
        if self._words:
            script = " ".join(self._words)
            self._words.clear()
            # No model reads the conversation, so that it need not fit.
            return self._speaker.begin(replace(self.tools.overrides, input=()), script=script)
        if not self.tools.reportable:
            return self.floor.watch() if self.tools.running else []
        outputs: list[e.Output] = []
        if not self._unprepared:
            prepared = self._speaker.prepare_report(self._overrides(), self.tools.script)
            self._unprepared = prepared is None
            outputs += prepared or []
        outputs += self.floor.watch()
        return [*outputs, *self._tell()] if self.floor.free else outputs

    def _tell(self) -> list[e.Output]:
        self._unprepared = False
        return self._speaker.adopt_report() or self._speaker.begin(self._overrides(), script=self.tools.script)

    def _overrides(self) -> e.ResponseOverrides:
        """As the answer that called the tools, but free to speak: a call that was demanded has been made."""
        choice = "none" if self.tools.exhausted else "auto"
        asked = self.tools.overrides.tool_choice or self._state.config.tool_choice
        return replace(self.tools.overrides, tool_choice="none" if asked == "none" else choice)
