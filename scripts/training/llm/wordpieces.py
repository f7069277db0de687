"""The tokenizer: byte pairs learned from simulated calls, with the scaffold of JSON schemas kept in few tokens."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from scripts.training.llm import tools
from scripts.training.llm.render import Template
from scripts.training.llm.simulator import whole

SIZE = 2304
_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
_SCHEMA_WORDS = "type|function|name|description|parameters|object|properties|string|required|arguments"
_GLUE = rf'[{{}}\[\]:,]|"(?!(?:{_SCHEMA_WORDS})")|(?<=[:,]) (?=["{{\[])'
# In this order: schema words with the marks around them; marks alone; 's; the space before a capital or a digit, so
# that a name has the same tokens in speech and in JSON; single digits; words; the rest.
_SPLIT = (
    rf'(?:{_GLUE})*(?:"(?:{_SCHEMA_WORDS})"(?:{_GLUE})*)+|(?:{_GLUE})+'
    r"|'\p{L}+| (?=[\p{Lu}\p{N}])|\p{N}| ?[\p{L}_]+(?:'\p{L}+)?|[^\s\p{L}\p{N}]+|\n+| +"
)


def learn(template_folder: Path, target: Path, *, dialogues: int, seed: int) -> None:
    """Write tokenizer.json, and the template and settings that go with it, to target. template_folder: with
    chat_template.jinja and tokenizer_config.json."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        shutil.copyfile(template_folder / name, target / name)
    template = Template(target)
    fixed = _fixed_texts(template)
    rng = random.Random(seed)
    texts = []
    for _ in range(dialogues):
        call = whole(rng)
        text = template.render(call.messages(), call.tools)
        for piece in (*fixed, *_CONTROL, *_MARKS):
            text = text.replace(piece, "\n")
        texts.append(text)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(_MARKS) - len(fixed),
        special_tokens=list(_CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Ordinary entries: they must not vanish when special tokens are skipped.
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in (*_MARKS, *fixed)])
    tokenizer.save(str(target / "tokenizer.json"))


def _fixed_texts(template: Template) -> tuple[str, str]:
    """What the template writes before and after the list of tools."""
    text = template.render([], [tools.schema("end_call")])
    start, end = text.index("<tools>\n") + len("<tools>\n"), text.index("\n</tools>")
    return text[text.index("# Tools") : start], text[end : text.index("<|im_end|>")]
