"""The figures of a run in a few lines of Markdown, and the percentiles that everything uses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.results import CONDITIONS, Density, Level, Percentiles, Results, Turn


def percentiles(values: Iterable[float | None]) -> Percentiles:
    """Interpolated (numpy's default). Of few values the high ones are little more than the largest: mind ``count``."""
    known = [value for value in values if value is not None]
    if not known:
        return Percentiles()
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(known, [50, 95, 99]))
    return Percentiles(len(known), p50, p95, p99)


def markdown(results: Results) -> str:
    """One row for each scenario and condition, with a head that says on what, how and when."""
    machine, server = results.machine, results.server
    gpus = f", {', '.join(machine.gpus)}" if machine.gpus else ""
    hold = "unknown" if server.hold_ms is None else f"{server.hold_ms:.0f} ms"
    lines = [
        f"{server.name} ({server.dialect}), end of turn: {server.vad or 'unknown'}, hold {hold}. {machine.cores} x "
        f"{machine.cpu}{gpus}, load {machine.load} at the start. {results.date[:10]}. Milliseconds.",
        f"`{results.command}`",
    ]
    if results.turns:
        lines += ["", *_turn_table(results)]
        lines += ["", *_findings(results)]
    lines += ["", *results.notes] if results.notes else []
    if results.density is not None:
        lines += ["", *density_table(results.density)]
    return "\n".join(lines).rstrip()


def _turn_table(results: Results) -> list[str]:
    heads = ("scenario", "condition", "answers", "lost", "voice to voice p50", "p95", "p99", "beyond the hold p50",
             "p95", "WER", "cut off", "tools right", "task done")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    groups: dict[tuple[str, str], list[Turn]] = {}
    for turn in results.turns:
        groups.setdefault((turn.scenario, turn.condition), []).append(turn)
    for (scenario, condition), turns in sorted(
        groups.items(), key=lambda item: (item[0][0], CONDITIONS.index(item[0][1]))
    ):
        lines.append(_row(results, scenario, condition, turns))
    lines.append(_row(results, "all", "", results.turns))
    return lines


def _row(results: Results, scenario: str, condition: str, turns: list[Turn]) -> str:
    due = [turn for turn in turns if turn.wants_answer]
    waits = percentiles(turn.voice_to_voice_ms for turn in due)
    beyond = percentiles(turn.beyond_hold_ms for turn in due)
    words = sum(turn.words for turn in turns)
    scored = [turn.tools for turn in turns if turn.tools is not None]
    calls = [
        call
        for call in results.calls
        if call.completed is not None and scenario in (call.scenario, "all") and condition in (call.condition, "")
    ]
    cells = [scenario, condition, str(waits.count), str(sum(turn.lost for turn in due))]
    cells += [_ms(waits.p50), _ms(waits.p95), _ms(waits.p99), _ms(beyond.p50), _ms(beyond.p95)]
    cells.append(f"{sum(turn.word_errors for turn in turns) / words:.1%}" if words else "-")
    cells.append(f"{sum(turn.cut_off for turn in turns)}/{len(turns)}")
    cells.append(f"{sum(score.whole for score in scored)}/{len(scored)}" if scored else "-")
    cells.append(f"{sum(bool(call.completed) for call in calls)}/{len(calls)}" if calls else "-")
    return f"| {' | '.join(cells)} |"


def _findings(results: Results) -> list[str]:
    lines = []
    found = [turn.interruption for turn in results.turns if turn.interruption is not None]
    if found:
        meant = [each for each in found if each.meant]
        stops = percentiles(each.stop_ms for each in meant)
        lines.append(
            f"Interruptions: {sum(each.stopped for each in meant)} of {len(meant)} stopped the answer, after "
            f"{_ms(stops.p50)} ms (p50) and {_ms(stops.p95)} ms (p95); {sum(each.false_alarm for each in found)} of "
            f"{len(found) - len(meant)} coughs and backchannels did. Answers stopped while nobody spoke: "
            f"{sum(turn.false_interruptions for turn in results.turns)}."
        )
        kept = [each for each in found if each.heard_words is not None and each.history_words is not None]
        if kept:
            words = ", ".join(f"{each.heard_words}/{each.history_words}" for each in kept)
            lines.append(f"Words heard (estimated) / words in history: {words}.")
    gaps = [gap for turn in results.turns for gap in turn.underruns_ms]
    broken = sum(bool(call.errors) for call in results.calls)
    if broken:
        lines.append(f"{broken} of {len(results.calls)} calls broke off: what was not said in them is counted nowhere.")
    lines.append(f"Audio underruns: {len(gaps)}." + (f" The longest: {max(gaps):.0f} ms." if gaps else ""))
    lines.append(_a_call(results))
    priced = [(call.cost, call.currency) for call in results.calls if call.cost is not None]
    if priced:
        mean = sum(cost for cost, _ in priced) / len(priced)
        lines.append(f"Cost of a call: {mean:.4f} {priced[0][1]} ({results.prices_of}).")
    own = [call.gpu_cost for call in results.calls if call.gpu_cost is not None]
    if own:
        lines.append(f"Own GPU, a call alone on it: {sum(own) / len(own):.4f} a call.")
    return lines


def _a_call(results: Results) -> str:
    """What a call is made of, on average."""
    calls = max(1, len(results.calls))
    spoken, heard = (sum(getattr(turn, name) for turn in results.turns) / calls for name in ("caller_s", "answer_s"))
    text = f"A call: {len(results.turns) / calls:.1f} turns, {spoken:.1f} s spoken, {heard:.1f} s of answers"
    counted = [call.tokens for call in results.calls if call.tokens is not None]
    if counted:
        given = sum(each.input_text + each.input_audio for each in counted) / len(counted)
        made = sum(each.output_text + each.output_audio for each in counted) / len(counted)
        text += f", {given:.0f} tokens in, {made:.0f} out"
    needed = [call.turns_to_completion for call in results.calls if call.turns_to_completion is not None]
    if needed:
        text += f"; a task took {sum(needed) / len(needed):.1f} turns"
    return f"{text}."


HEAD = (
    "| callers | answers | lost | beyond the hold p50 | p95 | voice to voice p95 | underruns | server cores | clients' "
    "cores | machine busy | GPU | microphone late p95 | |\n|" + " --- |" * 13
)


def level_row(level: Level) -> str:
    cells = [str(level.callers), str(level.turns), str(level.lost), _ms(level.beyond_hold_ms.p50)]
    cells += [_ms(level.beyond_hold_ms.p95), _ms(level.voice_to_voice_ms.p95), str(level.underruns)]
    cells += ["-" if cores is None else f"{cores:.2f}" for cores in (level.server_cores, level.client_cores)]
    cells += ["-" if share is None else f"{share:.0%}" for share in (level.machine_busy, level.gpu)]
    cells += [_ms(level.microphone_late_ms), level.bound or ("held" if level.held else "not held")]
    return f"| {' | '.join(cells)} |"


def density_table(density: Density) -> list[str]:
    lines = [*HEAD.splitlines(), *map(level_row, density.levels), ""]
    per_gpu = "" if density.per_gpu is None else f", {density.per_gpu:.1f} for each GPU"
    lines.append(f"{density.most} calls at once on this machine{per_gpu}, p95 within {density.limit_ms:.0f} ms beyond "
                 f"the hold. {density.bound}")  # fmt: skip
    return lines


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
