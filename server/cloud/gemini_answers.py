"""The answers of a Gemini Live model, as responses of the Realtime API in protocol order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from models import audio
from models.base import Pcm16
from server.core import events as e
from server.core.conversation import Conversation
from server.core.response import Response
from server.runtime.formats import encode


class Answers:
    """The response under way; at most one. conversation: the items of answers are added to it."""

    def __init__(self, conversation: Conversation, conversation_id: str, new_id: Callable[[str], str]) -> None:
        self._conversation, self._conversation_id, self._new_id = conversation, conversation_id, new_id
        self._sent: dict[str, int] = {}
        self._truncations: list[e.ItemTruncated] = []
        self.reset()

    def reset(self) -> None:
        """Nothing is under way any more."""
        self._response: Response | None = None
        self._resampler: audio.Resampler | None = None
        self._last_item = ""
        self.generated = False
        """Whether the model is done with it, and waits for it to be played."""
        self.interrupted = False
        """Whether the caller has spoken over it."""

    @property
    def active(self) -> Response | None:
        """The response that is not done."""
        return self._response

    def begin(self, config: e.SessionConfig, overrides: e.ResponseOverrides) -> list[e.Event]:
        """A response becomes visible. None may be under way."""
        view = e.ResponseView(
            id=self._new_id("resp"),
            status=e.ResponseStatus.IN_PROGRESS,
            conversation=self._conversation_id,
            modality=config.modality,
            voice=config.voice,
            output_format=overrides.output_format or config.output_format,
            max_output_tokens=config.max_output_tokens,
            metadata=overrides.metadata,
        )
        self.reset()
        self._response = Response(view, self._conversation, self._new_id, self._book, overrides)
        return [self._response.created()]

    def say(self, pcm: Pcm16, rate: int) -> list[e.Event]:
        """Samples of it. Who wants text gets the words alone."""
        response = self._response
        if response is None or response.view.modality != "audio":
            return []
        target = response.view.output_format.rate
        events: list[e.Event] = []
        if self._resampler is None or self._resampler.rate_in != rate:
            events += self._rest()
            self._resampler = audio.Resampler(rate, target)
        return [*events, *self._audio(response, self._resampler.push(pcm))]

    def words(self, text: str) -> list[e.Event]:
        """Words of it: of what is spoken, or in its place."""
        return self._response.text(text) if self._response else []

    def call(self, call_id: str, name: str, arguments: str) -> list[e.Event]:
        """A function call, complete."""
        response = self._response
        if response is None:
            return []
        fact = e.ResponseToolCall(response.id, call_id, name, arguments, done=True)
        return [*self._rest(), *response.call(fact)]

    def made(self) -> list[e.Event]:
        """The model has said all of it."""
        self.generated = True
        return self._rest()

    def finish(
        self, status: e.ResponseStatus, usage: e.TokenUsage | None = None, reason: str | None = None
    ) -> list[e.Event]:
        """The response is done; none may be under way."""
        response = self._response
        if response is None:
            return []
        events = self._rest()
        view = replace(response.view, usage=usage or e.TokenUsage(), reason=reason)
        if status is e.ResponseStatus.FAILED:
            view = replace(view, error_code="model_error", error_message=reason or "", reason=None)
        events += response.finish(status, view)
        # What the door truncates while it is still spoken counts once it is whole.
        truncations, self._truncations = self._truncations, []
        self.reset()
        return [*events, *truncations]

    def truncate(self, command: e.TruncateItem) -> list[e.Event]:
        """The client has played so much of an answer. Gemini reckons that for itself."""
        truncated = e.ItemTruncated(command.item_id, command.content_index, command.audio_end_ms)
        if self._response is not None and command.item_id == self._last_item:
            self._truncations.append(truncated)
            return []
        return [truncated]

    def spoken(self, item_id: str) -> bool:
        """Whether the item is an answer with sound."""
        return item_id in self._sent

    def _rest(self) -> list[e.Event]:
        """What the filter still holds; the next samples begin anew."""
        resampler, self._resampler = self._resampler, None
        if resampler is None or self._response is None:
            return []
        return self._audio(self._response, resampler.flush())

    def _audio(self, response: Response, pcm: Pcm16) -> list[e.Event]:
        if not len(pcm):
            return []
        data = encode(pcm, response.view.output_format)
        return response.audio(e.ResponseAudio(response.id, data, len(pcm)))

    def _book(self, item_id: str, fact: e.ResponseAudio) -> int:
        start = self._sent.get(item_id, 0)
        self._sent[item_id] = start + fact.samples
        self._last_item = item_id
        return start
