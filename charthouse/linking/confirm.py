"""Whose records a link is about: the provider's Patient, read with the link's own token, compared with the account.

Until that has been done, no night reads a link; it is done again every week, for a provider may merge or correct a
Patient. Links that operators made for people whose accounts say nothing of who they are (the embedded sandbox's) have
nothing to compare.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import exists, select

from charthouse import log
from charthouse.clock import now
from charthouse.errors import CharthouseError, FetchError
from charthouse.linking import credentials, links, minors
from charthouse.linking.credentials import Tokens
from charthouse.linking.eligibility import is_minor
from charthouse.linking.identity import identity_of
from charthouse.linking.matching import matches
from charthouse.linking.people import get_person
from charthouse.linking.providers import get_provider
from charthouse.linking.registrations import client_of
from charthouse.linking.removal import ask_removal
from charthouse.linking.states import DUE
from charthouse.partners import smart
from charthouse.partners.discovery import read_object
from charthouse.partners.http import HttpClient
from charthouse.settings import Settings, get_settings
from charthouse.state import session
from charthouse.state.models import Credential, Link, Person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from charthouse.partners.client import Client
    from charthouse.partners.token_endpoint import TokenSet

Result = Literal["matched", "not_needed", "later", "expired", "patient_not_readable", "identity_not_matched"]
Outcome = Literal[Result, "minor_found"]
CODES: Final[Mapping[str, str]] = {
    "patient_not_readable": "CH638",
    "identity_not_matched": "CH644",
    "minor_found": "CH643",
    "expired": "CH113",
}
COMPARED_AGAIN_AFTER: Final = timedelta(days=7)
AGAIN_MOST: Final = 2_000
"""Links that are compared again in one look; a week has 168 of them."""
UNREADABLE: Final = frozenset({"CH102", "CH103", "CH104"})
_log = log.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What came of looking at a link's Patient. `later`: the provider did not answer; the next hour asks again.

    `reason` is the rule of `matching` that decided, or the code of what went wrong on the way.
    """

    link_id: str
    outcome: Outcome
    reason: str = ""

    @property
    def code(self) -> str | None:
        """The number of what a person has to be told; None where all is well, or still open."""
        return CODES.get(self.outcome)

    @property
    def detail(self) -> str | None:
        """The rule by which the records are somebody else's."""
        return self.reason if self.outcome == "identity_not_matched" else None


@dataclass(frozen=True, slots=True)
class _Whom:
    """Whose Patient is asked of whom, and as which client."""

    base: str
    client: Client
    patient_id: str


def unmatched(state: Session) -> list[str]:
    """The links whose Patient has still to be compared, oldest first."""
    query = (
        select(Link.id)
        .join(Person, Person.person_key == Link.person_key)
        .where(
            Link.status.in_(DUE),
            Link.identity_matched_at.is_(None),
            Link.patient_id.is_not(None),
            Person.sealed_identity.is_not(None),
            exists().where(Credential.link_id == Link.id),
        )
        .order_by(Link.created_at, Link.id)
    )
    return list(state.scalars(query))


def long_matched(state: Session) -> list[str]:
    """The links whose Patient was last compared a week ago or more, longest ago first."""
    query = (
        select(Link.id)
        .join(Person, Person.person_key == Link.person_key)
        .where(
            Link.status == "confirmed",
            Link.identity_matched_at <= now() - COMPARED_AGAIN_AFTER,
            Link.patient_id.is_not(None),
            Person.sealed_identity.is_not(None),
            exists().where(Credential.link_id == Link.id),
        )
        .order_by(Link.identity_matched_at, Link.id)
    )
    return list(state.scalars(query.limit(AGAIN_MOST)))


def match_patient(link_id: str, *, settings: Settings | None = None) -> Confirmation:
    """Read a link's Patient and compare it with what the account tells; move the link by what is found.

    A minor's link is disconnected and what was read under it is to be removed; all links of a person who is a minor
    themselves. Somebody else's fails, and so does one whose Patient may not be read. Where the provider does not
    answer, nothing moves. Safe to repeat.

    A link that matched before and no longer does fails as well, but keeps what was read: a name may have changed since.
    One whose Patient may no longer be read stays as it is, as long as a night brings anything.

    Raises:
        StateError: CH602 when there is no such link.
        SetupError: CH006 when there is no key that opens what is stored.
    """
    settings = settings or get_settings()
    with session(settings, read_only=True) as state:
        link = links.get_link(state, link_id)
        person = get_person(state, link.person_key)
        identity = identity_of(person, settings)
        if link.status not in DUE or link.patient_id is None or identity is None:
            return Confirmation(link_id, "not_needed")
        again = link.identity_matched_at is not None
        base = get_provider(state, link.provider).fhir_base_url
        whom = _Whom(base, client_of(state, link.provider, settings), link.patient_id)
    try:
        patient = _read(link_id, whom, settings)
    except FetchError as error:
        if again and error.code in UNREADABLE:
            _note_matched(link_id, whom, settings)
            return Confirmation(link_id, "later", error.code)
        return _unread(link_id, error, settings)
    if patient is None:
        return Confirmation(link_id, "later", "no_patient_came")
    match = matches(identity, patient)
    is_asked = patient.get("id") == whom.patient_id
    if is_asked and is_minor(patient, person.country):
        _disconnect(link_id, whom, settings, everywhere=match.matched)
        return Confirmation(link_id, "minor_found", match.reason)
    if not is_asked or not match.matched:
        _fail(link_id, "identity_not_matched", settings, keep=again)
        _forget_tokens(link_id, whom, settings)
        return Confirmation(link_id, "identity_not_matched", match.reason if is_asked else "other_patient")
    _note_matched(link_id, whom, settings)
    return Confirmation(link_id, "matched", match.reason)


def _note_matched(link_id: str, whom: _Whom, settings: Settings) -> None:
    with session(settings) as state:
        link = links.get_link(state, link_id, lock=True)
        if link.patient_id == whom.patient_id and link.status in DUE:
            link.identity_matched_at = now()
            if link.status == "pending":
                link.sync_requested_at = link.identity_matched_at


def _read(link_id: str, whom: _Whom, settings: Settings) -> dict[str, Any] | None:
    """The Patient; None where what came is none. A token that is refused is renewed once, and tried again."""

    def renew(refresh_token: str) -> TokenSet:
        return smart.refresh(whom.base, refresh_token, whom.client)

    tokens = Tokens(settings)
    url = f"{whom.base}/Patient/{quote(whom.patient_id, safe='')}"
    with HttpClient(settings) as http:
        try:
            body = http.get(url, token=tokens.access_token(link_id, renew)).body
        except FetchError as error:
            if error.code != "CH102":
                raise
            body = http.get(url, token=tokens.access_token(link_id, renew, force=True)).body
    found = read_object(body)
    return found if found is not None and found.get("resourceType") == "Patient" else None


def _unread(link_id: str, error: FetchError, settings: Settings) -> Confirmation:
    if error.code in UNREADABLE:
        _fail(link_id, "patient_not_readable", settings)
        return Confirmation(link_id, "patient_not_readable", error.code)
    if error.code == "CH113":
        with session(settings) as state:
            link = links.get_link(state, link_id, lock=True)
            if link.status in DUE:
                links.transition(state, link_id, "expired", "authorization_ended", "sync")
        return Confirmation(link_id, "expired", error.code)
    _log.info("the Patient could not be read yet", link_id=link_id, code=error.code, where=error.where)
    return Confirmation(link_id, "later", error.code)


def _fail(link_id: str, reason: str, settings: Settings, *, keep: bool = False) -> None:
    """Let a link fail; what was read under one that turns out to be somebody else's is to be removed, unless kept."""
    with session(settings) as state:
        link = links.get_link(state, link_id, lock=True)
        if link.status not in DUE:
            return
        links.transition(state, link_id, "failed", reason, "sync")
        if reason == "identity_not_matched":
            link.identity_matched_at = None
            if link.sync_status != "never" and not keep:
                ask_removal(state, link_id, reason)


def _disconnect(link_id: str, whom: _Whom, settings: Settings, *, everywhere: bool) -> None:
    """Disconnect a minor's link, or all links of a person who is one, and have removed what was read under them."""
    _forget_tokens(link_id, whom, settings)
    with session(settings) as state:
        link = links.get_link(state, link_id)
        if link.status != "deleted":
            minors.end_links(state, minors.links_of(state, link.person_key) if everywhere else [link_id], actor="sync")


def _forget_tokens(link_id: str, whom: _Whom, settings: Settings) -> None:
    """Forget the tokens of a link that may not be read, and tell the provider as far as it lets us."""
    with session(settings) as state:
        refresh_token = credentials.refresh_token(state, link_id, settings=settings)
        credentials.revoke_local(state, link_id, actor="sync")
    if refresh_token is not None:
        with suppress(CharthouseError):
            smart.revoke(whom.base, refresh_token, whom.client)
