"""How far apart two records say that something was, given how exactly each of them says it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from transforms.duplicates.facts import DAY

if TYPE_CHECKING:
    from transforms.duplicates.facts import Row

_HOUR: Final = 3_600_000_000
_QUARTER: Final = _HOUR // 4
_WIDEST_ZONE: Final = 14 * _HOUR
"""The farthest that a zone is from UTC (Line Islands, +14:00)."""
_EXACT: Final = frozenset({"minute", "second"})


class Apart(IntEnum):
    """How two times stand to each other, the nearest first."""

    SAME_MOMENT = 0
    SAME_HOUR = 1
    """Within an hour: ordered and done, drawn and reported."""
    DAY_ONLY = 2
    """One of them is known to the day alone, which is the other's day: its own, or that of UTC."""
    ZONE = 3
    """Whole quarters of an hour apart, and no more than zones are: one of them lost its zone."""
    SAME_DAY = 4
    NEXT_DAY = 5
    WEEK = 6
    COARSE = 7
    """One of them is a month or a year, in which the other lies."""
    FAR = 9


def apart(one: Row, other: Row) -> tuple[Apart, int]:
    """How two rows' starts stand to each other, and the microseconds between them. Without a start they are FAR."""
    if one.start is None or other.start is None or one.day is None or other.day is None:
        return Apart.FAR, 0
    between = abs(one.start - other.start)
    if "month" in (one.precision, other.precision) or "year" in (one.precision, other.precision):
        return (Apart.COARSE if _within(one, other) or _within(other, one) else Apart.FAR), between
    if one.precision in _EXACT and other.precision in _EXACT:
        if between < 60_000_000:
            return Apart.SAME_MOMENT, between
        if not _is_midnight(one) and not _is_midnight(other):
            return _clocks(one, other, between)
    elif one.precision == other.precision and one.day == other.day:
        return Apart.DAY_ONLY, 0
    return _calendar(one, other), between


def _clocks(one: Row, other: Row, between: int) -> tuple[Apart, int]:
    if between <= _HOUR:
        return Apart.SAME_HOUR, between
    if between <= _WIDEST_ZONE and between % _QUARTER == 0:
        return Apart.ZONE, between
    if one.day == other.day:
        return Apart.SAME_DAY, between
    return _far(between), between


def _calendar(one: Row, other: Row) -> Apart:
    if not _days(one).isdisjoint(_days(other)):
        return Apart.DAY_ONLY
    nearest = min(abs(mine - theirs) for mine in _days(one) for theirs in _days(other))
    return Apart.NEXT_DAY if nearest <= 1 else _far(nearest * DAY)


def _far(between: int) -> Apart:
    if between <= DAY + DAY // 2:
        return Apart.NEXT_DAY
    return Apart.WEEK if between <= 7 * DAY else Apart.FAR


def _days(row: Row) -> set[int]:
    """The days that a time may have been put down as. A day stays itself, wherever it was midnight."""
    own, universal = row.day or 0, (row.start or 0) // DAY
    return {own} if row.precision == "day" else {own, universal}


def _is_midnight(row: Row) -> bool:
    """Whether a time is likely to be a day in disguise: midnight in UTC, or on the sender's own clock."""
    start = row.start or 0
    return start % DAY == 0 or (start % _HOUR == 0 and row.own_hour == 0)


def _within(coarse: Row, other: Row) -> bool:
    """Whether a moment lies in a month or year."""
    if coarse.precision not in {"month", "year"} or coarse.start is None or other.start is None:
        return False
    length = (31 if coarse.precision == "month" else 366) * DAY
    return coarse.start - DAY <= other.start < coarse.start + length + DAY
