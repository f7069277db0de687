"""The Whisper engine: what it asks of the model, in which order, and how it refuses bad weights."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from models.audio import Pcm16
from models.base import CapacityError, EngineError, Priority, WeightsError
from models.stt.faster_whisper import FasterWhisper
from models.stt.text import with_logprobs
from tests.models.speech import silence, speak, with_silence

TINY = Path(models.__file__).parent / "bundled" / "stt" / "tiny"
SENTENCES = ["When do you close on Tuesday?", "Where are you located?", "Is nine still available?"]


class Watched:
    """The model with a note of every call: (frames, [length of each prompt]); ``detections`` counts languages asked."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.windows: list[list[int]] = []
        self.prompts: list[list[list[int]]] = []
        self.blank_suppressed: list[bool] = []
        self.detections = 0
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features: Any) -> Any:
        if self.fails:
            raise RuntimeError("out of memory")
        self.windows.append([features.shape[2]] * features.shape[0])
        return self._model.encode(features)

    def detect_language(self, encoded: Any) -> Any:
        self.detections += 1
        return self._model.detect_language(encoded)

    def generate(self, encoded: Any, prompts: list[list[int]], **options: Any) -> Any:
        self.prompts.append(prompts)
        self.blank_suppressed.append(options["suppress_blank"])
        return self._model.generate(encoded, prompts, **options)

    @property
    def frames(self) -> int:
        return sum(sum(row) for row in self.windows)


@pytest.fixture
async def engine() -> Any:
    engine = FasterWhisper.load(TINY, name="tiny", piece_seconds=1.0, max_batch=8)
    yield engine
    await engine.close()


@pytest.fixture
def model(engine: FasterWhisper) -> Watched:
    watched = Watched(engine._model.model)
    engine._model.model = watched
    return watched


def spoken(seconds: float = 0, text: str = SENTENCES[0]) -> Pcm16:
    pcm = speak(text)
    return (
        np.concatenate((pcm, silence(0.2)))
        if not seconds
        else np.tile(pcm[2_000:-4_000], 30)[: round(seconds * 16_000)]
    )


@pytest.mark.parametrize(
    ("seconds", "frames"), [(2, 1_000), (7.9, 1_000), (8.1, 1_500), (14, 2_000), (19, 3_000), (27, 3_000)]
)
async def test_the_smallest_window_with_two_seconds_to_spare_is_taken(seconds: float, frames: int) -> None:
    engine = FasterWhisper.load(TINY, name="tiny", piece_seconds=60)
    model = engine._model.model = Watched(engine._model.model)
    utterance = engine.open(language="en")
    utterance.push(spoken(seconds))
    await utterance.final()
    assert model.windows[-1] == [frames]
    await engine.close()


async def test_the_cost_of_a_long_turn_stays_flat(engine: FasterWhisper, model: Watched) -> None:
    pcm = np.concatenate([with_silence(speak(text), before=0.1, after=0.5) for text in SENTENCES * 14])
    assert len(pcm) > 90 * 16_000
    utterance = engine.open()
    costs = []
    for start in range(0, len(pcm), 8_000):
        before = model.frames
        utterance.push(pcm[start : start + 8_000])
        await utterance.partial()
        costs.append(model.frames - before)
    tenths = [sum(part) for part in np.array_split(costs, 10)]
    assert max(tenths) <= 1.5 * np.mean(tenths)
    before = model.frames
    await utterance.final()
    assert model.frames - before <= 1_000


async def test_more_silence_behind_the_last_word_is_not_decoded_again(engine: FasterWhisper, model: Watched) -> None:
    utterance = engine.open()
    pcm = speak(SENTENCES[1])
    utterance.push(pcm[: np.flatnonzero(np.abs(pcm) > 300)[-1] + 2_800])
    first = await utterance.final(Priority.PREPARED)
    utterance.push(silence(0.1))
    again = await utterance.final()
    assert len(model.windows) == 1
    assert (again.text, again.language) == (first.text, first.language)
    assert again.audio_ms == first.audio_ms + 100


async def test_silence_is_not_decoded_at_all(engine: FasterWhisper, model: Watched) -> None:
    utterance = engine.open()
    utterance.push(silence(40))
    assert (await utterance.final()).text == ""
    assert model.windows == []


async def test_the_language_is_asked_for_once_it_is_sure_no_more(engine: FasterWhisper, model: Watched) -> None:
    utterance = engine.open()
    utterance.push(with_silence(speak(SENTENCES[0])))
    assert (await utterance.partial()).language == "en"
    assert model.detections == 1
    for text in SENTENCES:
        utterance.push(with_silence(speak(text)))
        await utterance.partial()
    assert model.detections == 1


async def test_callers_of_any_language_share_one_call(engine: FasterWhisper, model: Watched) -> None:
    inputs = [(SENTENCES[0], "en-us"), ("Kann ich mit Karte zahlen?", "de"), (SENTENCES[1], "flite:slt")]
    utterances = [engine.open() for _ in inputs]
    for utterance, (text, voice) in zip(utterances, inputs, strict=True):
        utterance.push(with_silence(speak(text, voice=voice), after=0.2))
    heard = await asyncio.gather(*(utterance.final() for utterance in utterances))
    assert [one.language for one in heard] == ["en", "de", "en"]
    assert model.detections == len(model.windows) <= 2
    assert model.frames == 3_000


async def test_a_confirmed_turn_goes_before_partial_ones(engine: FasterWhisper) -> None:
    done: list[str] = []

    async def run(name: str, priority: Priority) -> None:
        utterance = engine.open(language="en")
        utterance.push(with_silence(speak(SENTENCES[0]), after=0.2))
        await (utterance.partial() if priority is Priority.PARTIAL else utterance.final(priority))
        done.append(name)

    engine._workers.decode._max_batch = 1
    partials = [asyncio.create_task(run(f"partial {n}", Priority.PARTIAL)) for n in range(8)]
    await partials[0]
    await run("confirmed", Priority.CONFIRMED)
    await asyncio.gather(*partials)
    assert done.index("confirmed") < 4


async def test_settled_words_are_the_beginning_of_what_is_decoded_next(engine: FasterWhisper, model: Watched) -> None:
    utterance = engine.open(language="en")
    pcm = speak("I would like to book a table for two on Sunday at four.")[:-9_000]
    stable = ""
    for part in np.array_split(pcm, 4):
        utterance.push(part)
        stable = (await utterance.partial()).stable
    assert stable
    utterance.push(silence(0.2))
    calls = len(model.prompts)
    final = await utterance.final()
    assert len(model.prompts) == calls + 1
    tokenizer = engine._workers.tokenizer("en")
    start = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    last = model.prompts[-1][0]
    assert last[: len(start)] == start
    assert model.blank_suppressed == [prompt[0] == start for prompt in model.prompts], "the end may come at once"
    assert tokenizer.decode(last[len(start) :]).strip() == stable
    assert final.text.startswith(stable)


async def test_a_prompt_goes_in_front_where_the_model_knows_prompts(engine: FasterWhisper, model: Watched) -> None:
    utterance = engine.open(language="en", prompt=" A hair salon. ")
    utterance.push(spoken())
    await utterance.final()
    tokenizer = engine._workers.tokenizer("en")
    wanted = [tokenizer.sot_prev, *tokenizer.encode(" A hair salon."), *tokenizer.sot_sequence, tokenizer.no_timestamps]
    assert model.prompts == [[wanted]]
    assert engine.open(language="en", prompt=" ")._prompt == ()
    assert len(engine.open(language="en", prompt="table " * 1_000)._prompt) <= 201


async def test_keywords_go_before_the_prompt_and_leave_it_room(engine: FasterWhisper, model: Watched) -> None:
    utterance = engine.open(language="en", prompt="A hair salon.", keywords=("balayage", " ", "keratin"))
    utterance.push(spoken())
    await utterance.final()
    tokenizer = engine._workers.tokenizer("en")
    words = [tokenizer.sot_prev, *tokenizer.encode(" balayage, keratin."), *tokenizer.encode(" A hair salon.")]
    assert model.prompts[0][0][: len(words)] == words
    assert engine.open(language="en", keywords=(" ",))._prompt == ()
    many = engine.open(language="en", prompt="table " * 1_000, keywords=["salon"] * 1_000)._prompt
    assert len(many) <= 201
    assert many.count(tokenizer.encode(" table")[-1]) > 40, "the prompt is not pushed out"


async def test_a_model_without_prompts_is_given_neither_prompt_nor_keywords() -> None:
    engine = FasterWhisper.load(TINY, name="tiny", prompts=False)
    assert engine.open(language="en", prompt="A hair salon.", keywords=("balayage",))._prompt == ()
    await engine.close()


async def test_each_token_has_its_log_probability_where_it_is_asked_for(engine: FasterWhisper) -> None:
    utterance = engine.open(language="en", logprobs=True)
    heard = spoken()
    for part in np.array_split(heard, 3):
        utterance.push(part)
        await utterance.partial()
    final = await utterance.final()
    assert "".join(token.text for token in final.logprobs).strip() == final.text
    assert all(token.logprob <= 0 for token in final.logprobs)
    # The engine's own mean counts the end of the text, too.
    mean = sum(token.logprob for token in final.logprobs) / (len(final.logprobs) + 1)
    assert mean == pytest.approx(final.avg_logprob, abs=0.05)
    plain = engine.open(language="en")
    plain.push(heard)
    assert (await plain.final()).logprobs == ()


async def test_a_character_of_several_tokens_is_one(engine: FasterWhisper) -> None:
    tokenizer = engine._workers.tokenizer("en")
    tokens = tuple(tokenizer.encode(" ja 漢ö"))
    found = with_logprobs(tokens, (-0.5,) * len(tokens), tokenizer)
    assert "".join(token.text for token in found) == " ja 漢ö"
    assert len(found) < len(tokens)
    assert sum(token.logprob for token in found) == pytest.approx(-0.5 * len(tokens))


async def test_a_failing_model_fails_the_turn_and_not_the_engine(engine: FasterWhisper, model: Watched) -> None:
    utterance = engine.open()
    utterance.push(with_silence(speak(SENTENCES[1])))
    model.fails = True
    with pytest.raises(EngineError, match="out of memory") as caught:
        await utterance.final()
    assert caught.value.engine == "tiny"
    assert caught.value.retryable
    model.fails = False
    assert (await utterance.final()).text == SENTENCES[1]


async def test_too_many_callers_are_told_so(engine: FasterWhisper) -> None:
    engine._workers.listen._capacity = 0
    with pytest.raises(CapacityError):
        await engine.open().final()


@pytest.mark.parametrize("file", ["config.json", "model.bin", "tokenizer.json"])
@pytest.mark.parametrize("harm", ["missing", "truncated"])
def test_missing_and_damaged_weights_are_named(file: str, harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if harm == "truncated":
        (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=file.replace(".", r"\.")) as caught:
        FasterWhisper.load(folder, name="tiny")
    assert str(folder / file) in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        FasterWhisper.load(tmp_path / "nowhere", name="tiny")


@pytest.mark.parametrize("windows", [(), (0,), (10, 31)])
def test_windows_that_whisper_does_not_have_are_refused(windows: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="windows"):
        FasterWhisper.load(TINY, name="tiny", window_seconds=windows)
