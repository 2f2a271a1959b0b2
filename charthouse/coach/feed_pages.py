"""The feed read: what changed since a cursor, as pages.

A cursor says up to which number a reader has everything (`floor`), and how far into the people of the present sweep
they have come (`at`, and inside the next person `offset`). People come in the order of their numbers, each with all
that changed after the floor; the floor moves on when a sweep has come to its end. So a change is never passed over, and
one that happens during a sweep may be told twice. Who was gone before a reader's first sweep (`base`) is nobody to
them; who went later must not be forgotten before they have heard of it. It is sealed: opaque, forgeable by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import select

from charthouse.coach import access, shelf
from charthouse.coach.feed import key_of, settle
from charthouse.errors import CoachError, SetupError
from charthouse.state import audit, session
from charthouse.state.feed import THE_FEED, CoachFeed, CoachFeedEntry, the_feed
from charthouse.state.seals import sealer_of
from transforms.coach import manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charthouse.settings import Settings

_OWNER: Final = "cursor of the coach's feed"
Kind = Literal["put", "delete", "gone"]


@dataclass(frozen=True, slots=True)
class Item:
    """One change. `gone`: forget the subject with everything of theirs. `person_key` is empty then."""

    change: Kind
    subject: str
    person_key: str | None = None
    fact_id: str | None = None
    fact: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some changes, the cursor of what comes after them, and whether there is more by now."""

    items: Sequence[Item]
    cursor: str
    more: bool


class Cursor(NamedTuple):
    """Where a reader is. Of a person in the middle of whom a page ended, `seq` is the number."""

    epoch: str = ""
    base: int = 0
    floor: int = 0
    at: int = 0
    seq: int = 0
    offset: int = 0


def page(since: str | None, limit: int, settings: Settings) -> FeedPage:
    """The next changes after a cursor; from the beginning without one. Those who agree no more are gone at once.

    Raises:
        CoachError: CH693 for a cursor that is too old, or of a feed that was begun anew; CH694 for one that is none.
        LakeError: the records cannot be read.
    """
    settle(settings)
    cursor = _opened(since, settings)
    feed = _feed(settings)
    begins = cursor.epoch == ""
    if begins:
        cursor = Cursor(feed.epoch, feed.seq)
    elif cursor.epoch != feed.epoch or cursor.base < feed.horizon > cursor.at:
        raise CoachError("CH693")
    items: list[Item] = []
    _, base, floor, at, seq, offset = cursor
    while True:
        entry = _next(at, settings)
        if entry is None:  # numbers are seen in their order: below the feed's there was no other
            end = max(at, floor, feed.seq)
            return _page(items, Cursor(feed.epoch, end, end, end), settings, more=False)
        found = _changes(entry, floor, settings, begins=begins)
        begin = offset if entry.seq == seq else 0  # whoever changed meanwhile is told of from the beginning
        room = limit - len(items)
        items += found[begin : begin + room]
        if begin + room < len(found):
            return _page(items, Cursor(feed.epoch, base, floor, at, entry.seq, begin + room), settings, more=True)
        at = entry.seq
        if len(items) >= limit:
            return _page(items, Cursor(feed.epoch, base, floor, at), settings, more=True)


def _page(items: Sequence[Item], cursor: Cursor, settings: Settings, *, more: bool) -> FeedPage:
    return FeedPage(_permitted(items, settings), _sealed(cursor, settings), more)


def _feed(settings: Settings) -> CoachFeed:
    """How far the feed has come."""
    with session(settings, read_only=True) as state:
        feed = state.get(CoachFeed, THE_FEED)
    if feed is None:
        with session(settings) as state:
            feed = the_feed(state)
    return feed


def _next(at: int, settings: Settings) -> CoachFeedEntry | None:
    query = select(CoachFeedEntry).where(CoachFeedEntry.seq > at).order_by(CoachFeedEntry.seq).limit(1)
    with session(settings, read_only=True) as state:
        return state.scalars(query).first()


def _changes(entry: CoachFeedEntry, floor: int, settings: Settings, *, begins: bool) -> list[Item]:
    """What is to be told of one person. A fact is told as it is now; one that is no longer there is not told at all,
    for its deletion comes. Whoever begins has nothing yet that could go."""
    if entry.person_key is None:
        return [] if begins else [Item("gone", entry.subject)]
    told = manifest.read(entry.manifest)
    facts = manifest.hashed(shelf.read(entry.person_key, settings).rows, key_of(entry, settings)).rows
    items = []
    for fact_id, each in manifest.since(told, floor):
        if fact_id in facts:
            fact = msgspec.to_builtins(facts[fact_id])
            items.append(Item("put", entry.subject, entry.person_key, fact_id.hex(), fact))
        elif each.is_gone and not begins:
            items.append(Item("delete", entry.subject, entry.person_key, fact_id.hex()))
    return items


def _permitted(items: Sequence[Item], settings: Settings) -> list[Item]:
    """The items of those who agree at this very moment; each such person's read is noted."""
    people = {item.person_key for item in items if item.person_key is not None}
    with session(settings) as state:
        agreeing = {key for key in sorted(people) if access.may_be_read(state, key)}
        for key in sorted(agreeing):
            audit.record(state, "operator", "coach.read", "person", key, {"function": "feed", "through": "api"})
    return [item for item in items if item.person_key is None or item.person_key in agreeing]


def _opened(since: str | None, settings: Settings) -> Cursor:
    if since is None:
        return Cursor()
    try:
        return Cursor(*msgspec.json.decode(sealer_of(settings).open(since.encode("ascii"), _OWNER)))
    except (SetupError, ValueError, TypeError):
        raise CoachError("CH694") from None


def _sealed(cursor: Cursor, settings: Settings) -> str:
    return sealer_of(settings).seal(msgspec.json.encode(tuple(cursor)).decode(), _OWNER).decode("ascii")
