"""Piper, in a process of its own: ``python -m models.tts.piper_worker SOCKET VOICE.onnx ...``

This file is the boundary to piper-tts, which is licensed GPL-3.0-or-later and carries espeak-ng; Kammerton itself is
Apache-2.0. It is the only file that imports ``piper``, the server never imports this file, and the two processes share
nothing but frames on a socket (models/tts/frames.py), whose inherited file descriptor is the first argument.

The server sends: ``speak`` {id, voice, text, speed, step} asks for piece number ``step`` of the text (a sentence, as
a rule); ``cancel`` {id} stops it between two chunks. When it closes the socket, the process ends.
The worker sends: ``ready`` once, or ``failed`` {file, reason}; then for each ``speak`` any number of
``audio`` {words: [[text_end, end], ...]} with PCM16 behind them (end counts samples of this piece), and one ``done``
{last} or ``error`` {reason}.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import traceback
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from piper import PiperConfig, PiperVoice

from models.base import Pcm16
from models.tts.alignment import sounds_of
from models.tts.frames import FramePipe
from models.tts.loudness import SilenceTrimmer, cut, gain_for, to_pcm16
from models.tts.speech_plan import Piece, plan_speech
from models.tts.spoken_form import spoken_forms
from models.tts.voice_files import language_of, read_description
from models.tts.voice_graph import Feeds, Rendering, load_graph

Words = list[tuple[int, int]]
"""(offset in the text behind a word, sample of the piece at which it has been spoken)."""

_CHUNK_S = 0.15
_PLANS_KEPT = 16
# Digits are read aloud in every language.
_CALIBRATION = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10."
_BEGIN, _END, _PAD = "^", "$", "_"
_PR_SET_PDEATHSIG = 1


class WorkerVoice:
    """One voice: text to pieces, pieces to sound."""

    def __init__(self, model: Path) -> None:
        description = read_description(model)
        self.config = PiperConfig.from_dict(description)
        self._language = language_of(description)
        # Work on text needs no session, and the graph is loaded with the help of a phonemised probe.
        self._voice = PiperVoice(session=None, config=self.config)
        self._say = lru_cache(maxsize=4096)(self._sounds)
        self._plans: OrderedDict[str, list[Piece]] = OrderedDict()
        # The rules of the language's numbers are read now, and not when somebody waits for the first of them.
        spoken_forms(("1",), self._language)
        probe = self._feeds([phoneme for sentence in self._phonemes(_CALIBRATION) for phoneme in sentence], 1.0)
        self._graph = load_graph(model, self.config.hop_length, probe)
        said = np.concatenate(list(self._graph.render(probe).parts))
        self._gain = gain_for(said, self.config.sample_rate)

    def pieces(self, text: str) -> list[Piece]:
        """The pieces of a text; remembered, because they are asked for one after the other."""
        if text not in self._plans:
            self._plans[text] = plan_speech(_harmless(text), self._language, self._phonemes, self._say)
            if len(self._plans) > _PLANS_KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(text)
        return self._plans[text]

    def speak(self, piece: Piece, speed: float) -> Iterator[tuple[Pcm16, Words]]:
        """The sound of a piece in chunks of about 150 ms, each with the words that end in it."""
        rendering = self._graph.render(self._feeds(piece.phonemes, speed))
        ends = deque(self._word_samples(piece, rendering))
        rate = self.config.sample_rate
        trimmer = SilenceTrimmer(rate, self._gain, piece.pause_s / speed)
        said = 0
        for part in chain(rendering.parts, [None]):
            samples = trimmer.finish() if part is None else trimmer.push(part)
            length = said + len(samples) if part is None else None
            for pcm in cut(to_pcm16(samples, self._gain), round(_CHUNK_S * rate)):
                said += len(pcm)
                words: Words = []
                while ends and (said == length or ends[0][1] - (trimmer.lead or 0) <= said):
                    text_end, end = ends.popleft()
                    words.append((text_end, min(said, max(1, end - (trimmer.lead or 0)))))
                yield pcm, words

    def _word_samples(self, piece: Piece, rendering: Rendering) -> Words:
        """Where each word of the piece is over, in samples of its untrimmed audio."""
        known = self.config.phoneme_id_map
        pad = len(known[_PAD])
        behind = np.cumsum([len(known[_BEGIN]) + pad] + [len(known[phoneme]) + pad for phoneme in piece.phonemes])
        count = int(behind[-1]) + len(known[_END])
        if rendering.durations is not None and len(rendering.durations) == count:
            over = np.cumsum(rendering.durations)[behind - 1]
        else:
            over = behind * rendering.length // count
        return [(text_end, int(over[spoken])) for text_end, spoken in piece.words]

    def _feeds(self, phonemes: Sequence[str], speed: float) -> Feeds:
        ids = self._voice.phonemes_to_ids(list(phonemes))
        scales = [self.config.noise_scale, self.config.length_scale / speed, self.config.noise_w_scale]
        feeds: dict[str, NDArray[Any]] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array(scales, np.float32),
        }
        if self.config.num_speakers > 1:
            feeds["sid"] = np.array([self.config.default_speaker_id], np.int64)
        return feeds

    def _phonemes(self, text: str) -> list[list[str]]:
        known = self.config.phoneme_id_map
        return [[each for each in sentence if each in known] for sentence in self._voice.phonemize(text)]

    def _sounds(self, text: str) -> str:
        return " ".join(sounds_of(sentence)[0] for sentence in self._phonemes(text)).strip()


def _harmless(text: str) -> str:
    """The text without what espeak cannot take (lone surrogates, control characters) and without piper's [[phonemes]];
    of the same length, so that offsets stay true."""
    kept = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else " " if c < " " and c not in "\n\t" else c for c in text)
    return kept.replace("[[", "  ").replace("]]", "  ")


def serve(pipe: FramePipe, voices: Mapping[str, WorkerVoice]) -> None:
    """Answer requests until the input ends."""
    while True:
        try:
            request = pipe.receive().header
        except (EOFError, ConnectionError):
            return
        if request["op"] == "speak":
            try:
                last = _answer(pipe, voices[request["voice"]], request)
                pipe.send({"op": "done", "last": last})
            except ConnectionError:
                return
            except Exception as error:
                # One text that a voice chokes on must not take the worker away from everybody else.
                traceback.print_exc()
                pipe.send({"op": "error", "reason": f"{type(error).__name__}: {error}"})


def _answer(pipe: FramePipe, voice: WorkerVoice, request: Mapping[str, Any]) -> bool:
    """Send the sound of one piece; whether it was the last of the text."""
    pieces = voice.pieces(request["text"])
    step = request["step"]
    if step < len(pieces):
        for pcm, words in voice.speak(pieces[step], request["speed"]):
            pipe.send({"op": "audio", "words": words}, pcm.astype("<i2").tobytes())
            if pipe.pending() and pipe.receive().header == {"op": "cancel", "id": request["id"]}:
                return True
    return bool(step + 1 >= len(pieces))


def _end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it is gone; the end of input does the rest."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(socket: str, *models: str) -> int:
    """Load the voices, say so, serve. Exit status 1 when a voice cannot be loaded."""
    _end_with_parent()
    # Ctrl-C reaches the whole process group; the server decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = FramePipe(int(socket))
    voices = {}
    for model in models:
        try:
            voices[Path(model).name.removesuffix(".onnx")] = WorkerVoice(Path(model))
        except Exception as error:
            pipe.send({"op": "failed", "file": model, "reason": f"{type(error).__name__}: {error}"})
            return 1
    pipe.send({"op": "ready"})
    serve(pipe, voices)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
