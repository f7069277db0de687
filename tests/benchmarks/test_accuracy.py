"""The questions are held out of the trainings as they claim, and answers are counted as they came."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pytest

from benchmarks.accuracy import Heard, cell, session, table
from benchmarks.phone_noise import over_the_phone
from benchmarks.speech import RATE, Question
from benchmarks.spoken_questions import KINDS, TASKS, VOICES, Task
from benchmarks.tool_scoring import ToolCall
from scripts.training.llm.lexicon import held_out as pair_held_out
from scripts.training.stt.plan import ESPEAK, LANGUAGES, VARIANTS, held_out, normalised

_KNOWN, _NEW = KINDS


@lru_cache(maxsize=2)
def trained(language: str) -> re.Pattern[str]:
    """Every sentence of callers and everyday life that the recogniser's training can make, and some that it cannot."""
    slots = LANGUAGES[language].slots

    def pattern(text: str) -> str:
        return "".join(map(piece, re.split(r"([\[\]|]|\{\w+\})", text)))

    def piece(part: str) -> str:
        if part.startswith("{"):
            filler = slots[part[1:-1]]
            return r"[\w ]+" if callable(filler) else f"(?:{'|'.join(map(pattern, filler))})"
        if part in ("[", "]", "|"):
            return {"[": "(?:", "]": ")", "|": "|"}[part]
        # "on next Friday" is tidied to "next Friday".
        said = ["(?:on)?" if word == "on" else re.escape(word) for word in normalised(part).split()]
        return r"\s*".join(["", *said, ""]) or r"\s*"

    kinds = LANGUAGES[language].patterns
    return re.compile("|".join(pattern(one) for kind in ("caller", "everyday") for one in kinds[kind]))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.turns[0])
def test_a_question_was_not_trained_on(task: Task) -> None:
    known = trained(task.language).fullmatch(normalised(task.turns[0]))
    if task.kind == _KNOWN:
        assert known
        assert held_out(task.turns[0])
    else:
        assert not known


def test_the_voices_are_those_of_the_training_or_are_not() -> None:
    for language, names in ESPEAK.items():
        every = {name + variant for name in names for variant in VARIANTS}
        assert set(VOICES["known"][language]) <= every
        assert not set(VOICES["new"][language]) & every


def test_the_names_were_left_out_of_the_chat_models_training() -> None:
    names = {call.arguments["name"] for task in TASKS for call in task.calls if "name" in call.arguments}
    assert names
    assert all(pair_held_out(*name.split()) for name in names)


def test_each_call_that_is_due_is_one_of_the_offered_tools() -> None:
    offered = {tool["name"]: tool["parameters"] for tool in session("en")["tools"]}
    for task in TASKS:
        for call in task.calls:
            assert set(offered[call.name]["required"]) <= set(call.arguments) <= set(offered[call.name]["properties"])


def test_a_telephone_takes_the_band_and_adds_the_noise_that_was_asked_for() -> None:
    moments = np.arange(RATE) / RATE
    tones = np.sin(2 * np.pi * 1000 * moments) + np.sin(2 * np.pi * 6000 * moments)
    question = Question("", (tones * 5000).astype(np.int16), RATE)
    clean = over_the_phone(question, None, 1)
    start = clean.end - RATE
    power = np.abs(np.fft.rfft(clean.pcm[start : clean.end].astype(np.float64)))
    assert power[1000] > 300 * power[6000]
    assert np.abs(clean.pcm[: start // 2]).max() < 50
    for wanted in (20, 5):
        noisy = over_the_phone(question, wanted, 1)
        noise = noisy.pcm[: start // 2].astype(np.float64).std()
        speech = clean.pcm[start : clean.end].astype(np.float64).std()
        assert 20 * np.log10(speech / noise) == pytest.approx(wanted, abs=1.5)


def heard(task: Task, words: str, *calls: ToolCall, line: str = "clean") -> Heard:
    return Heard(task, "known", line, [words], list(calls))


def test_what_was_heard_and_what_was_called_are_counted_apart() -> None:
    task = next(one for one in TASKS if one.turns == ("What time do you open on Friday?",))
    [due] = task.calls
    right = heard(task, "what time do you open on friday", due)
    misheard = heard(task, "What time do you open on Sunday?", ToolCall(due.name, {"day": "sunday"}))
    misjudged = heard(task, "What time do you open on Friday?", ToolCall("get_directions"))
    assert cell([right]) == "100 / 100 / 100, WER 0"
    assert cell([right, misheard, misjudged]) == "67 / 33 / 33, WER 5"
    row = [line for line in table([right, misheard, misjudged], ["clean"]) if "English, known sentence, known" in line]
    assert row == ["| English, known sentence, known voice | 3 | 67 / 33 / 33, WER 5 | 1 of 2 |"]
