"""The Prometheus page: what happens in sessions, counted by a tap, and the times of each stage of a turn.

Names follow the Prometheus naming practice (one-word prefix, base units, ``_total``). Labels are few and fixed; an id
of a session or a caller is never one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from server.core.events import (
    Error,
    Input,
    Output,
    ResponseDone,
    ResponseFailed,
    ResponseStatus,
    ToolFinished,
    TranscriptFailed,
)

STAGES = ("stt_final", "llm_first_token", "first_segment", "tts_first_audio", "response_created")
"""Stages of a turn, each timed from the end of the caller's speech."""

_TURN = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
    *(0.55, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0),
)

BUCKETS: Mapping[str, tuple[float, ...]] = {
    "turn_latency_seconds": _TURN,
    "cloud_turn_latency_seconds": _TURN,
    "event_loop_lag_seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    "tool_latency_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    "session_duration_seconds": (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200),
}
"""Upper bounds of every histogram: dense where a caller notices the difference."""

ERROR_CODES = frozenset(
    (
        *("invalid_value", "invalid_event", "invalid_json", "invalid_audio", "missing_required_parameter"),
        *("unknown_parameter", "cannot_update_voice", "agent_not_found", "model_not_found", "invalid_api_key"),
        *("input_audio_buffer_commit_empty", "input_audio_buffer_full", "item_create_duplicate_item_id"),
        *("item_delete_invalid_item_id", "item_retrieve_invalid_item_id", "item_truncate_invalid_item_id"),
        *("conversation_already_has_active_response", "response_cancel_not_active", "mcp_list_tools_failed"),
        *("rate_limit_exceeded", "context_length_exceeded", "insufficient_quota", "session_expired", "server_error"),
        *("provider_unavailable", "provider_error"),
    )
)
"""Codes of error events that are counted apart. Any other, which a hosted provider may think of, counts as ``other``:
whoever is asked must not decide how long the page is."""

_LAG_EVERY_S = 0.5
_CAUSES = {"turn_detected": "speech", "client_cancelled": "client"}


class Metrics:
    """All metrics of one server, in a registry of their own. Calling it is the tap.

    The methods are cheap and may be called on the event loop.
    """

    def __init__(self, version: str, engines: Mapping[str, str] | None = None) -> None:
        """engines: name of the engine by kind (vad, stt, llm, tts), shown in ``kammerton_build_info``."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._active = self._gauge("sessions_active", "Sessions open now.", "door")
        self._sessions = self._counter("sessions", "Sessions that ended or were refused.", "door", "outcome")
        self._reports = self._counter(
            "carrier_reports", "What carriers reported of calls and streams.", "door", "report"
        )
        self._elsewhere = self._counter(
            "cloud_sessions", "Sessions that a hosted provider served, and why.", "provider", "reason"
        )
        self._access = self._counter("access_refused", "Callers who were not let in.", "reason")
        self._duration = self._histogram("session_duration_seconds", "How long sessions lasted.")
        self._latency = self._histogram(
            "turn_latency_seconds", "Time from the end of the caller's speech to the end of a stage.", "stage"
        )
        self._elsewhere_latency = self._histogram(
            "cloud_turn_latency_seconds",
            "The same where a hosted provider answers, as its events tell it here.",
            *("provider", "stage"),
        )
        self._responses = self._counter("responses", "Responses by how they ended.", "status")
        self._interruptions = self._counter("interruptions", "Answers cut short, by what cut them.", "cause")
        self._switches = self._counter("language_switches", "Calls that changed over to another language.", "language")
        self._failures = self._counter("engine_errors", "Engine failures by the work that they ended.", "work")
        self._prompts = self._counter(
            "prompt_tokens",
            "Tokens of finished responses' prompts, found in the model's prefix cache or read anew.",
            "source",
        )
        self._gauge("tasks", "Tasks of the event loop: what goes on rising is a leak.").set_function(_tasks)
        self._lag = self._histogram("event_loop_lag_seconds", "How late the event loop wakes what is due.")
        self._client_errors = self._counter("client_errors", "Error events sent to clients.", "code")
        self._tools = self._counter("tool_calls", "Calls of server tools by how they ended.", "outcome")
        self._tool_latency = self._histogram("tool_latency_seconds", "How long calls of server tools took.")
        self._escalations = self._counter("escalations", "Callers who went to a human, by what set it off.", "trigger")
        kinds = ("vad", "stt", "llm", "tts")
        build = self._gauge("build_info", "What is running; always 1.", "version", *kinds)
        build.labels(version, *((engines or {}).get(kind, "") for kind in kinds)).set(1)
        for stage in STAGES:
            self._latency.labels(stage)
        for source in ("cache", "read"):
            self._prompts.labels(source)

    def __call__(self, session_id: str, input: Input | None, outputs: Sequence[Output]) -> None:
        if isinstance(input, TranscriptFailed):
            self._failures.labels("transcription").inc()
        elif isinstance(input, ResponseFailed):
            self._failures.labels("response").inc()
        elif isinstance(input, ToolFinished):
            self._tools.labels(input.outcome.value).inc()
            self._tool_latency.observe(input.seconds)
            if escalation := input.facts.get("escalation"):
                self._escalations.labels(escalation["trigger"]).inc()
        for output in outputs:
            if isinstance(output, ResponseDone):
                self._count_response(output)
            elif isinstance(output, Error):
                self._client_errors.labels(output.code if output.code in ERROR_CODES else "other").inc()

    def observe_stage(self, stage: str, seconds: float) -> None:
        """One turn reached the end of ``stage`` this long after the caller stopped speaking."""
        self._latency.labels(stage).observe(seconds)

    def observe_elsewhere(self, provider: str, stage: str, seconds: float) -> None:
        """The same of a turn that a hosted provider answers."""
        self._elsewhere_latency.labels(provider, stage).observe(seconds)

    async def watch_loop(self) -> None:
        """Look twice a second how late the event loop is, until cancelled: audio of all calls waits for as long."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + _LAG_EVERY_S
            await asyncio.sleep(_LAG_EVERY_S)
            self._lag.observe(max(0.0, clock() - due))

    def session_opened(self, door: str) -> None:
        self._active.labels(door).inc()

    def session_closed(self, door: str, outcome: str, seconds: float) -> None:
        """outcome: closed, lost, error or the like; one word of a fixed few."""
        self._active.labels(door).dec()
        self._sessions.labels(door, outcome).inc()
        self._duration.observe(seconds)

    def session_refused(self, door: str) -> None:
        """No session was opened: all places are taken."""
        self._sessions.labels(door, "refused").inc()

    def carrier_reported(self, door: str, report: str) -> None:
        """report: one word of a fixed few."""
        self._reports.labels(door, report).inc()

    def served_elsewhere(self, provider: str, reason: str) -> None:
        """A session goes to a hosted provider. reason: primary, full or ill."""
        self._elsewhere.labels(provider, reason).inc()

    def access_refused(self, reason: str) -> None:
        """Nobody with a right key, or a page of another origin. reason: one word of a fixed few."""
        self._access.labels(reason).inc()

    def page(self) -> tuple[bytes, str]:
        """Body and content type of the metrics page."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _count_response(self, event: ResponseDone) -> None:
        response = event.response
        self._responses.labels(response.status.value).inc()
        if response.switched_from is not None:
            self._switches.labels(response.language or "").inc()
        if response.status is ResponseStatus.CANCELLED and response.reason in _CAUSES:
            self._interruptions.labels(_CAUSES[response.reason]).inc()

        if response.usage is not None:
            # A model here reads all as text, a hosted one speech as well; both count what was cached of either.
            prompt = response.usage.input_text + response.usage.input_audio
            cached = min(prompt, response.usage.cached)
            self._prompts.labels("cache").inc(cached)
            self._prompts.labels("read").inc(prompt - cached)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace="kammerton", registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace="kammerton", registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, namespace="kammerton", registry=self.registry, buckets=BUCKETS[name])


def _tasks() -> float:
    """None outside of an event loop."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
