"""What a chat model's folder says about it, besides the weights: tokens, template, limits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from models.base import WeightsError
from models.llm.chat_template import ChatTemplate
from models.llm.hermes import MARKS


@dataclass(frozen=True)
class ModelFolder:
    """vocabulary: the model's token of each id. end_ids: tokens that end a turn. silent_ids: control tokens, which are
    never words. control: finds control tokens, and tags of the tool-call format, written out in a text. context: tokens
    that prompt and answer may have together. generation: generation_config.json."""

    tokenizer: Tokenizer
    template: ChatTemplate
    vocabulary: tuple[str, ...]
    end_ids: frozenset[int]
    silent_ids: frozenset[int]
    control: re.Pattern[str]
    context: int
    generation: Mapping[str, Any]

    @classmethod
    def read(
        cls,
        folder: Path,
        name: str,
        *,
        context: int | None = None,
        template: Mapping[str, Any] | None = None,
        tools: bool = False,
    ) -> ModelFolder:
        """Raises WeightsError, naming the file, for what is missing, is not JSON or does not belong together, and
        CatalogError where ``tools`` are needed and the template has no place for them."""
        vocabulary = tuple(_json(folder, "vocabulary.json", name))
        config = _json(folder, "config.json", name)
        generation = _json(folder, "generation_config.json", name, optional=True)
        tokens = _json(folder, "tokenizer_config.json", name, optional=True)
        tokenizer = _tokenizer(folder, name)
        special = {
            index: token.content for index, token in tokenizer.get_added_tokens_decoder().items() if token.special
        }
        end_ids = _end_ids(generation, config, tokenizer)
        if not end_ids:
            raise WeightsError(name, f"{folder} names no end-of-turn token (generation_config.json)")
        if any(token >= len(vocabulary) or vocabulary[token] != tokenizer.id_to_token(token) for token in end_ids):
            raise WeightsError(name, f"{folder}: tokenizer.json and vocabulary.json do not belong together")
        limits = (context, config.get("max_position_embeddings"), tokens.get("model_max_length"))
        return cls(
            tokenizer=tokenizer,
            template=ChatTemplate.load(folder, name=name, variables=template, tools=tools),
            vocabulary=vocabulary,
            end_ids=end_ids,
            silent_ids=end_ids | {index for index, content in special.items() if content not in MARKS},
            control=re.compile("|".join(re.escape(content) for content in {*special.values(), *MARKS})),
            context=int(min((limit for limit in limits if limit), default=4096)),
            generation=generation,
        )


def _json(folder: Path, file: str, name: str, *, optional: bool = False) -> Any:
    path = folder / file
    if optional and not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(name, f"cannot read {path}: {error}") from error


def _tokenizer(folder: Path, name: str) -> Tokenizer:
    path = folder / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for whatever is wrong with the file
        raise WeightsError(name, f"cannot read {path}: {error}") from error


def _end_ids(generation: Mapping[str, Any], config: Mapping[str, Any], tokenizer: Tokenizer) -> frozenset[int]:
    """The end tokens of the generation config and the one that the converter took from the tokenizer."""
    listed = generation.get("eos_token_id")
    ids = set(listed) if isinstance(listed, list) else {listed}
    ids.add(tokenizer.token_to_id(config.get("eos_token") or ""))
    return frozenset(token for token in ids if isinstance(token, int))
