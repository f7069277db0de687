"""A conversation from its first question to its last answer: asked by recordings, or live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from models.base import Pcm16
from server.talk.client import RealtimeClient, TalkOptions, open_client
from server.talk.devices import open_devices
from server.talk.microphone import Microphone, RecordingMicrophone
from server.talk.turn import Turn, TurnReport
from server.talk.wire import TalkError

ANSWER_TIMEOUT_S = 30.0
"""Longest wait for the next event after the question."""
_GRACE_S = 2.0
"""Wait for what may still come (a transcript, a second half of the question) once there is an answer."""
_GREETING_S = 2.0
"""An agent that greets begins within this time."""

Show = Callable[[Mapping[str, Any]], None]
"""Called with every server event as it arrives."""
Tell = Callable[[TurnReport], None]
"""Called at the end of each turn."""


async def ask(recordings: Iterable[tuple[Pcm16, int]], options: TalkOptions, show: Show, tell: Tell) -> Pcm16:
    """Ask each recording (samples, rate) in turn and wait for its answer. Returns what was heard, at the wire's rate.

    Stops after a function call whose result is not known. Raises TalkError.
    """
    async with open_client(options) as client:
        microphone = RecordingMicrophone(options.wire, silent=not options.manual)
        async with _speaking(client, microphone):
            if options.agent:
                await _hear_out(client, show)
            for pcm, rate in recordings:
                turn = Turn(options.wire, client.playback, client.hold_ms)
                await client.interrupt(_now())
                microphone.say(pcm, rate)
                if options.manual:
                    await microphone.spoken()
                    await client.commit()
                await _follow(client, turn, show, microphone)
                turn.speech_ended_at = microphone.speech_ended_at
                tell(turn.report())
                if client.own(turn.open_calls):
                    break
                await asyncio.sleep(client.playback.ends_at - _now())
        return client.playback.heard()


async def listen(options: TalkOptions, show: Show, tell: Tell) -> None:
    """Talk through microphone and loudspeaker until cancelled. Raises TalkError."""
    with open_devices(options.wire) as (microphone, loudspeaker):
        async with open_client(options, loudspeaker) as client, _speaking(client, microphone):
            while True:
                turn = Turn(options.wire, client.playback, client.hold_ms)
                await _follow(client, turn, show, None)
                tell(turn.report())


async def _hear_out(client: RealtimeClient, show: Show) -> None:
    """Let an agent that greets its callers do so before the first question."""
    greeting = Turn(client.options.wire, client.playback, client.hold_ms)
    begun = False
    while not greeting.answered:
        try:
            event = await client.event(ANSWER_TIMEOUT_S if begun else _GREETING_S)
        except TimeoutError:
            return
        begun = begun or event["type"] == "response.created"
        greeting.hear(event, _now())
        show(event)
    await asyncio.sleep(client.playback.ends_at - _now())


async def _follow(client: RealtimeClient, turn: Turn, show: Show, recording: RecordingMicrophone | None) -> None:
    """Take in events until the turn is answered. recording None: a live caller, who is waited for without end."""
    while not (turn.answered and turn.transcribed and (recording is None or not recording.speech_left)):
        try:
            event = await client.event(_patience(turn, recording))
        except TimeoutError:
            if turn.answered:
                return
            raise TalkError(f"no answer from {client.options.url} in {ANSWER_TIMEOUT_S:.0f} s") from None
        if event["type"] == "input_audio_buffer.speech_started":
            await client.interrupt(_now())
        turn.hear(event, _now())
        show(event)
        if event["type"] == "response.done" and turn.open_calls:
            calls = client.own(turn.open_calls)
            if any(call.name not in client.options.tool_results for call in calls):
                return
            if calls:
                await client.answer_calls(calls)
            # The answer goes on with the results: those given here, or those of the server's own tools.
            turn.answered = False


def _patience(turn: Turn, recording: RecordingMicrophone | None) -> float | None:
    if turn.answered:
        return _GRACE_S + (recording.seconds_left if recording else 0)
    return ANSWER_TIMEOUT_S + recording.seconds_left if recording else None


@asynccontextmanager
async def _speaking(client: RealtimeClient, microphone: Microphone) -> AsyncGenerator[None, None]:
    """The microphone is open inside this block; when it fails, so does the block."""
    try:
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(client.speak(microphone))
            yield
            sender.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _now() -> float:
    return asyncio.get_running_loop().time()
