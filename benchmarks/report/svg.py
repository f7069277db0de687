"""The little SVG that the charts need. Colours and fonts are of the page's style sheet, which knows light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
SERIES = 8
"""Colours in the style sheet; more series begin anew, with dashes."""


def colour(number: int) -> str:
    """The class of a series."""
    return f"s{number % SERIES}" + (" again" if number >= SERIES else "")


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{name}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def path(points: Iterable[tuple[float, float]], kind: str) -> str:
    steps = " ".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(points))
    return f'<path d="{steps}" class="{kind}"/>'


def rectangle(x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> str:
    """tip: shown when the mouse rests on it."""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"'
    return (
        f'<rect {size} class="{kind}"><title>{escape(tip)}</title></rect>' if tip else f'<rect {size} class="{kind}"/>'
    )


def dot(x: float, y: float, kind: str, tip: str = "") -> str:
    inside = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}">{inside}</circle>'


def picture(parts: Iterable[str], height: float, title: str) -> str:
    """title: for those who cannot see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">' + "".join(parts) + "</svg>"
    )


def ticks(highest: float, about: int = 6) -> list[float]:
    """Round numbers from 0 to the first that is not below ``highest``."""
    if not highest > 0 or not math.isfinite(highest):
        return [0.0, 1.0]
    rough = highest / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    return [number * step for number in range(math.ceil(highest / step - 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """The inside of a chart, with linear axes from 0. x_ticks, y_ticks: the last of each is the end of its axis."""

    left: float
    top: float
    right: float
    bottom: float
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * min(max(value / self.x_ticks[-1], 0), 1)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * min(max(value / self.y_ticks[-1], 0), 1)

    def axes(self, x_name: str, y_name: str, x_labels: Sequence[str] | None = None) -> list[str]:
        """Grid, numbers at the ticks, and the names of both axes. x_labels: instead of the numbers."""
        parts = []
        for tick in self.y_ticks:
            parts.append(line(self.left, self.y(tick), self.right, self.y(tick), "grid"))
            parts.append(text(self.left - 8, self.y(tick) + 4, f"{tick:g}", "end", "tick"))
        for place, tick in enumerate(self.x_ticks):
            shown = f"{tick:g}" if x_labels is None else x_labels[place]
            parts.append(line(self.x(tick), self.bottom, self.x(tick), self.bottom + 5, "axis"))
            parts.append(text(self.x(tick), self.bottom + 19, shown, "middle", "tick"))
        parts.append(line(self.left, self.bottom, self.right, self.bottom, "axis"))
        parts.append(text(self.right, self.bottom + 38, x_name, "end", "name"))
        parts.append(text(self.left - 40, self.top - 12, y_name, "start", "name"))
        return parts
