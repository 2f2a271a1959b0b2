"""Rows of the state database: deleted, or emptied where the row itself says nothing of anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table, Update, delete, or_, select, update
from sqlalchemy.engine import CursorResult

from charthouse.privacy import requests
from charthouse.privacy.registry import places
from charthouse.privacy.subjects import Subject, keys_of
from charthouse.state import feed
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.feed import CoachFeedEntry
from charthouse.state.models import AuditEvent, Link
from charthouse.state.notices import Notice
from charthouse.state.privacy import ExportPart, PrivacyRequest
from charthouse.state.tables import Base

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from charthouse.settings import Settings


def erase(subjects: Sequence[Subject], settings: Settings) -> dict[str, int]:
    """Take the subjects out of all tables, in one transaction. Requests then know whom they are about by seal alone."""
    taken: dict[str, int] = {}
    people, links = keys_of(subjects)
    alone = [link for subject in subjects if not subject.whole for link in subject.link_ids]
    with state_session(settings) as state:
        for place in places("state", "delete"):
            for name in place.what:
                table = Base.metadata.tables[name]
                clauses = [_tied(table, place.person, people, links if people else [])] if people else []
                if place.link and alone:
                    clauses.append(_tied(table, place.link, [], alone))
                if clauses:
                    taken[place.name] = taken.get(place.name, 0) + _changed(state, delete(table).where(or_(*clauses)))
        for place in places("state", "empty"):
            for name in place.what:
                taken[place.name] = _emptied(state, name, subjects)
        for link in state.scalars(select(Link).where(Link.id.in_(alone))):
            link.patient_id = link.granted_scopes = link.identity_matched_at = None
            link.last_synced_at = link.sync_requested_at = None
    return taken


def _tied(table: Table, column: str, people: list[str], links: list[str]) -> ColumnElement[bool]:
    """The rows of a table that are tied to these people, or to these links."""
    tied: Column[Any] = table.c[column]
    if column == "person_key":
        return tied.in_(people)
    if column == "link_id":
        return tied.in_(links)
    if column == "notice_id":
        return tied.in_(select(Notice.id).where(Notice.person_key.in_(people)))
    exports = select(PrivacyRequest.id).where(PrivacyRequest.kind == "export", _of(people, links))
    if column == "request_id":
        return tied.in_(exports)
    if column == "part_id":
        return tied.in_(select(ExportPart.id).where(ExportPart.request_id.in_(exports)))
    raise LookupError(column)


def _of(people: list[str], links: list[str]) -> ColumnElement[bool]:
    owners = select(Link.person_key).where(Link.id.in_(links))
    return or_(PrivacyRequest.person_key.in_(people), PrivacyRequest.person_key.in_(owners))


def _emptied(state: Session, name: str, subjects: Sequence[Subject]) -> int:
    people = [subject.person_key for subject in subjects if subject.whole]
    links = [link for subject in subjects if subject.whole for link in subject.link_ids]
    if name == AuditEvent.__tablename__:
        events = update(AuditEvent).where(AuditEvent.subject_id.in_([*people, *links]))
        return _changed(state, events.values(subject_id=None, salt=None))
    if name == CoachFeedEntry.__tablename__:
        return feed.retire(state, people)
    if name == PrivacyRequest.__tablename__:
        theirs = update(PrivacyRequest).where(
            or_(PrivacyRequest.person_key.in_(people), PrivacyRequest.link_id.in_(links))
        )
        ours = [subject.request_id for subject in subjects]
        _overtaken(state, theirs.where(PrivacyRequest.id.not_in(ours)))
        return _changed(state, theirs.values(person_key=None, link_id=None, options={}))
    raise LookupError(name)


def _overtaken(state: Session, others: Update) -> None:
    """Call off what was asked for in the meantime; nothing of it was begun, for erasures wait for each other."""
    open_ones = others.where(PrivacyRequest.status.in_(requests.OPEN))
    _changed(state, open_ones.values(status="cancelled", done_at=now(), code=requests.OVERTAKEN))
    _changed(state, others.values(sealed_notes=None))


def _changed(state: Session, statement: Any) -> int:
    done = state.execute(statement.execution_options(synchronize_session=False))
    return done.rowcount if isinstance(done, CursorResult) and done.rowcount > 0 else 0
