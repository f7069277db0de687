"""A chat model without weights, for vLLM's `--load-format dummy`: it answers nonsense of any length asked for.

Sizes: config.json of Qwen/Qwen3-8B. Tokenizer and chat template are those of the bundled model, whose vocabulary is
filled up, and whose end of turn is a token that is as good as never sampled.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

_START, _END = "<|im_start|>", "<|im_end|>"
_COPIED = ("chat_template.jinja",)


@dataclass(frozen=True, slots=True)
class Size:
    """hidden: width; inner: of the feed-forward part; heads, groups: of queries, and of keys and values."""

    hidden: int
    inner: int
    layers: int
    heads: int
    groups: int
    head: int
    vocabulary: int


QWEN3_8B = Size(hidden=4096, inner=12_288, layers=36, heads=32, groups=8, head=128, vocabulary=151_936)
SMALL = Size(hidden=64, inner=128, layers=2, heads=2, groups=1, head=32, vocabulary=4096)
CONTEXT = 32_768


def write(folder: Path, size: Size, bundled: Path) -> None:
    """config.json, the tokenizer's files, and a file in the place of weights. bundled: the folder of a chat model."""
    Console(stderr=True).print(f"writing a chat model without weights to {folder}")
    for name in _COPIED:
        shutil.copy(bundled / name, folder)
    last = size.vocabulary - 1
    config = {
        **{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "dtype": "bfloat16", "hidden_act": "silu"},
        **{"hidden_size": size.hidden, "intermediate_size": size.inner, "num_hidden_layers": size.layers},
        **{"num_attention_heads": size.heads, "num_key_value_heads": size.groups, "head_dim": size.head},
        **{"vocab_size": size.vocabulary, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-6},
        **{"rope_theta": 1e6, "attention_bias": False, "attention_dropout": 0.0, "tie_word_embeddings": False},
        **{"eos_token_id": last, "bos_token_id": None, "pad_token_id": last},
    }
    _write(folder / "config.json", config)
    _write(folder / "generation_config.json", {"eos_token_id": last, "do_sample": False})
    _write(folder / "tokenizer.json", _tokenizer(bundled / "tokenizer.json", size.vocabulary))
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": f"w{last}", "pad_token": f"w{last}"}
    _write(folder / "tokenizer_config.json", {**described, "model_max_length": CONTEXT})
    (folder / "model.safetensors").write_bytes(b"")


def _tokenizer(source: Path, vocabulary: int) -> dict[str, object]:
    """Only the two tokens of the chat template are special: a model of random numbers may love any other."""
    tokenizer: dict[str, object] = json.loads(source.read_text(encoding="utf-8"))
    model, added = tokenizer["model"], tokenizer["added_tokens"]
    assert isinstance(model, dict)
    assert isinstance(added, list)
    kept = [token for token in added if token["content"] in (_START, _END)]
    taken = {token["id"] for token in kept} | set(model["vocab"].values())
    last = vocabulary - 1
    fill = {f"\u0120w{number}": number for number in range(last) if number not in taken}
    model["vocab"] = {**model["vocab"], **{token["content"]: token["id"] for token in kept}, **fill, f"w{last}": last}
    end = {**kept[0], "id": last, "content": f"w{last}"}
    tokenizer["added_tokens"] = [*kept, end]
    return tokenizer


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
