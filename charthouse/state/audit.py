"""The audit trail: who did what to which thing of ours. Written in the transaction of the deed, and chained.

Each event carries the digest of the one before it, so an event that was changed, taken out or moved is found. They are
linked at the very end of their transaction, one transaction after the other, in the order in which they commit.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, select, text
from sqlalchemy.orm import Session

from charthouse.state.base import now
from charthouse.state.models import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.state.models import Actor

CHAIN_LOCK: Final = 0x636861696E
"""PostgreSQL's advisory lock of who links events now. SQLite has one writer anyway."""
_WAITING: Final = "audit events"


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


def digest_of(found: AuditEvent) -> str:
    """The digest that an event must have: over all of it but its subject, and over the one before it."""
    at = found.at.astimezone(UTC).replace(tzinfo=None).isoformat()
    said: list[Any] = [found.id, at, found.actor, found.action, found.subject_kind, found.subject_digest, found.detail]
    written = json.dumps([*said, found.previous], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


@event.listens_for(Session, "before_commit")
def _link(session: Session) -> None:
    """Put the events of a transaction at the end of the chain. Nothing is locked after this: no deadlock."""
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


@event.listens_for(Session, "after_rollback")
def _drop(session: Session) -> None:
    session.info.pop(_WAITING, None)
