"""Reads of operators that the audit trail has to know of.

What is imported here is imported by every question to the records: the state database only where a key was named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from charthouse.settings import Settings

_KEY: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def note_reads(text: str, action: str, *, settings: Settings | None = None) -> int:
    """Note that an operator reads about the people whose keys, or links', are in a text. Returns how many.

    The text itself is not kept. A home without a state database has nobody whose key this could be.

    Raises:
        StateError: CH605 when it cannot be noted: then it must not be read, either.
    """
    named = sorted({key.lower() for key in _KEY.findall(text)})
    if not named:
        return 0
    from sqlalchemy import select

    from charthouse.state import audit, current_version, session
    from charthouse.state.models import Link, Person

    if current_version(settings) is None:
        return 0
    with session(settings) as state:
        people = state.scalars(select(Person.person_key).where(Person.person_key.in_(named))).all()
        links = state.scalars(select(Link.id).where(Link.id.in_(named))).all()
        for key in people:
            audit.record(state, "operator", action, "person", key)
        for key in links:
            audit.record(state, "operator", action, "link", key)
    return len(people) + len(links)
