"""The results of a person that can be asked for, and what belongs together: a panel's parts, a pressure's sides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from transforms.coach import telling, vocabulary
from transforms.coach.matching import Question, is_of, matching, question
from transforms.coach.selecting import OBSERVATIONS
from transforms.coach.telling import stage_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from transforms.coach.facts import PersonRecords, Row
    from transforms.coach.results import Category, Fact
    from transforms.coach.telling import Group
    from transforms.coach.vocabulary import Matter

CATEGORIES: Final[tuple[Category, ...]] = ("lab_results", "vitals", "pregnancy", "social_history")
AHEAD: Final = timedelta(days=2)
"""How far a clock may be wrong: what is dated later is no latest result."""


@dataclass(frozen=True, slots=True)
class Found:
    """Results of one matter, newest first. `undated` are those without a date, or with one that is still to come."""

    groups: tuple[Group, ...]
    undated: int


def asked_results(records: PersonRecords, name: str, now: datetime) -> tuple[Question, list[Found]]:
    """What a name asks for, and the results of each matter that goes by it: the one that is meant first.

    That one may have no results where others have: they are the parts of a panel that is not on record as a whole.
    """
    asked = question(name, ("results",), ("loinc",))
    rows = [row for row in records.of(*OBSERVATIONS) if not row.negated and stage_of(row) != "cancelled"]
    if asked.matters:
        found = [_found(_of_matter(rows, matter), now) for matter in asked.matters]
        if found[0].groups or found[0].undated or (asked.matters[0].parts and any(each.groups for each in found)):
            return asked, found
    if asked.codes or asked.words:
        return asked, _apart(matching(rows, asked) if asked.codes else _called(rows, asked), now)
    return asked, []


def parts_of(records: PersonRecords, row: Row) -> list[Fact]:
    """The components and members of a panel, in the order of the record."""
    wanted = set(row.members)
    own = [
        each
        for each in records.of(*OBSERVATIONS)
        if each.row_key != row.row_key
        and ((each.resource_key == row.resource_key and row.component == 0) or each.resource_key in wanted)
    ]
    order = {key: number for number, key in enumerate(row.members)}
    own.sort(key=lambda each: (order.get(each.resource_key, -1), each.row_key))
    return [telling.fact([each]) for each in own if _says(each)]


def dated(row: Row, now: datetime) -> bool:
    """Whether a row has a date that has come."""
    return row.start is not None and row.start <= telling.instant(now + AHEAD)


def _called(rows: Sequence[Row], asked: Question) -> list[Row]:
    """Rows whose names have all the words of the question, whatever the vocabulary makes of them."""
    return matching(rows, Question(asked.asked, frozenset(), (), asked.words))


def _of_matter(rows: Sequence[Row], matter: Matter) -> list[Row]:
    found = [row for row in rows if is_of(row, matter) and (_says(row) or row.members or _has_parts(row, rows))]
    return found + (_paired(rows, matter, found) if matter.pair else [])


def _has_parts(row: Row, rows: Sequence[Row]) -> bool:
    return row.component == 0 and any(each.resource_key == row.resource_key and each.component for each in rows)


def _says(row: Row) -> bool:
    """Whether there is a value in it, of whatever kind, or a word on why there is none."""
    return telling.value_of(row) is not None


def _paired(rows: Sequence[Row], matter: Matter, whole: Sequence[Row]) -> list[Row]:
    """Sides that were sent as results of their own, of one moment and link: read as one pressure."""
    if matter.pair is None:
        return []
    first, second = (vocabulary.matter(matter.kind, name) for name in matter.pair)
    there = {row.resource_key for row in whole} | {key for row in whole for key in row.members}
    alone = [row for row in rows if row.component == 0 and row.resource_key not in there and row.value is not None]
    others = {(row.link_id, row.start): row for row in alone if is_of(row, second)}
    made = []
    for row in alone:
        other = others.get((row.link_id, row.start))
        if other is not None and row.start is not None and is_of(row, first):
            whole_of = f"pair {row.row_key}"
            made += [
                msgspec.structs.replace(
                    row, systolic=row.value, diastolic=other.value, value=None, display=matter.title, text=None,
                    code=None, codings=(*row.codings, *other.codings), usual=(), interpretations=(), group=whole_of,
                    rank=1,
                ),
                msgspec.structs.replace(other, group=whole_of, rank=2),
            ]  # fmt: skip
    return made


def _apart(rows: Iterable[Row], now: datetime) -> list[Found]:
    """Results that words found, by what they are called: of whom there is the newest first."""
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        if _says(row):
            by_name.setdefault(row.code or telling.name_of(row), []).append(row)
    found = [_found(several, now) for several in by_name.values()]
    return sorted(found, key=lambda each: telling.order_of(each.groups[0][0]) if each.groups else ("",), reverse=True)


def _found(rows: Iterable[Row], now: datetime) -> Found:
    groups = telling.newest_first(telling.folded(rows))
    come = [group for group in groups if dated(group[0], now)]
    # A panel without a value of its own stands behind its parts' values, and before nothing.
    return Found(tuple(come), len(groups) - len(come))
