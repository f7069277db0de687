"""Whatever happens in whatever order, the Session keeps its promises."""

from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from server.core import events as e
from server.core.session import Session
from server.core.turns import TurnPolicy
from tests.core.rules import Rules

GREETING = "Good day, this is the salon."
FRAME = 512
LONGEST_PAUSE = 2 * e.INPUT_RATE
WORDS = st.sampled_from(["yes", " I am open", " on Friday.", " ja", " "])
PICK = st.integers(0, 10_000)
SCHEMA = {"type": "object"}
TOOLS = (
    e.ServerTool(e.Tool("look_up", "", SCHEMA), e.ToolPolicy(second_filler={"": "Still looking."})),
    e.ServerTool(e.Tool("book", "", SCHEMA), e.ToolPolicy(on_interrupt="finish")),
)
SERVERS = (
    e.McpEndpoint("free", "https://a.example", approval=e.NO_APPROVAL),
    e.McpEndpoint("asking", "https://b.example"),
)
CLIENTS = e.Tool("open_door", "", SCHEMA)


class AnyConversation(RuleBasedStateMachine):
    """A client and engines that do whatever they like, at any time, also twice, late or never."""

    @initialize(
        prepare=st.booleans(),
        marks=st.booleans(),
        max_prepares=st.integers(0, 3),
        words=st.integers(0, 2),
        pauses=st.booleans(),
    )
    def start(self, prepare: bool, marks: bool, max_prepares: int, words: int, pauses: bool) -> None:
        numbers = count()
        self.session = Session(
            "sess_1",
            e.SessionConfig(
                transcription=e.InputTranscription(),
                language="en",
                apologies={"en": "Sorry."},
                server_tools=TOOLS,
                tools=(CLIENTS,),
            ),
            lambda prefix: f"{prefix}_{next(numbers)}",
            policy=TurnPolicy(prepare=prepare, max_prepares=max_prepares, interrupt_words=words, pauses=pauses),
            marks=marks,
        )
        self.rules = Rules()
        self.position = 0
        self.paused_at: int | None = None
        self.names: dict[str, str] = {}
        self.rules.see(self.session.open())
        self.servers(True)

    def tell(self, fact: e.Input) -> list[e.Output]:
        self.rules.told(fact)
        outputs = self.session.handle(fact)
        self.rules.see(outputs)
        clock = self.session._state.clock
        self.paused_at = (self.paused_at or clock) if self.rules.paused else None
        assert self.paused_at is None or clock - self.paused_at < LONGEST_PAUSE
        return outputs

    def item(self, pick: int) -> str:
        known = [*self.rules.order, "item_nobody"]
        return known[pick % len(known)]

    def response(self, pick: int) -> str:
        known = [*self.rules.working, *self.rules.responses, "resp_nobody"]
        return sorted(known)[pick % len(known)]

    @rule(frames=st.integers(1, 25), probability=st.sampled_from([0.0, 0.4, 0.9]))
    def audio(self, frames: int, probability: float) -> None:
        for _ in range(frames):
            self.position += FRAME
            self.tell(e.SpeechProbability(self.position, probability))

    def settle_all(self) -> None:
        for item, revision in self.rules.asked:
            self.tell(e.TranscriptFinal(item, revision, "hello", "en"))
        for response in list(self.rules.working):
            self.tell(e.ResponseFinished(response, e.TokenUsage()))

    @rule(hold=st.integers(0, 18), heard=st.booleans(), answer=st.booleans(), more=st.booleans())
    def turn(self, hold: int, heard: bool, answer: bool, more: bool) -> None:
        """What usually happens: speech, a pause, a transcript in it, an answer prepared, the rest of the hold."""
        self.settle_all()
        self.audio(4, 0.9)
        self.audio(4, 0.0)
        if heard and self.rules.asked:
            self.tell(e.TranscriptFinal(*self.rules.asked[-1], "is it open on Friday", "en"))
        if answer and self.rules.prepared:
            response = self.rules.prepared
            self.tell(e.ResponseText(response, "Yes, it is."))
            self.tell(e.ResponseAudio(response, b"\0\0", 24_000, (e.SpokenTo(4, 8_000), e.SpokenTo(11, 23_000))))
            self.tell(e.ResponseFinished(response, e.TokenUsage()))
        if more:
            self.audio(2, 0.9)
        self.audio(hold, 0.0)

    @rule(samples=st.integers(0, 600))
    def clock(self, samples: int) -> None:
        self.position += samples
        self.tell(e.InputClock(self.position))

    @rule()
    def commit(self) -> None:
        self.tell(e.CommitAudio("event_1", self.position))

    @rule()
    def clear(self) -> None:
        self.tell(e.ClearAudio(None, self.position))

    @rule(
        detection=st.one_of(
            st.none(),
            st.builds(
                e.TurnDetection,
                kind=st.sampled_from(["server_vad", "semantic_vad"]),
                eagerness=st.sampled_from(["auto", "high", "low"]),
                silence_duration_ms=st.sampled_from([0, 50, 300, 500]),
                idle_timeout_ms=st.sampled_from([None, 5000]),
                create_response=st.booleans(),
                interrupt_response=st.booleans(),
            ),
        )
    )
    def turn_detection(self, detection: e.TurnDetection | None) -> None:
        self.tell(e.UpdateSession(None, {"turn_detection": detection}))

    @rule(changes=st.sampled_from([{"voice": "a"}, {"voice": "b"}, {"modality": "text"}, {"modality": "audio"}]))
    def configure(self, changes: dict[str, str]) -> None:
        self.tell(e.UpdateSession(None, changes))

    @rule(pick=PICK, where=st.sampled_from(["end", "root", "after", "nowhere"]))
    def create_item(self, pick: int, where: str) -> None:
        after = {"end": None, "root": "root", "after": self.item(pick), "nowhere": "item_nobody"}[where]
        item = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", "Hello"),))
        self.tell(e.CreateItem(None, item, after))

    @rule(pick=PICK)
    def retrieve(self, pick: int) -> None:
        self.tell(e.RetrieveItem(None, self.item(pick)))

    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        self.tell(e.DeleteItem(None, self.item(pick)))

    @rule(pick=PICK, index=st.integers(0, 1), end=st.integers(0, 3000))
    def truncate(self, pick: int, index: int, end: int) -> None:
        self.tell(e.TruncateItem(None, self.item(pick), index, end))

    @rule(conversation=st.sampled_from(["auto", "none"]), modality=st.sampled_from([None, "text", "audio"]))
    def respond(self, conversation: str, modality: str | None) -> None:
        self.tell(e.CreateResponse(None, e.ResponseOverrides(conversation=conversation, modality=modality)))

    @rule(pick=PICK, named=st.booleans())
    def cancel(self, pick: int, named: bool) -> None:
        self.tell(e.CancelResponse("event_2", self.response(pick) if named else None))

    @rule(pick=PICK, text=st.sampled_from(["", "is it open", "is it open on Friday"]))
    def partial(self, pick: int, text: str) -> None:
        known = sorted(self.rules.utterances) or ["item_nobody"]
        self.tell(e.TranscriptPartial(known[pick % len(known)], text, text))

    @rule(
        pick=PICK,
        text=st.sampled_from(["", "is it open on Friday"]),
        language=st.sampled_from(["en", "de", ""]),
        fails=st.booleans(),
    )
    def transcript(self, pick: int, text: str, language: str, fails: bool) -> None:
        item, revision = (self.rules.asked or [("item_nobody", 0)])[-1 - pick % max(1, len(self.rules.asked))]
        if fails:
            self.tell(e.TranscriptFailed(item, revision, "no engine"))
        else:
            self.tell(e.TranscriptFinal(item, revision, text, language))

    @rule(pick=PICK, text=WORDS)
    def says(self, pick: int, text: str) -> None:
        self.tell(e.ResponseText(self.response(pick), text))

    @rule(pick=PICK, samples=st.integers(1, 48_000), word=st.integers(0, 20))
    def speaks(self, pick: int, samples: int, word: int) -> None:
        words = (e.SpokenTo(word, samples // 2),)
        self.tell(e.ResponseAudio(self.response(pick), b"\0\0" * 3, samples, words))

    @rule(pick=PICK, call=st.sampled_from(["call_1", "call_2"]), arguments=st.sampled_from(["", "{", "}"]))
    def calls(self, pick: int, call: str, arguments: str) -> None:
        self.tell(e.ResponseToolCall(self.response(pick), call, "f", arguments, done=arguments == "}"))

    @rule(pick=PICK, incomplete=st.sampled_from([None, "max_output_tokens"]), fails=st.booleans(), mute=st.booleans())
    def ends(self, pick: int, incomplete: str | None, fails: bool, mute: bool) -> None:
        if fails:
            self.tell(e.ResponseFailed(self.response(pick), "engine_error", "gone", mute))
        else:
            self.tell(e.ResponseFinished(self.response(pick), e.TokenUsage(), incomplete))

    @rule(pick=PICK, tokens=st.sampled_from([None, 40, 4000]))
    def does_not_fit(self, pick: int, tokens: int | None) -> None:
        self.tell(e.ContextExceeded(self.response(pick), "too long", tokens))

    @rule(
        pick=PICK,
        call=st.integers(1, 4),
        name=st.sampled_from(["look_up", "book", "open_door", "sing", "weather", "forecast"]),
        done=st.booleans(),
    )
    def calls_a_tool(self, pick: int, call: int, name: str, done: bool) -> None:
        response = self.response(pick)
        call_id = f"call_{response}_{call}"
        # A call that comes in pieces keeps its name.
        self.tell(e.ResponseToolCall(response, call_id, self.names.setdefault(call_id, name), "{}", done))

    @rule(wanted=st.booleans())
    def servers(self, wanted: bool) -> None:
        outputs = self.session.handle(e.UpdateSession(None, {"mcp": SERVERS if wanted else ()}))
        self.rules.see(outputs)
        for output in outputs:
            if isinstance(output, e.ConnectMcp):
                name = {"free": "weather", "asking": "forecast"}[output.endpoint.server_label]
                self.tell(e.McpListed(output.item_id, (e.ServerTool(e.Tool(name, "", SCHEMA)),)))

    @rule(pick=PICK, approve=st.booleans())
    def approve(self, pick: int, approve: bool) -> None:
        kind = e.ItemKind.MCP_APPROVAL_RESPONSE
        self.tell(e.CreateItem(None, e.Item("", kind, approval_request_id=self.item(pick), approve=approve), None))

    @rule(pick=PICK, say=st.sampled_from(["", "Done."]), hand_off=st.booleans())
    def tool_finishes(self, pick: int, say: str, hand_off: bool) -> None:
        self.tool_is_over(pick, say, {"instructions": "Be brief."} if hand_off else {})

    def tool_is_over(self, pick: int, say: str, changes: dict[str, str]) -> None:
        known = [*self.rules.tools, "call_nobody"]
        call = known[pick % len(known)]
        speaking = "open" in self.rules.utterances.values()
        made = set(self.rules.responses)
        outputs = self.tell(e.ToolFinished(call, e.ToolOutcome.OK, "{}", 0.1, changes, say))
        started = [output.generation for output in outputs if isinstance(output, e.StartResponse)]
        # What the door has to say waits for the answer under way alone, and that may have waited for the tool.
        doors = {generation.response_id for generation in started if generation.script == GREETING}
        assert not speaking or set(self.rules.responses) - made <= doors, "a tool's result told over the caller"

    @rule(pick=PICK)
    def tool_says(self, pick: int) -> None:
        known = [*self.rules.tools, "call_nobody"]
        self.tell(e.ToolPartial(known[pick % len(known)], "The first one."))

    @rule(pick=PICK)
    def timer(self, pick: int) -> None:
        if self.rules.timers:
            timer = self.rules.timers[pick % len(self.rules.timers)]
            self.tell(e.TimerFired(timer.kind, timer.token))

    @rule(then=st.booleans())
    def answer_with_a_tool(self, then: bool) -> None:
        """What usually happens: a question, a filler, a call, its result, the end of the filler, the report."""
        self.settle_all()
        self.audio(4, 0.9)
        self.audio(18, 0.0)
        if self.rules.asked:
            self.tell(e.TranscriptFinal(*self.rules.asked[-1], "are you open", "en"))
        for response in [id for id, response in self.rules.responses.items() if not response.done]:
            self.tell(e.ResponseText(response, "One moment."))
            self.tell(e.ResponseAudio(response, b"\0\0", 24_000, (e.SpokenTo(11, 23_000),)))
            self.tell(e.ResponseToolCall(response, f"call_{response}_9", "look_up", "{}", True))
            self.tell(e.ResponseFinished(response, e.TokenUsage()))
        for number in range(len(self.rules.tools)):
            self.tool_is_over(number, "", {})
        if then:
            self.audio(30, 0.0)

    @rule(pick=PICK, samples=st.integers(0, 100_000))
    def played(self, pick: int, samples: int) -> None:
        self.tell(e.Played(self.item(pick), samples))

    @rule()
    def idles(self) -> None:
        self.tell(e.IdleTimeout())

    @rule(protected=st.booleans())
    def the_door_speaks(self, protected: bool) -> None:
        self.tell(e.Say(GREETING, protected))

    @rule(keys=st.sampled_from(["", "4711"]))
    def types(self, keys: str) -> None:
        self.tell(e.KeysTyped(keys) if keys else e.KeyPressed("#"))

    @rule()
    def loses_the_line(self) -> None:
        self.tell(e.LineLost())

    @rule()
    def brings_audio(self) -> None:
        item = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_audio", None),))
        self.tell(e.CreateItem(None, item, None, b"\0\0"))

    @rule(tokens=st.sampled_from([None, 60, 300]), kind=st.sampled_from(["auto", "disabled", "retention_ratio"]))
    def economise(self, tokens: int | None, kind: str) -> None:
        changes = {"context_tokens": tokens, "truncation": e.Truncation(kind, 0.5)}
        self.tell(e.UpdateSession(None, changes))

    @rule()
    def nonsense(self) -> None:
        before = len(self.rules.errors)
        self.tell(e.InvalidEvent("event_3", "invalid_json", "not JSON"))
        assert [error.event_id for error in self.rules.errors[before:]] == ["event_3"]

    @invariant()
    def the_previous_ids_rebuild_the_order(self) -> None:
        if hasattr(self, "rules"):
            assert self.rules.order == [item.id for item in self.session.conversation]

    @invariant()
    def heard_text_is_a_prefix_of_what_was_said(self) -> None:
        if not hasattr(self, "rules"):
            return
        state = self.session._state
        for item in self.session.conversation:
            if item.role == "assistant" and item.content:
                assert self.rules.spoken.get(item.id, "").startswith(state.heard_text(item))

    @invariant()
    def nothing_is_heard_that_was_not_sent(self) -> None:
        if hasattr(self, "rules"):
            for item_id, sent in self.rules.sent.items():
                heard = self.session._state.ledger.heard(item_id, self.position)
                assert heard is None or heard <= sent

    @invariant()
    def an_answer_is_paused_only_while_somebody_seems_to_speak_over_it(self) -> None:
        if hasattr(self, "rules") and self.rules.paused:
            assert self.session._hearing.contested
            assert self.session._responses.audible


AnyConversation.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestAnyConversation = AnyConversation.TestCase
