"""The assistant's side of a Session: which response is prepared, active, owed, and how each one ends."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from server.core import events as e
from server.core.generations import Generations, opening_view, said_by_caller, takes_server_tools
from server.core.prepared import Prepared
from server.core.protected import Protected
from server.core.reports import Reports
from server.core.response import Response, ResponseState
from server.core.response_requests import refusal
from server.core.state import State

_SAMPLES_PER_MS = e.INPUT_RATE // 1000
_MAX_SAYINGS = 8
"""Sentences of the door that may wait for the answer under way."""
_SILENCE = "..."
"""How a caller's silence reads to the model."""


class Responses:
    """At most one response of the default conversation is active; out-of-band ones run beside it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known: dict[str, Response] = {}
        self._active: Response | None = None
        self._prepared = Prepared(state)
        self._owed = False
        self._sayings: deque[e.Say] = deque(maxlen=_MAX_SAYINGS)
        self.protected = Protected(state)
        self._generations = Generations(state)
        self.reports = Reports(state, self)

    # ------------------------------------------------------------------------------- client commands

    def create(self, fact: e.CreateResponse) -> list[e.Output]:
        """response.create"""
        overrides = fact.overrides
        beside = sum(not response.default for response in self._known.values())
        refused = refusal(fact, self._active, beside, self._state)
        if refused is not None:
            return [refused]
        if overrides.conversation == "none":
            return self.begin(overrides)
        self._owed = False
        # What is active can only be an apology: it ends, and what the door wants to say comes after the new response.
        sayings, self._sayings = self._sayings, deque()
        apology = [] if self._active is None else self._cancel(self._active, "client_cancelled")
        self._sayings = sayings
        self._state.due.clear()
        last = self._state.conversation.last_id
        if last is not None and self._state.conversation[last].role == "user":
            self.reports.tools.new_turn()
        self.reports.tools.yields = False
        return [*apology, *self._discard_report(), *self.begin(overrides)]

    def cancel(self, fact: e.CancelResponse) -> list[e.Output]:
        """response.cancel"""
        response = self._active if fact.response_id is None else self._known.get(fact.response_id)
        if response is None and fact.response_id is None and self.reports.tools.running:
            return self.reports.interrupt()
        if response is None or response.state is ResponseState.PREPARED:
            message = "Cancellation failed: no active response found"
            return [e.Error("response_cancel_not_active", message, fact.response_id and "response_id", fact.event_id)]
        if response is not self._active:
            return self._cancel(response, "client_cancelled")
        self._owed = False
        return [*self._cancel(response, "client_cancelled"), *self.reports.interrupt()]

    # --------------------------------------------------------------------- what the caller's turns ask

    def prepare(self, turn: str, text: str, language: str | None) -> list[e.Output]:
        """The turn has settled and its words are known: think ahead, invisibly."""
        state = self._state
        detection = state.config.turn_detection
        if detection is None or not detection.create_response or not text:
            return []
        outputs = self._discard_report()
        if self._active or self._owed or state.transcribing or not self._prepared.empty:
            return outputs
        response = self._make(e.ResponseOverrides())
        self._prepared.keep(response, turn)
        generation = self._generations.make(response, said_by_caller(text), language)
        return [*outputs, *(self.discard() if generation is None else [e.PrepareResponse(generation)])]

    def answer(self, turn: str, version: int | None) -> list[e.Output]:
        """The turn is committed and transcribed: adopt what was prepared for it, else start now, or as soon as the
        response under way is over. version: the conversation's just before the turn became an item."""
        self.reports.tools.new_turn()
        if self._active is not None:
            self._owed = True
            return []
        if version is not None and self._prepared.made_from(turn, version):
            return self._adopt()
        return self.begin(e.ResponseOverrides())

    @property
    def audible(self) -> bool:
        """Whether an answer is being made or played, so that a caller who speaks now speaks over it."""
        return self._active is not None or self._state.ledger.playing(self._state.clock)

    def discard(self) -> list[e.Output]:
        """Whatever is prepared has become moot."""
        response = self._prepared.take()
        if response is None:
            return []
        del self._known[response.id]
        return [e.StopResponse(response.id)]

    def say(self, fact: e.Say) -> list[e.Output]:
        """Words of the door's own: now, or after the answer under way."""
        if self._active is not None:
            self._sayings.append(fact)
            return []
        moot = self.discard()
        response = self._activate(e.ResponseOverrides(input=()), fact.text)  # no model reads it: it need not fit
        if fact.protected:
            self.protected.begin(response.id)
        generation = self._generations.make(response)
        assert generation is not None
        response.state = ResponseState.STREAMING
        return [*moot, response.created(), e.StartResponse(generation)]

    def barge_in(self) -> list[e.Output]:
        """The caller speaks over the answer: it ends here, and only what was heard of it was said. Protected words go
        on."""
        if self.protected.guards(self.answering):
            return []
        self._state.unanswered |= self._state.due
        if self._active is not None and not self._active.begun and self._active.overrides == e.ResponseOverrides():
            self._state.unanswered.add(self._active.id)
        return self.stop()

    def stop(self) -> list[e.Output]:
        """Whatever is made or played ends here, but for what must be heard and waits behind it."""
        spoken_over = self.audible
        self._sayings = deque((saying for saying in self._sayings if saying.protected), _MAX_SAYINGS)
        self.protected.clear()
        self._owed = False
        self._state.due.clear()
        outputs: list[e.Output] = [e.ClearPlayout(i) for i in self._state.ledger.interrupt(self._state.clock)]
        outputs += self._discard_report()
        if self._active is not None:
            outputs += self._cancel(self._active, "turn_detected")
        # Who speaks into the silence of a tool that runs interrupts nothing.
        return [*outputs, *self.reports.interrupt()] if spoken_over else outputs

    def silence(self) -> list[e.Output]:
        """The caller has said nothing for too long: take the floor."""
        return self.begin(e.ResponseOverrides(), said_by_caller(_SILENCE))

    def wait_for_caller(self) -> list[e.Output]:
        """The answer is out: how long the caller may say nothing, once it is played."""
        detection = self._state.config.turn_detection
        if detection is None or detection.kind != "server_vad" or detection.idle_timeout_ms is None:
            return []
        playing_ms = self._state.ledger.remaining(self._state.clock) // _SAMPLES_PER_MS
        return [e.StartIdleTimer(playing_ms + detection.idle_timeout_ms)]

    def unheard(self, message: str) -> list[e.Output]:
        """The caller said something and nobody knows what: the client learns it as a failed response."""
        if self._active is not None:
            return []
        response = self._activate(e.ResponseOverrides())
        created = response.created()
        failed = self._fail(response, "transcription_failed", message)
        return [created, *failed, *self._apologise(response)]

    def resume(self) -> list[e.Output]:
        """A transcript is there: start the responses that waited for it."""
        outputs: list[e.Output] = []
        for response in list(self._known.values()):
            if response.state is ResponseState.WAITING:
                self._tell_language(response)
                outputs += self._start(response)
        return outputs

    # ------------------------------------------------------------------------------- server tools

    @property
    def answering(self) -> str | None:
        """See ``Speaker``."""
        return None if self._active is None else self._active.id

    def prepare_report(self, overrides: e.ResponseOverrides, script: str) -> list[e.Output] | None:
        """See ``Speaker``."""
        if not self._prepared.empty:
            return []
        response = self._make(overrides, script)
        self._prepared.keep(response)
        generation = self._generations.make(response)
        if generation is None:
            self.discard()
            return None
        return [e.PrepareResponse(generation)]

    def mcp_call_over(self, fact: e.ToolFinished) -> list[e.Output]:
        """See ``Speaker``."""
        response = self._active
        if response is None or (call := response.waiting_call) is None or call.call_id != fact.call_id:
            return []
        return [*self._state.stored(response.ran(fact)), *self._released(response)]

    def adopt_report(self) -> list[e.Output]:
        """See ``Speaker``."""
        return self._adopt() if self._prepared.made_from("", self._state.conversation.version) else []

    def _discard_report(self) -> list[e.Output]:
        self.reports.moot()
        return self.discard() if self._prepared.is_report else []

    # ------------------------------------------------------------------------------- engines' facts

    def fact(self, fact: e.ResponseFact) -> list[e.Output]:
        """A fact about a response, prepared or streaming; any other response is history."""
        response = self._known.get(fact.response_id)
        if response is None or response.state is ResponseState.WAITING:
            return []
        if response.waiting_call is not None:
            return self.reports.held(response, fact)
        if response.state is ResponseState.PREPARED:
            if isinstance(fact, e.ContextExceeded):
                self._generations.exceeded(response, fact.tokens)
            if isinstance(fact, e.ResponseFailed | e.ContextExceeded):
                if self._prepared.is_report:
                    self.reports.failed()
                return self.discard()
            response.held.append(fact)
            return []
        match fact:
            case e.ResponseText():
                return list(response.text(fact.text))
            case e.ResponseAudio():
                self._state.spoke = True
                return list(response.audio(fact))
            case e.ResponseToolCall():
                called = self._state.stored(response.call(fact, self.reports.tools.find(fact.name)))
                return [*called, *self.reports.called(response, called)]
            case e.ResponseFinished():
                status = e.ResponseStatus.INCOMPLETE if fact.incomplete else e.ResponseStatus.COMPLETED
                view = replace(response.view, usage=fact.usage, reason=fact.incomplete)
                self._generations.learn(response, fact.usage.input_text)
                return self._finish(response, status, view)
            case e.ResponseFailed():
                failed = self._fail(response, fact.code, fact.message)
                return failed if fact.mute else [*failed, *self._apologise(response)]
            case e.ContextExceeded():
                return self._shortened(response, fact)

    # ------------------------------------------------------------------------------------- internals

    def begin(self, overrides: e.ResponseOverrides, said: e.Item | None = None, *, script: str = "") -> list[e.Output]:
        """Make a response of the default conversation, or beside it. said: what the caller said last, where it is no
        item yet. script: its words, "" to ask the model."""
        # What is prepared was made without what this response is going to say.
        moot = self.discard() if overrides.conversation == "auto" else []
        response = self._activate(overrides, script)
        return [*moot, response.created(), *self._start(response, said)]

    def _start(self, response: Response, said: e.Item | None = None) -> list[e.Output]:
        """Start generating, unless a turn that belongs into the context is still being transcribed, or a tool runs."""
        if self._waits(response):
            return []
        generation = self._generations.make(response, said)
        if generation is None:
            message = "The conversation no longer fits into the model's context, and 'truncation' is 'disabled'."
            return self._fail(response, "context_length_exceeded", message)
        response.state = ResponseState.STREAMING
        self._reporting(response)
        return [e.StartResponse(generation)]

    def _waits(self, response: Response) -> bool:
        """Whether something that the response is to be made from is not there yet."""
        entries = response.overrides.input
        if entries is not None:
            return any(entry in self._state.transcribing for entry in entries if isinstance(entry, str))
        return bool(self._state.transcribing) or (response.default and self.reports.tools.running)

    def _apologise(self, failed: Response) -> list[e.Output]:
        """An engine gave up on an answer: say so, in a response of its own. A client that asks for responses by
        itself decides what comes next, and an apology that fails is the end of it."""
        state, detection = self._state, self._state.config.turn_detection
        answers = detection is not None and detection.create_response and self._active is None
        words = state.config.apologies.get(state.spoken_language or "")
        if not words or not answers or not failed.default or failed.apology or failed.view.modality != "audio":
            return []
        outputs = self.say(e.Say(words))
        assert self._active is not None
        self._active.apology = True
        return outputs

    def _shortened(self, response: Response, fact: e.ContextExceeded) -> list[e.Output]:
        """The words had more tokens than words usually have: try again with as much as fits by what is known now."""
        tried = response.characters
        self._generations.exceeded(response, fact.tokens)
        generation = None if response.begun else self._generations.make(response, response.said)
        if generation is None or response.characters >= tried:
            return self._fail(response, "context_length_exceeded", fact.message)
        return [e.StopResponse(response.id), e.StartResponse(generation)]

    def _adopt(self) -> list[e.Output]:
        """The prepared response becomes the answer."""
        response = self._prepared.take()
        assert response is not None
        self._active = response
        self._state.unanswered.clear()
        self._tell_language(response)
        response.state = ResponseState.STREAMING
        self._reporting(response)
        return [e.AdoptResponse(response.id), response.created(), *self._released(response)]

    def _released(self, response: Response) -> list[e.Output]:
        """What was held back is told now."""
        held, response.held = response.held, []
        return [output for fact in held for output in self.fact(fact)]

    def _reporting(self, response: Response) -> None:
        """The response's context is what is there now."""
        if takes_server_tools(response.overrides):
            response.add_facts(self.reports.tools.reported_by(response.id))

    def _activate(self, overrides: e.ResponseOverrides, script: str = "") -> Response:
        response = self._make(overrides, script)
        if response.default:
            self._active = response
            self._state.unanswered.clear()
        self._tell_language(response)
        return response

    def _tell_language(self, response: Response) -> None:
        """The client learns with each response what is spoken, and once that it has changed."""
        state = self._state
        response.speak(state.spoken_language, state.switched_from if response.default else None)
        if response.default:
            state.switched_from = None

    def _make(self, overrides: e.ResponseOverrides, script: str = "") -> Response:
        view = opening_view(overrides, self._state)
        state = self._state
        conversation = state.conversation if overrides.conversation == "auto" else None
        response = Response(view, conversation, state.new_id, self._book, overrides, script)
        self._known[response.id] = response
        return response

    def _book(self, item_id: str, fact: e.ResponseAudio) -> int:
        rate = self._known[fact.response_id].view.output_format.rate
        self.protected.speaks(fact.response_id, item_id)
        self.reports.floor.taken(fact.samples, rate)
        return self._state.ledger.send(item_id, rate, fact.samples, fact.words, self._state.clock)

    def _cancel(self, response: Response, reason: str) -> list[e.Output]:
        self._fall_silent(response)
        stop: e.Output = e.StopResponse(response.id)
        view = replace(response.view, reason=reason)
        return [stop, *self._finish(response, e.ResponseStatus.CANCELLED, view)]

    def _fail(self, response: Response, code: str, message: str) -> list[e.Output]:
        self._fall_silent(response)
        view = replace(response.view, error_code=code, error_message=message)
        return self._finish(response, e.ResponseStatus.FAILED, view)

    def _fall_silent(self, response: Response) -> None:
        """No more of it is spoken: words that were written ahead of the speech are never heard."""
        if response.speaking is not None:
            self._state.ledger.fall_silent(response.speaking)

    def _finish(self, response: Response, status: e.ResponseStatus, view: e.ResponseView) -> list[e.Output]:
        outputs = self._state.stored(response.finish(status, view))
        del self._known[response.id]
        if response is self._active:
            self._active = None
            outputs += self.reports.over(response.view)
            if self._owed:
                self._owed = False
                outputs += self.begin(e.ResponseOverrides())
            elif self._sayings:
                outputs += self.say(self._sayings.popleft())
            elif not self.reports.busy:
                outputs += self.wait_for_caller()
        return outputs
