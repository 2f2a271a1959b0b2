"""Ends of grants: at what age they really came, which is how a provider's lifetimes are learnt (`expiry`)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.linking.expiry import lifetime
from charthouse.state.base import now
from charthouse.state.linking import GrantEnd
from charthouse.state.models import Credential, Link

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TRIED_AGAIN_AFTER: Final = timedelta(days=1)
"""An ended grant is tried once a day for a while: some providers answer alike for a suspended one, which may work again
(Oracle Health, "Authorization Framework": suspended and revoked tokens cannot be told apart)."""
LOOKED_AT: Final = 50
"""The last ends of a provider that count: what it did years ago says little."""


def note(session: Session, link: Link, *, learn: bool) -> None:
    """Note the end of a link's grant where `learn`, and when it is tried again.

    It ended between the moment when it was last seen alive and now: the middle is taken, or what the provider had told.
    """
    stored = session.get(Credential, link.id)
    if stored is None:
        return
    at = now()
    stored.next_refresh_at = at + TRIED_AGAIN_AFTER
    if not learn or stored.granted_at is None:
        return
    ended = stored.access_seen_at + (at - stored.access_seen_at) / 2
    if stored.refresh_expires_at is not None and stored.access_seen_at < stored.refresh_expires_at < at:
        ended = stored.refresh_expires_at
    age = int((ended - stored.granted_at).total_seconds())
    if age > 0:
        session.add(GrantEnd(provider=link.provider, age_seconds=age, at=at))


def learnt(session: Session, providers: set[str]) -> dict[str, timedelta | None]:
    """The lifetime of grants that each provider's ends speak for, None where they speak for none."""
    found: dict[str, timedelta | None] = {}
    for slug in providers:
        ends = session.scalars(
            select(GrantEnd.age_seconds)
            .where(GrantEnd.provider == slug)
            .order_by(GrantEnd.at.desc(), GrantEnd.id.desc())
            .limit(LOOKED_AT)
        ).all()
        if not ends:
            found[slug] = None
            continue
        granted = session.scalars(
            select(Credential.granted_at)
            .join(Link, Link.id == Credential.link_id)
            .where(Link.provider == slug, Link.status.in_(("pending", "confirmed")), Credential.granted_at.is_not(None))
        )
        at = now()
        found[slug] = lifetime(
            [timedelta(seconds=age) for age in ends], alive=[at - since for since in granted if since is not None]
        )
    return found
