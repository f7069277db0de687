"""Server events of the OpenAI Realtime API (GA), read as this server's own.

Each reader takes the event's JSON object and raises KeyError, TypeError or ValueError for one that is not as the API
has it; ``Reader.read`` passes over such events, and over those that it does not know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pybase64

from server.core import events as e

_log = logging.getLogger(__name__)

Json = Mapping[str, Any]

_REASONS = ("turn_detected", "client_cancelled", "max_output_tokens", "content_filter")
_PARTS = {"text": "input_text", "input_text": "input_text", "input_audio": "input_audio"}
_SPOKEN = {"audio": "output_audio", "output_audio": "output_audio", "text": "output_text", "output_text": "output_text"}


class Reader:
    """One connection's events. conversation_id: what the session's conversation is called here. offset_ms: what the
    provider's clock of the caller's audio lacks of this session's."""

    def __init__(self, config: e.SessionConfig, conversation_id: str, offset_ms: int) -> None:
        self.config = config
        self._conversation_id = conversation_id
        self._offset_ms = offset_ms
        self._formats: dict[str, e.AudioFormat] = {}
        self._spoken: dict[str, int] = {}
        self._turns: dict[str, tuple[int, int]] = {}

    def read(self, event: Json) -> e.Event | None:
        """None for what has no meaning here."""
        kind = event.get("type")
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            if kind not in _PASSED_OVER:
                _log.info("unknown provider event", extra={"type": str(kind)[:64]})
            return None
        try:
            for name in ("item_id", "response_id", "delta"):
                if not isinstance(event.get(name, ""), str):
                    raise TypeError(f"{name} is no string")
            return reader(self, event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _log.warning("bad provider event", extra={"type": kind, "reason": type(error).__name__})
            return None

    # ---------------------------------------------------------------------------- the caller's turn

    def _speech_started(self, event: Json) -> e.Event:
        start = int(event["audio_start_ms"]) + self._offset_ms
        self._turns[event["item_id"]] = (start, start)
        return e.SpeechStarted(event["item_id"], start)

    def _speech_stopped(self, event: Json) -> e.Event:
        end = int(event["audio_end_ms"]) + self._offset_ms
        start, _ = self._turns.get(event["item_id"], (end, end))
        self._turns[event["item_id"]] = (start, end)
        return e.SpeechStopped(event["item_id"], end)

    def _timeout(self, event: Json) -> e.Event:
        start, end = int(event["audio_start_ms"]), int(event["audio_end_ms"])
        return e.TimeoutTriggered(event["item_id"], start + self._offset_ms, end + self._offset_ms)

    def _committed(self, event: Json) -> e.Event:
        return e.AudioCommitted(event["item_id"], event.get("previous_item_id"))

    def _cleared(self, event: Json) -> e.Event:
        return e.AudioCleared()

    def _words(self, event: Json) -> e.Event | None:
        return e.TranscriptionDelta(event["item_id"], event["delta"]) if event.get("delta") else None

    def _all_words(self, event: Json) -> e.Event:
        usage = event.get("usage") or {}
        start, end = self._turns.pop(event["item_id"], (0, 0))
        seconds = usage.get("seconds", (end - start) / 1000)
        logprobs = event.get("logprobs")
        told = tuple(e.TokenLogprob(one["token"], float(one["logprob"])) for one in logprobs) if logprobs else None
        return e.TranscriptionCompleted(event["item_id"], event["transcript"], float(seconds), told)

    def _no_words(self, event: Json) -> e.Event:
        self._turns.pop(event["item_id"], None)
        return e.TranscriptionFailed(event["item_id"], str(event["error"].get("message") or "transcription failed"))

    # ---------------------------------------------------------------------------------------- items

    def _item_added(self, event: Json) -> e.Event:
        return e.ItemAdded(read_item(event["item"]), event.get("previous_item_id"))

    def _item_done(self, event: Json) -> e.Event:
        return e.ItemDone(read_item(event["item"]), event.get("previous_item_id"))

    def _item_deleted(self, event: Json) -> e.Event:
        return e.ItemDeleted(event["item_id"])

    def _item_truncated(self, event: Json) -> e.Event:
        return e.ItemTruncated(event["item_id"], int(event["content_index"]), int(event["audio_end_ms"]))

    # ------------------------------------------------------------------------------------ responses

    def _response_created(self, event: Json) -> e.Event:
        view = self._view(event["response"])
        self._formats[view.id] = view.output_format
        return e.ResponseCreated(view)

    def _response_done(self, event: Json) -> e.Event:
        view = self._view(event["response"])
        self._formats.pop(view.id, None)
        for item in view.output:
            self._spoken.pop(item.id, None)
        return e.ResponseDone(view)

    def _view(self, response: Json) -> e.ResponseView:
        details = response.get("status_details") or {}
        error = details.get("error") or {}
        output = (response.get("audio") or {}).get("output") or {}
        wire = (output.get("format") or {}).get("type", self.config.output_format)
        tokens = response.get("max_output_tokens")
        modalities = response.get("output_modalities") or [self.config.modality]
        status = e.ResponseStatus(response["status"])
        usage = response.get("usage")
        return e.ResponseView(
            id=response["id"],
            status=status,
            conversation=self._conversation_id if response.get("conversation_id") else "",
            modality=str(modalities[0]),
            voice=self.config.voice,
            output_format=e.AudioFormat(wire),
            max_output_tokens=tokens if isinstance(tokens, int) else None,
            metadata=response.get("metadata"),
            output=tuple(read_item(item) for item in response.get("output") or ()),
            reason=details.get("reason") if details.get("reason") in _REASONS else None,
            error_code=str(error.get("code") or "provider_error") if status is e.ResponseStatus.FAILED else None,
            error_message=str(error.get("message") or "") if status is e.ResponseStatus.FAILED else None,
            usage=None if usage is None and status is e.ResponseStatus.IN_PROGRESS else read_usage(usage or {}),
            language=self.config.language,
        )

    def _output_added(self, event: Json) -> e.Event:
        return e.OutputItemAdded(event["response_id"], int(event["output_index"]), read_item(event["item"]))

    def _output_done(self, event: Json) -> e.Event:
        return e.OutputItemDone(event["response_id"], int(event["output_index"]), read_item(event["item"]))

    def _part_added(self, event: Json) -> e.Event:
        return e.ContentPartAdded(*_where(event), event["part"]["type"])

    def _part_done(self, event: Json) -> e.Event:
        part = event["part"]
        return e.ContentPartDone(*_where(event), part["type"], part.get("transcript") or part.get("text") or "")

    def _text(self, event: Json) -> e.Event:
        return e.OutputTextDelta(*_where(event), event["delta"])

    def _text_done(self, event: Json) -> e.Event:
        return e.OutputTextDone(*_where(event), event["text"])

    def _audio(self, event: Json) -> e.Event:
        response_id, item_id, index = _where(event)
        audio = pybase64.b64decode(event["delta"])
        start = self._spoken.get(item_id, 0)
        samples = len(audio) // self._formats.get(response_id, self.config.output_format).width
        self._spoken[item_id] = start + samples
        return e.OutputAudioDelta(response_id, item_id, index, audio, start, samples)

    def _audio_done(self, event: Json) -> e.Event:
        return e.OutputAudioDone(*_where(event))

    def _transcript(self, event: Json) -> e.Event:
        return e.OutputTranscriptDelta(*_where(event), event["delta"])

    def _transcript_done(self, event: Json) -> e.Event:
        return e.OutputTranscriptDone(*_where(event), event["transcript"])

    def _arguments(self, event: Json) -> e.Event:
        return e.FunctionArgumentsDelta(*_where(event), event["call_id"], event["delta"])

    def _arguments_done(self, event: Json) -> e.Event:
        return e.FunctionArgumentsDone(*_where(event), event["call_id"], event.get("name", ""), event["arguments"])


def _where(event: Json) -> tuple[str, str, int]:
    return event["response_id"], event["item_id"], int(event["output_index"])


def read_item(item: Json) -> e.Item:
    """An item. Raises KeyError, TypeError or ValueError for what is none."""
    kind = e.ItemKind(item["type"])
    status = e.ItemStatus(item.get("status") or e.ItemStatus.COMPLETED)
    if kind is e.ItemKind.FUNCTION_CALL:
        return e.Item(
            item["id"],
            kind,
            status,
            call_id=item.get("call_id") or "",
            name=item["name"],
            arguments=item.get("arguments") or "",
        )
    if kind is e.ItemKind.FUNCTION_CALL_OUTPUT:
        return e.Item(item["id"], kind, status, call_id=item["call_id"], output=item["output"])
    if kind is not e.ItemKind.MESSAGE:
        raise ValueError("an item of a kind that was not asked for")
    role = item["role"]
    kinds = _SPOKEN if role == "assistant" else _PARTS
    content = tuple(_read_part(part, kinds[part["type"]]) for part in item.get("content") or ())
    return e.Item(item["id"], kind, status, role=role, content=content)


def _read_part(part: Json, kind: str) -> e.ContentPart:
    return e.ContentPart(kind, part.get("transcript") if kind.endswith("audio") else part.get("text") or "")


def read_usage(usage: Json) -> e.TokenUsage:
    """``usage`` of a response; what the provider does not count apart is text."""
    heard, said = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    input_audio, output_audio = int(heard.get("audio_tokens") or 0), int(said.get("audio_tokens") or 0)
    return e.TokenUsage(
        input_text=max(0, int(usage.get("input_tokens") or 0) - input_audio),
        input_audio=input_audio,
        cached=int(heard.get("cached_tokens") or 0),
        output_text=max(0, int(usage.get("output_tokens") or 0) - output_audio),
        output_audio=output_audio,
    )


_TRANSCRIPTION = "conversation.item.input_audio_transcription"

_READERS: Mapping[str, Callable[[Reader, Json], e.Event | None]] = {
    "input_audio_buffer.speech_started": Reader._speech_started,
    "input_audio_buffer.speech_stopped": Reader._speech_stopped,
    "input_audio_buffer.timeout_triggered": Reader._timeout,
    "input_audio_buffer.committed": Reader._committed,
    "input_audio_buffer.cleared": Reader._cleared,
    f"{_TRANSCRIPTION}.delta": Reader._words,
    f"{_TRANSCRIPTION}.completed": Reader._all_words,
    f"{_TRANSCRIPTION}.failed": Reader._no_words,
    "conversation.item.added": Reader._item_added,
    "conversation.item.done": Reader._item_done,
    "conversation.item.deleted": Reader._item_deleted,
    "conversation.item.truncated": Reader._item_truncated,
    "response.created": Reader._response_created,
    "response.done": Reader._response_done,
    "response.output_item.added": Reader._output_added,
    "response.output_item.done": Reader._output_done,
    "response.content_part.added": Reader._part_added,
    "response.content_part.done": Reader._part_done,
    "response.output_text.delta": Reader._text,
    "response.output_text.done": Reader._text_done,
    "response.output_audio.delta": Reader._audio,
    "response.output_audio.done": Reader._audio_done,
    "response.output_audio_transcript.delta": Reader._transcript,
    "response.output_audio_transcript.done": Reader._transcript_done,
    "response.function_call_arguments.delta": Reader._arguments,
    "response.function_call_arguments.done": Reader._arguments_done,
}

_PASSED_OVER = ("conversation.created", "rate_limits.updated", f"{_TRANSCRIPTION}.segment")
"""Of no use here: the limits are those of the operator's account, which no client has to see."""
