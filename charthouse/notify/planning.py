"""Planning: by which channels a notice reaches its person, and when. One that they left has a row that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from charthouse.clock import now
from charthouse.notify.kinds import RULES
from charthouse.notify.preferences import preferences_of
from charthouse.state.base import new_key
from charthouse.state.notices import Contact, Delivery, Notice

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.notify.preferences import Preferences
    from charthouse.settings import Settings
    from charthouse.state.notices import Channel, NoticeKind

BATCH: Final = 500


def plan(session: Session, settings: Settings) -> int:
    """Plan the deliveries of the oldest notices that have none. Returns how many notices were planned.

    A notice reaches a person by each contact that they have, and by `push` where the app's webhook is set.
    """
    query = (
        select(Notice.id, Notice.person_key, Notice.kind)
        .where(Notice.planned_at.is_(None))
        .order_by(Notice.created_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    notices = session.execute(query).all()
    if not notices:
        return 0
    people = sorted({notice.person_key for notice in notices})
    contacts: dict[str, set[Channel]] = {}
    for person_key, channel in session.execute(
        select(Contact.person_key, Contact.channel).where(Contact.person_key.in_(people))
    ):
        contacts.setdefault(person_key, set()).add(channel)
    wishes = preferences_of(session, people)
    at = now()
    rows: list[dict[str, Any]] = []
    for notice in notices:
        channels = contacts.get(notice.person_key, set()) - {"push"}
        if settings.webhook_url:
            channels |= {"push"}
        wish = wishes[notice.person_key]
        rows += [
            {
                "id": new_key(),
                "notice_id": notice.id,
                "channel": channel,
                "status": "waiting" if wish.wants(channel, notice.kind) else "suppressed",
                "next_try_at": first_try(channel, notice.kind, wish, at),
                "tries": 0,
            }
            for channel in sorted(channels)
        ]
    if rows:
        session.execute(insert(Delivery), rows)
    session.execute(update(Notice).where(Notice.id.in_([notice.id for notice in notices])).values(planned_at=at))
    return len(notices)


def first_try(channel: Channel, kind: NoticeKind, wish: Preferences, at: datetime) -> datetime:
    """When a notice is to go out: with the next daily mail, or as soon as it is no quiet hour."""
    if waits_for_digest(channel, kind, wish):
        return wish.next_digest(at)
    return wish.next_loud(at)


def waits_for_digest(channel: Channel, kind: NoticeKind, wish: Preferences) -> bool:
    """Whether it is told in the person's one mail a day."""
    return channel == "email" and wish.digest == "daily" and not RULES[kind].urgent
