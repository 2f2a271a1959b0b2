"""Parcels: deliveries taken up, with all that sending them needs, and those that are not to be sent after all.

Asked once more at this point: whether the person still wants it, whether it is a quiet hour, whether it is still so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from charthouse.notify.channels.apprise_service import Message
from charthouse.notify.channels.webhook import Call, body_of
from charthouse.notify.contacts import address_of
from charthouse.notify.kinds import RULES, STALE_AFTER
from charthouse.notify.leases import Settled
from charthouse.notify.mail import compose
from charthouse.notify.planning import waits_for_digest
from charthouse.notify.preferences import preferences_of
from charthouse.notify.render import Facts, letter, page
from charthouse.notify.unsubscribing import PATH, sign
from charthouse.state.models import Credential, Link, Provider
from charthouse.state.notices import Contact, Notice
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.notify.leases import Claimed
    from charthouse.notify.preferences import Preferences
    from charthouse.settings import Settings
    from charthouse.state.notices import Channel, DeliveryStatus


@dataclass(frozen=True, slots=True)
class Item:
    """One delivery and what it tells."""

    claimed: Claimed
    person_key: str
    link_id: str | None
    facts: Facts


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent at once: a notice, or all of a person's that wait for their daily mail, oldest first."""

    channel: Channel
    items: tuple[Item, ...]
    wish: Preferences
    sealed: Contact | None
    digest: bool


class Packer:
    """Packs what was claimed, and writes what a channel sends. `key` signs links to unsubscribe."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self._settings = settings
        self._key = key
        self._opener = sealer_of(settings)

    def pack(self, session: Session, claimed: Sequence[Claimed], at: datetime) -> tuple[list[Parcel], list[Settled]]:
        """Parcels to send now, and what becomes at once of the others."""
        items = _items(session, claimed)
        people = sorted({item.person_key for item in items})
        wishes = preferences_of(session, people)
        query = select(Contact).where(Contact.person_key.in_(people))
        contacts = {(row.person_key, row.channel): row for row in session.scalars(query)}
        later, signed_in = _later_kinds(session, items, at), _signed_in(session, items, at)
        parcels: list[Parcel] = []
        daily: dict[str, list[Item]] = {}
        settled: list[Settled] = []
        for item in items:
            wish, channel = wishes[item.person_key], item.claimed.channel
            contact = contacts.get((item.person_key, channel))
            is_so = not _is_overtaken(item, later, signed_in, at)
            verdict = self._verdict(item, wish, contact, at, is_so=is_so)
            if verdict is not None:
                settled.append(verdict)
            elif waits_for_digest(channel, item.facts.kind, wish):
                daily.setdefault(item.person_key, []).append(item)
            else:
                parcels.append(Parcel(channel, (item,), wish, contact, digest=False))
        for person_key, together in daily.items():
            oldest_first = tuple(sorted(together, key=lambda each: (each.facts.created_at, each.claimed.delivery_id)))
            contact = contacts[person_key, "email"]
            parcels.append(Parcel("email", oldest_first, wishes[person_key], contact, digest=True))
        return parcels, settled

    def write(self, parcel: Parcel) -> Any:
        """What the parcel's channel sends: a `Mail`, a `Call` or a `Message`.

        Raises:
            NoticeError: CH702 or CH720 for an address of theirs or ours that does not work.
        """
        first = parcel.items[0]
        if parcel.channel == "push":
            named = parcel.wish.provider_in_push
            body = body_of(
                first.facts,
                letter(first.facts, parcel.wish, self._settings, named=named),
                notice_id=first.claimed.notice_id,
                person_key=first.person_key,
                link_id=first.link_id,
                provider=first.facts.provider if named else None,
            )
            return Call(first.claimed.delivery_id, body)
        assert parcel.sealed is not None  # noqa: S101 - the verdict on an item without a contact
        address = address_of(parcel.sealed, self._opener)
        if parcel.channel == "apprise":
            said = letter(first.facts, parcel.wish, self._settings, named=parcel.wish.provider_in_push)
            return Message(address, said.title, said.push)
        leave_url = self._leave_url(first.person_key, "all" if parcel.digest else first.facts.kind)
        facts = [item.facts for item in parcel.items]
        made = page(facts, parcel.wish, self._settings, leave_url=leave_url, digest=parcel.digest)
        return compose(made, address, first.claimed.delivery_id, leave_url, self._settings)

    def _leave_url(self, person_key: str, kind: Any) -> str:
        base = self._settings.public_url.rstrip("/")
        return f"{base}{PATH}{sign(self._key, person_key, 'email', kind)}" if base else ""

    def _verdict(
        self,
        item: Item,
        wish: Preferences,
        contact: Contact | None,
        at: datetime,
        *,
        is_so: bool,
    ) -> Settled | None:
        """What becomes of a delivery that is not to be sent now; None for one that is."""
        claimed, facts = item.claimed, item.facts

        def settled(status: DeliveryStatus, code: str | None = None, again: datetime | None = None) -> Settled:
            # Not tried: the claim's count is taken back.
            tries = claimed.tries - 1
            return Settled(claimed.delivery_id, claimed.lease, status, tries, code or claimed.code, again)

        # What has a code was tried while it was new, or an operator wants it tried again.
        if claimed.code is None and at - facts.created_at > timedelta(seconds=self._settings.notices_max_age):
            return settled("undeliverable", "CH722")
        gone = contact is None and claimed.channel != "push"
        if gone or not is_so or not wish.wants(claimed.channel, facts.kind):
            return settled("suppressed")
        if not _is_set_up(claimed.channel, self._settings):
            return settled("undeliverable", "CH720")
        if wish.is_quiet(at):
            return settled("waiting", again=wish.next_loud(at))
        return None


def _is_set_up(channel: Channel, settings: Settings) -> bool:
    if channel == "email":
        return bool(settings.smtp_url and settings.mail_from)
    return bool(settings.webhook_url if channel == "push" else settings.apprise_services)


def _items(session: Session, claimed: Sequence[Claimed]) -> list[Item]:
    """What the deliveries tell, with the providers' names. Notices whose person is gone since are gone too."""
    query = (
        select(
            Notice.id,
            Notice.person_key,
            Notice.link_id,
            Notice.kind,
            Notice.reason,
            Notice.detail,
            Notice.created_at,
            Provider.name,
        )
        .outerjoin(Link, Link.id == Notice.link_id)
        .outerjoin(Provider, Provider.slug == Link.provider)
        .where(Notice.id.in_({each.notice_id for each in claimed}))
    )
    rows = {row.id: row for row in session.execute(query)}
    slugs = {str(row.detail["provider"]) for row in rows.values() if row.name is None and "provider" in row.detail}
    found = session.execute(select(Provider.slug, Provider.name).where(Provider.slug.in_(slugs))) if slugs else ()
    names = {row.slug: row.name for row in found}
    items = []
    for each in claimed:
        row = rows.get(each.notice_id)
        if row is not None:
            name = row.name or names.get(str(row.detail.get("provider")))
            facts = Facts(row.kind, row.reason, name, row.detail, row.created_at)
            items.append(Item(each, row.person_key, row.link_id, facts))
    return items


def _late_links(items: Sequence[Item], at: datetime) -> set[str]:
    return {item.link_id for item in items if item.link_id and at - item.facts.created_at > STALE_AFTER}


def _later_kinds(session: Session, items: Sequence[Item], at: datetime) -> dict[str, list[tuple[str, datetime]]]:
    """The notices of the links whose deliveries have waited long, by link."""
    links = _late_links(items, at)
    later: dict[str, list[tuple[str, datetime]]] = {}
    if links:
        query = select(Notice.link_id, Notice.kind, Notice.created_at).where(Notice.link_id.in_(links))
        for link_id, kind, created_at in session.execute(query):
            later.setdefault(str(link_id), []).append((kind, created_at))
    return later


def _signed_in(session: Session, items: Sequence[Item], at: datetime) -> dict[str, datetime]:
    """When the present grants of those links began: nobody is told of a sign-in, only of the records that follow."""
    links = _late_links(items, at)
    if not links:
        return {}
    query = select(Credential.link_id, Credential.granted_at).where(Credential.link_id.in_(links))
    return {link_id: granted_at for link_id, granted_at in session.execute(query) if granted_at is not None}


def _is_overtaken(
    item: Item, later: dict[str, list[tuple[str, datetime]]], signed_in: dict[str, datetime], at: datetime
) -> bool:
    told_at, rule = item.facts.created_at, RULES[item.facts.kind]
    if item.link_id is None or at - told_at <= STALE_AFTER:
        return False
    if rule.until_signed_in and item.link_id in signed_in and signed_in[item.link_id] > told_at:
        return True
    return any(kind in rule.overtaken_by and created_at > told_at for kind, created_at in later.get(item.link_id, ()))
