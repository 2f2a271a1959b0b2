"""The last vaccination against something. One shot that several providers record is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transforms.coach import telling
from transforms.coach.matching import matching, question
from transforms.coach.measured import dated
from transforms.coach.results import LastImmunization

if TYPE_CHECKING:
    from datetime import datetime

    from transforms.coach.facts import PersonRecords, Row

MOST_EARLIER: Final = 10
_NOT_GIVEN: Final = frozenset({"not-done", "entered-in-error"})


def last(records: PersonRecords, name: str, now: datetime) -> LastImmunization:
    """The last vaccination that goes by a name, brand or code; combinations are against each of their parts."""
    asked = question(name, ("vaccines",), ("cvx",))
    rows = [row for row in records.of("vaccines") if given(row)]
    matter = asked.matters[0] if asked.matters else None
    found = matching(rows, asked, matter)
    groups = telling.newest_first(telling.folded(found))
    come = [group for group in groups if dated(group[0], now)]
    told = asked.told(("vaccines",))
    if not groups:
        return LastImmunization(found=False, looked_for=told)
    shown = come or groups
    return LastImmunization(
        found=True,
        looked_for=told,
        fact=telling.fact(shown[0]),
        doses=len(groups),
        earlier=telling.facts(shown[1 : MOST_EARLIER + 1]),
        undated=len(groups) - len(come),
    )


def given(row: Row) -> bool:
    """Whether a vaccination was given."""
    return row.is_said and (row.status or "").lower() not in _NOT_GIVEN
