"""Whether a GPU is large enough is told before anything is loaded, with what would fit."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from models import gpu
from models.base import CatalogError
from models.entries import entries, profiles
from models.gpu import Gpu, check_fits, find_gpus


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the only programs there are; no GPU's device."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu, "_DEVICES", (tmp_path / "nvidiactl",))
    return tmp_path


def says(folder: Path, text: str, code: int = 0) -> None:
    program = folder / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\n[ \"$1\" = --query-gpu=memory.total,memory.free,name ] && printf '{text}'\nexit {code}\n"
    )
    program.chmod(0o755)


def test_the_memory_of_each_gpu_is_read_in_megabytes(nvidia_smi: Path):
    says(nvidia_smi, "15360, 1000, Tesla T4\\n81559, 80000, NVIDIA H100, 80GB\\n")
    assert find_gpus() == [
        Gpu("Tesla T4", pytest.approx(16106, abs=1), pytest.approx(1048.6, abs=1)),
        Gpu("NVIDIA H100, 80GB", pytest.approx(85521, abs=1), pytest.approx(83886, abs=1)),
    ]


def test_a_gpu_too_small_is_named_with_what_would_fit(nvidia_smi: Path):
    says(nvidia_smi, "8188, 7900, NVIDIA GeForce RTX 4060\\n6144, 6000, NVIDIA GeForce GTX 1660\\n")
    with pytest.raises(CatalogError) as refused:
        check_fits(profiles()["gpu"])
    assert str(refused.value) == (
        "profile gpu needs 15,000 MB of GPU memory (whisper-large-v3-turbo 4,000, qwen3-4b-instruct 11,000),"
        " and NVIDIA GeForce RTX 4060 has 8,284 of 8,586 MB free; what would fit: tiny, cpu"
    )


def test_what_fits_may_be_a_smaller_profile_for_a_gpu(nvidia_smi: Path):
    says(nvidia_smi, "24564, 24000, NVIDIA GeForce RTX 4090\\n")
    with pytest.raises(CatalogError, match=r"profile gpu-large needs 69,000 MB.*what would fit: tiny, cpu, gpu$"):
        check_fits(profiles()["gpu-large"])
    says(nvidia_smi, "81559, 81000, NVIDIA H100 80GB HBM3\\n")
    check_fits(profiles()["gpu-large"])


def test_one_that_is_large_enough_is_enough(nvidia_smi: Path):
    says(nvidia_smi, "6144, 6000, NVIDIA GeForce GTX 1660\\n24564, 24000, NVIDIA GeForce RTX 4090\\n")
    check_fits(profiles()["gpu"])


@pytest.mark.parametrize("smi", [None, "", "15360, [N/A], Tesla T4"])
def test_without_a_gpu_profile_gpu_is_refused(nvidia_smi: Path, smi: str | None):
    if smi is not None:
        says(nvidia_smi, smi)
    with pytest.raises(CatalogError, match="there is no NVIDIA GPU here; what would fit: tiny, cpu"):
        check_fits(profiles()["gpu"])
    check_fits(profiles()["cpu"])


@pytest.mark.parametrize("smi", [None, "15360, [N/A], Tesla T4", "Failed to initialize NVML"])
def test_a_gpu_that_nobody_can_describe_is_tried(nvidia_smi: Path, smi: str | None, caplog: pytest.LogCaptureFixture):
    (nvidia_smi / "nvidiactl").touch()
    if smi is not None:
        says(nvidia_smi, smi, code=9 if smi.startswith("Failed") else 0)
    with caplog.at_level(logging.WARNING):
        check_fits(profiles()["gpu"])
    assert ["nvidia-smi does not say" in record.message for record in caplog.records] == [True]


def test_what_the_catalogue_says_covers_at_least_the_weights():
    for entry in entries().values():
        assert entry.gpu_mb == 0 or entry.gpu_mb > entry.size_mb, entry.name
        on_gpu = entry.options.get("device") == "cuda" or entry.engine.startswith("vllm.")
        assert (entry.gpu_mb > 0) == on_gpu, entry.name
