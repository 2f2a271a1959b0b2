"""Exports at a provider's server, as the state remembers them: a night that was killed goes on with the job it had."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from charthouse.partners.bulk import ExportRequest
from charthouse.state import session as state_session
from charthouse.state.base import new_key, now
from charthouse.state.bulk import BulkJob
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.partners.bulk import Begun, Waiting
    from charthouse.settings import Settings
    from charthouse.state.bulk import JobStatus

FIRST_LOOK: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between looks where the server does not say; it is asked first after `FIRST_LOOK`, then ever more seldom."""
ASKED_AT_MOST: Final = 3600.0
"""Servers were seen to ask for five hours; a small export is done long before."""


@dataclass(frozen=True, slots=True)
class Job:
    """One export that a server has taken on."""

    id: str
    provider: str
    request: ExportRequest
    status: JobStatus
    status_url: str = field(repr=False)
    next_poll_at: datetime
    polls: int
    stumbles: int
    transaction_time: str | None
    lines: int | None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as an operator sees it."""

    job_id: str
    provider: str
    level: str
    types: str
    since: str | None
    status: JobStatus
    code: str | None
    percent: int | None
    polls: int
    begun_at: datetime
    next_poll_at: datetime
    ended_at: datetime | None
    files: int | None
    lines: int | None
    left_out: int | None


def begin(provider: str, batch: str, request: ExportRequest, begun: Begun, settings: Settings) -> Job:
    """Remember a job that the server has just taken on."""
    after = FIRST_LOOK if begun.after is None else min(begun.after, ASKED_AT_MOST)
    job_id = new_key()
    row = BulkJob(
        id=job_id,
        provider=provider,
        batch=batch,
        level=request.level,
        types=",".join(request.types),
        since=request.since,
        sealed_status_url=sealer_of(settings).seal(begun.status_url, _owner(job_id)),
        next_poll_at=now() + timedelta(seconds=after),
    )
    with state_session(settings) as state:
        state.add(row)
        state.flush()
        return _job(row, settings)


def take_up(provider: str, batch: str, request: ExportRequest, settings: Settings) -> Job | None:
    """The job of this batch for this request, or one that an earlier night left unfinished and that asked the same."""
    same = select(BulkJob).where(
        BulkJob.provider == provider,
        BulkJob.level == request.level,
        BulkJob.types == ",".join(request.types),
        BulkJob.since.is_(None) if request.since is None else BulkJob.since == request.since,
    )
    with state_session(settings) as state:
        own = same.where(BulkJob.batch == batch, BulkJob.status.in_(("begun", "done")))
        row = state.scalars(own.order_by(BulkJob.begun_at.desc()).limit(1)).one_or_none()
        if row is None:
            left = same.where(BulkJob.status == "begun").order_by(BulkJob.begun_at.desc()).limit(1)
            row = state.scalars(left.with_for_update()).one_or_none()
            if row is not None:
                row.batch = batch
                state.flush()
        return _job(row, settings) if row is not None else None


def failures(provider: str, batch: str, request: ExportRequest, settings: Settings) -> int:
    """How often this batch has lost a job for this request."""
    query = select(BulkJob.id).where(
        BulkJob.provider == provider,
        BulkJob.batch == batch,
        BulkJob.types == ",".join(request.types),
        BulkJob.status == "failed",
    )
    with state_session(settings, read_only=True) as state:
        return len(state.scalars(query).all())


def note_waiting(job: Job, found: Waiting, settings: Settings) -> Job:
    """Note a look at a job that is not done, and when to look again."""
    stumbles = job.stumbles + 1 if found.stumbled else 0
    pause = min(FIRST_LOOK * 2**job.polls, LONGEST_PAUSE) if found.after is None else min(found.after, ASKED_AT_MOST)
    return _change(
        job.id,
        settings,
        polls=job.polls + 1,
        stumbles=stumbles,
        percent=found.percent,
        next_poll_at=now() + timedelta(seconds=pause),
    )


def note_ready(job: Job, transaction_time: str | None, files: int, settings: Settings) -> Job:
    """Note that the server is done, and what its manifest says."""
    return _change(job.id, settings, transaction_time=transaction_time, files=files, percent=100, stumbles=0)


def end(
    job: Job,
    status: JobStatus,
    settings: Settings,
    *,
    code: str | None = None,
    lines: int | None = None,
    left_out: int | None = None,
) -> Job:
    """Close a job: its files are read (`done`), it `failed`, or nobody wants it any more (`left`)."""
    return _change(job.id, settings, status=status, code=code, lines=lines, left_out=left_out, ended_at=now())


def begun_before(provider: str, moment: datetime, settings: Settings) -> list[Job]:
    """Jobs of a provider that were begun before an instant and never came to an end."""
    query = select(BulkJob).where(BulkJob.provider == provider, BulkJob.status == "begun", BulkJob.begun_at < moment)
    with state_session(settings, read_only=True) as state:
        return [_job(row, settings) for row in state.scalars(query.order_by(BulkJob.begun_at))]


def get_job(session: Session, job_id: str, settings: Settings) -> Job | None:
    """A job by its id."""
    row = session.get(BulkJob, job_id)
    return _job(row, settings) if row is not None else None


def list_jobs(session: Session, provider: str | None = None, limit: int = 20) -> list[JobView]:
    """The jobs begun last, newest first."""
    query = select(BulkJob).order_by(BulkJob.begun_at.desc(), BulkJob.id).limit(limit)
    rows = session.scalars(query if provider is None else query.where(BulkJob.provider == provider))
    return [
        JobView(
            job_id=row.id,
            provider=row.provider,
            level=row.level,
            types=row.types,
            since=row.since,
            status=row.status,
            code=row.code,
            percent=row.percent,
            polls=row.polls,
            begun_at=row.begun_at,
            next_poll_at=row.next_poll_at,
            ended_at=row.ended_at,
            files=row.files,
            lines=row.lines,
            left_out=row.left_out,
        )
        for row in rows
    ]


def _change(job_id: str, settings: Settings, **values: object) -> Job:
    with state_session(settings) as state:
        state.execute(update(BulkJob).where(BulkJob.id == job_id).values(**values))
        row = state.scalars(select(BulkJob).where(BulkJob.id == job_id)).one()
        return _job(row, settings)


def _job(row: BulkJob, settings: Settings) -> Job:
    return Job(
        id=row.id,
        provider=row.provider,
        request=ExportRequest(row.level, tuple(row.types.split(",")) if row.types else (), row.since),
        status=row.status,
        status_url=sealer_of(settings).open(row.sealed_status_url, _owner(row.id)),
        next_poll_at=row.next_poll_at,
        polls=row.polls,
        stumbles=row.stumbles,
        transaction_time=row.transaction_time,
        lines=row.lines,
    )


def _owner(job_id: str) -> str:
    return f"status address of export {job_id}"
