"""What is under way: medications listed as active, conditions that are not over, allergies."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from transforms.coach import telling
from transforms.coach.results import FactList

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transforms.coach.facts import PersonRecords, Row, Step
    from transforms.coach.telling import Group

OVER: Final = frozenset({"inactive", "remission", "resolved"})
"""Clinical statuses of a condition or allergy that is over (HL7 condition-clinical, allergyintolerance-clinical)."""
RULED_OUT: Final = frozenset({"refuted", "entered-in-error"})
_LASTS: Final = {"year": timedelta(days=366), "month": timedelta(days=31), "day": timedelta(days=1)}
"""How long what is named as an end lasts at most: a day that is named as the end is included."""


def active_medications(records: PersonRecords, now: datetime) -> FactList:
    """Orders, plans and statements that are active now; a drug that several providers list is one entry.

    Not among them: what is not to be given (`doNotPerform`), only proposed, on hold, stopped, over by its own dates,
    not yet begun, or shown by its provider no longer.
    """
    rows = [row for row in records.of("medications") if row.details.get("record_type") in ("request", "statement")]
    others: Counter[str] = Counter()
    active = []
    for group in telling.folded(rows):
        standing = [row for row in group if is_active(row, now)]
        if standing:
            active.append(standing)
        else:
            others[_why_not(group[0], now)] += 1
    groups = telling.newest_first(_one_a_drug(active))
    nothing = [group for group in telling.folded(rows) if "nothing-known" in group[0].remarks]
    return FactList(
        found=bool(groups),
        facts=telling.facts(groups),
        total=len(groups),
        others=dict(others),
        nothing_known=telling.facts(nothing),
    )


def conditions(records: PersonRecords) -> FactList:
    """Conditions on record that are neither over nor ruled out."""
    return _standing(records, "conditions")


def allergies(records: PersonRecords) -> FactList:
    """Allergies and intolerances that are neither over nor ruled out; and statements that there are none."""
    return _standing(records, "allergies")


def is_active(row: Row, now: datetime) -> bool:
    """Whether a medication is to be taken now, as far as its record says."""
    at = telling.instant(now)
    return (
        (row.status or "").lower() == "active"
        and row.is_said
        and row.is_served
        and "do-not-perform" not in row.flags
        and "nothing-known" not in row.remarks
        and row.details.get("intent", "order").lower() not in ("proposal", "option")
        and (row.start is None or row.start <= at)
        and not (row.steps and all(step.begins and step.begins > at for step in row.steps))
        and not is_over(row, now)
    )


def is_over(row: Row, now: datetime) -> bool:
    """Whether a medication has ended by its own dates: its period, or all steps of its dosage."""
    if row.end is not None:
        return now >= _at(row.end) + _LASTS.get(row.end_precision or "", timedelta())
    if not row.steps:
        return False
    ends = [_end_of(step, row.start) for step in row.steps]
    return all(end is not None and now >= end for end in ends)


def is_current(row: Row) -> bool:
    """Whether a condition or allergy is neither over, nor ruled out, nor said to be none."""
    status = (row.details.get("clinical_status") or row.status or "").lower()
    return (
        row.is_said
        and status not in OVER
        and row.details.get("verification", "").lower() not in RULED_OUT
        and row.end is None
        and "abatement" not in row.details
        and row.is_served
        and "nothing-known" not in row.remarks
    )


def _standing(records: PersonRecords, table: str) -> FactList:
    others: Counter[str] = Counter()
    current, nothing = [], []
    for group in telling.folded(records.of(table)):
        row = group[0]
        if says_nothing_known(row):
            nothing.append(group)
        elif is_current(row):
            current.append(group)
        else:
            others["ruled-out" if row.negated else "over" if row.is_served else "no-longer-shown"] += 1
    groups = telling.newest_first(current)
    return FactList(
        found=bool(groups or nothing),
        facts=telling.facts(groups),
        total=len(groups),
        others=dict(others),
        nothing_known=telling.facts(nothing),
    )


def says_nothing_known(row: Row) -> bool:
    """Whether a row says that there is nothing (no known allergy), or that nobody knows."""
    return "nothing-known" in row.remarks or (
        row.negated and row.details.get("verification", "").lower() not in RULED_OUT
    )


def _one_a_drug(groups: Iterable[Group]) -> list[Group]:
    """Several orders of one drug are one entry: by its RxNorm code, else by what it is called."""
    by_drug: dict[str, list[Row]] = {}
    for group in groups:
        row = group[0]
        name = next((each.code for each in row.codings if each.code and "rxnorm" in (each.system or "")), None)
        by_drug.setdefault(name or telling.name_of(row).casefold(), []).extend(group)
    return [sorted(rows, key=telling.order_of, reverse=True) for rows in by_drug.values()]


def _why_not(row: Row, now: datetime) -> str:
    if "do-not-perform" in row.flags or row.negated:
        return "not-to-be-taken"
    if not row.is_served:
        return "no-longer-shown"
    status = (row.status or "unknown").lower()
    if status == "active":
        return "over-by-its-dates" if is_over(row, now) else "not-begun-or-only-proposed"
    return status


def _end_of(step: Step, start: str | None) -> datetime | None:
    if step.ends is not None:
        return _at(step.ends) + _LASTS.get(step.ends_precision or "", timedelta())
    begins = step.begins or start
    return _at(begins) + timedelta(days=step.days) if step.days is not None and begins is not None else None


def _at(moment: str) -> datetime:
    return datetime.strptime(moment, telling.ISO).replace(tzinfo=UTC)
