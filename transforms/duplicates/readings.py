"""Whether two values are one: but for rounding, for the unit, for the words that say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transforms.duplicates.concepts import MEASURES
from transforms.duplicates.names import NOTHING, likeness
from transforms.values.analytes import conversions, known_spellings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transforms.duplicates.facts import Row
    from transforms.values.analytes import Conversion

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
    scaled = _scaled(one, other)
    if scaled is None:
        return NOT_ONE
    (mine, step), (theirs, other_step) = scaled
    if abs(mine - theirs) > 0.5 * max(step, other_step) * _SLACK + 1e-9:
        return NOT_ONE
    return min(_digits(one.value_text, one.value), _digits(other.value_text, other.value))


def _scaled(one: Row, other: Row) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Both values in one unit, each with the worth of its last digit; None where their units are two.

    A record that names what it measures in words alone is converted by what the other's code measures.
    """
    values = (one.value or 0.0, other.value or 0.0)
    steps = (_step(one.value_text, values[0]), _step(other.value_text, values[1]))
    if one.unit == other.unit or not one.unit or not other.unit:
        return (values[0], steps[0]), (values[1], steps[1])
    measured = sorted(each.removeprefix(MEASURES) for each in one.concept.meant | other.concept.meant)
    for analyte in measured:
        known = conversions().get(analyte, {})
        found = [_conversion(known, row.unit or "") for row in (one, other)]
        if found[0] and found[1]:
            return (found[0].of(values[0]), steps[0] * found[0].factor), (
                found[1].of(values[1]),
                steps[1] * found[1].factor,
            )
    alike = _plain_unit(one.unit) == _plain_unit(other.unit)
    return ((values[0], steps[0]), (values[1], steps[1])) if alike else None


def _conversion(known: Mapping[str, Conversion], unit: str) -> Conversion | None:
    """How a unit, by its code or by a spelling, becomes the canonical one."""
    codes = (unit, *known_spellings().get(_plain_unit(unit), ()), *known_spellings().get(unit, ()))
    return next((known[code] for code in codes if code in known), None)


def _plain_unit(unit: str) -> str:
    return unit.lower().replace(" ", "")


def _step(text: str | None, value: float) -> float:
    """The worth of the last digit that was written: what rounding may have changed by half.

    Zeros at the end may be digits or the habit of a language (`188.0`): they count as such within a hundredth.
    """
    written = _plain(text, value)
    _, point, behind = written.partition(".")
    step = 10.0 ** -len(behind) if point else 1.0
    short = behind.rstrip("0")
    return max(step, min(10.0 ** -len(short), abs(value) / 50)) if len(short) < len(behind) else step


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
