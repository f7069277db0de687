"""Each stage by itself: Whisper's encoder and decoder, Piper's decoder, the chat model's first token."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import ctranslate2  # type: ignore[import-untyped]
import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from benchmarks.engines.cost import Cost, rounds, row, shown, table
from benchmarks.shapes.whisper import Size
from models.base import ChatDone, ChatMessage, ChatModel, ChatRequest, Priority, Usage, VoiceError
from models.tts.voice_graph import divide

_WINDOWS_S = (10, 15, 20, 30)
_PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
_WARM_UP = 3
_PIECES = (17 + 12, 45 + 24)
"""Frames of a sentence's first piece with the context behind it, and of a later one with that on both sides."""
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_CALLERS = 32


def whisper(folder: Path, size: Size, device: str, kinds: Sequence[str], batches: Sequence[int], times: int) -> None:
    """Milliseconds of the encoder, and of a decoder step, by arithmetic, window and batch."""
    table("Whisper", "window", "batch", "encoder ms p50 / p95", "a row", "decoder ms a step")
    for kind in kinds:
        model = ctranslate2.models.Whisper(str(folder), device=device, compute_type=kind)
        for seconds in _WINDOWS_S:
            for batch in batches:
                features = np.random.default_rng(0).standard_normal((batch, size.bands, seconds * 100), np.float32)
                mel = ctranslate2.StorageView.from_array(features)
                encoder, decoder = Cost(), Cost()
                for number in rounds(times + _WARM_UP, f"Whisper {kind}, {seconds} s, batch {batch}"):
                    warm = number < _WARM_UP
                    with (Cost() if warm else encoder).run():
                        encoded = model.encode(mel)
                    with (Cost() if warm else decoder).run():
                        model.generate(encoded, [list(_PROMPT)] * batch, beam_size=1, suppress_tokens=[-1])
                a_row = f"{np.median(encoder.wall) / batch:.2f} ms"
                step = f"{np.median(decoder.wall) / (size.tokens + 1):.2f} ms"
                row(kind, f"{seconds} s", batch, shown(encoder.wall), a_row, step)


def piper(model: Path, width: int, batches: Sequence[int], times: int) -> None:
    """Milliseconds of a voice's decoder for a piece of a sentence, on each device that onnxruntime can use.
    width: channels of a frame."""
    parts = divide(model.read_bytes())
    assert parts is not None
    table("Piper's decoder on", "frames", "batch", "ms p50 / p95", "a row")
    for provider in (each for each in _PROVIDERS if each in ort.get_available_providers()):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = ort.InferenceSession(parts[1].SerializeToString(), options, providers=[provider])
        name = session.get_inputs()[0].name
        for frames in _PIECES:
            for batch in batches:
                rows = np.random.default_rng(0).standard_normal((batch, width, frames), np.float32)
                cost = Cost()
                for number in rounds(times + _WARM_UP, f"{provider}, {frames} frames, batch {batch}"):
                    with (Cost() if number < _WARM_UP else cost).run():
                        session.run(None, {name: rows})
                a_row = f"{np.median(cost.wall) / batch:.2f} ms"
                row(provider.removesuffix("ExecutionProvider"), frames, batch, shown(cost.wall), a_row)


@dataclass(slots=True)
class Answers:
    """first, whole: milliseconds until the first delta, and until the end."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    failed: int = 0

    async def ask(self, chat: ChatModel, request: ChatRequest) -> None:
        begun, first = time.perf_counter(), 0.0
        try:
            async with aclosing(chat.stream(request)) as deltas:
                async for delta in deltas:
                    first = first or (time.perf_counter() - begun) * 1000
                    if isinstance(delta, ChatDone):
                        self.usage.append(delta.usage)
        except VoiceError:
            self.failed += 1
            return
        self.first.append(first)
        self.whole.append((time.perf_counter() - begun) * 1000)


async def llm(chat: ChatModel, context: int, rates: Sequence[float], seconds: float) -> None:
    """Time to the first token when turns arrive at a fixed rate (Poisson), on contexts that are in the cache.
    context: tokens of a prompt, more or less."""
    table("turns a second", "answers", "failed", "first token ms p50 / p95", "whole ms p50 / p95", "prompt", "cached")
    for rate in rates:
        answers, arrivals = Answers(), random.Random(rate)
        for number in range(_CALLERS):
            await Answers().ask(chat, question(number, context))
        async with asyncio.TaskGroup() as group:
            for number in rounds(max(5, round(rate * seconds)), f"{rate} turns a second"):
                group.create_task(answers.ask(chat, question(number, context)))
                await asyncio.sleep(arrivals.expovariate(rate))
        if not answers.usage:
            row(rate, 0, answers.failed, *["-"] * 4)
            continue
        prompt = f"{np.mean([usage.prompt for usage in answers.usage]):.0f}"
        cached = f"{np.mean([usage.cached for usage in answers.usage]):.0f}"
        row(rate, len(answers.first), answers.failed, shown(answers.first), shown(answers.whole), prompt, cached)


def question(number: int, context: int) -> ChatRequest:
    """What number ``number`` asks, on a prompt half of which is everybody's."""
    shared = "You are the receptionist of a hair salon. Be friendly. " * (context // 24)
    own = f"I am caller {number % _CALLERS}. " + "I would like to know when you are open. " * (context // 20)
    messages = [ChatMessage("system", shared), ChatMessage("user", own), ChatMessage("assistant", "Yes.")]
    asked = ChatMessage("user", f"And what about number {number}?")
    return ChatRequest([*messages, asked], max_tokens=40, priority=Priority.PREPARED, cache_key="benchmark")
