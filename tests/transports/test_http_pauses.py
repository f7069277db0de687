"""Recordings are cut where nobody speaks, and nothing that was said is lost."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from server.transports.pauses import PauseCutter, Piece

SPEECH, SILENCE, UNSURE = 0.9, 0.05, 0.4


def cut(*runs: tuple[float, int]) -> list[Piece]:
    cutter = PauseCutter()
    pieces = []
    for probability, frames in runs:
        pieces += cutter.push([probability] * frames)
    return pieces + cutter.flush()


def test_a_pause_of_half_a_second_ends_a_piece():
    pieces = cut((SILENCE, 20), (SPEECH, 50), (SILENCE, 16), (SPEECH, 30), (SILENCE, 40))
    assert [(piece.start, piece.end) for piece in pieces] == [(20, 70), (86, 116)]
    assert [(piece.heard_from, piece.heard_to) for piece in pieces] == [(14, 76), (80, 122)]


def test_a_shorter_pause_does_not():
    (piece,) = cut((SPEECH, 50), (SILENCE, 15), (SPEECH, 30), (SILENCE, 40))
    assert (piece.start, piece.end) == (0, 95)
    assert (piece.heard_from, piece.heard_to) == (0, 101)


def test_what_is_unsure_goes_on_with_speech_but_does_not_begin_it():
    (piece,) = cut((UNSURE, 40), (SPEECH, 10), (UNSURE, 20), (SILENCE, 40))
    assert (piece.start, piece.end) == (40, 70)


def test_a_click_is_no_speech():
    assert cut((SILENCE, 20), (SPEECH, 2), (SILENCE, 40)) == []


def test_a_recording_may_end_in_the_middle_of_a_word():
    (piece,) = cut((SILENCE, 20), (SPEECH, 50))
    assert (piece.start, piece.end) == (20, 70)


def test_speech_without_a_pause_is_cut_at_its_weakest_place():
    pieces = cut((SPEECH, 500), (UNSURE, 1), (SPEECH, 300), (SILENCE, 40))
    assert [(piece.start, piece.end, piece.heard_from, piece.heard_to) for piece in pieces] == [
        (0, 500, 0, 500),
        (500, 801, 500, 807),
    ]


def test_how_sure_it_is_that_a_piece_is_speech():
    (piece,) = cut((0.6, 10), (1.0, 10), (SILENCE, 40))
    assert abs(piece.probability - 0.8) < 1e-9


def runs(probability: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    """Probabilities of up to a minute, most of them the same as the one before."""
    run = st.tuples(probability, st.integers(1, 700)).map(lambda pair: [pair[0]] * pair[1])
    parts = st.lists(st.one_of(run, st.lists(probability, max_size=5)), max_size=8)
    return parts.map(lambda parts: list(itertools.chain.from_iterable(parts)))


@given(runs(st.floats(0, 1)), st.integers(1, 700))
def test_pieces_are_in_order_apart_and_kept_as_long_as_needed(probabilities: list[float], step: int):
    cutter = PauseCutter()
    pieces: list[Piece] = []
    needed = 0
    for start in range(0, len(probabilities), step):
        new = cutter.push(probabilities[start : start + step])
        assert all(piece.heard_from >= needed for piece in new)
        pieces += new
        needed = cutter.needed_from
    last = cutter.flush()
    assert all(piece.heard_from >= needed for piece in last)
    pieces += last
    edges = [edge for piece in pieces for edge in (piece.start, piece.end)]
    assert edges == sorted(edges)
    heard = [edge for piece in pieces for edge in (piece.heard_from, piece.heard_to)]
    assert heard == sorted(heard)
    assert all(piece.heard_from <= piece.start < piece.end <= piece.heard_to for piece in pieces)
    assert all(piece.end - piece.start <= 625 and 0 <= piece.probability <= 1 for piece in pieces)
    assert pieces == cut(*((probability, 1) for probability in probabilities))


@given(runs(st.sampled_from([SPEECH, UNSURE, SILENCE])))
def test_no_speech_but_a_click_is_left_out(probabilities: list[float]):
    cutter = PauseCutter()
    pieces = cutter.push(probabilities) + cutter.flush()
    inside = {frame for piece in pieces for frame in range(piece.start, piece.end)}
    run: list[int] = []
    for frame, probability in enumerate([*probabilities, SILENCE]):
        if probability == SPEECH:
            run.append(frame)
        else:
            assert len(run) < 3 or set(run) <= inside
            run = []
