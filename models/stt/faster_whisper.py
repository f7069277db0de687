"""Whisper in CTranslate2 format, loaded by faster-whisper: growing utterances of many callers on one model.

faster-whisper's own ``transcribe`` decodes one recording at a time, several times over, in windows of 30 s. Here the
encoder and decoder are called directly: rows of several callers in a batch, in the smallest window that is safe,
greedily and once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import ctranslate2  # type: ignore[import-untyped]
import numpy as np
import tokenizers
from faster_whisper import WhisperModel  # type: ignore[import-untyped]
from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]
from faster_whisper.vad import get_vad_model  # type: ignore[import-untyped]

from models.base import EngineError, WeightsError
from models.batching import Batcher
from models.stt.decoding import Decoded, DecodeRequest, ListenRequest, Workers
from models.stt.features import FRAMES_PER_SECOND, LogMel, mel_filters, window
from models.stt.pieces import Hearing, Piece, SpeechFrames
from models.stt.text import Tokens
from models.stt.utterance import WhisperUtterance

_FILES = ("config.json", "model.bin", "tokenizer.json")
_PADDING_SECONDS = 2
_PROMPT_TOKENS = 200
"""Of what goes in front of the transcript; 223 is the most that Whisper was trained with."""
_KEYWORD_TOKENS = 100


class FasterWhisper:
    """Kind ``stt``. One thread listens (log-mel frames, where speech is), one decodes."""

    def __init__(
        self,
        model: WhisperModel,
        name: str,
        windows: tuple[int, ...],
        piece_seconds: float,
        prompts: bool,
        batch: int,
        by_priority: bool,
    ) -> None:
        self.name = name
        self._model, self._prompts, self._piece_seconds = model, prompts, piece_seconds
        self._windows = sorted(seconds * FRAMES_PER_SECOND for seconds in windows)
        self._longest = max(windows) - _PADDING_SECONDS
        self._filters = mel_filters(model.model.n_mels)
        self._vad = get_vad_model().session
        self._tokenizer = lru_cache(maxsize=None)(self._make_tokenizer)
        self.languages = self._find_languages()
        self._run([self._warm_up_request()])
        listen = Batcher(self._listen, name=f"{name}-listen", max_batch=4, by_priority=by_priority)
        decode = Batcher(
            self._run,
            name=name,
            max_batch=batch,
            by_priority=by_priority,
            group=lambda one: (one.window, len(one.prompt), bool(one.prefix), one.logprobs),
        )
        self._workers = Workers(name, listen, decode, self._new_hearing, self._window, self._tokenizer)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str,
        device: str = "cpu",
        compute_type: str = "int8",
        threads: int = 1,
        window_seconds: tuple[int, ...] = (10, 15, 20, 30),
        piece_seconds: float = 6.0,
        prompts: bool = True,
        max_batch: int | None = None,
        by_priority: bool = True,
    ) -> FasterWhisper:
        """folder: config.json, model.bin, tokenizer.json and the vocabulary, as faster-whisper's converter writes them.

        window_seconds: lengths of the encoder's input, at most 30. piece_seconds: from this length on, an utterance is
        cut at the next pause; small for a model that was trained on single sentences. prompts: whether the model
        was trained to take a prompt. max_batch: 16 on a GPU; 1 on a CPU, where a batch takes as long as its rows.
        by_priority: False decodes in order of arrival, whatever is urgent.
        Decodes once to warm up. Raises WeightsError naming the file that is missing or damaged, ValueError for a bad
        window.
        """
        if not window_seconds or not all(0 < seconds <= 30 for seconds in window_seconds):
            raise ValueError(f"windows must be 1 to 30 seconds long, not {window_seconds}")
        _check_files(folder, name)
        try:
            model = WhisperModel(
                str(folder), device=device, compute_type=compute_type, cpu_threads=threads, local_files_only=True
            )
        except (RuntimeError, ValueError) as error:
            raise WeightsError(name, f"{folder / 'model.bin'} cannot be loaded: {error}") from error
        if max_batch is None:
            max_batch = 16 if model.model.device == "cuda" else 1
        return cls(model, name, tuple(window_seconds), piece_seconds, prompts, max_batch, by_priority)

    def open(
        self,
        *,
        language: str | None = None,
        prompt: str | None = None,
        keywords: Sequence[str] = (),
        expected: str | None = None,
        floor: float = 0.0,
        logprobs: bool = False,
    ) -> WhisperUtterance:
        """See ``Transcriber.open``. Raises ValueError for a language that the model does not have."""
        if language is not None and language not in self.languages:
            raise ValueError(f"{self.name} does not know the language {language!r}, but {', '.join(self.languages)}")
        if len(self.languages) == 1:
            language = self.languages[0]
        start = self._prompt_tokens(prompt or "", keywords)
        return WhisperUtterance(self._workers, language, start, expected, floor, logprobs)

    async def close(self) -> None:
        await self._workers.listen.aclose()
        await self._workers.decode.aclose()

    # ---------------------------------------------------------------------------------- what the model is

    def _find_languages(self) -> tuple[str, ...]:
        if not self._model.model.is_multilingual:
            return ("en",)
        known = self._model.hf_tokenizer.get_vocab()
        return tuple(code for code in self._model.supported_languages if f"<|{code}|>" in known)

    def _make_tokenizer(self, language: str) -> Tokenizer:
        return Tokenizer(self._model.hf_tokenizer, self._model.model.is_multilingual, "transcribe", language)

    def _prompt_tokens(self, prompt: str, keywords: Sequence[str]) -> Tokens:
        """Whisper knows no list of words to expect, but what was said before the audio: keywords come first, as if they
        had been said, and the prompt is next to the audio."""
        tokenizer = self._tokenizer(self.languages[0])
        words = ", ".join(word.strip() for word in keywords if word.strip())
        hot = tokenizer.encode(f" {words}.")[:_KEYWORD_TOKENS] if words else []
        context = tokenizer.encode(" " + prompt.strip())[len(hot) - _PROMPT_TOKENS :] if prompt.strip() else []
        return (tokenizer.sot_prev, *hot, *context) if self._prompts and (hot or context) else ()

    def _window(self, frames: int) -> int:
        padding = _PADDING_SECONDS * FRAMES_PER_SECOND
        return next((size for size in self._windows if frames + padding <= size), self._windows[-1])

    def _warm_up_request(self) -> DecodeRequest:
        silence = LogMel(self._filters).frames(0, 1)
        return DecodeRequest(silence, self._windows[0], self.languages[0], (), (), max_tokens=4)

    # ------------------------------------------------------------------------------- the listening thread

    def _new_hearing(self) -> Hearing:
        mel, speech = LogMel(self._filters), SpeechFrames(self._vad)
        return Hearing(mel, speech, piece_seconds=self._piece_seconds, longest_seconds=self._longest)

    def _listen(self, requests: list[ListenRequest]) -> list[list[Piece]]:
        answers = []
        for request in requests:
            request.hearing.listen(request.position)
            answers.append(request.hearing.pieces(fixed_to=request.fixed_to, forget=request.forget))
        return answers

    # -------------------------------------------------------------------------------- the decoding thread

    def _run(self, requests: list[DecodeRequest]) -> list[Decoded]:
        """All requests have one window, one length of prompt, and either all or none a prefix, or a wish for log
        probabilities."""
        model = self._model.model
        try:
            features = window([request.mel for request in requests], requests[0].window)
            encoded = model.encode(ctranslate2.StorageView.from_array(features))
            languages = self._languages_of(requests, encoded)
            starts = [
                [*request.prompt, *self._start(language), *request.prefix]
                for request, (language, _) in zip(requests, languages, strict=True)
            ]
            tokens = max(request.max_tokens for request in requests)
            results = model.generate(
                encoded,
                starts,
                beam_size=1,
                # CTranslate2 allows half of this for the transcript, and all of it together with the prompt.
                max_length=min(max(2 * tokens, tokens + max(map(len, starts))), self._model.max_length),
                # A forced beginning may well be all there is.
                suppress_blank=not requests[0].prefix,
                suppress_tokens=[-1],
                return_scores=True,
                return_logits_vocab=requests[0].logprobs,
                return_no_speech_prob=True,
            )
        except RuntimeError as error:
            raise EngineError(self.name, f"{self.name} failed: {error}", retryable=True) from error
        return [self._decoded(result, *language) for result, language in zip(results, languages, strict=True)]

    def _languages_of(self, requests: list[DecodeRequest], encoded: ctranslate2.StorageView) -> list[tuple[str, float]]:
        """(language, probability) of each row; one decoder step for all of them if any is unknown."""
        if all(request.language for request in requests):
            return [(request.language or "", 1.0) for request in requests]
        detected = self._model.model.detect_language(encoded)
        return [
            (request.language, 1.0) if request.language else _surely(ranked, request.expected, request.floor)
            for request, ranked in zip(requests, detected, strict=True)
        ]

    def _start(self, language: str) -> list[int]:
        tokenizer = self._tokenizer(language)
        return [*tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _decoded(
        self, result: ctranslate2.models.WhisperGenerationResult, language: str, probability: float
    ) -> Decoded:
        end = self._tokenizer(language).eot
        tokens = tuple(token for token in result.sequences_ids[0] if token < end)
        # The score is a mean over the tokens; Whisper's own rule counts the end token as one more.
        mean = result.scores[0] * len(tokens) / (len(tokens) + 1) if tokens else 0.0
        logprobs = _logprobs(result.logits[0], tokens) if result.logits else ()
        return Decoded(tokens, language, probability, mean, result.no_speech_prob, logprobs)


def _surely(ranked: list[tuple[str, float]], expected: str | None, floor: float) -> tuple[str, float]:
    """(language, probability): the likeliest one, or the expected one where that is not likely enough. ranked: the
    model's tokens for languages."""
    token, probability = ranked[0]
    if expected is not None and probability < floor:
        return expected, dict(ranked).get(f"<|{expected}|>", 0.0)
    return token[2:-2], probability


def _logprobs(logits: Sequence[ctranslate2.StorageView], tokens: Tokens) -> tuple[float, ...]:
    """Log probability of each token. logits: [vocabulary] of each step, in the order of the tokens."""
    steps = np.array([np.array(step, dtype=np.float32) for step in logits[: len(tokens)]]).reshape(len(tokens), -1)
    chosen = steps[np.arange(len(tokens)), list(tokens)]
    highest = steps.max(axis=1, initial=-np.inf)
    return tuple((chosen - highest - np.log(np.exp(steps - highest[:, None]).sum(axis=1))).tolist())


def _check_files(folder: Path, name: str) -> None:
    """Raises WeightsError for what the loader would fetch, ignore or not name."""
    for file in _FILES:
        if not (folder / file).is_file():
            raise WeightsError(name, f"{folder / file} is missing")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(name, f"{folder / 'config.json'} is damaged: {error}") from error
    try:
        tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the only class that tokenizers raises
        raise WeightsError(name, f"{folder / 'tokenizer.json'} is damaged: {error}") from error
