"""Whether two rows of one person and table are one record, and by what: the rules of `docs/duplicates.md`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from transforms.duplicates.concepts import Agreement, agree
from transforms.duplicates.facts import DAY, WHO
from transforms.duplicates.moments import Apart, apart
from transforms.duplicates.names import contradict
from transforms.duplicates.readings import NOT_ONE, same_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from transforms.duplicates.facts import Keys, Row

_ENDED: Final = frozenset({"resolved", "inactive", "remission", "completed", "stopped"})
_SHORT: Final = 31 * DAY
"""How long something lasted that is over, where nobody said when it ended."""
_LONG_ID: Final = 20
"""Ids of so many characters are nobody's counter: two providers that have the same serve the same record."""
_FIRM: Final = Agreement.SAME_NAME


@dataclass(frozen=True, slots=True)
class Match:
    """Two rows that are one record. `order` sorts matches, the surest first; a weak one counts if nothing else fits."""

    order: tuple[int, ...]
    by: str
    weak: bool
    sole: bool
    """Whether it counts only where neither row has another such candidate."""


def match(keys: Keys, one: Row, other: Row) -> Match | None:
    """Whether two rows of one person, table and different links are one record."""
    if one.negated != other.negated or one.kind != other.kind:
        return None
    agreement = agree(one.concept, other.concept)
    one_id = one.record == other.record and (one.provider == other.provider or len(one.record) > _LONG_ID + 12)
    # The id alone would do, were it not for servers that give an id again to something else.
    if one_id and agreement < Agreement.DIFFERENT:
        return Match((0, 0, 0, 0, 0), "same-record", weak=False, sole=False)
    if agreement == Agreement.DIFFERENT or _sides_contradict(one, other):
        return None
    found = _BY_FAMILY[keys.family](one, other, agreement)
    if found is None:
        return None
    # Of several that are as near, the one with the same dose and reason.
    *sure, between = found.order
    odds = sum(_differ(*pair) for pair in ((one.dose, other.dose), (one.reason, other.reason)))
    return replace(found, order=(*sure, odds, between))


def _differ(one: str | None, other: str | None) -> bool:
    return bool(one and other) and one != other


def repeats(keys: Keys, one: Row, other: Row) -> bool:
    """Whether two rows of one link, alike in what makes a repetition, are one record sent twice."""
    if one.negated != other.negated or one.kind != other.kind or _sides_contradict(one, other):
        return False
    agreement = agree(one.concept, other.concept)
    if keys.family == "vaccine":
        return agreement <= _FIRM and not _lots_differ(one, other) and apart(one, other)[0] <= Apart.SAME_DAY
    if agreement > _FIRM or one.status != other.status:
        return False
    if keys.family == "substance":
        return one.start == other.start
    if keys.family == "observation":
        return one.start is not None and one.precision not in {"month", "year"} and same_reading(one, other) > 0
    if keys.family == "condition":
        return one.start is not None and one.end == other.end
    # A provider does the same twice on a day, left and right: what is known to the day alone is not told apart.
    same = one.start is not None and one.end == other.end and one.precision == other.precision == "second"
    return same and one.dose == other.dose and one.who == other.who


def _sides_contradict(one: Row, other: Row) -> bool:
    """Whether one is left and the other right, by name or by site."""
    sides = []
    for row in (one, other):
        marks = {which for name in (row.side, *row.concept.names) for kind, which in name.marks if kind == "side"}
        sides.append(marks)
    if sides[0] and sides[1]:
        return sides[0].isdisjoint(sides[1])
    if one.side.words and other.side.words:
        kinds = ("side", "place")
        return contradict(one.side, other.side, kinds) or one.side.words.isdisjoint(other.side.words)
    return False


def _said(agreement: Agreement, time: Apart | None) -> str:
    words = agreement.name.lower().replace("_", "-")
    return words if time is None else f"{words}, {time.name.lower().replace('_', '-')}"


def _matched(agreement: Agreement, time: Apart, between: int, *, weak: bool = False, sole: bool = False) -> Match:
    order = (int(weak) + int(sole), int(agreement), int(time), between)
    return Match(order, _said(agreement, time), weak=weak, sole=sole)


def _observation(one: Row, other: Row, agreement: Agreement) -> Match | None:
    time, between = apart(one, other)
    if time >= Apart.WEEK and time != Apart.COARSE:
        return None
    reading = same_reading(one, other)
    if reading == NOT_ONE:
        return None
    if agreement <= _FIRM:
        needed = {
            Apart.SAME_DAY: 3,
            Apart.NEXT_DAY: 3 if "day" in (one.precision, other.precision) else 99,
            Apart.COARSE: 2,
        }
        if reading >= needed.get(time, 0):
            return _matched(agreement, time, between)
        return _slipped(one, other, agreement, time) if reading > 0 else None
    near = time in {Apart.SAME_MOMENT, Apart.DAY_ONLY, Apart.ZONE} or (time == Apart.SAME_HOUR and reading >= 3)
    if agreement == Agreement.ALIKE and near and reading > 0:
        return _matched(agreement, time, between, weak=True)
    if agreement == Agreement.UNKNOWN and time == Apart.SAME_MOMENT and reading >= 2:
        return _matched(agreement, time, between, weak=True, sole=True)
    return None


def _slipped(one: Row, other: Row, agreement: Agreement, time: Apart) -> Match | None:
    """Two moments a day apart to the second, and at no round time: a date was written down wrongly."""
    start = one.start or 0
    if abs(start - (other.start or 0)) != DAY or start % 60_000_000 == 0:
        return None
    return _matched(agreement, time, DAY, weak=True, sole=True)


def _vaccination(one: Row, other: Row, agreement: Agreement) -> Match | None:
    time, between = apart(one, other)
    lots = _lots_agree(one, other)
    if agreement <= _FIRM:
        near = time <= Apart.SAME_DAY or (time == Apart.NEXT_DAY and not _lots_differ(one, other))
        if near or (time == Apart.WEEK and lots) or (time == Apart.COARSE and not _lots_differ(one, other)):
            return _matched(agreement, time, between)
        return None
    if agreement in {Agreement.ALIKE, Agreement.UNKNOWN} and time <= Apart.ZONE:
        if lots:
            return _matched(agreement, time, between, weak=True)
        if agreement == Agreement.ALIKE or time == Apart.SAME_MOMENT:
            return _matched(agreement, time, between, weak=True, sole=True)
    return None


def _lots_agree(one: Row, other: Row) -> bool:
    return bool(one.lot and other.lot) and not _lots_differ(one, other)


def _lots_differ(one: Row, other: Row) -> bool:
    if not one.lot or not other.lot:
        return False
    mine, theirs = ("".join(letter for letter in lot.upper() if letter.isalnum()) for lot in (one.lot, other.lot))
    return mine.replace("O", "0") != theirs.replace("O", "0")


def _medication(one: Row, other: Row, agreement: Agreement) -> Match | None:
    time, between = apart(one, other)
    if agreement <= _FIRM:
        if time <= Apart.ZONE:
            return _matched(agreement, time, between)
        by_day = time == Apart.NEXT_DAY and one.kind == "order" and "day" in (one.precision, other.precision)
        if time == Apart.SAME_DAY or by_day:
            return _matched(agreement, time, between, weak=True, sole=True)
        return _slipped(one, other, agreement, time)
    if agreement in {Agreement.ALIKE, Agreement.UNKNOWN} and time == Apart.SAME_MOMENT:
        return _matched(agreement, time, between, weak=True, sole=True)
    return None


def _procedure(one: Row, other: Row, agreement: Agreement) -> Match | None:
    time, between = apart(one, other)
    if agreement <= _FIRM:
        if time <= Apart.ZONE:
            return _matched(agreement, time, between)
        if time == Apart.SAME_DAY:
            return _matched(agreement, time, between, weak=True, sole=True)
        return _slipped(one, other, agreement, time)
    if agreement == Agreement.ALIKE and time <= Apart.ZONE:
        return _matched(agreement, time, between, weak=True)
    if agreement == Agreement.UNKNOWN and time == Apart.SAME_MOMENT:
        return _matched(agreement, time, between, weak=True, sole=True)
    return None


def _condition(one: Row, other: Row, agreement: Agreement) -> Match | None:
    time, between = apart(one, other)
    if agreement <= _FIRM:
        if time <= Apart.NEXT_DAY or _overlap(one, other) or _written_alike(one, other):
            return _matched(agreement, min(time, Apart.COARSE), between)
        return None
    ended = one.end is not None and other.end is not None and abs(one.end - other.end) <= DAY
    if agreement == Agreement.ALIKE and (time <= Apart.ZONE or (time == Apart.NEXT_DAY and ended)):
        return _matched(agreement, time, between, weak=True)
    if agreement == Agreement.UNKNOWN and (time == Apart.SAME_MOMENT or (time <= Apart.ZONE and ended)):
        return _matched(agreement, time, between, weak=True, sole=True)
    return None


def _written_alike(one: Row, other: Row) -> bool:
    """Whether both ended, or were recorded, at the very same moment: only the onset was put down otherwise."""
    ended = one.end is not None and one.end == other.end
    return ended or (one.recorded is not None and one.recorded == other.recorded)


def _overlap(one: Row, other: Row) -> bool:
    """Whether two spans share a time. What is not over goes on; without a start it has always been."""
    return _begin(one) <= _end(other) and _begin(other) <= _end(one)


def _begin(row: Row) -> float:
    return float("-inf") if row.start is None else row.start - (366 * DAY if row.precision == "year" else 0)


def _end(row: Row) -> float:
    if row.end is not None:
        return float(row.end)
    if row.status in _ENDED:
        return float("inf") if row.start is None else float(row.start + _SHORT)
    return float("inf")


def _substance(_one: Row, _other: Row, agreement: Agreement) -> Match | None:
    if agreement <= _FIRM:
        return _matched(agreement, Apart.SAME_MOMENT, abs((_one.start or 0) - (_other.start or 0)))
    if agreement in {Agreement.ALIKE, Agreement.UNKNOWN} and apart(_one, _other)[0] == Apart.SAME_MOMENT:
        return _matched(agreement, Apart.SAME_MOMENT, 0, weak=True, sole=True)
    return None


_OVERNIGHT: Final = frozenset({"IMP", "ACUTE", "NONAC", "OBSENC"})


def _visit(one: Row, other: Row, agreement: Agreement) -> Match | None:
    time, between = apart(one, other)
    classes = [("IMP" if each in _OVERNIGHT else each) for each in (one.visit_class, other.visit_class)]
    if classes[0] and classes[1] and classes[0] != classes[1] and time != Apart.SAME_MOMENT:
        return None
    same_place = not _present(one).isdisjoint(_present(other))
    as_long = None not in (one.end, other.end, one.start, other.start) and _length(one) == _length(other)
    firm = agreement <= _FIRM
    if firm and time in {Apart.SAME_MOMENT, Apart.SAME_HOUR}:
        return _matched(agreement, time, between)
    if firm and time == Apart.DAY_ONLY and not _differ(one.reason, other.reason):
        return _matched(agreement, time, between)
    if firm and as_long and time == Apart.NEXT_DAY:
        return _slipped(one, other, agreement, time)
    if time == Apart.ZONE and (as_long or same_place):
        return _matched(agreement, time, between, weak=not firm, sole=agreement == Agreement.UNKNOWN)
    if time in {Apart.SAME_MOMENT, Apart.DAY_ONLY} or (time == Apart.SAME_HOUR and (as_long or same_place)):
        return _matched(agreement, time, between, weak=True, sole=True)
    return None


def _present(row: Row) -> set[str]:
    """Who took part in a visit, and where it was."""
    return {each for each in (row.who or "").split(WHO) if each}


def _length(row: Row) -> int:
    return (row.end or 0) - (row.start or 0)


_BY_FAMILY: Final[dict[str, Callable[[Row, Row, Agreement], Match | None]]] = {
    "observation": _observation,
    "vaccine": _vaccination,
    "drug": _medication,
    "procedure": _procedure,
    "condition": _condition,
    "substance": _substance,
    "visit": _visit,
}
