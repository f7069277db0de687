"""Real speech-to-text clients open transcription sessions: words come back, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.conftest import Report

LISTENERS = ["livekit_stt.py", "pipecat_stt.py"]

every_listener = pytest.mark.parametrize("client", LISTENERS)


def assert_understood(finals: list[str]) -> None:
    asked, question = finals
    assert "friday" in asked.lower()
    assert "person" in question.lower()


@every_listener
def test_two_sentences_are_written_down_with_no_errors(report: Report):
    assert not report.errors
    assert not report.dropped
    assert_understood(report.facts["finals"])


@every_listener
def test_the_client_sends_and_receives_all_that_it_is_listed_with(as_listed: Callable[[], None]):
    as_listed()


@every_listener
def test_words_come_while_they_are_spoken(report: Report):
    assert report.facts["partials"]
    assert len(report.facts["partials"]) >= len(report.facts["finals"])


@every_listener
def test_the_server_says_when_speech_starts_and_stops(report: Report):
    assert (report.facts["starts"], report.facts["stops"]) == (2, 2)


@pytest.mark.parametrize("client", ["pipecat_stt.py"])
def test_a_client_that_finds_the_turns_itself_commits_them(report: Report):
    assert_understood(report.facts["by_hand"]["finals"])
    assert report.facts["by_hand"]["starts"] == 0
