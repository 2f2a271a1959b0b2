"""Visits, and what a person could take along to the next one: facts, no advice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transforms.coach import lists, telling
from transforms.coach.immunizations import given
from transforms.coach.measured import dated
from transforms.coach.results import DoctorList, Visits
from transforms.coach.telling import has_value, newest_of_each, stage_of

if TYPE_CHECKING:
    from datetime import datetime

    from transforms.coach.facts import PersonRecords, Row
    from transforms.coach.results import Fact
    from transforms.coach.telling import Group

RECENT: Final = 10
MOST: Final = 20
"""Entries of each list that are shown; the rest are counted."""
_CALLED_OFF: Final = frozenset({"cancelled", "entered-in-error", "noshow"})
_TO_COME: Final = frozenset({"planned", "booked", "pending", "proposed", "arrived", "triaged"})
_OUTSIDE: Final = frozenset({"H", "HH", "HU", "L", "LL", "LU", "A", "AA", "<", ">", "HX", "LX"})
"""HL7 ObservationInterpretation: high, low, abnormal, critical, off the scale."""


def upcoming_and_recent(records: PersonRecords, now: datetime) -> Visits:
    """Visits that are planned for later, soonest first; and those that have begun, latest first."""
    groups = telling.folded(row for row in records.of("visits") if _counts(row))
    at = telling.instant(now)
    coming = [group for group in groups if _is_to_come(group[0], at)]
    were = telling.newest_first(group for group in groups if not _is_to_come(group[0], at) and not _is_open(group[0]))
    return Visits(
        found=bool(coming or were),
        upcoming=telling.facts(sorted(coming, key=lambda group: telling.order_of(group[0]))),
        recent=telling.facts(were[:RECENT]),
        total=len(coming) + len(were),
    )


def doctor_list(records: PersonRecords, now: datetime) -> DoctorList:
    """What is new since the last visit began, and the newest results that are outside their range as sent.

    A result that came of the visit itself counts as new. Without a visit on record everything would be new: then only
    results outside their range are told.
    """
    at = telling.instant(now)
    visits = telling.newest_first(
        group
        for group in telling.folded(row for row in records.of("visits") if _counts(row) and not _is_open(row))
        if group[0].start and group[0].start <= at
    )
    last = visits[0] if visits else None
    since = last[0].start if last else None
    results = _results(records, now)
    conditions = telling.newest_first(
        group for group in telling.folded(records.of("conditions")) if lists.is_current(group[0])
    )
    allergies = [group for group in telling.folded(records.of("allergies")) if lists.is_current(group[0])]
    medications = telling.newest_first(telling.folded(row for row in records.of("medications") if row.is_said))
    vaccines = telling.newest_first(telling.folded(row for row in records.of("vaccines") if given(row)))
    found = {
        "new_results": [group for group in results if _is_since(group[0], since)],
        "outside_range": [group for group in newest_of_each(results) if is_outside(group[0])],
        "new_conditions": [group for group in conditions if _is_since(group[0], since)],
        "new_medications": [
            group for group in medications if _is_since(group[0], since) and lists.is_active(group[0], now)
        ],
        "ended_medications": [group for group in medications if since and _ended_since(group[0], since, at)],
        "new_allergies": [group for group in telling.newest_first(allergies) if _is_since(group[0], since)],
        "new_vaccines": [group for group in vaccines if _is_since(group[0], since)],
    }
    told: dict[str, list[Fact]] = {name: telling.facts(groups[:MOST]) for name, groups in found.items()}
    return DoctorList(
        found=any(told.values()),
        last_visit=telling.fact(last) if last else None,
        since=telling.when(last[0]) if last else None,
        more={name: len(groups) - MOST for name, groups in found.items() if len(groups) > MOST},
        new_results=told["new_results"],
        outside_range=told["outside_range"],
        new_conditions=told["new_conditions"],
        new_medications=told["new_medications"],
        ended_medications=told["ended_medications"],
        new_allergies=told["new_allergies"],
        new_vaccines=told["new_vaccines"],
    )


def is_outside(row: Row) -> bool:
    """Whether a result is outside its range: its laboratory says so, or its number is beyond the range that was sent.

    A number is compared with a range of the same unit only, and never where the range is for some people, or where the
    laboratory has said what it makes of it.
    """
    codes = {(each.code or "").upper() for each in row.interpretations}
    if codes - {""}:
        return bool(codes & _OUTSIDE)
    ranges = [each for each in row.usual if each.low is not None or each.high is not None]
    amount = row.value
    if len(ranges) != 1 or amount is None or amount.number is None or amount.comparator or ranges[0].applies_to:
        return False
    usual = ranges[0]
    if usual.kind and usual.kind.lower() not in ("normal", "normal range"):
        return False
    for side, beyond in ((usual.low, -1), (usual.high, 1)):
        if side is None or side.number is None:
            continue
        said = {(side.unit_code or side.unit), (amount.unit_code if side.unit_code else amount.unit)}
        if len(said - {None}) > 1:
            return False
        if (amount.number - side.number) * beyond > 0:
            return True
    return False


def _results(records: PersonRecords, now: datetime) -> list[Group]:
    """Results with a value, newest first."""
    rows = (
        row
        for row in records.of("lab_results", "vitals")
        if not row.negated and stage_of(row) != "cancelled" and has_value(row)
    )
    return telling.newest_first(group for group in telling.folded(rows) if dated(group[0], now))


def _counts(row: Row) -> bool:
    return row.is_said and (row.status or "").lower() not in _CALLED_OFF


def _is_open(row: Row) -> bool:
    """Whether it was planned and nobody said that it took place."""
    return (row.status or "").lower() in ("planned", "booked", "pending", "proposed")


def _is_to_come(row: Row, at: str) -> bool:
    return row.start is not None and row.start > at and (row.status or "planned").lower() in _TO_COME


def _is_since(row: Row, since: str | None) -> bool:
    """Whether it is of the day of the last visit or later."""
    return since is not None and (row.start or row.recorded or "") >= since[:10]


def _ended_since(row: Row, since: str, at: str) -> bool:
    status = (row.status or "").lower()
    ended = row.end is not None and since <= row.end <= at
    return status in ("stopped", "completed", "cancelled", "ended") and (ended or _is_since(row, since))
