"""Where people are told things: addresses, sealed at rest, opened to send and for nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from email_validator import EmailNotValidError, ValidatedEmail, validate_email
from sqlalchemy import select

from charthouse.clock import now
from charthouse.errors import NoticeError, StateError
from charthouse.settings import Settings, get_settings
from charthouse.state.models import Person
from charthouse.state.notices import CHANNELS, Contact
from charthouse.state.seals import Sealer

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.notices import Channel

_MOST: Final = 2048


@dataclass(frozen=True, slots=True)
class ContactView:
    """A contact as it may be shown. `masked` lets its owner know it again, and nobody else."""

    channel: Channel
    masked: str
    created_at: datetime


def sealer(settings: Settings | None = None) -> Sealer:
    """What seals addresses and secrets of notices."""
    return Sealer((settings or get_settings()).credentials_key)


def set_contact(
    session: Session, person_key: str, channel: Channel, address: str | None, *, settings: Settings | None = None
) -> ContactView:
    """Tell a person things by this channel from now on. None as the `address` of email or apprise removes it.

    Raises:
        StateError: CH602 when there is no such person.
        NoticeError: CH702 for an address that the channel cannot use. What was given is not quoted.
    """
    settings = settings or get_settings()
    if channel not in CHANNELS:
        raise NoticeError("CH702", where="channel", what=f"it is one of {', '.join(CHANNELS)}")
    if session.get(Person, person_key) is None:
        raise StateError("CH602", where="person")
    if address is None and channel != "push":
        remove_contact(session, person_key, channel)
        return ContactView(channel, "", now())
    usable = _usable(channel, address, settings)
    contact = session.get(Contact, (person_key, channel)) or Contact(person_key=person_key, channel=channel)
    owner = _owner(person_key, channel)
    contact.sealed_address = sealer(settings).seal(usable, owner) if usable else None
    contact.created_at = now()
    session.add(contact)
    session.flush()
    return ContactView(channel, mask(channel, usable), contact.created_at)


def remove_contact(session: Session, person_key: str, channel: Channel) -> None:
    """Tell a person nothing by this channel any more. Safe to repeat."""
    contact = session.get(Contact, (person_key, channel))
    if contact is not None:
        session.delete(contact)
        session.flush()


def contacts_of(session: Session, person_key: str, *, settings: Settings | None = None) -> list[ContactView]:
    """A person's contacts, by channel, masked."""
    query = select(Contact).where(Contact.person_key == person_key).order_by(Contact.channel)
    found = list(session.scalars(query))
    if not found:
        return []
    opener = sealer(settings)
    return [ContactView(each.channel, mask(each.channel, address_of(each, opener)), each.created_at) for each in found]


def address_of(contact: Contact, opener: Sealer) -> str:
    """The address itself, to send to; empty where the channel needs none."""
    if contact.sealed_address is None:
        return ""
    return opener.open(contact.sealed_address, _owner(contact.person_key, contact.channel))


def mail_address(address: str, *, ours: bool = False) -> ValidatedEmail:
    """A mail address taken apart (RFC 5321, 6531; its domain by IDNA 2008). `ours` may be of a network of our own.

    Raises:
        NoticeError: CH702 for anything else.
    """
    try:
        return validate_email(address, check_deliverability=False, globally_deliverable=not ours)
    except EmailNotValidError:
        raise NoticeError("CH702", where="email", what="it is no mail address") from None


def mask(channel: Channel, address: str) -> str:
    """`a***@e***.org` and `tgram://***`: enough to know it again."""
    if channel == "email" and "@" in address:
        local, _, domain = address.rpartition("@")
        name, _, rest = domain.rpartition(".")
        return f"{local[:1]}***@{name[:1]}***.{rest}"
    return f"{address.partition('://')[0]}://***" if address else ""


def _owner(person_key: str, channel: str) -> str:
    return f"contact:{person_key}:{channel}"


def _usable(channel: Channel, address: str | None, settings: Settings) -> str:
    if channel == "push":
        if address:
            raise NoticeError("CH702", where="push", what="the app is told through its back end: it has no address")
        return ""
    given = (address or "").strip(" ")
    if not given or len(given) > _MOST or not given.isprintable():
        raise NoticeError("CH702", where=channel, what="it is one line of printable text")
    if channel == "email":
        return mail_address(given).normalized
    from charthouse.notify.channels.apprise_urls import check_url

    check_url(given, settings)
    return given
