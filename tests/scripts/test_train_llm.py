"""scripts/train_tiny_llm.py: the simulated calls keep the policy, the examination tells right from wrong, and a short
training gives a model that the server loads. Only the last part needs torch and transformers."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

import models
from scripts.training.llm import clock, lexicon, simulator, tools, wordpieces
from scripts.training.llm.call import Dialogue, Turn
from scripts.training.llm.examination import SETS, Model, Request, by_turn, held_out, whole_calls
from scripts.training.llm.noise import Noise
from scripts.training.llm.render import OPENING, Renderer

ROOT = Path(models.__file__).parents[1]
TINY = ROOT / "models" / "bundled" / "llm" / "tiny"
CALLS = 400


@pytest.fixture(scope="module")
def calls() -> list[Dialogue]:
    rng = random.Random(1)
    return [simulator.whole(rng) for _ in range(CALLS)]


def tool_turns(calls: Sequence[Dialogue], name: str) -> Iterator[tuple[Dialogue, int, dict[str, str]]]:
    for dialogue in calls:
        for at, turn in enumerate(dialogue.turns):
            for called, arguments in turn.calls:
                if called == name:
                    yield dialogue, at, arguments


def test_only_listed_tools_are_called_with_the_arguments_that_they_take(calls: list[Dialogue]):
    called = set()
    for dialogue in calls:
        listed = {tool["function"]["name"]: tool["function"]["parameters"] for tool in dialogue.tools}
        for turn in dialogue.turns:
            for name, arguments in turn.calls:
                called.add(name)
                assert set(listed[name]["required"]) <= set(arguments) <= set(listed[name]["properties"])
    assert called == set(tools.NAMES)


def test_every_call_is_preceded_by_words_and_followed_by_its_results(calls: list[Dialogue]):
    for dialogue in calls:
        for at, turn in enumerate(dialogue.turns):
            if not turn.calls:
                continue
            assert turn.text
            if turn.calls[0][0] == "end_call":
                assert at == len(dialogue.turns) - 1
            else:
                following = dialogue.turns[at + 1 : at + 1 + len(turn.calls)]
                assert [reply.role for reply in following] == ["tool"] * len(turn.calls)
                assert all(json.loads(reply.text) for reply in following)
                assert dialogue.turns[at + 1 + len(turn.calls)].role == "assistant"


def test_a_booking_is_what_was_read_back_and_agreed_to(calls: list[Dialogue]):
    bookings = list(tool_turns(calls, "book_appointment"))
    assert len(bookings) > 50
    for dialogue, at, booked in bookings:
        read_back, agreement = dialogue.turns[at - 2], dialogue.turns[at - 1]
        language = read_back.language
        service = next(item for item in lexicon.SERVICES if item.key == booked["service"])
        assert (read_back.kind, agreement.role) == ("read-back", "user")
        assert read_back.values == (
            service.object(language),
            lexicon.day_words(booked["day"], language),
            clock.spoken(booked["time"], language),
            booked["name"],
        )
        assert all(value.lower() in read_back.text.lower() for value in read_back.values)


def test_a_cancellation_is_confirmed_first(calls: list[Dialogue]):
    cancelled = list(tool_turns(calls, "cancel_appointment"))
    assert cancelled
    for dialogue, at, arguments in cancelled:
        assert dialogue.turns[at - 2].values == (lexicon.day_words(arguments["day"], dialogue.turns[at].language),)


def test_nobody_is_asked_for_a_name_that_was_said(calls: list[Dialogue]):
    for dialogue in calls:
        heard = ""
        for turn in dialogue.turns:
            if "your name" in turn.text or "Ihr Name" in turn.text:
                known = [use["name"] for _, _, use in tool_turns([dialogue], "book_appointment")]
                assert turn.role == "user" or not known or known[0].lower() not in heard
            heard += turn.text.lower() if turn.role == "user" else ""


def test_the_city_of_the_system_text_is_the_city_of_the_weather():
    rng = random.Random(5)
    told = [call for call in (simulator.whole(rng) for _ in range(1500)) if " in Berlin" in call.system]
    uses = list(tool_turns(told, "get_weather"))
    assert uses
    for dialogue, at, arguments in uses:
        heard = " ".join(turn.text.lower() for turn in dialogue.turns[:at] if turn.role == "user")
        assert arguments["location"] == "Berlin" or arguments["location"].lower() in heard


def test_a_repetition_is_word_for_word(calls: list[Dialogue]):
    repeated = 0
    for dialogue in calls:
        spoken = [turn for turn in dialogue.turns if turn.role == "assistant"]
        for before, turn in pairwise(spoken):
            if turn.values == (turn.text,):
                assert turn.text == before.text
                repeated += 1
    assert repeated > 10


@pytest.mark.parametrize(
    ("hour", "table", "meant"),
    [(1, False, 13), (7, False, 19), (8, False, 8), (12, False, 12), (9, True, 21), (11, True, 23), (12, True, 12)],
)
def test_an_hour_without_further_words_is_in_the_opening_hours(hour: int, table: bool, meant: int):
    assert clock.meant(hour, table=table) == meant


@pytest.mark.parametrize(
    ("language", "opening", "hour_back", "minute"),
    [
        ("de", "halb ", 1, 30),
        ("de", "Viertel vor ", 1, 45),
        ("de", "Viertel nach ", 0, 15),
        ("en", "half past ", 0, 30),
        ("en", "quarter to ", 1, 45),
        ("en", "quarter past ", 0, 15),
    ],
)
def test_halves_and_quarters_count_from_the_hour_that_is_said(language: str, opening: str, hour_back: int, minute: int):
    rng = random.Random(2)
    words = clock.DE if language == "de" else clock.EN
    found = [item for item in (clock.said(rng, language) for _ in range(5000)) if item[0].startswith(opening)]
    assert len({said for said, _ in found}) == 12
    for said, time in found:
        hour = clock.meant(words.index(said.removeprefix(opening)), table=False) - hour_back
        assert time == f"{hour:02d}:{minute}"


@pytest.mark.parametrize(
    ("time", "english", "german"),
    [
        ("14:30", "two thirty pm", "vierzehn Uhr dreißig"),
        ("09:00", "nine am", "neun Uhr"),
        ("12:45", "twelve forty five pm", "zwölf Uhr fünfundvierzig"),
        ("13:15", "one fifteen pm", "dreizehn Uhr fünfzehn"),
        ("21:10", "nine ten pm", "einundzwanzig Uhr zehn"),
    ],
)
def test_times_are_spoken_in_words(time: str, english: str, german: str):
    assert (clock.spoken(time, "en"), clock.spoken(time, "de")) == (english, german)


def test_held_out_and_unseen_names_are_never_trained_on():
    rng = random.Random(3)
    for _ in range(5000):
        first, last = lexicon.person(rng).split()
        assert not lexicon.held_out(first, last)
        assert first not in lexicon.UNSEEN_FIRST
        assert last not in lexicon.UNSEEN_LAST
    assert all(lexicon.held_out(*lexicon.person(rng, "held-out").split()) for _ in range(50))


def test_noise_leaves_names_whole_and_changes_most_sentences():
    rng = random.Random(4)
    sentence = "Hello, I would like to book a haircut on Wednesday, my name is Ada Okafor."
    heard = [Noise.draw(rng).apply(sentence, "en", rng, frozenset({"ada", "okafor"})) for _ in range(300)]
    assert all("ada okafor" in text.lower() for text in heard)
    assert sum(text == sentence for text in heard) < 60
    assert any("wednesday" not in text.lower() for text in heard)


def test_the_same_seed_gives_the_same_calls():
    first, second = ([simulator.whole(random.Random(9)) for _ in range(3)] for _ in range(2))
    assert first == second


def test_the_standard_tools_are_those_of_the_bundled_model():
    assert tools.standard() == json.loads((TINY / "tools.json").read_text())


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(TINY)


@pytest.mark.parametrize("kind", ["whole", "short", "drill", "forced", "analysis"])
def test_what_is_learned_is_what_the_assistant_says_and_calls(renderer: Renderer, kind: str):
    rng = random.Random(6)
    for _ in range(40):
        dialogue = getattr(simulator, kind)(rng)
        ids, marks = renderer.example(dialogue)
        learned = renderer.tokenizer.decode(
            [token for token, marked in zip(ids, marks, strict=True) if marked], skip_special_tokens=False
        )
        expected = "".join(
            _written(turn).removeprefix(OPENING) + "<|im_end|>" for turn in dialogue.turns if turn.role == "assistant"
        )
        assert learned == expected


def test_a_forced_call_is_one_of_a_listed_tool_without_words():
    rng = random.Random(8)
    due = 0
    for _ in range(200):
        dialogue = simulator.forced(rng)
        last = dialogue.turns[-1]
        assert last.text == ""
        assert {name for name, _ in last.calls} <= {tool["function"]["name"] for tool in dialogue.tools}
        due += last.calls[0][0] not in ("transfer_to_human", "get_directions", "end_call")
    assert 50 < due < 195


def _written(turn: Turn) -> str:
    calls = [
        f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments, ensure_ascii=False)}}}\n</tool_call>'
        for name, arguments in turn.calls
    ]
    return "\n".join([*([turn.text] if turn.text else []), *calls])


def test_a_prompt_is_the_beginning_of_the_example(renderer: Renderer, calls: list[Dialogue]):
    for dialogue in calls[:40]:
        ids, marks = renderer.example(dialogue)
        messages = dialogue.messages()
        first = next(at for at, message in enumerate(messages) if message["role"] == "assistant")
        prompt = renderer.prompt(messages[:first], dialogue.tools)
        assert ids[: len(prompt)] == prompt
        assert marks.index(True) == len(prompt)


def test_a_tokenizer_learned_from_calls_has_the_bundled_one_s_form(tmp_path: Path):
    wordpieces.learn(TINY, tmp_path, dialogues=60, seed=1)
    learned, bundled = (json.loads((folder / "tokenizer.json").read_text()) for folder in (tmp_path, TINY))
    assert learned["pre_tokenizer"] == bundled["pre_tokenizer"]
    assert [token["content"] for token in learned["added_tokens"]] == [
        token["content"] for token in bundled["added_tokens"]
    ]
    text = 'Grüße, Zoë! {"day": "friday"} 14:30'
    tokenizer = Renderer(tmp_path).tokenizer
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


# ------------------------------------------------------------------------------------- examination


def perfect(dialogues: Sequence[Dialogue]) -> Model:
    """Answers as written; knows where it is by the caller's side of the history, which nothing changes."""
    known = {}
    for dialogue in dialogues:
        for at, turn in enumerate(dialogue.turns):
            if turn.role == "assistant":
                known[_place(dialogue.messages()[: len(dialogue.messages()) - len(dialogue.turns) + at])] = turn

    def answer(requests: Sequence[Request]) -> list[str]:
        return [_written(known[_place(messages)]) for messages, _ in requests]

    return answer


def _place(messages: Sequence[dict[str, object]]) -> str:
    return json.dumps([len(messages), *(item["content"] for item in messages if item["role"] != "assistant")])


def altered(model: Model, old: str, new: str) -> Model:
    return lambda requests: [text.replace(old, new) for text in model(requests)]


def rates(dialogues: Sequence[Dialogue], model: Model) -> dict[str, float]:
    counts = by_turn(dialogues, model).counts | whole_calls(dialogues, model)[0].counts
    return {name: right / count for name, (right, count) in counts.items()}


@pytest.mark.parametrize("name", list(SETS))
def test_a_perfect_model_gets_everything_right(name: str):
    dialogues = held_out(name, 40)
    found = rates(dialogues, perfect(dialogues))
    assert len(found) == 11
    assert set(found.values()) == {1.0}


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ("pm", "am", "read-back holds every value heard"),
        ('"day": "', '"day": "next ', "name and all arguments exact"),
        ("<tool_call>\n{", "<tool_call>\n", "calls are valid JSON"),
        ("One moment, let me check that for you.", "", "words before the call"),
        (
            "One moment, let me check that for you.",
            "I am sorry, I cannot help with that.",
            "not declined though the tool is listed",
        ),
        ("Can I do", "Kann ich sonst noch etwas für Sie tun? Das ist die Frage. Can I do", "caller's language kept"),
        ("Shall I", '<tool_call>\n{"name": "end_call", "arguments": {}}\n</tool_call>', "no call where none is due"),
        ("get_price", "get_weather", "tool name right"),
        (" euros", " dollars", "answer holds every value"),
        (" euros", " dollars", "whole calls: and every value said"),
        ("monday", "sunday", "whole calls: every tool call exact"),
    ],
)
def test_each_fault_costs_what_it_breaks(old: str, new: str, lost: str):
    dialogues = held_out("clean", 60)
    found = rates(dialogues, altered(perfect(dialogues), old, new))
    assert found[lost] < 1.0


def test_a_call_that_went_wrong_once_stays_wrong():
    dialogues = [call for call in held_out("clean", 60) if sum(bool(turn.calls) for turn in call.turns) > 1]
    model = perfect(dialogues)
    asked = 0

    def wrong_first(requests: Sequence[Request]) -> list[str]:
        nonlocal asked
        asked += len(requests)
        return [
            "Pardon?" if "<tool_call>" in text and not any("tool_calls" in item for item in messages) else text
            for text, (messages, _) in zip(model(requests), requests, strict=True)
        ]

    score, failures = whole_calls(dialogues, wrong_first)
    assert score.counts["whole calls: every tool call exact"] == (0, len(dialogues))
    assert len(failures) == len(dialogues)
    assert asked < sum(turn.role == "assistant" for call in dialogues for turn in call.turns)


# ----------------------------------------------------------------------------------------- training


def run(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "train_tiny_llm.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_quick_training_gives_a_model_that_loads_and_goes_on_where_it_stopped(tmp_path: Path):
    pytest.importorskip("torch", reason="training needs the extra 'train'")
    pytest.importorskip("transformers", reason="training needs the extra 'train'")
    from models.base import ChatDone, ChatMessage, ChatRequest
    from models.llm.ctranslate2 import CTranslate2Chat

    out, work = tmp_path / "out", tmp_path / "work"
    assert "going on" not in run("train", out, "--work", work, "--quick", "--minutes", "0.05")
    assert "going on" in run("train", out, "--work", work, "--quick", "--minutes", "0.07")
    chat = CTranslate2Chat.load(out / "ctranslate2", name="quick")
    deltas = [delta async for delta in chat.stream(ChatRequest([ChatMessage("user", "Hello!")], max_tokens=5))]
    await chat.close()
    assert isinstance(deltas[-1], ChatDone)
    assert deltas[-1].usage.completion > 0
    table = run("examine", out / "ctranslate2", "--calls", "3", "--sets", "clean")
    assert "whole calls: every tool call exact" in table
