"""A Gemini dialect under test, and words to speak of what comes of it."""

from __future__ import annotations

import base64
import json
from itertools import count
from typing import Any

import numpy as np

from server.cloud import base as b
from server.cloud.gemini import GeminiDialect
from server.cloud.gemini_setup import GeminiOptions
from server.core import events as e
from tests.cloud import gemini_wire as service
from tests.cloud.protocol import Order

NEW, OLD = "gemini-3.8-live", "gemini-live-2.5-flash-native-audio"
PCM = np.full(2400, 900, "<i2").tobytes()
TOOL = e.Tool("get_opening_hours", "When it is open.", {"type": "object", "properties": {"day": {"type": "string"}}})
DEFAULT = e.SessionConfig()
BY_HAND = e.SessionConfig(turn_detection=None)


class Session:
    """A dialect, set up; what it sends is checked as the service would, its events as a client would."""

    def __init__(self, model: str = NEW, config: e.SessionConfig = DEFAULT, *items: e.Item) -> None:
        numbers = count(1)
        options = GeminiOptions(model, "key-of-the-operator")
        self.dialect = GeminiDialect(options, "conv_1", lambda prefix: f"{prefix}_{next(numbers)}")
        self.order = Order()
        self.sent: list[tuple[str, Any]] = []
        self.open(config, *items)

    def open(self, config: e.SessionConfig = DEFAULT, *items: e.Item) -> None:
        """A new connection."""
        self.see(self.dialect.open(b.Start(config, items)))
        self.says(setupComplete={})

    def see(self, steps: list[b.Step]) -> list[b.Step]:
        self.sent += [service.read(step.frame) for step in steps if isinstance(step, b.Send)]
        events = [step for step in steps if not isinstance(step, b.Send)]
        self.order.see(events)
        return events

    def says(self, **message: Any) -> list[b.Step]:
        """A message of the service, as a binary frame."""
        return self.see(self.dialect.read(json.dumps(message).encode()))

    def content(self, **content: Any) -> list[b.Step]:
        """The same, a serverContent."""
        return self.says(serverContent=content)

    def speaks(self, ms: int = 40, rate: int = 24_000) -> list[b.Step]:
        """A piece of an answer."""
        data = base64.b64encode(np.full(rate * ms // 1000, 700, "<i2").tobytes()).decode()
        return self.content(modelTurn={"parts": [{"inlineData": {"mimeType": f"audio/pcm;rate={rate}", "data": data}}]})

    def tell(self, command: b.Command) -> list[b.Step]:
        return self.see(self.dialect.tell(command))

    def hear(self, ms: int = 1000) -> None:
        """Sound of the caller."""
        steps = self.dialect.hear(PCM * (ms // 100), e.AudioFormat.PCM)
        self.sent += [service.read(step.frame) for step in steps]

    def types(self, text: str, item_id: str = "typed") -> None:
        item = e.Item(item_id, e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),))
        self.tell(e.CreateItem("e1", item, None))

    def last(self) -> tuple[str, Any]:
        return self.sent[-1]


def kinds(steps: list[b.Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def only(steps: list[b.Step], kind: type[Any]) -> Any:
    (found,) = [step for step in steps if isinstance(step, kind)]
    return found


def message(item_id: str, role: str, text: str) -> e.Item:
    kind = "output_text" if role == "assistant" else "input_text"
    return e.Item(item_id, e.ItemKind.MESSAGE, role=role, content=(e.ContentPart(kind, text),))
