"""The charts of a report, each as one inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report.document import Chart
from benchmarks.report.svg import WIDTH, Frame, colour, dot, line, path, picture, rectangle, text, ticks

_LEFT, _RIGHT = 52.0, WIDTH - 24.0
_SHARES = (0, 25, 50, 75, 100)


@dataclass(frozen=True, slots=True)
class Series:
    """number: its colour. points: in the order in which they are joined."""

    name: str
    number: int
    points: Sequence[tuple[float, float]]
    holds: Sequence[float] = ()


def distribution(title: str, x_name: str, series: Sequence[Series]) -> Chart:
    """Which share of the turns was answered within so many ms. points: (ms, 0) each; holds: marked on the axis."""
    highest = max(point[0] for one in series for point in one.points)
    frame = Frame(_LEFT, 34, _RIGHT, 300, ticks(highest), _SHARES)
    parts = frame.axes(x_name, "% of turns")
    for one in series:
        parts += [
            line(frame.x(hold), frame.top, frame.x(hold), frame.bottom, f"hold {colour(one.number)}")
            for hold in one.holds
        ]
        values = sorted(point[0] for point in one.points)
        steps = [(frame.x(values[0]), frame.y(0))]
        for place, value in enumerate(values):
            steps += [(frame.x(value), steps[-1][1]), (frame.x(value), frame.y(100 * (place + 1) / len(values)))]
        parts.append(path([*steps, (frame.right, frame.y(100))], f"line {colour(one.number)}"))
    return Chart(title, picture(parts, 348, title), _key(series))


def over_callers(title: str, y_name: str, series: Sequence[Series], limit: float) -> Chart:
    """A measure (y) over callers at once (x), and the limit that was set to it."""
    points = [point for one in series for point in one.points]
    most = max(point[0] for point in points)
    x_ticks = ticks(most) if most > 8 else [float(number) for number in range(int(most) + 2)]
    frame = Frame(_LEFT, 34, _RIGHT, 300, x_ticks, ticks(max(limit, *(point[1] for point in points))))
    parts = frame.axes("callers at once", y_name)
    parts.append(line(frame.left, frame.y(limit), frame.right, frame.y(limit), "limit"))
    parts.append(text(frame.right, frame.y(limit) - 6, f"limit {limit:g} ms", "end", "tick"))
    for one in series:
        places = [(frame.x(x), frame.y(y)) for x, y in one.points]
        parts.append(path(places, f"line {colour(one.number)}"))
        parts += [
            dot(*place, f"dot {colour(one.number)}", f"{one.name}: {y:.0f} ms with {x:g} callers")
            for place, (x, y) in zip(places, one.points, strict=True)
        ]
    return Chart(title, picture(parts, 348, title), _key(series))


def scatter(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> Chart:
    """One point for each server; y in percent."""
    frame = Frame(_LEFT, 34, _RIGHT, 300, ticks(max(point[0] for one in series for point in one.points)), _SHARES)
    parts = frame.axes(x_name, y_name)
    for one in series:
        for x, y in one.points:
            parts.append(dot(frame.x(x), frame.y(y), f"dot {colour(one.number)}", f"{one.name}: {x:g}, {y:.1f} %"))
            parts.append(_beside(frame, x, y, one.name))
    return Chart(title, picture(parts, 348, title), _key(series))


def _beside(frame: Frame, x: float, y: float, name: str) -> str:
    """A name on the side of a point where there is room for it."""
    if frame.x(x) > (frame.left + frame.right) / 2:
        return text(frame.x(x) - 9, frame.y(y) + 4, name, "end", "label")
    return text(frame.x(x) + 9, frame.y(y) + 4, name, "start", "label")


def bars(title: str, groups: Mapping[str, Sequence[tuple[Series, float | None]]]) -> Chart:
    """Shares in percent, a bar for each server in each group (condition); None where there is no number."""
    highest = max((value for group in groups.values() for _, value in group if value is not None), default=0)
    top, y = 14.0, 14.0
    rows: list[tuple[float, str, Series | None, float | None]] = []
    for name, group in groups.items():
        rows.append((y, name, None, None))
        rows += [(y + 16 * place, "", one, value) for place, (one, value) in enumerate(group)]
        y += 16 * len(group) + 12
    frame = Frame(110, top - 8, _RIGHT - 50, y, ticks(max(highest, 1)), [1])
    parts = [line(frame.x(tick), frame.top, frame.x(tick), frame.bottom, "grid") for tick in frame.x_ticks]
    parts += [text(frame.x(tick), frame.bottom + 16, f"{tick:g} %", "middle", "tick") for tick in frame.x_ticks]
    for place, name, one, value in rows:
        if one is None:
            parts.append(text(frame.left - 10, place + 11, name, "end", "label"))
        elif value is None:
            parts.append(text(frame.left + 6, place + 11, "–", "start", "tick"))
        else:
            parts.append(
                rectangle(frame.left, place, frame.x(value) - frame.left, 12, f"bar {colour(one.number)}", one.name)
            )
            parts.append(text(frame.x(value) + 6, place + 11, f"{value:.1f}", "start", "tick"))
    parts.append(line(frame.left, frame.top, frame.left, frame.bottom, "axis"))
    first = next(iter(groups.values()))
    return Chart(title, picture(parts, y + 26, title), _key([one for one, _ in first]))


def _key(series: Sequence[Series]) -> list[tuple[str, str]]:
    """What the colours stand for."""
    return [(colour(one.number), one.name) for one in series]


@dataclass(frozen=True, slots=True)
class Bar:
    """One turn. stages: (name, ms after the end of speech), rising. hold: ms, None where unknown."""

    name: str
    stages: Sequence[tuple[str, float]]
    hold: float | None


def waterfall(title: str, rows: Sequence[Bar], highest: float, colours: Mapping[str, str]) -> Chart:
    """Each turn as a bar in pieces, from the end of speech to the first sound that is heard. highest: ms at the end of
    the axis, the same for all servers. colours: class of each stage."""
    top = 30.0
    bottom = top + 14 * len(rows)
    frame = Frame(170, top, _RIGHT, bottom, ticks(highest), [1])
    parts = [line(frame.x(tick), top - 6, frame.x(tick), bottom, "grid") for tick in frame.x_ticks]
    parts += [text(frame.x(tick), bottom + 18, f"{tick:g}", "middle", "tick") for tick in frame.x_ticks]
    parts.append(text(frame.right, bottom + 36, "ms after the end of speech", "end", "name"))
    for place, row in enumerate(rows):
        y = top + 14 * place
        parts.append(text(frame.left - 8, y + 9, row.name, "end", "label" if place == 0 else "tick"))
        before = 0.0
        for stage, moment in row.stages:
            start, end = frame.x(before), frame.x(moment)
            tip = f"{stage}: {moment:.0f} ms"
            parts.append(rectangle(start, y, end - start, 10, f"bar {colours[stage]}", tip))
            before = max(before, moment)
        if row.hold is not None:
            parts.append(line(frame.x(row.hold), y - 2, frame.x(row.hold), y + 12, "limit"))
    used = {stage for row in rows for stage, _ in row.stages}
    key = [(kind, stage) for stage, kind in colours.items() if stage in used]
    return Chart(title, picture(parts, bottom + 46, title), key)
