"""Figures are exact to the sample: a server whose delays are known is measured to have just these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from websockets import ConnectionClosedError

from benchmarks import judgement
from benchmarks.conditions import Channel
from benchmarks.conversation import Conversation
from benchmarks.dialects.base import Setup
from benchmarks.dialects.openai import OpenAi
from benchmarks.line import Line, LineError, opened
from benchmarks.recording import Recording, Word
from benchmarks.results import Turn
from benchmarks.scenario import Scenario, Utterance
from benchmarks.tool_scoring import ToolCall
from tests.benchmarks.virtual import RATE, Socket, run

ONSET, END = 240, RATE
"""Of every recording here: a second long, silent for its first 10 ms, and then behind its end."""
FIRST = 480
"""The sample of the call at which the first question begins: the piece before it is under way already."""


def question(text: str = "one two", rest: int = 4800) -> Recording:
    pcm = np.zeros(END + rest, np.int16)
    pcm[ONSET:END] = 4000
    return Recording(text, pcm, RATE, ONSET, END, (Word("one", 0.01, 0.5), Word("two", 0.5, 1.0)))


def play(server: Callable[[Socket, int], None], turns: Sequence[Utterance], **fields: Any) -> tuple[list[Turn], Socket]:
    """The turns, one recording each, on a line to this server."""
    scenario = Scenario("x", "x", "en", tuple(turns), tuple(question() for _ in turns), **fields)
    socket = Socket(server)
    made: list[Turn] = []

    async def call() -> None:
        async with opened(Line(socket, OpenAi(), Channel("clean", RATE)), Setup()) as line:
            conversation = Conversation(line, scenario)
            await conversation.play()
            made.extend(judgement.turns(conversation, 0, "clean"))
            socket.conversation = conversation  # type: ignore[attr-defined]

    run(call())
    return made, socket


def at(moments: dict[int, Callable[[Socket], None]]) -> Callable[[Socket, int], None]:
    """A server that acts when it has received so many samples of the first question."""
    left = dict(moments)

    def server(socket: Socket, received: int) -> None:
        for moment in [moment for moment in left if received - FIRST >= moment]:
            left.pop(moment)(socket)

    return server


def answer(name: str = "r1", samples: int = 4800, silence: int = 0, **done: Any) -> Callable[[Socket], None]:
    def act(socket: Socket) -> None:
        socket.begin(name)
        socket.words(name, "I am an answer.")
        socket.sound(name, samples, silence=silence)
        socket.end(name, **done)

    return act


ASK = Utterance(say="one two", pause_s=0)
OVER = Utterance(say="stop", over_s=0.51)


@pytest.mark.parametrize("delay_pieces", [1, 2, 25, 100])
@pytest.mark.parametrize("silence", [0, 1, 777])
def test_voice_to_voice_is_the_known_delay_with_the_silence_before_the_sound(delay_pieces: int, silence: int) -> None:
    answered_at = END + delay_pieces * 480
    [turn], _ = play(at({answered_at: answer(silence=silence)}), [ASK])
    assert turn.voice_to_voice_ms == pytest.approx((answered_at - END + silence) / 24, abs=0.051)
    assert turn.answer == "I am an answer."
    assert not turn.cut_off


def test_sound_that_comes_ahead_is_heard_in_its_turn_and_late_sound_is_an_underrun() -> None:
    def late(socket: Socket) -> None:
        socket.sound("r1", 2400)
        socket.end("r1")

    def early(socket: Socket) -> None:
        socket.begin("r1")
        socket.sound("r1", 2400)

    [turn], _ = play(at({24480: early, 29280: late}), [ASK])
    assert turn.voice_to_voice_ms == pytest.approx(20)
    assert turn.underruns_ms == [pytest.approx(100)]
    [turn], _ = play(at({24480: early, 26880: late}), [ASK])
    assert turn.underruns_ms == []


def test_an_interrupted_answer_is_heard_until_the_flush_and_its_rest_never() -> None:
    """The caller speaks 0.51 s after the first sound, with the next piece; the server notices ten pieces later."""
    begins = 24_480 + 12_000 + 480
    flush_at = begins + 480 * 11

    def stop(socket: Socket) -> None:
        socket.say("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        item = {"id": "item_r1", "content": [{"type": "output_audio", "transcript": "I am"}]}
        socket.say("conversation.item.retrieved", item=item)

    server = at({24_480: answer(samples=5 * RATE), flush_at: stop, 72_000: answer("r2")})
    turns, socket = play(server, [ASK, OVER])
    over = turns[1].interruption
    assert over is not None
    assert over.stopped
    assert over.stop_ms == pytest.approx((flush_at - begins - ONSET) / 24, abs=0.1)
    heard_s = (flush_at - 24_480) / RATE
    assert over.answer_heard_s == pytest.approx(heard_s, abs=0.001)
    truncated = next(event for event in socket.sent if event["type"] == "conversation.item.truncate")
    assert truncated["audio_end_ms"] == pytest.approx(heard_s * 1000, abs=1)
    assert over.history == "I am"
    assert (over.heard_words, over.history_words) == (1, 2)
    assert turns[1].voice_to_voice_ms is not None
    assert turns[0].false_interruptions == turns[1].false_interruptions == 0


def test_what_does_not_stop_an_answer_is_no_false_alarm_and_what_does_is() -> None:
    cough = Utterance(sound="cough", over_s=0.5, interrupts=False)
    [_, calm], _ = play(at({24_480: answer(samples=5 * RATE)}), [ASK, cough])
    assert calm.interruption is not None
    assert not calm.interruption.false_alarm
    assert calm.interruption.stop_ms is None
    assert calm.interruption.answer_heard_s == pytest.approx(5)
    assert not calm.lost

    def stop(socket: Socket) -> None:
        socket.say("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)

    [_, stopped], _ = play(at({24_480: answer(samples=5 * RATE), 48_000: stop}), [ASK, cough])
    assert stopped.interruption is not None
    assert stopped.interruption.false_alarm


def test_an_answer_that_stops_while_nobody_speaks_is_counted() -> None:
    def stop(socket: Socket) -> None:
        socket.say("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)

    [turn], _ = play(at({24_480: answer(samples=5 * RATE), 48_000: stop}), [ASK])
    assert turn.false_interruptions == 1
    assert turn.interruption is None


def test_a_turn_that_ends_while_the_caller_speaks_is_cut_off_and_its_early_answer_is_not_the_answer() -> None:
    def cut(socket: Socket) -> None:
        socket.say("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=620)
        answer("early", samples=240)(socket)

    [turn], _ = play(at({16_800: cut, 28_800: answer("r2")}), [ASK])
    assert turn.cut_off
    assert turn.cut_off_after == "one"
    assert turn.voice_to_voice_ms == pytest.approx(200, abs=0.1)


def test_what_the_caller_stops_by_going_on_is_no_false_interruption() -> None:
    def stop(socket: Socket) -> None:
        socket.say("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)

    server = at({16_800: answer("early", samples=2 * RATE), 24_960: stop, 33_600: answer("r2")})
    [turn], _ = play(server, [ASK])
    assert turn.cut_off
    assert turn.false_interruptions == 0
    assert turn.voice_to_voice_ms == pytest.approx(400, abs=0.1)


def test_in_a_task_a_call_in_another_turn_is_not_wrong() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "book", "arguments": "{}"}
    server = at({24_480: answer("r1", output=[call]), 36_000: answer("r2")})
    [turn], socket = play(server, [ASK], goal=ToolCall("book", {}))
    assert [made.name for made in turn.got] == ["book"]
    assert turn.tools is None
    assert socket.conversation.completed  # type: ignore[attr-defined]
    [turn], _ = play(at({24_480: answer("r1", output=[call]), 36_000: answer("r2")}), [ASK])
    assert turn.tools is not None
    assert not turn.tools.whole


def test_no_answer_is_a_lost_turn_after_the_callers_patience() -> None:
    [turn], _ = play(lambda socket, received: None, [ASK])
    assert turn.lost
    assert turn.errors == ["no answer"]


def test_a_tool_is_answered_and_what_follows_is_the_answer() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "hours", "arguments": '{"day": "friday"}'}
    asking = Utterance(say="one two", expect=[{"name": "hours", "arguments": {"day": "*"}}])

    def server(socket: Socket, received: int) -> None:
        at_end(socket, received)
        if any(event["type"] == "response.create" for event in socket.sent) and not socket.__dict__.get("told"):
            socket.__dict__["told"] = True
            answer("r2")(socket)

    at_end = at({24_480: answer("r1", samples=2400, output=[call])})
    [turn], socket = play(
        server, [asking], results={"hours": {"open": "09:00"}}, goal=ToolCall("hours", {"day": "friday"})
    )
    assert [(made.name, made.arguments) for made in turn.got] == [("hours", {"day": "friday"})]
    assert turn.tools is not None
    assert turn.tools.whole
    output = next(event["item"] for event in socket.sent if event["type"] == "conversation.item.create")
    assert output == {"type": "function_call_output", "call_id": "c1", "output": '{"open": "09:00"}'}
    assert turn.voice_to_voice_ms == pytest.approx(20)
    assert turn.answer_ms == pytest.approx(120)
    conversation: Conversation = socket.conversation  # type: ignore[attr-defined]
    assert conversation.completed
    assert conversation.reached_in == 1


def test_transcripts_are_compared_with_what_was_said() -> None:
    def hear(socket: Socket) -> None:
        socket.say("conversation.item.input_audio_transcription.completed", transcript="One too?")
        answer()(socket)

    [turn], _ = play(at({24_480: hear}), [ASK])
    assert (turn.word_errors, turn.words) == (1, 2)


@pytest.mark.parametrize(
    "frame", ["[]", "7", "not JSON", '{"type": "response.created"}', '{"type": "error", "error": 3}']
)
def test_a_server_that_talks_nonsense_ends_the_call_and_not_the_run(frame: str) -> None:
    made, _ = play(at({RATE // 2: lambda socket: socket.put(frame)}), [ASK])
    [turn] = made
    assert "something that is not of the dialect" in turn.errors[-1]
    with pytest.raises(LineError, match="something that is not of the dialect"):
        run(_opened(frame))


async def _opened(frame: str) -> None:
    socket = Socket(lambda *_: None, opening=frame)
    async with opened(Line(socket, OpenAi(), Channel("clean", RATE)), Setup()):
        pass


def test_a_server_that_hangs_up_before_it_gets_a_tools_result_ends_the_call_and_not_the_run() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "hours", "arguments": "{}"}

    def asks_and_hangs_up(socket: Socket) -> None:
        socket.begin("r1")
        socket.end("r1", output=[call])
        socket.refuses = ConnectionClosedError(None, None)

    made, _ = play(at({END + 4800: asks_and_hangs_up}), [ASK])
    [turn] = made
    assert "the server hung up" in turn.errors[-1]
