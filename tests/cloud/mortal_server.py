"""A server whose chat model is a process of its own, at the URL in CHAT_MODEL, so that it can be killed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from models import catalog
from models.llm.openai_chat import OpenAIChat
from server.__main__ import main

_load = catalog.load


def load(*arguments: Any, **options: Any) -> catalog.Engines:
    model = OpenAIChat(os.environ["CHAT_MODEL"] + "/v1", "kammerton", name="mortal", context=2048)
    return replace(_load(*arguments, **options), llm=model)


if __name__ == "__main__":
    with patch.object(catalog, "load", load):
        main()
