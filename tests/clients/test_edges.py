"""What a call that goes well has no need of, by the OpenAI SDK."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.conftest import Report

EDGES = "openai_sdk_edges.py"

pytestmark = pytest.mark.parametrize("client", [EDGES])


def test_every_event_is_what_the_sdk_says_it_is(report: Report):
    assert not report.dropped


def test_the_client_sends_and_receives_all_that_it_is_listed_with(as_listed: Callable[[], None]):
    as_listed()


def test_mcp_servers_are_listed_and_called(report: Report):
    assert report.received["mcp_list_tools.completed"] == 2
    assert report.received["mcp_list_tools.failed"] == 1
    assert report.received["response.mcp_call.completed"] == 1
    assert report.received["response.mcp_call.failed"] == 1


def test_what_is_for_webrtc_is_refused(report: Report):
    assert report.facts["refused"] == "invalid_value"


def test_a_caller_who_says_nothing_is_asked_back(report: Report):
    assert report.facts["silent_ms"] >= 5000
    assert report.facts["asked_back"] == "completed"


def test_words_that_are_lost_are_said_to_be(report: Report):
    assert report.facts["failed"] == "out of ears"
    assert report.facts["response"] == ["failed", "transcription_failed"]


def test_a_key_with_a_limit_is_told_what_is_left_of_it(report: Report):
    ((name, limit, remaining),) = report.facts["limits"]
    assert (name, limit) == ("tokens", 60 * 600)
    assert 0 < remaining < limit
