"""The audit trail: who did what to which thing of ours. Written in the transaction of the deed, and chained.

Each event carries the digest of the one before it, so an event that was changed, taken out or moved is found. They are
linked at the very end of their transaction, one transaction after the other, in the order in which they commit. Where
the chain ends then is noted in a file beside the keys (`charthouse.state.anchors`), so that a cut is found, too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from charthouse.state import anchors
from charthouse.state.base import now
from charthouse.state.models import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy.orm import SessionTransaction

    from charthouse.state.models import Actor

CHAIN_LOCK: Final = 0x636861696E
"""PostgreSQL's advisory lock of who links events now. SQLite has one writer anyway."""
ANCHORS: Final = "audit anchors"
"""What a session knows the file of the anchors by."""
_WAITING: Final = "audit events"
_MARKS: Final = "audit events before each savepoint"
_END: Final = "audit end"


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject_kind: str,
    subject_id: str,
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Note a deed. `detail` holds codes, counts and ids of ours, and no key of a person or link."""
    salt = secrets.token_hex(16)
    session.info.setdefault(_WAITING, []).append(
        AuditEvent(
            at=now(),
            actor=actor,
            action=action,
            subject_kind=subject_kind,
            subject_id=subject_id,
            detail=dict(detail or {}),
            salt=salt,
            subject_digest=subject_digest(salt, subject_kind, subject_id),
        )
    )


def trail(session: Session, subject_kind: str, subject_id: str) -> list[AuditEvent]:
    """What happened to one thing, oldest first; what this transaction has still to write is at the end."""
    query = select(AuditEvent).where(AuditEvent.subject_kind == subject_kind, AuditEvent.subject_id == subject_id)
    waiting: list[AuditEvent] = session.info.get(_WAITING, [])
    told = [said for said in waiting if (said.subject_kind, said.subject_id) == (subject_kind, subject_id)]
    return [*session.scalars(query.order_by(AuditEvent.id)), *told]


def subject_digest(salt: str, subject_kind: str, subject_id: str) -> str:
    """What the chain knows of whom an event is about."""
    return hashlib.sha256(f"{salt}\n{subject_kind}\n{subject_id}".encode()).hexdigest()


def digest_of(found: AuditEvent | Mapping[str, Any], number: int | None = None) -> str:
    """The digest that an event must have: over all of it but its subject, and over the one before it.

    `number` is the place in the trail that it is asked for, in place of its own.
    """
    said = found if not isinstance(found, AuditEvent) else {name: getattr(found, name) for name in _DIGESTED}
    at = said["at"].astimezone(UTC).replace(tzinfo=None).isoformat()
    written = json.dumps(
        [said["id"] if number is None else number, at, *(said[name] for name in _DIGESTED[2:])],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(written.encode()).hexdigest()


_DIGESTED: Final = ("id", "at", "actor", "action", "subject_kind", "subject_digest", "detail", "previous")


@event.listens_for(Session, "before_commit")
def _link(session: Session) -> None:
    """Put the events of a transaction at the end of the chain. Nothing is locked after this: no deadlock."""
    if session.in_nested_transaction():
        return  # a savepoint is let go of, and the transaction goes on
    waiting: list[AuditEvent] = session.info.pop(_WAITING, [])
    if not waiting:
        return
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAIN_LOCK})
    last = session.execute(select(AuditEvent.id, AuditEvent.digest).order_by(AuditEvent.id.desc()).limit(1)).first()
    number, previous = (0, "") if last is None else (last[0], last[1])
    for following, added in enumerate(waiting, number + 1):
        added.id, added.previous = following, previous
        previous = added.digest = digest_of(added)
        session.add(added)
    session.flush()
    session.info[_END] = (number + len(waiting), previous)


@event.listens_for(Session, "after_commit")
def _anchor(session: Session) -> None:
    """Note where the chain ends, once it does."""
    if session.in_nested_transaction():
        return
    end: tuple[int, str] | None = session.info.pop(_END, None)
    file: Path | None = session.info.get(ANCHORS)
    if end is not None and file is not None:
        anchors.note(file, *end)


@event.listens_for(Session, "after_transaction_create")
def _mark(session: Session, transaction: SessionTransaction) -> None:
    """Remember what waited when a savepoint was set: to roll back to it takes what was recorded since."""
    if transaction.nested:
        session.info.setdefault(_MARKS, {})[transaction] = len(session.info.get(_WAITING, []))


@event.listens_for(Session, "after_transaction_end")
def _unmark(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        session.info.get(_MARKS, {}).pop(transaction, None)


@event.listens_for(Session, "after_rollback")
def _drop(session: Session) -> None:
    """Forget the events of what is rolled back: the innermost savepoint, or all."""
    nested = session.get_nested_transaction()
    mark = session.info.get(_MARKS, {}).get(nested, 0) if nested is not None else 0
    del session.info.get(_WAITING, [])[mark:]
    session.info.pop(_END, None)
