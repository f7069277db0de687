"""Dialogues as tokens, through the model's own chat template and tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from tokenizers import Tokenizer

from scripts.training.llm.call import Dialogue

OPENING = '<tool_call>\n{"name": "'
"""With which a server begins the answer when a tool must be called."""
_ANSWER = re.compile(r"(?<=<\|im_start\|>assistant\n).*?<\|im_end\|>", re.DOTALL)


class Template:
    """The chat template of a model's folder."""

    def __init__(self, folder: Path) -> None:
        environment = jinja2.Environment(keep_trailing_newline=True)
        # Jinja's own filter escapes for HTML and sorts the keys.
        environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        self._template = environment.from_string((folder / "chat_template.jinja").read_text(encoding="utf-8"))

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], *, prompt: bool = False
    ) -> str:
        """prompt: with the beginning of the assistant's next turn."""
        return self._template.render(messages=messages, tools=list(tools) or None, add_generation_prompt=prompt)


class Renderer:
    """folder: a model's, with tokenizer.json and chat_template.jinja."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._template = Template(folder)

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        """Token ids that the assistant's next turn follows."""
        text = self._template.render(messages, tools, prompt=True)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def example(self, dialogue: Dialogue) -> tuple[list[int], list[bool]]:
        """(token ids, which of them the assistant must produce: its words, calls and end-of-turn tokens). A turn that
        begins with a call was forced to: its opening is given, and must not be learned."""
        text = self._template.render(dialogue.messages(), dialogue.tools)
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        spans = [(_start(match), match.end()) for match in _ANSWER.finditer(text)]
        marks, at = [], 0
        for start, end in encoding.offsets:
            while at < len(spans) and start >= spans[at][1]:
                at += 1
            marks.append(at < len(spans) and start >= spans[at][0] and end <= spans[at][1])
        return encoding.ids, marks


def _start(answer: re.Match[str]) -> int:
    return answer.start() + (len(OPENING) if answer[0].startswith(OPENING) else 0)
