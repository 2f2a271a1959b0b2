"""The transactional outbox: a notice is written in the transaction of what it tells, and once only.

Whoever tells something hands over codes. Whom it reaches, by which channel and when is planned later, by the drain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from charthouse.clock import now
from charthouse.errors import NoticeError
from charthouse.state.base import new_key
from charthouse.state.notices import NOTICE_KINDS, Delivery, Notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.notices import Channel, DeliveryStatus, NoticeKind

_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}")
"""A code, a slug, an id or an instant of ours. A name of a person has a space, or is not put here."""
_DEDUPE_MOST: Final = 255


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A notice's way by one channel. `code` is the number of the last error; `sent_at` is empty until it is sent."""

    delivery_id: str
    channel: Channel
    status: DeliveryStatus
    tries: int
    next_try_at: datetime
    sent_at: datetime | None
    code: str | None


@dataclass(frozen=True, slots=True)
class NoticeView:
    """A notice as its person or an operator may see it. `deliveries` is empty until the next drain has planned them."""

    notice_id: str
    person_key: str
    link_id: str | None
    kind: NoticeKind
    reason: str
    detail: Mapping[str, str | int]
    created_at: datetime
    planned_at: datetime | None
    deliveries: Sequence[DeliveryView]


def tell(
    session: Session,
    person_key: str,
    kind: NoticeKind,
    *,
    link_id: str | None = None,
    reason: str = "",
    dedupe: str,
    detail: Mapping[str, str | int] | None = None,
) -> bool:
    """Write a notice in the caller's transaction. False where `dedupe` is known already: nothing is written then.

    `dedupe` names what is told, the same however often the task that tells it is tried. `detail` holds codes, slugs,
    counts and instants of ours.

    Raises:
        NoticeError: CH700 for a kind that is not declared, or a reason, detail or `dedupe` that is no code.
    """
    told = dict(detail or {})
    _check(kind, reason, dedupe, told)
    session.flush()  # the link it is about may be new in this very transaction
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    made = insert(Notice).values(
        id=new_key(),
        dedupe_key=dedupe,
        person_key=person_key,
        link_id=link_id,
        kind=kind,
        reason=reason,
        detail=told,
        created_at=now(),
    )
    once = made.on_conflict_do_nothing(index_elements=["dedupe_key"])
    return session.execute(once.returning(Notice.id)).first() is not None


def list_notices(
    session: Session,
    person_key: str | None = None,
    *,
    status: DeliveryStatus | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[NoticeView]:
    """Notices, newest first; those of a person, those with a delivery of `status`. `after` is the last id of a page.

    Raises:
        NoticeError: CH701 when `after` is no notice (of that person).
    """
    query = select(Notice)
    if person_key is not None:
        query = query.where(Notice.person_key == person_key)
    if status is not None:
        query = query.where(Notice.id.in_(select(Delivery.notice_id).where(Delivery.status == status)))
    if after is not None:
        last = session.get(Notice, after)
        if last is None or person_key not in (None, last.person_key):
            raise NoticeError("CH701")
        query = query.where(
            or_(Notice.created_at < last.created_at, and_(Notice.created_at == last.created_at, Notice.id < last.id))
        )
    found = list(session.scalars(query.order_by(Notice.created_at.desc(), Notice.id.desc()).limit(limit)))
    return _views(session, found)


def get_notice(session: Session, notice_id: str) -> NoticeView:
    """One notice by its id, or by that of one of its deliveries.

    Raises:
        NoticeError: CH701 when there is none.
    """
    delivery = session.get(Delivery, notice_id)
    found = session.get(Notice, delivery.notice_id if delivery else notice_id)
    if found is None:
        raise NoticeError("CH701")
    return _views(session, [found])[0]


def retry(session: Session, delivery_or_notice_id: str) -> int:
    """Send again what was given up: one delivery, or all undeliverable ones of a notice. Returns how many wait now.

    What is waiting for its next try is tried with the next drain; what was sent or suppressed stays as it is.

    Raises:
        NoticeError: CH701 when there is no such delivery or notice.
    """
    notice = get_notice(session, delivery_or_notice_id)
    meant = [each.delivery_id for each in notice.deliveries]
    if delivery_or_notice_id in meant:
        meant = [delivery_or_notice_id]
    again = (
        update(Delivery)
        .where(Delivery.id.in_(meant), Delivery.status.in_(("undeliverable", "waiting")))
        .values(status="waiting", tries=0, next_try_at=now(), lease_until=None)
    )
    return len(session.scalars(again.returning(Delivery.id)).all())


def _check(kind: str, reason: str, dedupe: str, detail: Mapping[str, Any]) -> None:
    if kind not in NOTICE_KINDS:
        raise NoticeError("CH700", where="kind")
    if reason and not _CODE.fullmatch(reason):
        raise NoticeError("CH700", where="reason")
    if not dedupe or len(dedupe) > _DEDUPE_MOST:
        raise NoticeError("CH700", where="dedupe")
    for key, value in detail.items():
        fine = isinstance(value, int) or (isinstance(value, str) and (not value or _CODE.fullmatch(value)))
        if not _CODE.fullmatch(key) or not fine:
            raise NoticeError("CH700", where="detail")


def _views(session: Session, notices: Sequence[Notice]) -> list[NoticeView]:
    ways: dict[str, list[DeliveryView]] = {}
    ids = [notice.id for notice in notices]
    query = select(Delivery).where(Delivery.notice_id.in_(ids)).order_by(Delivery.channel)
    for way in session.scalars(query.execution_options(populate_existing=True)):
        ways.setdefault(way.notice_id, []).append(
            DeliveryView(way.id, way.channel, way.status, way.tries, way.next_try_at, way.sent_at, way.code)
        )
    return [
        NoticeView(
            notice_id=notice.id,
            person_key=notice.person_key,
            link_id=notice.link_id,
            kind=notice.kind,
            reason=notice.reason,
            detail=notice.detail,
            created_at=notice.created_at,
            planned_at=notice.planned_at,
            deliveries=ways.get(notice.id, []),
        )
        for notice in notices
    ]
