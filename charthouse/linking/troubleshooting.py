"""Why no records come over a link: the causes that people meet, looked at one after the other, and the one thing to do.

Each cause is looked at by what the state knows; nobody is asked. The first that is found is the one to mend: those
behind it may only follow from it. Texts are those that people get elsewhere (`refusals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.errors import FetchError, LinkError
from charthouse.linking import links, verifications, watch
from charthouse.linking.eligibility import check_person, check_provider
from charthouse.linking.providers import get_provider
from charthouse.linking.refusals import Message, has_message, message_for
from charthouse.state.ledger import ItemOutcome, SyncLink, SyncRun
from charthouse.state.linking import SignIn
from charthouse.state.models import LinkEvent, Person
from charthouse.state.phones import PhoneSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sqlalchemy.orm import Session

    from charthouse.state.models import Link, Route

    Look = Callable[["Seen"], str | None]

EVERY: Final[frozenset[Route]] = frozenset({"direct", "verified", "phone"})
ENDED: Final = frozenset({"failed", "expired", "disconnected", "deleted"})
NOT_SHARED: Final = "CH103"
"""The outcome of a type that the person's grant does not permit."""
FINE: Final = "nothing_wrong"

_CREDENTIALS: Final = frozenset({"sign_in_refused", "sign_in_abandoned"})
_DETAILS: Final = frozenset({"identity_not_matched", "patient_not_readable"})
"""Reasons for which a link ends (`states`)."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause: what is looked at, on which routes, and the reasons or codes that it can have."""

    id: str
    asks: str
    routes: frozenset[Route]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A cause that was looked at; `reason` is what was found, a reason or a code, None where it is not this."""

    cause: str
    asks: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Walk:
    """All causes of one link. `cause` is the first that was found, with its `reason`; both None where nothing is wrong.

    `told` says it, and what to do, in words for the person.
    """

    link_id: str
    route: Route
    status: str
    sync_status: str
    steps: tuple[Step, ...]
    cause: str | None
    reason: str | None
    told: Message


@dataclass(frozen=True)
class Seen:
    """A link that is looked at, and what several causes ask of it: each is asked of the state once."""

    state: Session
    link: Link

    @cached_property
    def ended_by(self) -> str | None:
        """Why a link that has ended did; None for one that has not."""
        if self.link.status not in ENDED:
            return None
        query = select(LinkEvent.reason).where(LinkEvent.link_id == self.link.id, LinkEvent.field == "status")
        return self.link.failed_reason or self.state.scalar(query.order_by(LinkEvent.id.desc()).limit(1))

    @cached_property
    def refused_for(self) -> str | None:
        """Why its person may not link now, by its number; None where they may, or need not: it is confirmed."""
        if self.link.status == "confirmed":
            return None
        return _refused(lambda: check_person(self.state, self.state.get_one(Person, self.link.person_key)))

    @cached_property
    def last_codes(self) -> frozenset[tuple[str, str]]:
        """What went wrong in the last run that took it on: of which unit (a link, a type …), and its number."""
        last = self.state.scalar(
            select(SyncLink.run_id)
            .join(SyncRun, SyncRun.id == SyncLink.run_id)
            .where(SyncLink.link_id == self.link.id, SyncLink.result != "waiting")
            .order_by(SyncRun.started_at.desc())
            .limit(1)
        )
        query = select(ItemOutcome.unit, ItemOutcome.code)
        found = self.state.execute(query.where(ItemOutcome.run_id == last, ItemOutcome.link_id == self.link.id))
        return frozenset((unit, code) for unit, code in found)


def _age(seen: Seen) -> str | None:
    return "minor_found" if seen.ended_by == "minor_found" else _among(seen.refused_for, {"CH611"})


def _account(seen: Seen) -> str | None:
    return _among(seen.refused_for, {"CH610", "CH616", "CH617"})


def _availability(seen: Seen) -> str | None:
    if seen.ended_by == "provider_retired":
        return "provider_retired"
    refused = _refused(lambda: check_provider(get_provider(seen.state, seen.link.provider), seen.link.route))
    return _among(refused, {"CH612", "CH613", "CH614"})


def _verification(seen: Seen) -> str | None:
    refused = _refused(lambda: verifications.check_verified(seen.state, seen.link.person_key))
    return _among(refused, {"CH650", "CH651"})


def _phone(seen: Seen) -> str | None:
    source = seen.state.get(PhoneSource, seen.link.id)
    if seen.link.status in ENDED or source is None:
        return None
    return "permissions" if not source.present or seen.link.identity_matched_at is None else None


def _credentials(seen: Seen) -> str | None:
    ended = _among(seen.ended_by, _CREDENTIALS)
    if ended is None:
        return None
    query = select(SignIn.outcome).where(SignIn.link_id == seen.link.id).order_by(SignIn.started_at.desc()).limit(1)
    closer = seen.state.scalar(query)  # what became of the last sign-in says more than how the link ended
    return closer if closer and has_message(closer) else ended


def _details(seen: Seen) -> str | None:
    return _among(seen.ended_by, _DETAILS)


def _expired(seen: Seen) -> str | None:
    return "authorization_ended" if seen.link.status == "expired" else None


def _ended(seen: Seen) -> str | None:
    return seen.ended_by


def _silence(seen: Seen) -> str | None:
    lost = {code for unit, code in seen.last_codes if unit == "link"} & watch.OUTAGES
    return "provider_unreachable" if lost else None


def _waiting(seen: Seen) -> str | None:
    return "not_confirmed" if seen.link.status == "pending" else None


def _permissions(seen: Seen) -> str | None:
    return "permissions" if NOT_SHARED in {code for _, code in seen.last_codes} else None


_LOOKS: Final[Mapping[str, tuple[Cause, Look]]] = {
    cause.id: (cause, look)
    for cause, look in (
        (Cause("age", "Is the person of age, and are the records an adult's?", EVERY, ("CH611", "minor_found")), _age),
        (
            Cause(
                "account", "Does the account permit links: who it is, the preview?", EVERY, ("CH610", "CH616", "CH617")
            ),
            _account,
        ),
        (
            Cause(
                "provider",
                "Is the provider supported, in a supported country, by this route?",
                EVERY,
                ("CH612", "CH613", "CH614", "provider_retired"),
            ),
            _availability,
        ),
        (
            Cause(
                "verification",
                "Is the person's identity verified, and lately?",
                frozenset({"verified"}),
                ("CH650", "CH651"),
            ),
            _verification,
        ),
        (
            Cause(
                "phone",
                "Does the phone share anything: Health Connect's permissions, the other app's?",
                frozenset({"phone"}),
                ("permissions",),
            ),
            _phone,
        ),
        (
            Cause("credentials", "Did signing in at the provider work?", EVERY, tuple(sorted(_CREDENTIALS))),
            _credentials,
        ),
        (
            Cause(
                "details",
                "Do name and birth date at the provider match the account's?",
                EVERY,
                tuple(sorted(_DETAILS)),
            ),
            _details,
        ),
        (Cause("expiry", "Has the connection expired?", EVERY, ("authorization_ended",)), _expired),
        (
            Cause(
                "end",
                "Was the connection ended?",
                EVERY,
                (
                    "access_removed",
                    "consent_withdrawn",
                    "deletion_asked",
                    "not_confirmed_in_time",
                    "same_patient_linked",
                ),
            ),
            _ended,
        ),
        (
            Cause("silence", "Did the provider answer in the last night?", EVERY, ("provider_unreachable",)),
            _silence,
        ),
        (Cause("waiting", "Have records come since the link was made?", EVERY, ("not_confirmed",)), _waiting),
        (
            Cause("permissions", "Are all kinds of records shared?", EVERY, ("permissions",)),
            _permissions,
        ),
    )
}


def causes() -> tuple[Cause, ...]:
    """Every cause, in the order in which they are looked at."""
    return tuple(cause for cause, _ in _LOOKS.values())


def walk(state: Session, link_id: str, language: str = "en") -> Walk:
    """Look at every cause of a link's route.

    Raises:
        StateError: CH602 for an unknown link.
    """
    link = links.get_link(state, link_id)
    seen = Seen(state, link)
    steps = tuple(
        Step(cause.id, cause.asks, look(seen)) for cause, look in _LOOKS.values() if link.route in cause.routes
    )
    found = next((step for step in steps if step.reason is not None), None)
    return Walk(
        link_id=link.id,
        route=link.route,
        status=link.status,
        sync_status=link.sync_status,
        steps=steps,
        cause=found.cause if found is not None else None,
        reason=found.reason if found is not None else None,
        told=message_for(found.reason if found is not None and found.reason is not None else FINE, language),
    )


def _refused(look: Callable[[], object]) -> str | None:
    """The number of what a check refuses; None where it refuses nothing."""
    try:
        look()
    except (LinkError, FetchError) as error:
        return error.code
    return None


def _among(found: str | None, wanted: Collection[str]) -> str | None:
    return found if found in wanted else None
