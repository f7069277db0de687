"""Log-mel frames as they arrive, and where a turn is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.vad import get_vad_model
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio import Pcm16
from models.stt.features import LogMel, as_floats, mel_filters, window
from models.stt.pieces import Hearing, Piece, SpeechFrames
from tests.models.speech import noise, silence, speak, with_silence

FILTERS = mel_filters(80)
SESSION = get_vad_model().session
SPOKEN = speak("When do you close on Tuesday?")
FLOWING = np.concatenate([SPOKEN[2_000:-4_000]] * 12)
"""Twenty seconds of speech with hardly a pause."""


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("chunk", [160, 320, 777, 100_000])
@pytest.mark.parametrize("pcm", [SPOKEN, noise(3.01, dbfs=-30), silence(1), SPOKEN[:150], SPOKEN[:201]])
def test_frames_equal_those_of_the_reference(bands: int, chunk: int, pcm: Pcm16) -> None:
    """The reference is given the whole window of 10 s at once, its silence included."""
    mel = LogMel(mel_filters(bands))
    for start in range(0, len(pcm), chunk):
        mel.push(as_floats(pcm[start : start + chunk]))
    ours = window([mel.frames(0, (len(pcm) + 200) // 160 + 1)], 1_000)[0]
    audio = np.pad(pcm.astype(np.float32) / 32768, (0, 160_000 - len(pcm)))
    theirs = FeatureExtractor(feature_size=bands)(audio, padding=0)[:, :1_000]
    assert np.abs(ours - theirs).max() < 1e-4


def test_frames_are_the_same_after_others_were_dropped() -> None:
    kept, dropping = LogMel(FILTERS), LogMel(FILTERS)
    for start in range(0, len(SPOKEN), 3_200):
        for mel in (kept, dropping):
            mel.push(as_floats(SPOKEN[start : start + 3_200]))
        before = start // 160
        dropping.drop(before)
        assert np.array_equal(dropping.frames(before, before + 12), kept.frames(before, before + 12))


def test_rows_of_a_batch_do_not_change_each_other() -> None:
    loud, quiet = (LogMel(FILTERS) for _ in range(2))
    loud.push(as_floats(noise(1, dbfs=-3)))
    quiet.push(as_floats(noise(0.5, dbfs=-60)))
    rows = [loud.frames(0, 100), quiet.frames(0, 50)]
    both = window(rows, 1_000)
    assert both.shape == (2, 80, 1_000)
    for row, alone in zip(rows, both, strict=True):
        assert np.array_equal(window([row], 1_000)[0], alone)


def hearing(piece_seconds: float = 6, longest_seconds: float = 28) -> Hearing:
    return Hearing(LogMel(FILTERS), SpeechFrames(SESSION), piece_seconds=piece_seconds, longest_seconds=longest_seconds)


def listen(
    hearing: Hearing, pcm: Pcm16, *, step: int | None = None, fixed_to: int = 0
) -> tuple[list[Piece], list[Piece]]:
    """(complete pieces, the growing piece after each step)."""
    complete: list[Piece] = []
    growing: list[Piece] = []
    position = 0
    for start in range(0, len(pcm), step or len(pcm)):
        hearing.inbox.append(pcm[start : start + (step or len(pcm))])
        position += len(hearing.inbox[-1])
        hearing.listen(position)
        *new, last = hearing.pieces(fixed_to=fixed_to, forget=len(complete))
        complete += new
        growing.append(last)
    assert [piece.number for piece in [*complete, growing[-1]]] == list(range(len(complete) + 1))
    return complete, growing


def assert_whole(pieces: list[Piece]) -> None:
    for piece in pieces:
        assert piece.mel.shape == (-(-piece.end // 160) - piece.start // 160, 80)
    for before, after in pairwise(pieces):
        assert after.start >= before.end


@pytest.mark.parametrize("step", [None, 8_000])
def test_a_piece_ends_in_the_pause_behind_its_preferred_length(step: int | None) -> None:
    part = np.concatenate((SPOKEN[2_000:-4_000], silence(0.6)))
    complete, growing = listen(hearing(piece_seconds=4), np.tile(part, 8), step=step)
    assert_whole([*complete, growing[-1]])
    assert 2 <= len(complete) <= 4
    for piece in complete:
        assert 4 <= (piece.end - piece.start) / 16_000 < 8
        assert 0.1 < ((piece.end % len(part)) - (len(part) - 9_600)) / 16_000 < 0.6, "not in a pause"


@pytest.mark.parametrize("step", [None, 8_000])
def test_speech_without_pauses_is_cut_before_the_window_is_full(step: int | None) -> None:
    complete, growing = listen(hearing(piece_seconds=50, longest_seconds=4), FLOWING, step=step)
    assert_whole([*complete, growing[-1]])
    assert len(complete) >= 3
    assert all(2 <= (piece.end - piece.start) / 16_000 <= 5 for piece in complete)
    assert all((piece.end - piece.start) / 16_000 <= 5 for piece in growing)


def test_nothing_is_cut_off_before_words_that_were_given_away() -> None:
    pcm = np.concatenate([with_silence(SPOKEN, before=0, after=0.6)] * 4)
    complete, _ = listen(hearing(piece_seconds=1), pcm, fixed_to=len(pcm) - 32_000)
    assert complete
    assert complete[0].end >= len(pcm) - 32_000 - 16_000


def test_silence_makes_no_piece_longer() -> None:
    pcm = np.concatenate((silence(40), SPOKEN, silence(40), SPOKEN))
    complete, growing = listen(hearing(), pcm, step=16_000)
    assert max((piece.end - piece.start) / 16_000 for piece in [*complete, *growing]) < 6
    speech = [piece for piece in [*complete, growing[-1]] if piece.speech_frames >= 5]
    assert len(speech) == 2
    assert all(piece.start < at for piece, at in zip(speech, (40.0 * 16_000, 80 * 16_000 + len(SPOKEN)), strict=True))


def test_ten_minutes_need_no_more_memory_than_one() -> None:
    turn = hearing(piece_seconds=2)
    complete, growing = listen(turn, np.tile(np.concatenate((SPOKEN, silence(0.5))), 280), step=160_000)
    assert_whole([*complete, growing[-1]])
    assert complete[-1].end > 9 * 60 * 16_000
    assert len(turn._mel._frames) < 60 * 100
    assert not turn.inbox


def test_only_what_was_there_at_the_time_is_listened_to() -> None:
    turn = hearing()
    turn.inbox.extend([SPOKEN[:8_000], SPOKEN[8_000:16_000]])
    turn.listen(8_000)
    assert turn.pieces(fixed_to=0, forget=0)[-1].end == 8_000
    turn.listen(16_000)
    assert turn.pieces(fixed_to=0, forget=0)[-1].end == 16_000


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, len(SPOKEN)), max_size=12))
def test_chunking_does_not_change_where_speech_is(cuts: list[int]) -> None:
    whole = SpeechFrames(SESSION).push(as_floats(SPOKEN))
    assert whole.max() > 0.9
    frames = SpeechFrames(SESSION)
    parts = [frames.push(as_floats(part)) for part in np.split(SPOKEN, sorted(cuts))]
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-4)
