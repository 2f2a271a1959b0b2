"""A person's records for an answer: from their shelf, or from the records where none stands, and then put there."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.coach import access
from charthouse.errors import CharthouseError
from charthouse.lake import people, shelf
from charthouse.lake.session import RECORDS, is_made, open_records
from charthouse.log import get_logger
from charthouse.state import session
from charthouse.state.linking import Consent
from charthouse.state.models import Person
from transforms.coach.facts import PersonRecords

if TYPE_CHECKING:
    from collections.abc import Collection

    from charthouse.settings import Settings

AT_ONCE: Final = 50
"""People whose shelves are made in one reading of the tables."""
log = get_logger(__name__)


def read(person_key: str, settings: Settings) -> PersonRecords:
    """Everything that is known of a person. Whether they may be read is asked before (`access.admit`).

    Raises:
        LakeError: CH501, CH502, CH505 when the records cannot be read.
    """
    found = shelf.take(person_key, settings)
    if found is not None:
        return found
    if not is_made(RECORDS, settings):
        return PersonRecords()  # no night has been yet
    seen = shelf.mark(settings)
    with open_records(read_only=True, trusting=True, settings=settings) as connection:
        found = people.records_of(connection, [person_key])[person_key]
    with suppress(OSError):  # a full disk answers all the same
        shelf.put(person_key, found, seen, lambda: _may(person_key, settings), settings)
    return found


def stock(keys: Collection[str], settings: Settings) -> int:
    """Put the shelves of those of these people who agreed, after their rows have changed. Returns how many.

    What fails is made up for by the next read.
    """
    agreed = who_agreed(settings)
    whom = sorted(agreed.intersection(keys))
    if not whom:
        return 0
    put = 0
    try:
        seen = shelf.mark(settings)
        with open_records(read_only=True, trusting=True, settings=settings) as connection:
            for start in range(0, len(whom), AT_ONCE):
                for person_key, found in people.records_of(connection, whom[start : start + AT_ONCE]).items():
                    put += shelf.put(person_key, found, seen, lambda: True, settings)
    except (CharthouseError, OSError) as error:
        log.warning("shelves were not put", what=type(error).__name__)
    sweep(settings)
    return put


def sweep(settings: Settings) -> int:
    """Take away the shelves of whom they are no longer for: what a process that was killed left."""
    return shelf.drop(shelf.people_with_one(settings) - who_agreed(settings), settings)


def who_agreed(settings: Settings) -> set[str]:
    """Everyone whose records may be used for the coach now."""
    query = (
        select(Person.person_key)
        .join(Consent, Consent.person_key == Person.person_key)
        .where(Person.premium, Consent.kind == access.PERSONALISATION, Consent.withdrawn_at.is_(None))
    )
    with session(settings, read_only=True) as state:
        return set(state.scalars(query))


def _may(person_key: str, settings: Settings) -> bool:
    with session(settings, read_only=True) as state:
        return access.may_be_read(state, person_key)
