"""Series of measurements as line charts: SVG made here, of numbers and escaped texts alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape

from charthouse.privacy.export.render import day, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from charthouse.privacy.export.sheets import Sheet

CHARTED: Final = ("lab_results", "vitals")
MOST: Final = 48
"""Charts of one category: those with the most values."""
POINTS: Final = 240
DOTS: Final = 40
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 320, 120, 44, 8, 8, 18


@dataclass(frozen=True, slots=True)
class Chart:
    """A series: its name, what is said of it, and its picture."""

    name: str
    note: str
    svg: Markup


@dataclass(slots=True)
class Series:
    """The values of one code in one unit, oldest first."""

    name: str
    unit: str
    points: list[tuple[datetime, float]]
    low: float | None = None
    high: float | None = None


def charts(sheet: Sheet, name: str) -> list[Chart]:
    """The charts of a category; none where nothing was measured twice."""
    return [_chart(series) for series in _series(sheet)] if name in CHARTED else []


def _series(sheet: Sheet) -> list[Series]:
    found: dict[tuple[str, str], Series] = {}
    for point in sheet.measured(MOST):
        series = found.setdefault((point.code, point.unit), Series(point.name, point.unit, []))
        series.points.append((point.at, point.value))
        series.low, series.high = point.low, point.high
        if len(series.points) > 4 * POINTS:  # thin out: a longer one would be no clearer
            series.points = series.points[:1] + series.points[1:-1:2] + series.points[-1:]
    return sorted(found.values(), key=lambda series: (series.name.casefold(), series.unit))


def _chart(series: Series) -> Chart:
    points = series.points
    if len(points) > POINTS:
        step = len(points) / POINTS
        points = [points[int(number * step)] for number in range(POINTS)] + points[-1:]
    newest, values = points[-1], [value for _, value in points]
    unit = f" {shown(series.unit, 40)}" if series.unit else ""
    note = f"{_number(newest[1])}{unit} on {day(newest[0], 'day')}"
    if min(values) < max(values):
        note += f"; from {_number(min(values))} to {_number(max(values))}"
    return Chart(shown(series.name, 120), note, _svg(series, points, note))


def _svg(series: Series, points: Sequence[tuple[datetime, float]], note: str) -> Markup:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    for bound in (series.low, series.high):  # the reference range, where it is near
        if bound is not None and low - (high - low + 1) <= bound <= high + (high - low + 1):
            low, high = min(low, bound), max(high, bound)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    low, high = low - room, high + room
    begin, end = points[0][0].timestamp(), points[-1][0].timestamp()
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(at: datetime) -> float:
        return LEFT + (wide * (at.timestamp() - begin) / (end - begin) if end > begin else wide / 2)

    def y(value: float) -> float:
        return TOP + tall * (1 - (value - low) / (high - low))

    name = escape(f"{shown(series.name, 120)}: {note}")
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">']
    if series.low is not None and series.high is not None and low <= series.low < series.high <= high:
        parts.append(
            f'<rect class="range" x="{LEFT}" y="{y(series.high):.1f}" width="{wide}" '
            f'height="{y(series.low) - y(series.high):.1f}"/>'
        )
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{TOP + tall}H{WIDTH - RIGHT}"/>')
    parts += [
        f'<text x="{LEFT - 5}" y="{y(value) + 3:.1f}" text-anchor="end">{escape(_number(value))}</text>'
        for value in _told_apart(values, (high - low) / tall * 11)
    ]
    first, last = day(points[0][0], "month"), day(points[-1][0], "month")
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 5}">{first}</text>')
    if first != last:
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{last}</text>')
    line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    if len(points) <= DOTS:
        for at, value in points:
            told = f"{_number(value)} on {day(at, 'day')}"
            parts.append(
                f'<circle class="dot" cx="{x(at):.1f}" cy="{y(value):.1f}" r="2.5"><title>{told}</title></circle>'
            )
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - numbers, and texts that are escaped above


def _told_apart(values: Sequence[float], apart: float) -> tuple[float, ...]:
    """The least and the greatest, if their numbers do not stand on each other."""
    return (min(values), max(values)) if max(values) - min(values) > apart else (values[-1],)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == math.floor(value) and abs(value) < 1e12 else f"{value:,.4g}"
