"""Deadlines of links, looked at every hour: confirmed within a day or told why not, warned before the end, given up.

Every look may run twice, or late: what it has done is in the link's events, and a notice is told once for each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, exists, func, or_, select

from charthouse.linking import confirm, ends, links
from charthouse.linking.expiry import warn_now
from charthouse.linking.grants import end_of
from charthouse.linking.states import DUE
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.ledger import ItemOutcome, SyncLink, SyncRun, SyncTally
from charthouse.state.linking import SignIn
from charthouse.state.models import Credential, Link, LinkEvent, Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from charthouse.state.models import Status

CONFIRMED_WITHIN: Final = timedelta(days=1)
"""What people are promised: "up to a day"."""
GIVEN_UP_AFTER: Final = timedelta(days=14)
"""A link that two weeks of nights did not confirm will not be by another."""
ABANDONED_AFTER: Final = timedelta(hours=1)
"""As long as a sign-in may take."""
KEPT_AFTER_END: Final = timedelta(days=30)
"""How long the tokens of an expired link are kept, and tried once a day."""
SILENT_FOR: Final = 3
"""Links in a row whose Patient did not come before the provider's others wait for the next look."""
OUTAGES: Final = frozenset({"CH101", "CH105", "CH109", "CH121", "CH123", "CH124"})
"""Outcomes that say nothing of the person: the provider, or what is between us and it."""


@dataclass(frozen=True, slots=True)
class WatchReport:
    """How many links each deadline met."""

    warned: int
    expired: int
    unconfirmed: int
    abandoned: int
    given_up: int
    forgotten: int


def watch_links() -> WatchReport:
    """Look at every deadline once."""
    return WatchReport(
        warned=_warn(),
        expired=_expire(),
        abandoned=_abandon(),
        given_up=_each(
            _pending_since(GIVEN_UP_AFTER), lambda state, link: _move(state, link, "failed", "not_confirmed_in_time")
        ),
        unconfirmed=_each(_unconfirmed(), _tell_why),
        forgotten=_forget(),
    )


def match_links() -> int:
    """Compare the Patients of links with their accounts: the new ones, and every week the others. How many matched.

    A provider that does not answer for a few links is left alone until the next look.
    """
    with state_session(read_only=True) as state:
        waiting = [
            (link_id, links.get_link(state, link_id).provider)
            for link_id in (*confirm.unmatched(state), *confirm.long_matched(state))
        ]
    matched = 0
    silent: Counter[str] = Counter()
    for link_id, slug in waiting:
        if silent[slug] >= SILENT_FOR:
            continue
        found = confirm.match_patient(link_id)
        matched += found.outcome == "matched"
        silent[slug] = silent[slug] + 1 if found.outcome == "later" else 0
    return matched


def _warn() -> int:
    """Warn of the ends that are near, once a grant."""
    with state_session(read_only=True) as state:
        warned = exists().where(
            LinkEvent.link_id == Link.id,
            LinkEvent.field == "watch",
            LinkEvent.to_state == "expiring",
            LinkEvent.at >= Credential.granted_at,
        )
        query = (
            select(Link.id, Link.provider, Credential)
            .join(Credential, Credential.link_id == Link.id)
            .where(Link.status.in_(DUE), Credential.granted_at.is_not(None), ~warned)
        )
        rows = [(link_id, slug, stored) for link_id, slug, stored in state.execute(query)]
        learnt = ends.learnt(state, {slug for _, slug, _ in rows})
    at = now()
    near = [link_id for link_id, slug, stored in rows if warn_now(end_of(stored, learnt[slug]), at)]

    def warn(state: Session, link: Link) -> bool:
        stored = state.get(Credential, link.id)
        if stored is None or not warn_now(end_of(stored, learnt[link.provider]), at):
            return False
        links.note_watch(state, link.id, "expiring", "grant_ends", kind="expiring")
        return True

    return _each(select(Link.id).where(Link.id.in_(near), Link.status.in_(DUE)), warn) if near else 0


def _expire() -> int:
    """Expire what cannot be renewed and is over: grants without a refresh token, whose access token has run out."""
    over = (
        select(Link.id)
        .join(Credential, Credential.link_id == Link.id)
        .where(Link.status.in_(DUE), Credential.sealed_refresh.is_(None), Credential.access_expires_at <= now())
    )
    return _each(over, lambda state, link: _move(state, link, "expired", "authorization_ended"))


def _abandon() -> int:
    """Close sign-ins that nobody came back from. Where there was a grant before, the link is expired, as it was."""
    under_way = exists().where(SignIn.link_id == Link.id, SignIn.used_at.is_(None), SignIn.expires_at > now())
    granted = exists().where(
        Credential.link_id == Link.id, or_(Credential.granted_at.is_(None), Credential.granted_at >= Link.status_at)
    )
    began = (
        select(LinkEvent.reason)
        .where(LinkEvent.link_id == Link.id, LinkEvent.field == "status")
        .order_by(LinkEvent.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    left = _pending_since(ABANDONED_AFTER).where(
        Link.route == "direct", ~under_way, ~granted, began.in_(("started", "signed_in_again"))
    )

    def close(state: Session, link: Link) -> bool:
        if state.get(Credential, link.id) is None:
            return _move(state, link, "failed", "sign_in_abandoned")
        return _move(state, link, "expired", "sign_in_abandoned")

    return _each(left, close)


def _unconfirmed() -> Select[str]:
    told = exists().where(
        LinkEvent.link_id == Link.id,
        LinkEvent.field == "watch",
        LinkEvent.to_state == "unconfirmed",
        LinkEvent.at >= Link.status_at,
    )
    granted = or_(Link.route != "direct", exists().where(Credential.link_id == Link.id))
    return _pending_since(CONFIRMED_WITHIN).where(~told, granted)


def _tell_why(state: Session, link: Link) -> bool:
    links.note_watch(state, link.id, "unconfirmed", why_unconfirmed(state, link), kind="not_confirmed")
    return True


def why_unconfirmed(state: Session, link: Link) -> str:
    """Why a pending link is not confirmed: a reason code that a person is told in words.

    `identity_not_checked`: nobody could compare the provider's Patient with the account yet. `not_planned`: no night
    has asked for it. `provider_silent`: it was asked for, and the provider did not answer. `nothing_readable`: it
    answered, and nothing that may be read came. `nothing_uploaded`: no upload of the phone could be accepted yet.
    `something_broke`: the fault is ours.
    """
    if link.route == "phone" and link.identity_matched_at is None:
        return "nothing_uploaded"
    person = state.get_one(Person, link.person_key)
    if person.sealed_identity is not None and link.identity_matched_at is None:
        return "identity_not_checked"
    query = (
        select(SyncLink)
        .join(SyncRun, SyncRun.id == SyncLink.run_id)
        .where(SyncLink.link_id == link.id, SyncRun.started_at >= link.status_at, SyncLink.result != "waiting")
        .order_by(SyncRun.started_at.desc())
    )
    last = state.scalars(query.limit(1)).first()
    if last is None:
        return "not_planned"
    about = (ItemOutcome.run_id == last.run_id, ItemOutcome.link_id == link.id)
    codes = set(state.scalars(select(ItemOutcome.code).where(*about, ItemOutcome.unit == "link")))
    if codes & OUTAGES:
        return "provider_silent"
    fetched = select(func.coalesce(func.sum(SyncTally.fetched), 0)).where(
        SyncTally.run_id == last.run_id, SyncTally.link_id == link.id
    )
    if not codes and not state.scalar(fetched):
        return "nothing_readable"
    return "something_broke"


def _forget() -> int:
    """Delete the tokens of links that have been expired for long: what they might still open is nobody's business."""
    with state_session() as state:
        long_over = select(Link.id).where(Link.status == "expired", Link.status_at <= now() - KEPT_AFTER_END)
        gone = state.execute(
            delete(Credential).where(Credential.link_id.in_(long_over)).returning(Credential.link_id)
        ).all()
        for (link_id,) in gone:
            audit.record(state, "sync", "credential.forgotten", "link", link_id)
    return len(gone)


def _pending_since(age: timedelta) -> Select[str]:
    return select(Link.id).where(Link.status == "pending", Link.status_at <= now() - age)


def _each(query: Select[str], deed: Callable[[Session, Link], bool]) -> int:
    """Do it to every link of a query, each in a transaction of its own that looks again. How often it was done."""
    with state_session(read_only=True) as state:
        ids = list(state.scalars(query.order_by(Link.id)))
    done = 0
    for link_id in ids:
        with state_session() as state:
            link = links.get_link(state, link_id, lock=True)
            if state.scalar(query.where(Link.id == link_id)) is not None:
                done += deed(state, link)
    return done


def _move(state: Session, link: Link, to: Status, reason: str) -> bool:
    links.transition(state, link.id, to, reason, "sync")
    return True
