"""Convert a chat model in the Hugging Face layout into a folder for Kammerton's CTranslate2 engine.

    python scripts/convert_llm.py SOURCE TARGET --quantization int8

Needs torch and transformers, which the server itself does not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja")


def convert(source: Path, target: Path, quantization: str) -> None:
    """Raises SystemExit with one line when the source lacks what the engine needs."""
    from ctranslate2.converters import TransformersConverter

    if not (source / "tokenizer.json").is_file():
        raise SystemExit(f"{source} has no tokenizer.json (a fast tokenizer)")
    TransformersConverter(str(source)).convert(str(target), quantization=quantization, force=True)
    for name in COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    # The library's own config does not say how long a prompt may be.
    limit = json.loads((source / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    path = target / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if limit:
        config["max_position_embeddings"] = limit
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with config.json, *.safetensors and tokenizer.json")
    parser.add_argument("target", type=Path, help="folder to write; overwritten")
    parser.add_argument("--quantization", default="int8", help="int8 (default), int8_float16, float16, float32, ...")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target, arguments.quantization)
    return 0


if __name__ == "__main__":
    sys.exit(main())
