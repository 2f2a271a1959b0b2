"""Whether two values are one: but for rounding, for the unit, for the words that say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transforms.duplicates.names import NOTHING, likeness

if TYPE_CHECKING:
    from transforms.duplicates.facts import Row

NOT_ONE: Final = -1
"""The values contradict each other."""
_SLACK: Final = 1.02
"""Half a unit of the last digit, and a little: factors of conversion are rounded too."""


def same_reading(one: Row, other: Row) -> int:
    """How much it says that the values of two rows are one: their significant digits, 0 for none. Else `NOT_ONE`."""
    if one.comparator != other.comparator:
        return NOT_ONE
    if one.pressures != (None, None) or other.pressures != (None, None):
        return _pressures(one, other)
    if one.value is not None and other.value is not None:
        return _numbers(one, other)
    if one.value is not None or other.value is not None:
        return NOT_ONE
    return _words(one, other)


def _pressures(one: Row, other: Row) -> int:
    for mine, theirs in zip(one.pressures, other.pressures, strict=True):
        if (mine is None) != (theirs is None):
            return NOT_ONE
        if mine is not None and theirs is not None and abs(mine - theirs) > 0.5 * _SLACK:
            return NOT_ONE
    return 4


def _numbers(one: Row, other: Row) -> int:
    mine, theirs = one.value or 0.0, other.value or 0.0
    steps = [_step(one.value_text, mine), _step(other.value_text, theirs)]
    if one.canonical is not None and other.canonical is not None and one.canonical_unit == other.canonical_unit:
        scaled = []
        for row, step, value in ((one, steps[0], mine), (other, steps[1], theirs)):
            scaled.append(step * _factor(row, value))
        steps, mine, theirs = scaled, one.canonical, other.canonical
    elif one.unit and other.unit and one.unit.lower() != other.unit.lower() and mine != theirs:
        return NOT_ONE
    if abs(mine - theirs) > 0.5 * max(steps) * _SLACK + 1e-9:
        return NOT_ONE
    return min(_digits(one.value_text, one.value), _digits(other.value_text, other.value))


def _factor(row: Row, value: float) -> float:
    """How much canonical units a unit of the value is worth."""
    if row.canonical_unit == "Cel" and row.unit and row.canonical != row.value:
        return 5 / 9  # a Fahrenheit begins elsewhere, so the ratio is none
    return abs((row.canonical or 0.0) / value) if value else 1.0


def _step(text: str | None, value: float) -> float:
    """The worth of the last digit that was written: what rounding may have changed by half."""
    written = _plain(text, value)
    _, point, behind = written.partition(".")
    return 10.0 ** -len(behind) if point else 1.0


def _digits(text: str | None, value: float | None) -> int:
    """Significant digits as written."""
    return len(_plain(text, value or 0.0).replace(".", "").lstrip("0")) or 1


def _plain(text: str | None, value: float) -> str:
    """A number as it was written, or as short as a DOUBLE is written where that was in other words."""
    written = (text or "").strip().lstrip("+-")
    if written and written.replace(".", "", 1).isdigit():
        return written
    return f"{abs(value):.12g}"


def _words(one: Row, other: Row) -> int:
    if one.says is None and other.says is None and one.said == NOTHING and other.said == NOTHING:
        return 0
    if one.says is not None and one.says == other.says:
        return 1
    if one.said.key and one.said.key == other.said.key:
        return 1
    if one.positive is not None and other.positive is not None:
        return 1 if one.positive == other.positive else NOT_ONE
    if one.said.words and other.said.words and one.said.marks == other.said.marks:
        # Codes that differ with words that are one: `Never smoker` of two value sets.
        return 1 if likeness(one.said, other.said) >= 1.0 and one.said.numbers == other.said.numbers else NOT_ONE
    return NOT_ONE
