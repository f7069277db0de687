"""A converted model folder as something that answers many requests at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from scripts.training.llm.examination import Model, Request
from scripts.training.llm.render import Renderer

_LONGEST_ANSWER = 160


def load(folder: Path, *, batch_size: int = 16) -> Model:
    """folder: as scripts/convert_llm.py writes it. Greedy, one thread."""
    import ctranslate2  # type: ignore[import-untyped]

    renderer = Renderer(folder)
    generator = ctranslate2.Generator(str(folder), compute_type="int8", intra_threads=1)
    vocabulary = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))

    def answer(requests: Sequence[Request]) -> list[str]:
        prompts = [[vocabulary[token] for token in renderer.prompt(messages, tools)] for messages, tools in requests]
        results = generator.generate_batch(
            prompts,
            max_batch_size=batch_size,
            max_length=_LONGEST_ANSWER,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=[0, 2],
        )
        return [renderer.tokenizer.decode(result.sequences_ids[0], skip_special_tokens=True) for result in results]

    return answer
