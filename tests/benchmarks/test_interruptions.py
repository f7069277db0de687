"""The benchmark of interruptions counts what it says, on sounds that are what they are called."""

from __future__ import annotations

import numpy as np

from benchmarks.interruptions import INTERRUPTIONS, row, sounds
from benchmarks.speech import RATE


def test_the_sounds_are_audible_and_begin_where_they_say() -> None:
    made = sounds()
    assert sum(sound.meant for sound in made) == len(INTERRUPTIONS)
    for sound in made:
        pcm = sound.recording.pcm.astype(np.int32)
        assert RATE // 5 < len(pcm) < 4 * RATE
        assert np.abs(pcm).max() > 5_000
        assert np.abs(pcm[: sound.onset]).max(initial=0) <= 500 < np.abs(pcm[sound.onset])


def test_false_missed_and_late_ones_are_told_apart() -> None:
    made = sounds()
    kinds = {"cough": 0.2, "click": None, "noise": None, "laughter": None, "backchannel": None}
    delays = [0.3 if sound.meant else kinds[sound.kind] for sound in made]
    real = [index for index, sound in enumerate(made) if sound.meant]
    delays[real[0]], delays[real[1]] = None, 0.9
    cells = [cell.strip() for cell in row("words", made, delays).strip("|").split("|")]
    assert cells[:8] == ["words", "4/4", "0/4", "0/4", "0/2", "0/10", "1/10", "1"]
    assert cells[8] == "300 ms"
