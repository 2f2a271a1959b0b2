"""Deadlines: the law gives each request of a person a due date, and an operator hears of it long before.

An alarm is raised for each open request that comes near its date (`request_alarm_days`), and for a DAG whose run takes
longer than it should; each closes when what it is about is over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from charthouse.linking.alarms import close_alarm, open_alarms, raise_alarm
from charthouse.privacy.requests import OPEN
from charthouse.settings import Settings, get_settings
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.privacy import PrivacyRequest

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.privacy import RequestKind

NEAR: Final = "CH951"
LATE: Final = "CH956"
RUN_HOURS: Final = 6
"""How long a run of a DAG that works off requests may take: a hundredth and less of what the law gives."""
STUCK_TRIES: Final = 2
"""Tries after which what is in the way of a request is told: once is often a worker that had not let go yet."""
KINDS: Final[dict[str, tuple[RequestKind, ...]]] = {
    "run_exports": ("export",),
    "run_erasures": ("erase", "delete_link"),
}
"""What each DAG works off."""


def near(state: Session, settings: Settings | None = None) -> list[tuple[str, datetime]]:
    """The open requests that come near their due date or are past it, with that date; the most pressing first."""
    until = now() + timedelta(days=(settings or get_settings()).request_alarm_days)
    query = select(PrivacyRequest.id, PrivacyRequest.due_at).where(
        PrivacyRequest.status.in_(OPEN), PrivacyRequest.due_at < until
    )
    return [(request_id, due) for request_id, due in state.execute(query.order_by(PrivacyRequest.due_at))]


def stuck(state: Session) -> list[PrivacyRequest]:
    """The open requests that have been tried more than once and did not get through, those first that are due first."""
    query = select(PrivacyRequest).where(
        PrivacyRequest.status.in_(OPEN), PrivacyRequest.code.is_not(None), PrivacyRequest.tries >= STUCK_TRIES
    )
    return list(state.scalars(query.order_by(PrivacyRequest.due_at, PrivacyRequest.id)))


def watch(settings: Settings | None = None) -> int:
    """Raise an alarm for each request near its date; close those that are over. Returns how many are near."""
    with session(settings) as state:
        pressing = {request_id for request_id, _ in near(state, settings)}
        standing = open_alarms(state)
        known = {alarm.subject for alarm in standing if alarm.code == NEAR}
        for request_id in sorted(pressing - known):
            raise_alarm(state, NEAR, request_id)
        for request_id in known - pressing:
            close_alarm(state, NEAR, request_id)
        for alarm in standing:
            since = now() - timedelta(hours=RUN_HOURS)
            if alarm.code == LATE and alarm.seen_at < since and not _waits(state, alarm.subject, since):
                close_alarm(state, LATE, alarm.subject)
    return len(pressing)


def late(dag_id: str, settings: Settings | None = None) -> None:
    """Note that a run of a DAG which works off requests takes longer than it should."""
    watch(settings)
    with session(settings) as state:
        raise_alarm(state, LATE, dag_id)


def _waits(state: Session, dag_id: str, since: datetime) -> bool:
    """Whether a request that a DAG works off could have begun before `since`."""
    query = select(PrivacyRequest.id).where(
        PrivacyRequest.kind.in_(KINDS.get(dag_id, ())),
        PrivacyRequest.status.in_(OPEN),
        PrivacyRequest.begins_at < since,
    )
    return state.scalar(query.limit(1)) is not None
