"""The metrics page says what happened in sessions."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from server.core.events import (
    AudioFormat,
    Error,
    InputClock,
    ResponseDone,
    ResponseFailed,
    ResponseStatus,
    ResponseView,
    TokenUsage,
    ToolFinished,
    ToolOutcome,
    TranscriptFailed,
)
from server.telemetry.metrics import BUCKETS, STAGES, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, content_type = metrics.page()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def done(status: ResponseStatus, reason: str | None = None) -> ResponseDone:
    return ResponseDone(ResponseView("resp_1", status, "auto", "audio", "", AudioFormat.PCM, None, None, reason=reason))


def test_stage_times_fall_into_their_buckets() -> None:
    metrics = Metrics("1.2.3")
    metrics.observe_stage("stt_final", 0.12)
    metrics.observe_stage("stt_final", 0.48)
    page = samples(metrics)
    name = "kammerton_turn_latency_seconds"
    assert page[name + "_count", (("stage", "stt_final"),)] == 2
    assert page[name + "_sum", (("stage", "stt_final"),)] == 0.6
    assert page[name + "_bucket", (("le", "0.1"), ("stage", "stt_final"))] == 0
    assert page[name + "_bucket", (("le", "0.15"), ("stage", "stt_final"))] == 1
    assert page[name + "_bucket", (("le", "0.5"), ("stage", "stt_final"))] == 2


def test_answers_of_a_provider_are_timed_apart() -> None:
    metrics = Metrics("1.2.3")
    metrics.observe_elsewhere("openai", "tts_first_audio", 0.4)
    page = samples(metrics)
    labels = (("provider", "openai"), ("stage", "tts_first_audio"))
    assert page["kammerton_cloud_turn_latency_seconds_sum", labels] == 0.4
    assert page["kammerton_turn_latency_seconds_count", (("stage", "tts_first_audio"),)] == 0


def test_every_stage_is_on_the_page_before_the_first_turn() -> None:
    page = samples(Metrics("1.2.3"))
    assert all(page["kammerton_turn_latency_seconds_count", (("stage", stage),)] == 0 for stage in STAGES)


def test_buckets_rise() -> None:
    assert all(list(bounds) == sorted(set(bounds)) for bounds in BUCKETS.values())


def test_sessions_are_counted_in_and_out() -> None:
    metrics = Metrics("1.2.3")
    metrics.session_opened("realtime")
    metrics.session_opened("realtime")
    metrics.session_closed("realtime", "closed", 42.0)
    metrics.session_refused("realtime")
    page = samples(metrics)
    assert page["kammerton_sessions_active", (("door", "realtime"),)] == 1
    assert page["kammerton_sessions_total", (("door", "realtime"), ("outcome", "closed"))] == 1
    assert page["kammerton_sessions_total", (("door", "realtime"), ("outcome", "refused"))] == 1
    assert page["kammerton_session_duration_seconds_sum", ()] == 42


def test_the_tap_counts_what_ends_answers() -> None:
    metrics = Metrics("1.2.3")
    clock = InputClock(0)
    metrics("sess_1", clock, [done(ResponseStatus.COMPLETED)])
    metrics("sess_1", clock, [done(ResponseStatus.CANCELLED, "turn_detected")])
    metrics("sess_1", clock, [done(ResponseStatus.CANCELLED, "client_cancelled")])
    metrics("sess_1", ResponseFailed("resp_2", "server_error", "out of words"), [done(ResponseStatus.FAILED)])
    metrics("sess_1", TranscriptFailed("item_1", 1, "out of ears"), [])
    metrics("sess_1", clock, [Error("invalid_value", "no"), Error("invalid_value", "no")])
    page = samples(metrics)
    assert page["kammerton_responses_total", (("status", "completed"),)] == 1
    assert page["kammerton_responses_total", (("status", "cancelled"),)] == 2
    assert page["kammerton_interruptions_total", (("cause", "speech"),)] == 1
    assert page["kammerton_interruptions_total", (("cause", "client"),)] == 1
    assert page["kammerton_engine_errors_total", (("work", "response"),)] == 1
    assert page["kammerton_engine_errors_total", (("work", "transcription"),)] == 1
    assert page["kammerton_client_errors_total", (("code", "invalid_value"),)] == 2


def test_codes_of_errors_that_a_provider_makes_up_do_not_make_the_page_longer() -> None:
    metrics = Metrics("1.2.3")
    metrics("sess_1", None, [Error(f"error_{number}", "no") for number in range(100)])
    counted = {key: value for key, value in samples(metrics).items() if key[0] == "kammerton_client_errors_total"}
    assert counted == {("kammerton_client_errors_total", (("code", "other"),)): 100}


def test_the_hit_rate_of_the_prefix_cache_can_be_told() -> None:
    metrics = Metrics("1.2.3")
    for usage in (TokenUsage(input_text=400, cached=0), TokenUsage(input_text=440, cached=400), None):
        metrics("sess_1", InputClock(0), [ResponseDone(replace(done(ResponseStatus.COMPLETED).response, usage=usage))])
    page = samples(metrics)
    assert page["kammerton_prompt_tokens_total", (("source", "cache"),)] == 400
    assert page["kammerton_prompt_tokens_total", (("source", "read"),)] == 440


def test_a_hosted_models_cached_speech_is_counted_as_part_of_the_prompt() -> None:
    metrics = Metrics("1.2.3")
    for usage in (TokenUsage(input_text=50, input_audio=450, cached=448), TokenUsage(input_text=10, cached=12)):
        metrics("sess_1", None, [ResponseDone(replace(done(ResponseStatus.COMPLETED).response, usage=usage))])
    page = samples(metrics)
    assert page["kammerton_prompt_tokens_total", (("source", "cache"),)] == 458
    assert page["kammerton_prompt_tokens_total", (("source", "read"),)] == 52


async def test_the_tasks_of_the_event_loop_are_counted() -> None:
    metrics = Metrics("1.2.3")
    before = samples(metrics)["kammerton_tasks", ()]
    waiting = asyncio.create_task(asyncio.Event().wait())
    assert samples(metrics)["kammerton_tasks", ()] == before + 1
    waiting.cancel()


def test_no_label_holds_an_id() -> None:
    metrics = Metrics("1.2.3")
    metrics("sess_1", ResponseFailed("resp_2", "c", "m"), [done(ResponseStatus.FAILED), Error("c", "m", None, "evt_1")])
    page = metrics.page()[0].decode()
    assert not any(mark in page for mark in ("sess_1", "resp_", "evt_1"))


def test_the_build_is_told() -> None:
    page = samples(Metrics("1.2.3", {"stt": "faster-whisper", "tts": "piper"}))
    labels = {"llm": "", "stt": "faster-whisper", "tts": "piper", "vad": "", "version": "1.2.3"}
    assert page["kammerton_build_info", tuple(labels.items())] == 1


def test_two_servers_in_one_process_do_not_share_counts() -> None:
    first, second = Metrics("1"), Metrics("2")
    first.session_opened("realtime")
    assert ("kammerton_sessions_active", (("door", "realtime"),)) not in samples(second)


def test_calls_of_tools_are_counted_by_outcome_and_timed_apart_from_the_model() -> None:
    metrics = Metrics("1.2.3")
    metrics("sess_1", ToolFinished("call_1", ToolOutcome.OK, "{}", 0.2), [])
    metrics("sess_1", ToolFinished("call_2", ToolOutcome.TIMEOUT, "{}", 10.0), [])
    page = samples(metrics)
    assert page["kammerton_tool_calls_total", (("outcome", "ok"),)] == 1
    assert page["kammerton_tool_calls_total", (("outcome", "timeout"),)] == 1
    assert page["kammerton_tool_latency_seconds_sum", ()] == 10.2


async def test_a_blocked_event_loop_is_seen() -> None:
    metrics = Metrics("1.2.3")
    watch = asyncio.create_task(metrics.watch_loop())
    await asyncio.sleep(0)
    time.sleep(0.8)  # noqa: ASYNC251 - what no coroutine may do
    name = "kammerton_event_loop_lag_seconds"
    await asyncio.sleep(0.01)  # what is due first is woken first
    watch.cancel()
    assert samples(metrics)[name + "_bucket", (("le", "0.25"),)] == 0
    assert samples(metrics)[name + "_sum", ()] > 0.25
