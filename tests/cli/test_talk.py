"""``kammerton talk`` as a Realtime client, against a small server that counts what it hears."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models.base import Pcm16
from server.talk.client import TalkOptions, read_result, read_tools
from server.talk.devices import open_devices
from server.talk.playback import Playback
from server.talk.session import ask, listen
from server.talk.turn import TurnReport
from server.talk.wire import FORMATS, TalkError, TalkStartError, speech_end
from tests.cli.realtime_peer import HOLD_MS, LEAD_MS, STAGES, Peer, quiet, serving, tone

RATE = 16_000
TOOL = {"type": "function", "name": "opening_hours", "parameters": {"type": "object"}}


def question(*, ms: int = 120) -> tuple[Pcm16, int]:
    return np.concatenate([quiet(40, RATE), tone(ms, RATE), quiet(40, RATE)]), RATE


async def have(peer: Peer, *questions: tuple[Pcm16, int], **options: Any) -> tuple[list[TurnReport], Pcm16]:
    reports: list[TurnReport] = []
    async with serving(peer):
        heard = await ask(questions, TalkOptions(url=peer.url, **options), lambda event: None, reports.append)
    return reports, heard


async def test_a_spoken_question_is_answered() -> None:
    peer = Peer(details={"kammerton": {"timings_ms": STAGES}})
    [report], heard = await have(peer, question())
    assert (report.user, report.assistant, report.tool_calls) == ("question 0", "answer 0", [])
    assert report.error is None
    assert np.array_equal(heard, np.concatenate(peer.spoken))
    times = report.timings_ms
    assert list(times) == ["hold", "stt_final", "llm_first_token", "first_segment", "tts_first_audio", "voice_to_voice"]
    assert times["hold"] == HOLD_MS
    assert {name: times[name] for name in STAGES if name in times} == {n: v for n, v in STAGES.items() if n in times}
    # The peer answers after so much silence, which is sent in real time, and its answer begins with silence too.
    assert times["voice_to_voice"] is not None
    assert times["voice_to_voice"] >= HOLD_MS - 20 + LEAD_MS


async def test_a_server_that_tells_no_times_is_talked_to_as_well() -> None:
    [report], _ = await have(Peer(), question())
    assert report.timings_ms["stt_final"] is None
    assert report.timings_ms["voice_to_voice"] is not None


@pytest.mark.parametrize("name", ["ulaw", "alaw"])
async def test_telephone_audio_goes_both_ways(name: str) -> None:
    peer = Peer()
    [report], heard = await have(peer, question(), format=name)
    assert report.assistant == "answer 0"
    assert peer.session["audio"]["input"]["format"] == peer.session["audio"]["output"]["format"]
    assert np.array_equal(heard, np.concatenate(peer.spoken))
    assert np.abs(np.concatenate(peer.heard).astype(int)).max() > 7000


async def test_the_microphone_sends_pieces_of_20_ms_and_never_stops() -> None:
    peer = Peer()
    pcm, rate = question()
    await have(peer, (pcm, rate))
    assert {len(piece) for piece in peer.heard} == {480}
    heard = np.concatenate(peer.heard)
    assert len(heard) >= len(pcm) * 24_000 // rate + (HOLD_MS - 40) * 24
    assert not heard[len(pcm) * 24_000 // rate + 480 :].any()


async def test_the_next_question_waits_until_the_answer_has_been_played() -> None:
    peer = Peer(answers=[400])
    reports, _ = await have(peer, question(), question())
    assert [report.user for report in reports] == ["question 0", "question 1"]
    loud = np.flatnonzero(np.abs(np.concatenate(peer.heard).astype(int)) > 500)
    gap_ms = np.diff(loud).max() / 24
    assert gap_ms >= HOLD_MS - 20 + LEAD_MS + 400


async def test_a_caller_who_goes_on_cuts_the_answer_short() -> None:
    peer = Peer(answers=[1500, 100])
    (first, rate), (second, _) = question(), question()
    pause = quiet(HOLD_MS + 100, RATE)
    [report], heard = await have(peer, (np.concatenate([first, pause, second]), rate))
    assert report.user == "question 0 question 1"
    assert report.assistant == "answer 1"
    [cut] = peer.received("conversation.item.truncate")
    assert cut["item_id"] == "item_answer_0"
    assert 0 <= cut["audio_end_ms"] < 1500
    assert len(heard) == pytest.approx((cut["audio_end_ms"] + LEAD_MS + 100) * 24, abs=48)
    assert report.timings_ms["voice_to_voice"] is not None
    assert report.timings_ms["voice_to_voice"] > 0


async def test_a_known_tool_result_is_given_and_spoken_about() -> None:
    # The times of the first response only: the second one follows from the tool's result.
    first = {"kammerton": {"timings_ms": {**STAGES, "first_segment": None, "tts_first_audio": None}}}
    peer = Peer(details=first, later_details={"kammerton": {"timings_ms": STAGES}})
    options = {"tools": [TOOL], "tool_results": {"opening_hours": '{"open": "nine"}'}}
    [report], _ = await have(peer, question(), **options)
    assert report.timings_ms["stt_final"] == STAGES["stt_final"]
    assert report.timings_ms["tts_first_audio"] is None
    assert peer.session["tools"] == [TOOL]
    assert report.tool_calls == [{"name": "opening_hours", "arguments": {"day": "friday"}, "output": {"open": "nine"}}]
    [given] = peer.received("conversation.item.create")
    assert given["item"]["call_id"] == "call_1"
    assert report.assistant == 'answer 1 {"open": "nine"}'


async def test_a_call_without_a_known_result_ends_the_conversation() -> None:
    reports, heard = await have(Peer(), question(), question(), tools=[TOOL])
    assert [report.tool_calls[0]["output"] for report in reports] == [None]
    assert not len(heard)


async def test_manual_turns_are_committed_and_silence_is_kept_back() -> None:
    peer = Peer()
    reports, _ = await have(peer, question(), question(), manual=True)
    assert peer.session["audio"]["input"]["turn_detection"] is None
    assert [report.assistant for report in reports] == ["answer 0", "answer 1"]
    assert [report.timings_ms["hold"] for report in reports] == [0, 0]
    assert len(peer.heard) == 20  # two recordings of 200 ms, and not a piece more


async def test_text_answers_make_no_sound() -> None:
    peer = Peer()
    [report], heard = await have(peer, question(), text=True, voice="anna", instructions="Be brief.")
    assert (report.assistant, report.timings_ms["voice_to_voice"], len(heard)) == ("answer 0", None, 0)
    assert peer.session["instructions"] == "Be brief."
    assert peer.session["audio"]["output"]["voice"] == "anna"


async def test_a_failed_answer_is_reported_and_the_next_one_works() -> None:
    failed = {"status": "failed", "status_details": {"type": "failed", "error": {"message": "no speech today"}}}
    fault = {"type": "response.done", "response": failed}
    reports, _ = await have(Peer(fault=fault), question(), question())
    assert [report.error for report in reports] == ["no speech today", None]


async def test_an_error_event_ends_the_conversation_with_its_message() -> None:
    fault = {"type": "error", "error": {"message": "too warm", "code": "weather"}}
    with pytest.raises(TalkError, match="the server says: too warm \\(weather\\)"):
        await have(Peer(fault=fault), question())


async def test_a_server_that_hangs_up_is_named() -> None:
    with pytest.raises(TalkError, match="closed the connection \\(1011 out of order\\)"):
        await have(Peer(hang_up=True), question())


class SoundDevice(ModuleType):
    """sounddevice with a caller in front of the microphone who asks one question."""

    class PortAudioError(Exception):
        pass

    def __init__(self, spoken: Pcm16) -> None:
        super().__init__("sounddevice")
        self.sounded = threading.Event()
        self.InputStream = lambda **options: _Stream(self._talk, spoken, options)
        self.OutputStream = lambda **options: _Stream(self._play, spoken, options)

    def _talk(self, spoken: Pcm16, block: int, callback: Any, stop: threading.Event) -> None:
        position = 0
        while not stop.wait(0.005):
            piece = np.zeros((block, 1), np.int16)
            part = spoken[position : position + block]
            piece[: len(part), 0] = part
            position += block
            callback(piece, block, None, None)

    def _play(self, spoken: Pcm16, block: int, callback: Any, stop: threading.Event) -> None:
        while not stop.wait(0.005):
            piece = np.zeros((block, 1), np.int16)
            callback(piece, block, None, None)
            if piece.any():
                self.sounded.set()


class _Stream:
    def __init__(self, work: Any, spoken: Pcm16, options: dict[str, Any]) -> None:
        self.stop = threading.Event()
        arguments = (spoken, options["blocksize"], options["callback"], self.stop)
        self.thread = threading.Thread(target=work, args=arguments)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


async def test_a_live_caller_is_heard_and_hears_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SoundDevice(tone(200, 24_000))
    monkeypatch.setitem(sys.modules, "sounddevice", device)

    class AnsweredError(Exception):
        pass

    reports: list[TurnReport] = []

    def tell(report: TurnReport) -> None:
        reports.append(report)
        assert device.sounded.wait(10)
        raise AnsweredError

    async with serving(Peer(answers=[100])) as peer:
        with pytest.raises(AnsweredError):
            await listen(TalkOptions(url=peer.url), lambda event: None, tell)
    assert reports[0].user == "question 0"
    assert reports[0].assistant == "answer 0"


def test_without_sounddevice_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(TalkStartError, match="pip install sounddevice"), open_devices(FORMATS["pcm"]):
        pass


def test_speech_ends_with_the_last_loud_frame() -> None:
    pcm = np.concatenate([quiet(100, RATE), tone(200, RATE), quiet(300, RATE)])
    assert speech_end(pcm, RATE) == 300 * RATE // 1000
    noise = np.random.default_rng(1).normal(0, 8, len(pcm)).astype(np.int16)
    assert speech_end(pcm + noise, RATE) == 300 * RATE // 1000
    assert speech_end((pcm // 100).astype(np.int16), RATE) == 300 * RATE // 1000
    assert speech_end(quiet(100, RATE), RATE) is None
    assert speech_end(np.zeros(0, np.int16), RATE) is None


def test_playback_hears_the_first_audible_sample_where_it_would_be_played() -> None:
    playback = Playback(8_000)
    playback.add("a", quiet(500, 8_000), at=10.0)
    assert playback.audible_at is None
    # It arrives early, so it waits for what is still playing.
    playback.add("a", np.concatenate([quiet(100, 8_000), np.full(800, 1000, np.int16)]), at=10.1)
    assert playback.audible_at == pytest.approx(10.6)
    assert playback.ends_at == pytest.approx(10.7)


def test_playback_counts_what_was_heard_of_the_item_that_is_cut() -> None:
    playback = Playback(8_000)
    playback.add("a", tone(100, 8_000), at=1.0)
    playback.add("b", tone(100, 8_000), at=1.0)
    playback.add("b", tone(100, 8_000), at=1.0)
    assert playback.interrupt(1.25) == ("b", 150)
    assert len(playback.heard()) == 8 * 250
    assert playback.interrupt(1.25) is None


def test_tools_are_read_in_both_forms(tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text('[{"type": "function", "name": "a"}, {"type": "function", "function": {"name": "b"}}]')
    assert read_tools(path) == [{"type": "function", "name": "a"}, {"type": "function", "name": "b"}]


@pytest.mark.parametrize("text", ["{", '{"name": "a"}', '[{"type": "function"}]', "[1]"])
def test_wrong_tools_are_refused_by_file_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tools.json"
    path.write_text(text)
    with pytest.raises(TalkStartError, match=r"tools\.json"):
        read_tools(path)


def test_a_tool_result_is_a_name_and_json() -> None:
    assert read_result('hours={"a": "b=c"}') == ("hours", '{"a": "b=c"}')
    for wrong in ("hours", "=1", "hours={"):
        with pytest.raises(TalkStartError, match="--tool-result"):
            read_result(wrong)
