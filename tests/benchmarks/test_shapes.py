"""Random weights are built like real ones: the engines take them, and they take as long as they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import shapes
from benchmarks.engines.tts import Graphs
from benchmarks.shapes import piper, whisper
from models.base import Priority
from models.stt.decoding import DecodeRequest
from models.stt.faster_whisper import FasterWhisper
from tests.models.speech import speak


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("shapes")
    return shapes.whisper_folder("small", folder), shapes.voices_folder("small", folder)


async def test_a_random_whisper_says_its_number_of_tokens_and_ends(small: tuple[Path, Path]) -> None:
    engine = FasterWhisper.load(small[0], name="random", compute_type="int8")
    try:
        for seed in range(3):
            mel = np.random.default_rng(seed).normal(-4, 2, (400, whisper.SMALL.bands)).astype(np.float32)
            request = DecodeRequest(mel, 1000, "en", (), (), max_tokens=100)
            [decoded] = engine._run([request])
            special = whisper.SMALL.tokens - len(decoded.tokens)
            assert 0 <= special < whisper.SMALL.tokens / 2
        utterance = engine.open(language="en")
        utterance.push(speak("What time do you open on Friday?"))
        assert (await utterance.final(Priority.CONFIRMED)).language == "en"
    finally:
        await engine.close()


def test_the_full_sizes_are_those_of_the_published_models() -> None:
    voice = piper.build(piper.MEDIUM)
    assert len(voice.SerializeToString()) == pytest.approx(63.2e6, rel=0.02)
    assert len(whisper.tokens()) == 51_866


def test_a_random_voice_is_divided_like_a_real_one_and_says_the_same_in_parts(small: tuple[Path, Path]) -> None:
    graphs = Graphs(small[1] / "en_US.onnx")
    assert set(graphs.ways) == {"divided", "whole"}
    feeds = dict(graphs.of_length(2.0))
    feeds["scales"] = np.array([0, 1, 0], np.float32)
    divided, whole = (np.concatenate(list(graphs.ways[way].render(feeds).parts)) for way in ("divided", "whole"))
    assert len(whole) / graphs.rate == pytest.approx(2.0, rel=0.1)
    np.testing.assert_allclose(divided, whole, atol=1e-3 * float(np.abs(whole).max()))
