"""A small picture of results over time: SVG that loads nothing, with its words beside it."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from transforms.coach.results import Chart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transforms.coach.results import Point

WIDTH: Final = 480
HEIGHT: Final = 200
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 32, 28
_PADDED: Final = {4: "-01-01", 7: "-01"}
LONGEST_TITLE: Final = 60


def chart(title: str, unit: str | None, points: Sequence[Point]) -> Chart | None:
    """The picture; None of fewer than two points."""
    if len(points) < 2:
        return None
    at = [_seconds(point.when.value) for point in points]
    numbers = [point.number for point in points]
    across = _scale(at, LEFT, WIDTH - RIGHT)
    up = _scale(numbers, HEIGHT - BOTTOM, TOP)
    dots = [(across(x), up(y)) for x, y in zip(at, numbers, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in dots)
    named = title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"
    head = escape(f"{named} ({unit})" if unit and unit != "1" else named)
    low, high = min(numbers), max(numbers)
    marks = "".join(
        f'<text x="{LEFT - 8}" y="{up(each) + 4:.1f}" text-anchor="end">{each:g}</text>'
        for each in dict.fromkeys((low, high))
    )
    first, last = points[0].when.value[:10], points[-1].when.value[:10]
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' role="img" font-family="sans-serif" font-size="12"><title>{head}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text x="{LEFT}" y="18" font-size="14">{head}</text>'
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#999"/>{marks}'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{first}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{last}</text>'
        f'<polyline points="{line}" fill="none" stroke="#0b57d0" stroke-width="2"/>'
        f'<g fill="#0b57d0">{circles}</g></svg>'
    )
    words = f"{len(points)} results from {first} to {last}, lowest {low:g}, highest {high:g}"
    return Chart(data=base64.b64encode(svg.encode()).decode(), text=words)


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, high = min(values), max(values)
    if low == high:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _seconds(value: str) -> float:
    whole = value + _PADDED.get(len(value), "")
    read = datetime.fromisoformat(whole.replace("Z", "+00:00"))
    return (read.replace(tzinfo=None) - datetime(1, 1, 1)).total_seconds()  # noqa: DTZ001 - differences alone matter
