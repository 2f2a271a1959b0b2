"""Alarms: what only an operator can mend, open until it is mended. Shown by `charthouse doctor` and `status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.errors import CATALOGUE
from charthouse.log import get_logger
from charthouse.state.base import now
from charthouse.state.linking import OperatorAlarm

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """An open alarm: an error's number, the provider or registration it is about, and how often it was met."""

    code: str
    subject: str
    count: int
    opened_at: datetime
    seen_at: datetime

    @property
    def title(self) -> str:
        """What is wrong."""
        return CATALOGUE[self.code].title

    @property
    def mend(self) -> str:
        """What to do."""
        return CATALOGUE[self.code].mend


def raise_alarm(session: Session, code: str, subject: str, *, count: int = 1) -> bool:
    """Open an alarm, or count it up where it is open. Whether it is new."""
    query = select(OperatorAlarm).where(
        OperatorAlarm.code == code, OperatorAlarm.subject == subject, OperatorAlarm.closed_at.is_(None)
    )
    standing = session.scalars(query.with_for_update().limit(1)).first()
    if standing is not None:
        standing.count += count
        standing.seen_at = now()
        session.flush()
        return False
    session.add(OperatorAlarm(code=code, subject=subject, count=count))
    session.flush()
    log.warning("an operator is needed", code=code, subject=subject)
    return True


def close_alarm(session: Session, code: str, subject: str) -> bool:
    """Close an alarm, for it is mended; whether it was open."""
    query = select(OperatorAlarm).where(
        OperatorAlarm.code == code, OperatorAlarm.subject == subject, OperatorAlarm.closed_at.is_(None)
    )
    standing = session.scalars(query.with_for_update()).all()
    for alarm in standing:
        alarm.closed_at = now()
    session.flush()
    return bool(standing)


def open_alarms(session: Session) -> list[Alarm]:
    """The alarms that are open, oldest first."""
    query = select(OperatorAlarm).where(OperatorAlarm.closed_at.is_(None)).order_by(OperatorAlarm.id)
    return [
        Alarm(found.code, found.subject, found.count, found.opened_at, found.seen_at)
        for found in session.scalars(query)
    ]
