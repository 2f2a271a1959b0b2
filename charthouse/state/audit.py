"""The audit trail: who did what to which thing of ours. Written in the transaction of the deed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.state.models import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject_kind: str,
    subject_id: str,
    detail: Mapping[str, str | int] | None = None,
) -> None:
    """Note a deed. `detail` holds codes, counts and ids of ours."""
    session.add(
        AuditEvent(
            actor=actor, action=action, subject_kind=subject_kind, subject_id=subject_id, detail=dict(detail or {})
        )
    )


def trail(session: Session, subject_kind: str, subject_id: str) -> list[AuditEvent]:
    """What happened to one thing, oldest first."""
    query = select(AuditEvent).where(AuditEvent.subject_kind == subject_kind, AuditEvent.subject_id == subject_id)
    return list(session.scalars(query.order_by(AuditEvent.id)))
