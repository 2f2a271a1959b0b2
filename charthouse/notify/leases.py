"""Deliveries taken up and settled. Whoever takes one up holds a lease, and nobody else sends it until that ends.

A lease is an instant, and the same for all that one claim takes up; what is settled must still be under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, select, update

from charthouse.clock import now
from charthouse.state.notices import Delivery, Notice, Preference

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from charthouse.state.notices import Channel, DeliveryStatus

_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that was taken up. `tries` counts this one; `code` is the number of the last error."""

    delivery_id: str
    notice_id: str
    channel: Channel
    tries: int
    code: str | None
    lease: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """What a delivery is from now on."""

    delivery_id: str
    lease: datetime
    status: DeliveryStatus
    tries: int
    code: str | None = None
    next_try_at: datetime | None = None
    sent_at: datetime | None = None


def claim(session: Session, channels: Collection[Channel], limit: int, lease: datetime) -> list[Claimed]:
    """Take up what is due on these channels, the oldest first: what waits, and what a drain left that died.

    Of somebody who gets one mail a day, all mails that are due are taken up together, beyond `limit`.
    """
    at = now()
    left = _ids(session, channels, limit, [Delivery.status == "sending", Delivery.lease_until < at])
    waiting = [Delivery.status == "waiting", Delivery.next_try_at <= at]
    ids = left + _ids(session, channels, limit - len(left), waiting)
    if "email" in channels:
        ids += _daily(session, ids, waiting)
    taken: list[Claimed] = []
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        statement = (
            update(Delivery)
            .where(Delivery.id.in_(chunk))
            .values(status="sending", lease_until=lease, tries=Delivery.tries + 1)
            .returning(Delivery.id, Delivery.notice_id, Delivery.channel, Delivery.tries, Delivery.code)
        )
        rows = session.execute(statement.execution_options(synchronize_session=False))
        taken += [Claimed(*row, lease) for row in rows]
    order = {delivery_id: place for place, delivery_id in enumerate(ids)}
    return sorted(taken, key=lambda each: order[each.delivery_id])


def settle(session: Session, settled: Sequence[Settled]) -> int:
    """Note what became of deliveries, those whose lease is still held. Returns how many those were."""
    held = 0
    sent: dict[tuple[datetime, datetime | None], list[str]] = {}
    rest = []
    for each in settled:
        if each.status == "sent":
            sent.setdefault((each.lease, each.sent_at), []).append(each.delivery_id)
        else:
            rest.append(each)
    for (lease, sent_at), ids in sent.items():
        for start in range(0, len(ids), _CHUNK):
            done = (
                update(Delivery)
                .where(Delivery.id.in_(ids[start : start + _CHUNK]), *_held(lease))
                .values(status="sent", sent_at=sent_at, lease_until=None, code=None)
            )
            held += len(session.execute(done.returning(Delivery.id)).all())
    for each in rest:
        done = (
            update(Delivery)
            .where(Delivery.id == bindparam("delivery"), *_held(each.lease))
            .values(
                status=each.status,
                tries=each.tries,
                code=each.code,
                lease_until=None,
                **({"next_try_at": each.next_try_at} if each.next_try_at else {}),
            )
        )
        held += len(session.execute(done.returning(Delivery.id), {"delivery": each.delivery_id}).all())
    return held


def _held(lease: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Delivery.status == "sending", Delivery.lease_until == lease)


def _ids(session: Session, channels: Collection[Channel], limit: int, due: Sequence[ColumnElement[bool]]) -> list[str]:
    if limit <= 0 or not channels:
        return []
    query = (
        select(Delivery.id)
        .where(*due, Delivery.channel.in_(sorted(channels)))
        .order_by(Delivery.next_try_at, Delivery.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(session.scalars(query))


def _daily(session: Session, ids: Sequence[str], due: Sequence[ColumnElement[bool]]) -> list[str]:
    """The other mails that are due to those who get one a day."""
    people = (
        select(Notice.person_key)
        .join(Delivery, Delivery.notice_id == Notice.id)
        .join(Preference, Preference.person_key == Notice.person_key)
        .where(Delivery.id.in_(ids), Delivery.channel == "email", Preference.digest == "daily")
    )
    query = (
        select(Delivery.id)
        .join(Notice, Notice.id == Delivery.notice_id)
        .where(*due, Delivery.channel == "email", Notice.person_key.in_(people), Delivery.id.not_in(ids))
        .with_for_update(skip_locked=True, of=Delivery)
    )
    return list(session.scalars(query)) if ids else []
