"""The ledger of a night: one run a scope, the time its stages took, and the account of every link, type and table.

Every entry replaces what the same part of the same run wrote before, so a step that runs twice counts once.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from charthouse.errors import StateError
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.ledger import ItemOutcome, SyncLink, SyncRun, SyncStage, SyncTally, TableTally, Unit
from charthouse.state.report import RunReport, run_report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.ledger import LinkResult, RunStatus

__all__ = [
    "Outcome",
    "RunReport",
    "Tally",
    "current_run",
    "finish_run",
    "get_run",
    "last_stage",
    "latest_run",
    "links_of",
    "links_with_records",
    "list_runs",
    "open_or_resume_run",
    "plan_links",
    "record_link_results",
    "record_outcomes",
    "record_stage",
    "record_table_tally",
    "record_tallies",
    "returned_before",
    "run_report",
    "stage",
]


@dataclass(frozen=True, slots=True)
class Tally:
    """Resources of one type that one link brought: `fetched` = `accepted` + `quarantined` + `repeated`.

    `accepted` includes `with_remarks`, and is `new_versions` + `unchanged`. `not_requested` is the reason why a type
    was not asked for, empty where it was; the rest is as `charthouse.state.ledger.SyncTally` says.
    """

    link_id: str
    resource_type: str
    fetched: int = 0
    accepted: int = 0
    with_remarks: int = 0
    quarantined: int = 0
    repeated: int = 0
    unchanged: int = 0
    new_versions: int = 0
    not_requested: str = ""
    result: str = ""
    code: str = ""
    requests: int = 0
    retries: int = 0
    pages: int = 0
    received: int = 0
    bytes: int = 0
    vanished: int = 0
    returned: int = 0
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What went other than well: a numbered code, the smallest unit it touches, and how often. No values."""

    code: str
    unit: Unit
    link_id: str | None = None
    resource_type: str | None = None
    label: str = ""
    count: int = 1


def open_or_resume_run(session: Session, scope: str, airflow_run_id: str | None = None) -> SyncRun:
    """The unfinished run of this scope, or a new one. Two processes that ask at once get the same run."""
    unfinished = select(SyncRun).where(SyncRun.scope == scope, SyncRun.status == "running").with_for_update()
    run = session.scalars(unfinished).one_or_none()
    if run is None:
        at = now()
        run = SyncRun(
            id=f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}", scope=scope, started_at=at, airflow_run_id=airflow_run_id
        )
        try:
            with session.begin_nested():
                session.add(run)
        except IntegrityError:
            run = session.scalars(unfinished).one()
        else:
            return run
    run.resumed += 1
    run.airflow_run_id = airflow_run_id or run.airflow_run_id
    session.flush()
    return run


def get_run(session: Session, run_id: str) -> SyncRun:
    """A run by its id.

    Raises:
        StateError: CH009 when there is none.
    """
    run = session.get(SyncRun, run_id)
    if run is None:
        raise StateError("CH009", where=run_id)
    return run


def latest_run(session: Session, scope: str | None = None) -> SyncRun | None:
    """The run that was begun last, of one scope or of any."""
    query = select(SyncRun).order_by(SyncRun.started_at.desc(), SyncRun.id.desc()).limit(1)
    return session.scalars(query if scope is None else query.where(SyncRun.scope == scope)).one_or_none()


def current_run(session: Session, airflow_run_id: str | None = None) -> SyncRun | None:
    """The run that is under way: that of an Airflow run, or the one begun last of those that are unfinished."""
    query = select(SyncRun).order_by(SyncRun.started_at.desc(), SyncRun.id.desc()).limit(1)
    if airflow_run_id is None:
        query = query.where(SyncRun.status == "running")
    else:
        query = query.where(SyncRun.airflow_run_id == airflow_run_id)
    return session.scalars(query).one_or_none()


def list_runs(session: Session, limit: int = 20) -> list[SyncRun]:
    """The last runs, newest first."""
    return list(session.scalars(select(SyncRun).order_by(SyncRun.started_at.desc(), SyncRun.id.desc()).limit(limit)))


def finish_run(session: Session, run_id: str, status: RunStatus) -> SyncRun:
    """Close a run as complete, partial, failed or held. A finishing task that runs again says the last word.

    Raises:
        StateError: CH009 when there is no such run.
    """
    run = get_run(session, run_id)
    run.status = status
    run.finished_at = None if status == "running" else now()
    session.flush()
    return run


def plan_links(session: Session, run_id: str, link_ids: Iterable[str]) -> None:
    """Note which links the run takes on. Those that it has already keep their result."""
    known = set(session.scalars(select(SyncLink.link_id).where(SyncLink.run_id == run_id)))
    rows = [{"run_id": run_id, "link_id": link, "result": "waiting"} for link in link_ids if link not in known]
    if rows:
        session.execute(insert(SyncLink), rows)


def links_of(session: Session, run_id: str, *, results: Iterable[LinkResult]) -> list[str]:
    """The links for which the run ended in one of these ways."""
    query = select(SyncLink.link_id).where(SyncLink.run_id == run_id, SyncLink.result.in_(list(results)))
    return list(session.scalars(query.order_by(SyncLink.link_id)))


def links_with_records(session: Session, run_id: str) -> set[str]:
    """The links that brought anything in the run, new or not."""
    query = select(SyncTally.link_id).where(SyncTally.run_id == run_id, SyncTally.fetched > 0)
    return set(session.scalars(query.distinct()))


def record_link_results(session: Session, run_id: str, results: Mapping[str, LinkResult]) -> None:
    """How the run ended for links."""
    session.execute(delete(SyncLink).where(SyncLink.run_id == run_id, SyncLink.link_id.in_(list(results))))
    if results:
        rows = [{"run_id": run_id, "link_id": link, "result": result} for link, result in results.items()]
        session.execute(insert(SyncLink), rows)


def record_tallies(session: Session, run_id: str, tallies: Iterable[Tally]) -> None:
    """The account of links, type by type. It replaces everything that the run had noted for these links."""
    rows = [{"run_id": run_id, **asdict(tally)} for tally in tallies]
    links = {row["link_id"] for row in rows}
    session.execute(delete(SyncTally).where(SyncTally.run_id == run_id, SyncTally.link_id.in_(links)))
    if rows:
        session.execute(insert(SyncTally), rows)


def returned_before(session: Session, run_id: str, link_ids: Iterable[str]) -> dict[tuple[str, str], int]:
    """What the run has already noted as served again, by link and type: a step that is run again cannot see it."""
    query = select(SyncTally.link_id, SyncTally.resource_type, SyncTally.returned).where(
        SyncTally.run_id == run_id, SyncTally.link_id.in_(list(link_ids)), SyncTally.returned > 0
    )
    return {(link_id, kind): count for link_id, kind, count in session.execute(query)}


def record_outcomes(session: Session, run_id: str, batch: str, outcomes: Iterable[Outcome]) -> None:
    """What went other than well in one batch (or, with an empty name, in the run). It replaces the batch's outcomes."""
    session.execute(delete(ItemOutcome).where(ItemOutcome.run_id == run_id, ItemOutcome.batch == batch))
    rows = [{"run_id": run_id, "batch": batch, **asdict(outcome)} for outcome in outcomes]
    if rows:
        session.execute(insert(ItemOutcome), rows)


def record_table_tally(
    session: Session, run_id: str, table: str, *, rows: int, rows_changed: int = 0, held_rows: int = 0
) -> None:
    """Rows of a table after the run, how many of them the run wrote, and how many the audit withheld."""
    session.merge(
        TableTally(run_id=run_id, table_name=table, rows=rows, rows_changed=rows_changed, held_rows=held_rows)
    )
    session.flush()


def record_stage(
    session: Session,
    run_id: str,
    stage: str,
    *,
    part: str = "",
    started_at: datetime,
    finished_at: datetime | None = None,
    seconds: float | None = None,
    detail: Mapping[str, int] | None = None,
) -> None:
    """The time that one part of a stage took. It replaces an earlier attempt, and counts the attempts."""
    row = session.get(SyncStage, (run_id, stage, part), with_for_update=True)
    if row is None:
        row = SyncStage(run_id=run_id, stage=stage, part=part, attempts=1)
        session.add(row)
    elif finished_at is None or row.started_at != started_at:
        row.attempts += 1
    if finished_at is not None and seconds is None:
        seconds = (finished_at - started_at).total_seconds()
    row.started_at, row.finished_at, row.seconds, row.detail = started_at, finished_at, seconds, dict(detail or {})
    session.flush()


def last_stage(session: Session, stage: str) -> SyncStage | None:
    """The part of a stage that was begun last, in whatever run."""
    return session.scalars(
        select(SyncStage).where(SyncStage.stage == stage).order_by(SyncStage.started_at.desc()).limit(1)
    ).one_or_none()


@contextmanager
def stage(run_id: str, name: str, *, part: str = "", settings: Settings | None = None) -> Iterator[dict[str, int]]:
    """Time one part of a stage; what the block puts into the dict are its counts.

    The beginning is noted at once, so that a stage at work, or killed, can be seen. A block that raises stays
    unfinished.
    """
    detail: dict[str, int] = {}
    started_at, started = now(), time.monotonic()
    with state_session(settings) as state:
        record_stage(state, run_id, name, part=part, started_at=started_at)
    yield detail
    seconds = time.monotonic() - started
    with state_session(settings) as state:
        record_stage(
            state, run_id, name, part=part, started_at=started_at, finished_at=now(), seconds=seconds, detail=detail
        )
