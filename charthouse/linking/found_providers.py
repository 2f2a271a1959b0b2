"""Providers that a partner found for people: kept once for an organisation and a patient id there, linked, and told.

What the partner lists is held against what is known (`reconcile`), in one transaction a person. What is connected
becomes a link of its own, by the route `verified`; what wants a sign-in is shown until its person signs in, or waves it
away. Our links move by what the partner says of access; words of its that nobody knows are kept, and move nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.errors import CharthouseError, LinkError
from charthouse.linking import links
from charthouse.linking.eligibility import check_may_link
from charthouse.linking.regions import ensure_partner, regions
from charthouse.linking.states import DUE
from charthouse.notify.outbox import tell
from charthouse.state import audit, tombstones
from charthouse.state.base import now
from charthouse.state.models import Provider
from charthouse.state.network import FoundProvider

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from charthouse.partners.network import Account, Found
    from charthouse.settings import Settings
    from charthouse.state.models import Actor, Status
    from charthouse.state.network import FoundWay

COMPARED_AGAIN_AFTER: Final = timedelta(days=7)
LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class FoundView:
    """A found provider as its person and operators see it: no patient id. The last three are the partner's words."""

    found_id: str
    person_key: str
    partner: str
    provider: str
    name: str
    way: FoundWay
    link_id: str | None
    link_status: Status | None
    found_at: datetime
    seen_at: datetime
    told_at: datetime | None
    dismissed_at: datetime | None
    gone_at: datetime | None
    status_said: str
    sync_said: str
    errors_said: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a look at one person's listing brought: rows that are new, notices told, links whose Patient is to match."""

    new: int
    told: int
    unmatched: tuple[str, ...]


def reconcile(
    session: Session, person_key: str, account: Account, listed: Sequence[Found], settings: Settings
) -> Reconciled:
    """Hold what a partner lists for a person against what is known. The person's row is locked by the caller."""
    at = now()
    known = list(session.scalars(_of(person_key, account.partner).order_by(FoundProvider.found_at)))
    seen: set[str] = set()
    new = told = 0
    for one in listed:
        row = _row_of(known, one, seen)
        if row is None:
            row = FoundProvider(person_key=person_key, partner=account.partner, organization=one.organization)
            row.provider = ensure_provider(session, account, one.organization, one.name)
            row.patient_id = one.patient_id or ""
            row.way = "sign_in" if one.waits_for_sign_in else "connected"
            if one.patient_id and tombstones.gone_patients(row.provider, [one.patient_id]):
                row.dismissed_at = row.told_at = at  # what was erased does not come back by itself
            session.add(row)
            known.append(row)
            new += 1
        row.patient_id = one.patient_id or row.patient_id
        row.way = "sign_in" if one.waits_for_sign_in else "connected"
        row.status_said, row.sync_said = one.status_said, one.sync_said
        row.errors_said = " ".join(one.errors)[:255]
        row.seen_at, row.gone_at = at, None
        session.flush()
        seen.add(row.id)
        _link(session, row, one, settings)
        told += _tell_once(session, row, at)
    for row in known:
        if row.id not in seen and row.gone_at is None:
            row.gone_at = at
    session.flush()
    unmatched = [row.link_id for row in known if row.link_id and row.gone_at is None and row.way == "connected"]
    return Reconciled(new, told, tuple(link_id for link_id in unmatched if _waits_for_match(session, link_id)))


def ensure_provider(session: Session, account: Account, organization: str, name: str) -> str:
    """The slug of the provider that stands for an organisation of a partner's, made known to us if it is not yet."""
    slug = slug_of(account.partner, organization)
    called = "".join(sign for sign in name if sign.isprintable()).strip()[:LONGEST_NAME] or organization[:LONGEST_NAME]
    provider = session.get(Provider, slug)
    if provider is None:
        ensure_partner(session, account.partner)
        region = _region_of(account.partner)
        session.add(
            Provider(
                slug=slug, name=called, region=region, fhir_base_url=account.fhir_base_url, partner=account.partner
            )
        )
        audit.record(session, "partner", "provider.found", "provider", slug)
    session.flush()
    return slug


def slug_of(partner: str, organization: str) -> str:
    """The slug of an organisation of a partner's: its own id if that can be one, else with a digest beside it."""
    words = re.sub(r"[^a-z0-9]+", "-", organization.lower()).strip("-")
    if words == organization and len(f"{partner}-{words}") <= 64:
        return f"{partner}-{words}"
    digest = hashlib.sha256(organization.encode()).hexdigest()[:10]
    return f"{partner}-{words[: 64 - len(partner) - 12].strip('-')}-{digest}".replace("--", "-")


def list_found(
    session: Session, person_key: str | None = None, *, all_of_them: bool = False, partner: str | None = None
) -> list[FoundView]:
    """What was found, oldest first; without those that were waved away or are gone, unless `all_of_them`."""
    query = select(FoundProvider, Provider.name).join(Provider, Provider.slug == FoundProvider.provider)
    if person_key is not None:
        query = query.where(FoundProvider.person_key == person_key)
    if partner is not None:
        query = query.where(FoundProvider.partner == partner)
    if not all_of_them:
        query = query.where(FoundProvider.dismissed_at.is_(None), FoundProvider.gone_at.is_(None))
    rows = session.execute(query.order_by(FoundProvider.found_at, FoundProvider.id))
    return [_view(session, row, name) for row, name in rows]


def get_found(session: Session, found_id: str, *, lock: bool = False) -> FoundProvider:
    """A found provider by its id.

    Raises:
        LinkError: CH654 when there is none.
    """
    row = session.get(FoundProvider, found_id, with_for_update=True if lock else None)
    if row is None:
        raise LinkError("CH654")
    return row


def view_found(session: Session, found_id: str) -> FoundView:
    """One found provider.

    Raises:
        LinkError: CH654 when there is none.
    """
    row = get_found(session, found_id)
    return _view(session, row, session.get_one(Provider, row.provider).name)


def dismiss(session: Session, found_id: str, *, actor: Actor = "person") -> FoundView:
    """Wave a found provider away: it is told no more, and is not linked by itself. Safe to repeat.

    A link that it has is another matter: it is disconnected as any other.

    Raises:
        LinkError: CH654 when there is no such found provider.
    """
    row = get_found(session, found_id, lock=True)
    if row.dismissed_at is None:
        row.dismissed_at = now()
        audit.record(session, actor, "network.dismissed", "person", row.person_key, {"provider": row.provider})
    session.flush()
    return view_found(session, found_id)


def note_asked(session: Session, found_id: str, *, actor: Actor = "person") -> None:
    """The person wants to sign in there: what they waved away, or disconnected, may come back once they have."""
    row = get_found(session, found_id, lock=True)
    row.asked_at, row.dismissed_at, row.ending = now(), None, False
    audit.record(session, actor, "network.sign_in_asked", "person", row.person_key, {"provider": row.provider})
    session.flush()


def found_of_link(session: Session, link_id: str) -> FoundProvider | None:
    """The found provider that a link stands for; None for links of other routes."""
    return session.scalars(select(FoundProvider).where(FoundProvider.link_id == link_id)).first()


def note_ending(session: Session, link_id: str) -> None:
    """A link of a partner's was disconnected here: the partner has to hear of it."""
    row = found_of_link(session, link_id)
    if row is not None:
        row.ending = True
        session.flush()


def is_retrieved(row: FoundProvider) -> bool:
    """Whether the partner has everything of a connection, by its own word."""
    return row.sync_said.strip().upper() == "RETRIEVED"


def _of(person_key: str, partner: str) -> Select[FoundProvider]:
    return select(FoundProvider).where(FoundProvider.person_key == person_key, FoundProvider.partner == partner)


def _row_of(known: Sequence[FoundProvider], one: Found, seen: set[str]) -> FoundProvider | None:
    """The row of what is listed: that of its organisation and patient, else one whose patient nobody knew yet."""
    mine = [row for row in known if row.organization == one.organization and row.id not in seen]
    if one.patient_id is None:
        return next((row for row in mine if row.gone_at is None), next(iter(mine), None))
    same = next((row for row in mine if row.patient_id == one.patient_id), None)
    return same or next((row for row in mine if not row.patient_id), None)


def _link(session: Session, row: FoundProvider, one: Found, settings: Settings) -> None:
    """Make, or move, the link of a found provider by what the partner says of access."""
    if row.link_id is None:
        if one.access != "connected" or not row.patient_id or row.dismissed_at is not None or row.way != "connected":
            return
        try:
            check_may_link(session, row.person_key, row.provider, "verified", from_app=False, settings=settings)
        except CharthouseError:
            return  # the next look asks again
        link = links.start_link(
            session, row.person_key, row.provider, "verified", patient_id=row.patient_id, actor="partner"
        )
        row.link_id = link.id
        session.flush()
        return
    link = links.get_link(session, row.link_id, lock=True)
    asked = row.asked_at is not None and row.asked_at > link.status_at
    if one.access == "connected" and row.way == "connected":
        if link.status == "expired":
            links.transition(session, link.id, "pending", "access_returned", "partner")
        elif link.status in ("disconnected", "failed") and asked:
            links.transition(session, link.id, "pending", "signed_in_again", "person")
        elif link.status in ("disconnected", "failed", "deleted"):
            row.ending = True  # our word, or the person's, goes before the partner's
    elif (one.access == "expired" or row.way == "sign_in") and link.status in DUE:
        links.transition(session, link.id, "expired", "authorization_ended", "partner")
    elif one.access == "ended" and link.status not in ("disconnected", "deleted"):
        links.transition(session, link.id, "disconnected", "access_removed", "partner")


def _waits_for_match(session: Session, link_id: str) -> bool:
    """Whether a link's Patient has to be compared: never yet, or not for a week."""
    link = links.get_link(session, link_id)
    matched = link.identity_matched_at
    return link.status in DUE and (matched is None or matched <= now() - COMPARED_AGAIN_AFTER)


def _tell_once(session: Session, row: FoundProvider, at: datetime) -> bool:
    if row.told_at is not None or row.dismissed_at is not None:
        return False
    row.told_at = at
    reason = "sign_in_needed" if row.way == "sign_in" else "connected"
    return tell(
        session,
        row.person_key,
        "provider_found",
        link_id=row.link_id,
        reason=reason,
        dedupe=f"found:{row.id}",
        detail={"provider": row.provider},
    )


def _view(session: Session, row: FoundProvider, name: str) -> FoundView:
    return FoundView(
        found_id=row.id,
        person_key=row.person_key,
        partner=row.partner,
        provider=row.provider,
        name=name,
        way=row.way,
        link_id=row.link_id,
        link_status=links.get_link(session, row.link_id).status if row.link_id else None,
        found_at=row.found_at,
        seen_at=row.seen_at,
        told_at=row.told_at,
        dismissed_at=row.dismissed_at,
        gone_at=row.gone_at,
        status_said=row.status_said,
        sync_said=row.sync_said,
        errors_said=row.errors_said,
    )


def _region_of(partner: str) -> str:
    return next(region.country for region in regions() if region.partner is not None and region.partner.slug == partner)
