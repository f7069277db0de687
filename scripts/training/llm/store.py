"""Model folders in the layout that transformers, vLLM and the CTranslate2 converter read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from scripts.training.llm import tools
from scripts.training.llm.network import ChatNetwork, Shape

COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def load(folder: Path, *, layers: int | None = None) -> ChatNetwork:
    """The network of a folder. layers: how many it shall have; new ones are spread between the given ones and pass on
    what they get, so that the network says at first what it said before."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    given = config["num_hidden_layers"]
    shape = Shape(
        vocabulary=config["vocab_size"],
        width=config["hidden_size"],
        layers=layers or given,
        heads=config["num_attention_heads"],
        key_heads=config["num_key_value_heads"],
        head=config["head_dim"],
        inner=config["intermediate_size"],
        positions=config["max_position_embeddings"],
    )
    if shape.layers < given:
        raise SystemExit(f"{folder} has {given} layers, more than {shape.layers}")
    network = ChatNetwork(shape)
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    weights.pop("lm_head.weight", None)
    places = sorted(range(shape.layers), key=lambda at: (at * given) % shape.layers >= given)[:given]
    places.sort()
    state = network.state_dict()
    for name, tensor in weights.items():
        parts = name.split(".")
        if parts[1] == "layers":
            parts[2] = str(places[int(parts[2])])
        state[".".join(parts)] = tensor
    for at in set(range(shape.layers)) - set(places):
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            state[f"model.layers.{at}.{name}.weight"].zero_()
    network.load_state_dict(state)
    return network


def save(network: ChatNetwork, folder: Path, companions: Path) -> None:
    """Write config, bfloat16 weights, tools.json and, from companions, tokenizer and chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # the library makes it the owner's alone
    _write(folder / "config.json", _config(network.shape))
    generation = {"do_sample": False, "eos_token_id": [2, 0], "max_new_tokens": 200, "pad_token_id": 0}
    _write(folder / "generation_config.json", generation)
    (folder / "tools.json").write_text(json.dumps(tools.standard(), indent=1) + "\n", encoding="utf-8")
    for name in COMPANIONS:
        if companions.resolve() != folder.resolve():
            shutil.copyfile(companions / name, folder / name)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "dtype": "bfloat16",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "head_dim": shape.head,
        "intermediate_size": shape.inner,
        "max_position_embeddings": shape.positions,
        "rope_parameters": {"rope_theta": shape.theta, "rope_type": "default"},
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "layer_types": ["full_attention"] * shape.layers,
        "max_window_layers": shape.layers,
        "sliding_window": None,
        "use_sliding_window": False,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
