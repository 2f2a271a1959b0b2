"""A summary in the sections of the International Patient Summary (HL7 IPS, STU 1.1, Composition), newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transforms.coach import lists, telling
from transforms.coach.immunizations import given
from transforms.coach.results import FactList, Moment, Section, Summary
from transforms.coach.telling import has_value, newest_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from transforms.coach.facts import PersonRecords, Row
    from transforms.coach.telling import Group

SHOWN: Final = 10
"""Entries of a section that are shown; the rest are counted."""
_NOT_DONE: Final = frozenset({"not-done", "cancelled", "entered-in-error"})


def summary(records: PersonRecords, now: datetime) -> Summary:
    """Everything in sections: the newest entries of each, and how many more there are."""
    groups = {table: telling.folded(row for row in records.of(table) if row.is_said) for table in _TABLES}
    counts = {table: len(each) for table, each in groups.items() if each}
    starts = sorted(
        (group[0] for each in groups.values() for group in each if group[0].start), key=lambda row: row.start or ""
    )
    sections = [
        _of_list("Medication Summary", "10160-0", lists.active_medications(records, now)),
        _of_list("Allergies and Intolerances", "48765-2", lists.allergies(records)),
        _of_list("Problem List", "11450-4", lists.conditions(records)),
        _section("Immunizations", "11369-6", _rows(groups, "vaccines", given)),
        _section("History of Procedures", "47519-4", _rows(groups, "procedures", _was_done)),
        _section("Diagnostic Results", "30954-2", newest_of_each(_rows(groups, "lab_results", has_value))),
        _section("Vital Signs", "8716-3", newest_of_each(_rows(groups, "vitals", has_value))),
        _section("Social History", "29762-2", newest_of_each(_rows(groups, "social_history", has_value))),
        _section("History of Pregnancy", "10162-6", _rows(groups, "pregnancy", has_value)),
        _section("Visits", "46240-8", _rows(groups, "visits", _was_done)),
    ]
    return Summary(
        found=bool(records.rows),
        sections=[section for section in sections if section.total or section.nothing_known],
        counts=counts,
        earliest=_when(starts[:1]),
        latest=_when(starts[-1:]),
    )


_TABLES: Final = (
    "medications", "allergies", "conditions", "vaccines", "procedures", "lab_results", "vitals", "social_history",
    "pregnancy", "visits",
)  # fmt: skip


def _rows(groups: dict[str, list[Group]], table: str, counts: Callable[[Row], bool]) -> list[Group]:
    return telling.newest_first(group for group in groups[table] if counts(group[0]))


def _section(title: str, loinc: str, groups: Sequence[Group]) -> Section:
    shown = telling.facts(groups[:SHOWN])
    return Section(title=title, loinc=loinc, total=len(groups), facts=shown, more=len(groups) - len(shown))


def _of_list(title: str, loinc: str, found: FactList) -> Section:
    shown = found.facts[:SHOWN]
    return Section(
        title=title,
        loinc=loinc,
        total=found.total,
        facts=shown,
        more=found.total - len(shown),
        nothing_known=found.nothing_known[:SHOWN],
    )


def _was_done(row: Row) -> bool:
    return (row.status or "").lower() not in _NOT_DONE


def _when(rows: Sequence[Row]) -> Moment | None:
    return telling.when(rows[0]) if rows else None
