"""Real client libraries, as their users have them, call the real server: nothing is lost, nothing goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.clients.conftest import RESULT, Report

CALLERS = [
    "openai_sdk.py",
    "openai_agents.py",
    "livekit_agent.py",
    "pipecat_pipeline.py",
    "openai_sdk.mjs",
    "openai_agents.mjs",
]
BYTES_PER_SECOND = 48_000

every_caller = pytest.mark.parametrize("client", CALLERS)


def only(*clients: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", clients)


@every_caller
def test_the_client_has_read_every_event_and_calls_none_of_them_an_error(report: Report):
    assert not report.errors
    assert not report.dropped
    assert report.received["session.created"] >= 1
    assert report.received["session.updated"] >= 1
    assert report.received["response.done"] == report.received["response.created"] >= 6


@every_caller
def test_the_client_sends_and_receives_all_that_it_is_listed_with(as_listed: Callable[[], None]):
    as_listed()


@every_caller
def test_a_written_message_is_answered_in_speech(report: Report):
    turn = report.turns["typed"]
    assert turn.said
    assert 0.03 < turn.audio / BYTES_PER_SECOND / len(turn.said) < 0.2


@every_caller
def test_a_spoken_question_is_understood_and_answered(report: Report):
    turn = report.turns["spoken"]
    assert turn.words_heard & {"real", "person"}, turn.heard
    assert turn.said
    assert 0.03 < turn.audio / BYTES_PER_SECOND / len(turn.said) < 0.2


@every_caller
def test_the_client_runs_its_tool_once_and_the_result_is_spoken(report: Report):
    turn = report.turns["tool"]
    assert "friday" in turn.words_heard, turn.heard
    assert turn.calls == [["get_opening_hours", {"day": "friday"}]]
    assert "nine" in turn.said


@every_caller
def test_an_answer_that_is_spoken_over_stops_and_the_next_one_comes(report: Report):
    assert report.turns["long"].audio > 2 * BYTES_PER_SECOND
    turn = report.turns["barge_in"]
    assert "stop" in turn.words_heard, turn.heard
    assert turn.said
    assert report.received["conversation.item.truncated"] >= 1


# LiveKit does not read the words of a truncated item back.
@only(*(client for client in CALLERS if client != "livekit_agent.py"))
def test_of_the_answer_that_was_spoken_over_the_client_has_the_words_that_were_heard(report: Report):
    whole = report.turns["long"].said
    said = [words for role, words in report.history if role == "assistant"]
    (heard,) = [words for words in said if words and whole.startswith(words.rstrip())]
    assert heard.strip() != whole.strip()


@every_caller
def test_the_client_has_the_conversation_in_its_order(report: Report):
    roles = [role for role, _ in report.history]
    # Before the call of the tool the answer says that it will look.
    assert roles == [*["user", "assistant"] * 2, "assistant", *["user", "assistant"] * 3]
    assert report.history[0] == ["user", "Hello!"]
    asked = [report.turns[step].heard for step in ("tool", "spoken", "long", "barge_in")]
    assert [words for role, words in report.history[2:] if role == "user"] == asked


@only("openai_sdk.py")
def test_a_retrieved_answer_has_its_audio_as_far_as_it_was_heard(report: Report):
    long, cut = report.turns["long"].audio, min(report.facts["audio_ms"])
    assert len(report.facts["audio_ms"]) == len([role for role, _ in report.history]) - 1
    assert 0 < cut < long * 1000 // BYTES_PER_SECOND


@only("openai_sdk.py")
def test_a_question_beside_the_conversation_is_answered_and_leaves_no_item_in_it(report: Report):
    aside = report.facts["aside"]
    assert aside["metadata"] == {"purpose": "aside"}
    assert aside["text"]
    # The greeting and its answer, which were asked for at the same time.
    assert aside["added"] == 2


@only("openai_sdk.py")
def test_an_answer_can_be_taken_back(report: Report):
    assert report.facts["cancelled"] == ["cancelled", "client_cancelled"]


@only("openai_agents.py")
def test_the_agent_hands_in_what_its_tool_returned(report: Report):
    assert [json.loads(output) for output in report.facts["tool_outputs"]] == [RESULT]


@only("livekit_agent.py")
def test_items_that_a_client_puts_first_or_takes_out_are_where_it_thinks_they_are(report: Report):
    assert report.facts["order"] == report.facts["wanted"]
    assert report.received["conversation.item.deleted"] == 1


@only("livekit_agent.py")
def test_a_renewed_session_takes_up_the_old_one_with_its_calls(report: Report):
    replayed = ["message", "function_call", "function_call_output", "message", "message"]
    assert report.facts["replayed"] == replayed
    assert report.facts["after_renewal"]


@only("livekit_agent.py")
def test_the_endpoint_is_where_clients_look_for_it(report: Report):
    assert report.facts["urls"] == ["", "/v1", "/openai", "/openai/v1"]


@only("openai_agents.mjs")
def test_a_client_that_rewrites_its_history_has_it_so(report: Report):
    assert report.facts["edited"] == ["user", *["assistant"] * 2, "function_call", *["assistant"] * 4]


@only("pipecat_pipeline.py")
def test_a_service_that_dies_of_errors_is_alive_and_told_of_an_unknown_item(report: Report):
    assert report.facts["receiving"]
    assert "item_unknown" in report.facts["unknown_item"]


@only("openai_sdk.mjs")
def test_a_browser_that_can_send_no_headers_is_let_in_by_its_sub_protocol(report: Report):
    assert report.facts["browser"] == {"protocol": "realtime", "first": "session.created"}
