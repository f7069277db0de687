"""A chat model's folder that is damaged or does not fit together is refused before anything runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import models
from models.base import WeightsError
from models.llm.ctranslate2 import CTranslate2Chat

FOLDER = Path(models.__file__).parent / "bundled" / "llm" / "tiny" / "ctranslate2"


@pytest.mark.parametrize("file", ["model.bin", "config.json", "vocabulary.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_damaged_weights_are_named(tmp_path: Path, file: str, damage: str):
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    path = folder / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError) as refused:
        CTranslate2Chat.load(folder, name="tiny")
    assert str(folder) in str(refused.value)
    assert refused.value.engine == "tiny"


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    (folder / "vocabulary.json").write_text(json.dumps(vocabulary[::-1]))
    with pytest.raises(WeightsError, match="do not belong together"):
        CTranslate2Chat.load(folder, name="tiny")


def test_a_model_without_an_end_of_turn_token_is_refused(tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token": None}))
    (folder / "generation_config.json").unlink()
    with pytest.raises(WeightsError, match="end-of-turn"):
        CTranslate2Chat.load(folder, name="tiny")
