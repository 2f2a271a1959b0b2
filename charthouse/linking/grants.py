"""What may be known of a link's grant: when it began, was used, is used next and ends. No token, no patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from charthouse.linking import ends, links
from charthouse.linking.expiry import End, ends_at
from charthouse.state.models import Credential

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class GrantView:
    """A link with its grant. `ends_at` is told by the provider or learnt from its other grants; empty: unknown."""

    link_id: str
    person_key: str
    provider: str
    route: str
    status: str
    failed_reason: str | None
    status_at: datetime
    sync_status: str
    last_synced_at: datetime | None
    sync_requested_at: datetime | None
    granted_at: datetime | None
    last_renewed_at: datetime | None
    next_refresh_at: datetime | None
    renewal_in_doubt: bool
    ends_at: datetime | None


def end_of(stored: Credential, learnt: timedelta | None) -> End | None:
    """When a grant ends or is expected to, as far as anything is known."""
    told, since = stored.refresh_expires_at, stored.told_since
    if stored.sealed_refresh is None:
        told, since = stored.access_expires_at, stored.access_seen_at  # it lives as long as its one access token
    return ends_at(stored.granted_at, told, since, learnt)


def grant_of(session: Session, link_id: str) -> GrantView:
    """A link and its grant.

    Raises:
        StateError: CH602 when there is no such link.
    """
    link, stored = links.get_link(session, link_id), session.get(Credential, link_id)
    end = None if stored is None else end_of(stored, ends.learnt(session, {link.provider})[link.provider])
    return GrantView(
        link_id=link.id,
        person_key=link.person_key,
        provider=link.provider,
        route=link.route,
        status=link.status,
        failed_reason=link.failed_reason,
        status_at=link.status_at,
        sync_status=link.sync_status,
        last_synced_at=link.last_synced_at,
        sync_requested_at=link.sync_requested_at,
        granted_at=stored.granted_at if stored else None,
        last_renewed_at=stored.access_seen_at if stored else None,
        next_refresh_at=stored.next_refresh_at if stored else None,
        renewal_in_doubt=stored is not None and stored.renewal_started_at is not None,
        ends_at=end.at if end else None,
    )
