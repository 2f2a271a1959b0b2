"""The feed gathered: what changed of people who agreed gets a number, and who agrees no more is told to be gone.

Nothing is remembered of what a night changed: a person is looked at when what their rows stand on is not what it was
when they were told of last (`mark`), and each is noted in a transaction of its own. Killed anywhere, the next one finds
whoever is left. Facts themselves are kept nowhere: they are read when they are asked for (`feed_pages`).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from charthouse import faults
from charthouse.coach import access, shelf
from charthouse.lake import records
from charthouse.lake.session import RECORDS, is_made, open_records
from charthouse.settings import Settings, get_settings
from charthouse.state import session
from charthouse.state.base import new_key, now
from charthouse.state.feed import THE_FEED, CoachFeed, CoachFeedEntry, next_seq, retire, the_feed
from charthouse.state.models import Link
from charthouse.state.seals import sealer_of
from transforms.coach import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from transforms.coach.facts import PersonRecords

_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a gathering found: people who are new in the feed, whose facts changed, and who are gone."""

    new: int = 0
    changed: int = 0
    gone: int = 0


def gather(settings: Settings | None = None) -> Gathered:
    """Bring the feed up to what is published and agreed to. Safe to repeat, and to kill.

    Raises:
        LakeError: CH501, CH502, CH505 when the records cannot be read.
        SetupError: CH006 when the key does not open what is sealed.
    """
    settings = settings or get_settings()
    agreed = shelf.who_agreed(settings)
    gone = settle(settings)
    marks = _marks(agreed, settings)
    with session(settings, read_only=True) as state:
        told = select(CoachFeedEntry.person_key, CoachFeedEntry.mark).where(CoachFeedEntry.person_key.is_not(None))
        known = dict(state.execute(told).tuples().all())
    new = changed = 0
    for person_key in sorted(agreed):
        if known.get(person_key) == marks[person_key]:
            continue
        if _note(person_key, marks[person_key], shelf.read(person_key, settings), settings):
            new, changed = (new + 1, changed) if person_key not in known else (new, changed + 1)
        faults.point("feed.noted")
    return Gathered(new, changed, gone)


def settle(settings: Settings) -> int:
    """Let everyone be gone from the feed who is in it and agrees no more. Returns how many those were."""
    agreed = shelf.who_agreed(settings)
    query = select(CoachFeedEntry.person_key).where(CoachFeedEntry.person_key.is_not(None))
    with session(settings, read_only=True) as state:
        over = set(state.scalars(query)) - agreed
    if not over:
        return 0
    with session(settings) as state:  # who agreed again meanwhile stays
        return retire(state, [key for key in sorted(filter(None, over)) if not access.may_be_read(state, key)])


def key_of(entry: CoachFeedEntry, settings: Settings) -> bytes:
    """The key of an entry's hashes.

    Raises:
        SetupError: CH006 when it does not open.
    """
    return base64.b64decode(sealer_of(settings).open(entry.sealed_key or b"", _owner(entry.subject)))


def _note(person_key: str, mark: str, known: PersonRecords, settings: Settings) -> bool:
    """Note what a person's facts are now, in one transaction; whether that is a change."""
    with session(settings) as state:
        if not access.may_be_read(state, person_key):  # withdrawn a moment ago
            return False
        feed = the_feed(state)
        entry = _entry(state, person_key, settings)
        told = manifest.read(entry.manifest)
        facts = manifest.hashed(known.rows, key_of(entry, settings)).content
        is_new = entry.seq < 0
        entry.mark = mark
        if not is_new and not manifest.changed(told, facts):
            return False
        entry.seq = next_seq(state)
        entry.manifest = manifest.write(manifest.moved_on(told, facts, entry.seq, feed.horizon))
        state.add(entry)
        return True


def _entry(state: Session, person_key: str, settings: Settings) -> CoachFeedEntry:
    """A person's entry; a new one has no number yet."""
    found = state.scalars(select(CoachFeedEntry).where(CoachFeedEntry.person_key == person_key)).first()
    if found is not None:
        return found
    made = CoachFeedEntry(subject=new_key(), person_key=person_key, seq=-1, began_at=now())
    key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    made.sealed_key = sealer_of(settings).seal(key, _owner(made.subject))
    return made


def _owner(subject: str) -> str:
    return f"coach_feed_entry:{subject}"


def _marks(people: set[str], settings: Settings) -> Mapping[str, str]:
    """What the rows of people stand on: up to where they were built, by which declaration, and by which links."""
    links: dict[str, list[str]] = {}
    with session(settings, read_only=True) as state:
        rows = state.execute(select(Link.person_key, Link.id).where(Link.status != "deleted").order_by(Link.id))
        for person_key, link_id in rows:
            links.setdefault(person_key, []).append(link_id)
    built = _built(settings)
    return {
        person: hashlib.sha256(repr((built.get(person), links.get(person))).encode()).hexdigest() for person in people
    }


def _built(settings: Settings) -> Mapping[str, tuple[int, str]]:
    if not is_made(RECORDS, settings):
        return {}  # no night has been yet
    with open_records(read_only=True, trusting=True, settings=settings) as connection:
        return records.built(connection)


def standing(settings: Settings | None = None) -> dict[str, Any]:
    """How far the feed has come, in numbers and instants."""
    with session(settings or get_settings(), read_only=True) as state:
        feed = state.get(CoachFeed, THE_FEED)
        people = select(func.count()).where(CoachFeedEntry.gone_at.is_(None)).select_from(CoachFeedEntry)
        gone = select(func.count()).where(CoachFeedEntry.gone_at.is_not(None)).select_from(CoachFeedEntry)
        return {
            "changes": feed.seq if feed else 0,
            "people": state.scalar(people) or 0,
            "gone": state.scalar(gone) or 0,
            "told_up_to": feed.told_seq if feed else 0,
            "tries": feed.telling_tries if feed else 0,
            "next_try_at": feed.next_telling_at if feed else None,
            "code": feed.telling_code if feed else None,
        }
