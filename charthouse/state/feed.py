"""The coach's feed, as it is remembered: how far it has come, and of whom it has told what.

A back end with an index of its own reads changes by their numbers. Numbers are given out under a lock that holds until
the commit, so that they can be seen in no other order than their own: whoever has read up to one has read all below it.
"""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, LargeBinary, String, update
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, new_key, now

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

THE_FEED: Final = 1
"""The id of the one row of `coach_feed`."""


class CoachFeed(Base):
    """How far the feed has come; one row.

    `epoch` changes when the numbers begin anew. `horizon`: what was taken away up to that number is forgotten. `days`
    says up to which number each day came. The rest is the message to the back end's webhook that is on its way.
    """

    __tablename__ = "coach_feed"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[str] = mapped_column(Key, default=new_key)
    seq: Mapped[int] = mapped_column(default=0)
    horizon: Mapped[int] = mapped_column(default=0)
    days: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    told_seq: Mapped[int] = mapped_column(default=0)
    telling_id: Mapped[str | None] = mapped_column(Key)
    telling_seq: Mapped[int | None]
    telling_tries: Mapped[int] = mapped_column(default=0)
    next_telling_at: Mapped[datetime | None]
    telling_code: Mapped[str | None] = mapped_column(String(5))


class CoachFeedEntry(Base):
    """One person in the feed, from their consent to its end; after another consent they are a new entry.

    `subject` is the random id by which the back end knows them. What they have is in `manifest` as keyed hashes alone
    (`charthouse.coach.manifest`), whose key is sealed. Gone, all of that is emptied, and the number says when it was
    told; `person_key` has no foreign key, for the row outlives the person.
    """

    __tablename__ = "coach_feed_entry"

    subject: Mapped[str] = mapped_column(Key, primary_key=True, default=new_key)
    person_key: Mapped[str | None] = mapped_column(Key, unique=True)
    seq: Mapped[int] = mapped_column(unique=True)
    began_at: Mapped[datetime] = mapped_column(default=now)
    mark: Mapped[str] = mapped_column(String(64), default="")
    sealed_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    manifest: Mapped[bytes | None] = mapped_column(LargeBinary)
    gone_at: Mapped[datetime | None] = mapped_column(index=True)


def the_feed(session: Session) -> CoachFeed:
    """The feed's row, under a lock until the transaction ends. A home that was made before it gets one now."""
    found = session.get(CoachFeed, THE_FEED, with_for_update=True)
    if found is None:
        found = CoachFeed(id=THE_FEED, epoch=new_key(), seq=0, horizon=0, days={}, told_seq=0, telling_tries=0)
        session.add(found)
        session.flush()
    return found


def next_seq(session: Session) -> int:
    """The next number, which nobody sees before this transaction has ended, nor any later one."""
    feed = the_feed(session)
    feed.seq += 1
    feed.days = {**feed.days, now().date().isoformat(): feed.seq}
    session.flush()
    return feed.seq


def forget(session: Session, before: datetime) -> int:
    """Say that what was taken away before an instant is told no more. Returns the horizon, where it is now.

    A whole day is forgotten, or none: nothing is forgotten too early.
    """
    feed = the_feed(session)
    day = before.date().isoformat()
    past = [seq for told, seq in feed.days.items() if told < day]
    if past:
        feed.horizon = max(feed.horizon, *past)
        feed.days = {told: seq for told, seq in feed.days.items() if told >= day}
        session.flush()
    return feed.horizon


def retire(session: Session, people: Collection[str]) -> int:
    """Let people be gone from the feed: a tombstone each, which says who it was by the feed's own id alone."""
    query = session.query(CoachFeedEntry.subject).where(CoachFeedEntry.person_key.in_(people))
    subjects = [subject for (subject,) in query]
    for subject in subjects:
        session.execute(
            update(CoachFeedEntry)
            .where(CoachFeedEntry.subject == subject)
            .values(seq=next_seq(session), person_key=None, sealed_key=None, manifest=None, mark="", gone_at=now())
        )
    return len(subjects)
