"""The peers that `python -m benchmarks compare` can put beside this project's server, and what to know of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.dialects.base import Setup
from benchmarks.peers.pipecat import process as pipecat
from benchmarks.peers.speech_to_speech import process as speech_to_speech
from benchmarks.process import Server


@dataclass(frozen=True, slots=True)
class Known:
    """note: for the report. start: it, given the hold in ms and how many callers at once. setup: what a client asks of
    it, given the hold."""

    note: str
    start: Callable[[int, int], AbstractContextManager[Server]]
    versions: Callable[[], dict[str, str]]
    setup: Callable[[int], Setup] = lambda hold_ms: Setup()


_SAME = (
    "Same weights and chat model as the other server; CPU and memory include the Kammerton process that serves them. "
    "Whisper runs as the peer calls faster-whisper, which pads to a window of 30 s: the small bundled Whisper hears "
    "less that way. It expects English, and the voice is always the English one."
)
PEERS: Mapping[str, Known] = {
    "pipecat": Known(
        "Pipecat's own settings. A turn ends when Silero has heard 0.2 s of silence and smart-turn takes it for "
        "complete, else after 3 s: the hold given is the shortest, and a finished question that smart-turn takes for "
        f"an unfinished one is answered late, with one caller as with many. {_SAME}",
        lambda hold_ms, callers: pipecat.run("default", hold_ms),
        pipecat.versions,
    ),
    "pipecat-tuned": Known(
        "Tuned by hand: a fixed silence as long as the other server's, transcribed before it is over; one Whisper for "
        f"all calls, with a window of 10 s. {_SAME}",
        lambda hold_ms, callers: pipecat.run("tuned", hold_ms),
        pipecat.versions,
    ),
    "speech-to-speech": Known(
        "Hugging Face's speech-to-speech with its own settings: a turn ends softly when Silero has heard 64 ms of "
        "silence, and smart-turn decides how long what is prepared is held back. Each caller has a pipeline with its "
        "own models. Its voice is the other server's, asked for over HTTP. The first caller after a start pays for "
        f"what it loads late. {_SAME}",
        lambda hold_ms, callers: speech_to_speech.run("default", callers),
        speech_to_speech.versions,
    ),
    "speech-to-speech-tuned": Known(
        "Tuned by hand: a fixed silence as long as the other server's, no smart-turn, each sentence is spoken as it "
        f"comes, and nothing is transcribed before the turn is over. {_SAME}",
        lambda hold_ms, callers: speech_to_speech.run("tuned", callers),
        speech_to_speech.versions,
        lambda hold_ms: Setup(hold_ms=hold_ms),
    ),
}
