"""Links that an operator makes with patients of a server of their own: nobody signs in, and nobody is asked.

The people behind them have no account, so neither age nor identity is asked; whoever was erased, or whose link was
deleted, is left out, as only they themselves may come back. Without a token the link's access token is the empty text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sqlalchemy import select

from charthouse.errors import FetchError, LinkError
from charthouse.linking import credentials, links, people, providers, registrations
from charthouse.linking.expiry import SAME
from charthouse.linking.states import DUE
from charthouse.partners.addresses import origin
from charthouse.partners.token_endpoint import TokenSet
from charthouse.state import session, tombstones
from charthouse.state.models import Credential, Link, LinkEvent, Provider

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from charthouse.partners.inspection import Inspected

NO_TOKEN: Final = TokenSet(access_token="", refresh_token=None, expires_at=None, scope=None, patient=None)
"""The grant of a server that asks for none."""
LONGEST_SLUG: Final = 48
LOOPBACK: Final = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1|\[::1\]")


@dataclass(frozen=True, slots=True)
class Linked:
    """How many of the patients have a new link, were linked before, and were left out: they are gone, and stay so."""

    new: int
    known: int
    left_out: int


def provider_for(server: Inspected) -> str:
    """The slug of the provider at a server's base, made known to us if it is not yet.

    Raises:
        LinkError: CH613 where it is closed or retired.
    """
    with session() as state:
        known = providers.provider_at(state, server.base)
        if known is not None:
            if not known.active:
                raise LinkError("CH613", where=f"provider {known.slug}")
            return known.slug
        slug = next(slug for slug in _slugs(server.base) if state.get(Provider, slug) is None)
        name = server.software.split(" ")[0] if server.software else ""
        called = f"{server.host} ({name})" if name.isprintable() and name else server.host
        providers.register_provider(state, slug=slug, name=called, fhir_base_url=server.base, actor="operator")
        return slug


def check_way(base: str, *, secret: bool) -> None:
    """Refuse to send a token, or what gets one, in clear text, but for this machine.

    Raises:
        FetchError: CH138.
    """
    home = origin(base)
    if secret and home is not None and home[0] == "http" and not LOOPBACK.fullmatch(home[1]):
        raise FetchError("CH138", what="the server's address is http, which sends it in clear text: use https")


def register_key(slug: str, client_id: str, key: str) -> None:
    """Let a provider know us by a client id and a private key, in a registration of its own; again: the key of now.

    Raises:
        LinkError: CH619 for a client id that cannot be one.
        FetchError: CH163 for a key that cannot be used; CH138 where people sign in by another registration.
    """
    with session() as state:
        provider = providers.get_provider(state, slug, lock=True)
        if provider.registration not in (None, slug):
            raise FetchError("CH138", where=f"provider {slug}", what="people sign in there by another registration")
        registrations.set_registration(state, slug, client_id, "private_key_jwt", key)
        provider.registration = slug


def link_patients(slug: str, patients: Sequence[str], tokens: TokenSet | None) -> Linked:
    """Make a person and a link for each patient who has none; each link holds the token that was given, or none.

    Links that were made this way before, and are among the patients, get the token, too: the one they hold may have
    run out. Links whose person signed in keep what they got.
    """
    grant = NO_TOKEN if tokens is None else tokens
    with session(read_only=True) as state:
        linked = links.linked_patients(state, slug)
    missing = [patient for patient in patients if patient not in linked]
    gone = tombstones.gone_patients(slug, missing)
    new = 0
    for patient in missing:
        if patient in gone:
            continue
        with session() as state:
            person = people.create_person(state, actor="operator")
            link = links.start_link(state, person.person_key, slug, "direct", patient_id=patient, actor="operator")
            credentials.store_tokens(state, link.id, replace(grant, patient=patient))
        new += 1
    known = [patient for patient in patients if patient in linked]
    for link_id, patient in _made_by_operators(slug, known):
        _give(link_id, replace(grant, patient=patient))
    return Linked(new, len(known), len(gone))


def linked_by_operators(slug: str) -> tuple[str, ...]:
    """The patients at a provider whose links an operator made, in the order in which they were."""
    with session(read_only=True) as state:
        return tuple(patient for _, patient in _rows(state, slug))


def _give(link_id: str, grant: TokenSet) -> None:
    """Let a link hold this grant, if it holds another one, or has ended for want of one."""
    with session() as state:
        link = links.get_link(state, link_id, lock=True)
        if link.status in DUE:
            stored = state.get(Credential, link_id)
            access, _ = credentials.read_tokens(state, link_id)
            if stored is not None and (access or "") == grant.access_token and _same_end(stored, grant):
                return
        elif link.status in ("expired", "failed"):
            links.transition(state, link_id, "pending", "signed_in_again", "operator")
        else:  # somebody took the access away: a night does not bring it back
            return
        credentials.store_tokens(state, link_id, grant)


def _same_end(stored: Credential, grant: TokenSet) -> bool:
    if stored.access_expires_at is None or grant.expires_at is None:
        return stored.access_expires_at == grant.expires_at
    return abs(stored.access_expires_at - grant.expires_at) < SAME


def _made_by_operators(slug: str, patients: Iterable[str]) -> list[tuple[str, str]]:
    wanted = set(patients)
    with session(read_only=True) as state:
        return [(link_id, patient) for link_id, patient in _rows(state, slug) if patient in wanted]


def _rows(state: Session, slug: str) -> list[tuple[str, str]]:
    begun = (
        select(LinkEvent.link_id)
        .where(LinkEvent.link_id == Link.id, LinkEvent.from_state.is_(None), LinkEvent.actor == "operator")
        .exists()
    )
    query = select(Link.id, Link.patient_id).where(Link.provider == slug, Link.patient_id.is_not(None), begun)
    return [(link_id, str(patient)) for link_id, patient in state.execute(query.order_by(Link.created_at, Link.id))]


def _slugs(base: str) -> Iterable[str]:
    """Slugs for a server: its host and path, numbered where others have them."""
    parts = urlsplit(base)
    name = re.sub(r"[^a-z0-9]+", "-", f"{parts.netloc}{parts.path}".lower()).strip("-")[:LONGEST_SLUG].strip("-")
    return chain([name or "server"], (f"{name or 'server'}-{number}" for number in count(2)))
