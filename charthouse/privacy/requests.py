"""Requests of people: asked for by REST or the command line, worked off at once or by a DAG, each with a due date.

A request is one row whatever is retried: asking again for what is under way gives the same request.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from charthouse.errors import PrivacyError, StateError
from charthouse.linking.links import get_link
from charthouse.linking.people import get_person
from charthouse.settings import Settings, get_settings
from charthouse.state import audit
from charthouse.state.base import now
from charthouse.state.locks import exclusive
from charthouse.state.privacy import PrivacyRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor
    from charthouse.state.privacy import RequestKind, RequestStatus

OPEN: Final[tuple[RequestStatus, ...]] = ("waiting", "running")
ERASING: Final[tuple[RequestKind, ...]] = ("erase", "delete_link")
PROVEN: Final = ("receipt", "tell")
"""Steps of an erasure behind its scan: a request that has come so far is not erased again."""
OVERTAKEN: Final = "CH906"


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request as an operator or its person may see it. The person is known by key, until an erasure has ended."""

    request_id: str
    kind: RequestKind
    person_key: str | None
    link_id: str | None
    options: Mapping[str, Any]
    status: RequestStatus
    step: str
    asked_at: datetime
    begins_at: datetime
    due_at: datetime
    done_at: datetime | None
    tries: int
    code: str | None
    receipt_id: str | None


def ask_export(
    session: Session, person_key: str, options: Mapping[str, Any] | None = None, *, actor: Actor = "person"
) -> RequestView:
    """Ask for an export. `options` narrows it: `categories`, `since` (a date), `providers`.

    Raises:
        StateError: CH602 when there is no such person.
        PrivacyError: CH905 when that person is being erased.
    """
    return _ask(session, "export", person_key, None, dict(options or {}), actor)


def ask_deletion(session: Session, link_id: str, *, actor: Actor = "person") -> RequestView:
    """Ask that a link goes with everything that came by it.

    Raises:
        StateError: CH602 when there is no such link, CH601 when it is deleted already.
        PrivacyError: CH905 when the person is being erased.
    """
    link = get_link(session, link_id)
    standing = _open(session, "delete_link", link.person_key, link_id)
    if standing is None and link.status == "deleted":
        raise StateError("CH601", where=f"link {link_id}", what="it is deleted already")
    return _ask(session, "delete_link", link.person_key, link_id, {}, actor)


def ask_erasure(
    session: Session, person_key: str, *, actor: Actor = "person", settings: Settings | None = None
) -> RequestView:
    """Ask that everything about a person goes. It begins when the time to take it back is over (a setting; none).

    Raises:
        StateError: CH602 when there is no such person.
    """
    wait = timedelta(days=(settings or get_settings()).erasure_wait_days)
    return _ask(session, "erase", person_key, None, {}, actor, wait=wait)


def cancel(session: Session, request_id: str, *, actor: Actor = "person") -> RequestView:
    """Take a request back that has not begun.

    Raises:
        PrivacyError: CH900 when there is none, CH901 when it has begun or ended.
    """
    request = _get(session, request_id, lock=True)
    if request.status == "cancelled":
        return _shown(request)
    if request.status != "waiting" or request.started_at is not None:
        raise PrivacyError("CH901", where=request_id)
    request.status, request.done_at = "cancelled", now()
    audit.record(session, actor, f"{request.kind}.cancelled", "request", request_id)
    session.flush()
    return _shown(request)


def find(session: Session, request_id: str) -> RequestView:
    """One request.

    Raises:
        PrivacyError: CH900 when there is none.
    """
    return _shown(_get(session, request_id))


def list_requests(
    session: Session,
    *,
    person_key: str | None = None,
    kind: RequestKind | None = None,
    status: RequestStatus | None = None,
) -> list[RequestView]:
    """Requests, those that are due first; narrowed by what is given."""
    query = select(PrivacyRequest).order_by(PrivacyRequest.due_at, PrivacyRequest.asked_at, PrivacyRequest.id)
    for column, value in (
        (PrivacyRequest.person_key, person_key),
        (PrivacyRequest.kind, kind),
        (PrivacyRequest.status, status),
    ):
        if value is not None:
            query = query.where(column == value)
    return [_shown(request) for request in session.scalars(query)]


def ready(session: Session, kind: RequestKind) -> list[str]:
    """The open requests of a kind whose time has come, those first that are due first."""
    query = select(PrivacyRequest.id).where(
        PrivacyRequest.kind == kind, PrivacyRequest.status.in_(OPEN), PrivacyRequest.begins_at <= now()
    )
    return list(session.scalars(query.order_by(PrivacyRequest.due_at, PrivacyRequest.asked_at, PrivacyRequest.id)))


def is_being_erased(session: Session, person_key: str) -> bool:
    """Whether the erasure of a person has begun."""
    query = select(PrivacyRequest.id).where(
        PrivacyRequest.person_key == person_key, PrivacyRequest.kind == "erase", PrivacyRequest.status == "running"
    )
    return session.scalar(query.limit(1)) is not None


@contextmanager
def working(request_id: str, settings: Settings | None = None) -> Iterator[None]:
    """Work on a request alone, among all threads and processes.

    Raises:
        PrivacyError: CH903 when another process works on it.
    """
    lock = exclusive(f"request {request_id}", settings, wait=0)
    try:
        lock.__enter__()
    except StateError as error:
        if error.code != "CH608":
            raise
        raise PrivacyError("CH903", where=request_id) from None
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def begin(session: Session, request_id: str) -> PrivacyRequest | None:
    """Note that the work on a request begins or goes on; None where there is nothing left to do.

    Raises:
        PrivacyError: CH900 when there is none.
    """
    request = _get(session, request_id, lock=True)
    if request.status not in OPEN:
        return None
    request.status = "running"
    request.started_at = request.started_at or now()
    request.tries += 1
    request.code = None
    session.flush()
    return request


def stumble(session: Session, request_id: str, code: str, *, final: bool = False) -> None:
    """Note what keeps a request from its end. It is tried again, unless that is `final`."""
    request = _get(session, request_id, lock=True)
    request.code = code
    if final:
        request.status, request.done_at = "failed", now()
        request.sealed_notes = None
    session.flush()


def reach(session: Session, request_id: str, step: str) -> None:
    """Note how far the work has come."""
    request = _get(session, request_id, lock=True)
    request.step = step
    session.flush()


def close(session: Session, request_id: str, *, receipt_id: str | None = None, forget: bool = False) -> None:
    """Note that a request is done. With `forget`, the row keeps nothing of whom it was about."""
    request = _get(session, request_id, lock=True)
    request.status, request.done_at, request.code = "done", now(), None
    request.receipt_id = receipt_id
    request.sealed_notes = None
    if forget:
        request.person_key = request.link_id = None
        request.options = {}
    session.flush()


def overtake(session: Session, request_id: str) -> None:
    """Note that the erasure of its person does what a request is for, and forget what it had collected."""
    request = _get(session, request_id, lock=True)
    request.status, request.done_at, request.code = "cancelled", now(), OVERTAKEN
    request.sealed_notes = None
    audit.record(session, "sync", f"{request.kind}.overtaken", "request", request_id)
    session.flush()


def _ask(
    session: Session,
    kind: RequestKind,
    person_key: str,
    link_id: str | None,
    options: dict[str, Any],
    actor: Actor,
    *,
    wait: timedelta = timedelta(0),
) -> RequestView:
    get_person(session, person_key, lock=True)  # two requests at once must not both find nothing
    if kind != "erase" and is_being_erased(session, person_key):
        raise PrivacyError("CH905", where=f"person {person_key}")
    standing = _open(session, kind, person_key, link_id)
    if standing is not None and standing.options == options:
        return _shown(standing)
    at = now()
    due = at + timedelta(days=get_settings().request_due_days)
    request = PrivacyRequest(
        kind=kind, person_key=person_key, link_id=link_id, options=options, actor=actor, asked_at=at,
        begins_at=at + wait, due_at=due,
    )  # fmt: skip
    session.add(request)
    session.flush()
    audit.record(session, actor, f"{kind}.asked", "person", person_key)
    return _shown(request)


def _open(session: Session, kind: RequestKind, person_key: str, link_id: str | None) -> PrivacyRequest | None:
    query = select(PrivacyRequest).where(
        PrivacyRequest.kind == kind, PrivacyRequest.person_key == person_key, PrivacyRequest.status.in_(OPEN)
    )
    if link_id is not None:
        query = query.where(PrivacyRequest.link_id == link_id)
    return session.scalars(query.order_by(PrivacyRequest.asked_at.desc()).limit(1)).first()


def _get(session: Session, request_id: str, *, lock: bool = False) -> PrivacyRequest:
    query = select(PrivacyRequest).where(PrivacyRequest.id == request_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    request = session.scalars(query).one_or_none()
    if request is None:
        raise PrivacyError("CH900", where=request_id)
    return request


def _shown(request: PrivacyRequest) -> RequestView:
    return RequestView(
        request_id=request.id,
        kind=request.kind,
        person_key=request.person_key,
        link_id=request.link_id,
        options=dict(request.options),
        status=request.status,
        step=request.step,
        asked_at=request.asked_at,
        begins_at=request.begins_at,
        due_at=request.due_at,
        done_at=request.done_at,
        tries=request.tries,
        code=request.code,
        receipt_id=request.receipt_id,
    )
