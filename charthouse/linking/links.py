"""The link: one person at one provider by one route, its state machine, and what it has read so far.

Two independent fields, `status` and `sync_status`; each moves along the declared transitions only, and each move is
written as an event in the same transaction. The row is locked first, so of two processes that want the same move one
makes it and the other is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from sqlalchemy import delete, exists, func, insert, or_, select, update

from charthouse.errors import StateError
from charthouse.linking import ends
from charthouse.linking.people import get_person
from charthouse.linking.providers import get_provider
from charthouse.linking.states import DUE, SYNC_TRANSITIONS, TRANSITIONS, Transition, told
from charthouse.notify.outbox import tell
from charthouse.state import audit
from charthouse.state.base import now
from charthouse.state.bulk import BulkSource
from charthouse.state.linking import SignIn
from charthouse.state.models import Credential, Link, LinkEvent, Person, Provider, Watermark
from charthouse.state.network import FoundProvider
from charthouse.state.phones import PhoneUpload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor, Field, Route, Status, SyncStatus
    from charthouse.state.notices import NoticeKind


@dataclass(frozen=True, slots=True)
class LinkWork:
    """What a night needs of a link. `watermarks` maps a query's label to the provider's own instant.

    `owed` are labels of which everything was asked for and did not come: they are asked for everything again.
    `partner` is whom a link of the route `verified` is read through.
    """

    link_id: str
    status: Status
    sync_status: SyncStatus
    person_key: str
    provider: str
    route: Route
    fhir_base_url: str
    patient_id: str = field(repr=False)
    granted_scopes: str | None
    watermarks: Mapping[str, str]
    read_whole_at: datetime | None = None
    page_origins: str | None = None
    owed: frozenset[str] = frozenset()
    partner: str | None = None


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link as an operator may see it: no patient id, no scopes."""

    link_id: str
    person_key: str
    provider: str
    route: Route
    status: Status
    failed_reason: str | None
    sync_status: SyncStatus
    created_at: datetime
    confirmed_at: datetime | None
    last_synced_at: datetime | None


def start_link(
    session: Session,
    person_key: str,
    provider_slug: str,
    route: Route,
    *,
    patient_id: str | None = None,
    actor: Actor = "person",
) -> Link:
    """Start a link, or take up the one that this person has for this patient at this provider.

    A link that ended but was not deleted goes back to pending under its own id. Without a patient (nobody has signed in
    yet) a pending link by the same route is taken up.

    Raises:
        StateError: CH602 when there is no such person or provider.
    """
    get_person(session, person_key, lock=True)  # two starts at once must not both find nothing
    get_provider(session, provider_slug)
    same = select(Link).where(Link.person_key == person_key, Link.provider == provider_slug)
    if patient_id is None:
        same = same.where(Link.patient_id.is_(None), Link.status == "pending", Link.route == route)
    else:
        same = same.where(Link.patient_id == patient_id)
    link = session.scalars(same.order_by(Link.created_at, Link.id).limit(1)).one_or_none()
    if link is None:
        link = Link(person_key=person_key, provider=provider_slug, route=route, patient_id=patient_id)
        session.add(link)
        session.flush()
        session.add(_event(link.id, "status", None, "pending", "started", actor))
    elif link.status not in DUE:
        link = transition(session, link.id, "pending", "signed_in_again", actor)
        link.route = route
    session.flush()
    return link


def identify(session: Session, link_id: str, patient_id: str, *, actor: Actor = "person") -> Link:
    """Say whose records a pending link is about, once the sign-in has told.

    Where the person has a link for that patient already, that one is taken up and returned, and the new one fails as
    `same_patient_linked`.

    Raises:
        StateError: CH602 for an unknown link, CH606 when the link is about another patient.
    """
    link = get_link(session, link_id, lock=True)
    if link.patient_id == patient_id:
        return link
    if link.patient_id is not None:
        raise StateError("CH606", where=f"link {link_id}")
    get_person(session, link.person_key, lock=True)
    known = session.scalar(
        select(Link.id).where(
            Link.person_key == link.person_key, Link.provider == link.provider, Link.patient_id == patient_id
        )
    )
    if known is None:
        link.patient_id = patient_id
        session.flush()
        return link
    transition(session, link_id, "failed", "same_patient_linked", actor)
    return start_link(session, link.person_key, link.provider, link.route, patient_id=patient_id, actor=actor)


def transition(session: Session, link_id: str, to: Status, reason: str, actor: Actor) -> Link:
    """Move a link's status, with its event and what its person is told of it (`states.told`).

    The tokens of a link that is disconnected or deleted go in the same transaction; a deleted link also forgets whose
    records it was about and what it had read. Those of an expired one stay a while: `charthouse.linking.refresh`.

    Raises:
        StateError: CH601 when the move is not declared, CH602 when there is no such link.
    """
    link = get_link(session, link_id, lock=True)
    if Transition(link.status, to, reason) not in TRANSITIONS:
        raise StateError("CH601", where=f"link {link_id}", what=f"{link.status} → {to} ({reason})")
    event = _event(link_id, "status", link.status, to, reason, actor)
    session.add(event)
    kind = told(to, reason, confirmed_before=link.confirmed_at is not None)
    if to == "expired":
        ends.note(session, link, learn=reason == "authorization_ended")
    link.status = to
    link.status_at = now()
    link.failed_reason = reason if to == "failed" else None
    if to == "confirmed":
        link.confirmed_at = link.status_at
    if to in ("disconnected", "deleted"):
        session.execute(delete(Credential).where(Credential.link_id == link_id))
        waiting = delete(PhoneUpload).where(PhoneUpload.link_id == link_id, PhoneUpload.status != "refused")
        session.execute(waiting)
    if to == "disconnected":  # no sign-in that was begun before brings it back
        over = update(SignIn).where(SignIn.link_id == link_id, SignIn.outcome == "")
        session.execute(over.values(outcome="CH630", sealed_secrets=None))
    if to == "deleted":
        link.patient_id = link.granted_scopes = None
        clear_watermarks(session, link_id)
    session.flush()
    if kind is not None:
        tell(session, link.person_key, kind, link_id=link_id, reason=reason, dedupe=f"{link_id}:{event.id}")
    return link


def note_watch(session: Session, link_id: str, found: str, reason: str, *, kind: NoticeKind | None) -> None:
    """Write down what a deadline found out about a link, and tell its person."""
    link = get_link(session, link_id)
    event = _event(link_id, "watch", None, found, reason, "sync")
    session.add(event)
    session.flush()
    if kind is not None:
        tell(session, link.person_key, kind, link_id=link_id, reason=reason, dedupe=f"{link_id}:{event.id}")


def request_sync(session: Session, link_id: str, *, actor: Actor = "person") -> Link:
    """Ask for a link's records soon: the next hourly look starts a night for the links that wait.

    Raises:
        StateError: CH601 when the link's status is not one that is asked for records, CH602 when there is none.
    """
    link = get_link(session, link_id, lock=True)
    if link.status not in DUE:
        raise StateError("CH601", where=f"link {link_id}", what=f"records of a link that is {link.status}")
    if link.sync_requested_at is None:
        link.sync_requested_at = now()
        audit.record(session, actor, "link.sync_requested", "link", link_id)
    session.flush()
    return link


def requests_met(session: Session, link_ids: Sequence[str]) -> None:
    """A night takes these links on: what was asked for before is on its way."""
    for ids in _chunks(link_ids):
        session.execute(
            update(Link).where(Link.id.in_(ids), Link.sync_requested_at.is_not(None)).values(sync_requested_at=None)
        )


def set_sync_status(session: Session, link_id: str, to: SyncStatus, *, actor: Actor = "sync") -> Link:
    """Move one link's sync status, with its event. Where it already is at `to`, nothing happens: tasks run twice.

    Raises:
        StateError: CH601 when the move is not declared, CH602 when there is no such link.
    """
    return set_sync_statuses(session, {link_id: to}, actor=actor)[0]


def set_sync_statuses(session: Session, moves: Mapping[str, SyncStatus], *, actor: Actor = "sync") -> list[Link]:
    """Move the sync status of many links in few statements, all or none. See `set_sync_status`."""
    found: dict[str, Link] = {}
    for ids in _chunks(sorted(moves)):  # sorted: two processes lock in the same order
        query = select(Link).where(Link.id.in_(ids)).order_by(Link.id)
        locked = session.scalars(query.with_for_update().execution_options(populate_existing=True))
        found |= {link.id: link for link in locked}
    at = now()
    for link_id, to in moves.items():
        if link_id not in found:
            raise StateError("CH602", where=f"link {link_id}")
        link = found[link_id]
        if link.sync_status == to:
            continue
        reasons = [step.reason for step in SYNC_TRANSITIONS if (step.before, step.after) == (link.sync_status, to)]
        if not reasons:
            raise StateError("CH601", where=f"link {link_id}", what=f"sync {link.sync_status} → {to}")
        session.add(_event(link_id, "sync_status", link.sync_status, to, reasons[0], actor))
        link.sync_status = to
        if to in ("complete", "partial"):
            link.last_synced_at = at
    session.flush()
    return [found[link_id] for link_id in moves]


def get_link(session: Session, link_id: str, *, lock: bool = False) -> Link:
    """A link by its id; with `lock`, as it is now and held until the transaction ends.

    Raises:
        StateError: CH602 when there is none.
    """
    query = select(Link).where(Link.id == link_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    link = session.scalars(query).one_or_none()
    if link is None:
        raise StateError("CH602", where=f"link {link_id}")
    return link


def due_links(session: Session, providers: Sequence[str] | None = None, *, waiting: bool = False) -> list[LinkWork]:
    """The links that a night asks for records, in a stable order; of the named providers, or of all when none is named.

    Due is a pending or confirmed link of an active provider, with a known patient and with tokens (or exported by
    tokens of our own, or read through a partner that holds its connection), and matched with the person where the
    account says who that is; and of a phone, one with an upload that waits. `waiting` are those of them that no night
    has been asked for since they
    were linked, and those for which somebody asked.

    Raises:
        StateError: CH602 for a provider that is not registered.
    """
    for slug in providers or ():
        get_provider(session, slug)
    query = (
        _work()
        .where(Link.status.in_(DUE), Provider.active)
        .where(
            or_(
                exists().where(Credential.link_id == Link.id),
                exists().where(BulkSource.provider == Link.provider) & (Link.route != "phone"),
                exists().where(PhoneUpload.link_id == Link.id, PhoneUpload.status == "accepted"),
                _held_by_partner(),
            )
        )
        .join(Person, Person.person_key == Link.person_key)
        .where(or_(Person.sealed_identity.is_(None), Link.identity_matched_at.is_not(None)))
        .order_by(Link.provider, Link.created_at, Link.id)
    )
    if providers:
        query = query.where(Link.provider.in_(providers))
    if waiting:
        planned = exists().where(
            LinkEvent.link_id == Link.id, LinkEvent.field == "sync_status", LinkEvent.at >= Link.status_at
        )
        query = query.where(or_(Link.sync_requested_at.is_not(None), (Link.status == "pending") & ~planned))
    return _with_watermarks(session, [(*row,) for row in session.execute(query)])


def without_tokens(session: Session, link_ids: Sequence[str]) -> set[str]:
    """Those of `link_ids` that have no tokens: nobody signed in for them, or not for long enough."""
    there: set[str] = set()
    for ids in _chunks(link_ids):
        there.update(session.scalars(select(Credential.link_id).where(Credential.link_id.in_(ids))))
    return set(link_ids) - there


def work_of(session: Session, link_ids: Sequence[str]) -> list[LinkWork]:
    """What a night needs of the named links as they are now, in the order named.

    Links that were deleted since, whose patient nobody knows any more, are left out: nothing may be kept for them.
    """
    rows: dict[str, tuple[Link, str, str | None, str | None]] = {}
    for ids in _chunks(link_ids):
        found = session.execute(_work().where(Link.id.in_(ids)).execution_options(populate_existing=True))
        rows |= {row[0].id: (*row,) for row in found}
    return _with_watermarks(session, [rows[link_id] for link_id in link_ids if link_id in rows])


def linked_patients(session: Session, provider_slug: str) -> set[str]:
    """The patient ids at a provider that somebody's link is about."""
    known = session.scalars(select(Link.patient_id).where(Link.provider == provider_slug, Link.patient_id.is_not(None)))
    return {patient for patient in known if patient is not None}


def list_links(
    session: Session, *, provider: str | None = None, person_key: str | None = None, status: Status | None = None
) -> list[LinkView]:
    """The links as an operator may see them, oldest first; narrowed by what is given."""
    query = select(Link).order_by(Link.created_at, Link.id)
    for column, value in ((Link.provider, provider), (Link.person_key, person_key), (Link.status, status)):
        if value is not None:
            query = query.where(column == value)
    return [
        LinkView(
            link_id=link.id,
            person_key=link.person_key,
            provider=link.provider,
            route=link.route,
            status=link.status,
            failed_reason=link.failed_reason,
            sync_status=link.sync_status,
            created_at=link.created_at,
            confirmed_at=link.confirmed_at,
            last_synced_at=link.last_synced_at,
        )
        for link in session.scalars(query)
    ]


def count_by_status(session: Session) -> dict[str, int]:
    """How many links there are in each status that has any."""
    rows = session.execute(select(Link.status, func.count()).group_by(Link.status))
    return {row[0]: row[1] for row in rows}


def moves_since(session: Session, instant: datetime) -> dict[str, int]:
    """How many links came to each status since an instant, by where they came to; beginnings are not among them."""
    query = select(LinkEvent.to_state, func.count(LinkEvent.link_id.distinct())).where(
        LinkEvent.field == "status", LinkEvent.from_state.is_not(None), LinkEvent.at >= instant
    )
    return {row[0]: row[1] for row in session.execute(query.group_by(LinkEvent.to_state))}


def list_events(
    session: Session, link_id: str, *, after: int | None = None, limit: int | None = None
) -> list[LinkEvent]:
    """Every move that a link made and what deadlines found, oldest first; a page of them, after an event's id."""
    query = select(LinkEvent).where(LinkEvent.link_id == link_id).order_by(LinkEvent.id)
    if after is not None:
        query = query.where(LinkEvent.id > after)
    return list(session.scalars(query if limit is None else query.limit(limit)))


def set_watermarks(
    session: Session,
    link_id: str,
    watermarks: Mapping[str, str],
    *,
    deposit: str | None = None,
    owed: Collection[str] = (),
) -> None:
    """Note how far queries have been read, and the vault's deposit that this rests on. Other labels stay.

    Of those that are `owed` everything was asked for, and did not come.
    """
    at = now()
    rows = [
        {
            "link_id": link_id,
            "label": label,
            "value": value,
            "moved_at": at,
            "deposit": deposit,
            "owed": label in owed,
        }
        for label, value in watermarks.items()
    ]
    if rows:
        session.execute(delete(Watermark).where(Watermark.link_id == link_id, Watermark.label.in_(watermarks)))
        session.execute(insert(Watermark), rows)


def note_read_whole(session: Session, link_ids: Iterable[str]) -> None:
    """These links were asked for everything, and not for what is new alone."""
    for ids in _chunks(sorted(link_ids)):
        session.execute(update(Link).where(Link.id.in_(ids)).values(read_whole_at=now()))


def clear_watermarks(session: Session, link_id: str) -> None:
    """Forget how far a link has been read: its next night asks for everything."""
    session.execute(delete(Watermark).where(Watermark.link_id == link_id))


def _held_by_partner() -> ColumnElement[bool]:
    """A link of the route `verified` whose connection its partner lists, and has not deleted the data of."""
    return exists().where(
        FoundProvider.link_id == Link.id,
        Link.route == "verified",
        FoundProvider.gone_at.is_(None),
        FoundProvider.way == "connected",
        FoundProvider.sync_said.not_in(("DELETING", "DATA_DELETED")),
    )


def _work() -> Select[Link, str, str | None, str | None]:
    query = select(Link, Provider.fhir_base_url, Provider.page_origins, Provider.partner)
    return query.join(Provider, Provider.slug == Link.provider).where(Link.patient_id.is_not(None))


def _with_watermarks(session: Session, rows: Sequence[tuple[Link, str, str | None, str | None]]) -> list[LinkWork]:
    marks: dict[str, dict[str, str]] = {}
    owed: dict[str, set[str]] = {}
    for ids in _chunks([link.id for link, *_ in rows]):
        for mark in session.scalars(select(Watermark).where(Watermark.link_id.in_(ids))):
            marks.setdefault(mark.link_id, {})[mark.label] = mark.value
            if mark.owed:
                owed.setdefault(mark.link_id, set()).add(mark.label)
    return [
        LinkWork(
            link_id=link.id,
            status=link.status,
            sync_status=link.sync_status,
            person_key=link.person_key,
            provider=link.provider,
            route=link.route,
            fhir_base_url=base,
            patient_id=cast("str", link.patient_id),
            granted_scopes=link.granted_scopes,
            watermarks=marks.get(link.id, {}),
            read_whole_at=link.read_whole_at,
            page_origins=origins,
            owed=frozenset(owed.get(link.id, ())),
            partner=partner if link.route == "verified" else None,
        )
        for link, base, origins, partner in rows
    ]


def _chunks(ids: Sequence[str], size: int = 1_000) -> Iterable[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _event(link_id: str, what: Field, before: str | None, after: str, reason: str, actor: Actor) -> LinkEvent:
    return LinkEvent(link_id=link_id, field=what, from_state=before, to_state=after, reason=reason, actor=actor)
