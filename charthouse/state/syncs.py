"""Nights as an operator looks at them: run by run, type by type, link by link, and which links are behind.

Everything is read from the ledger. Links are known by their ids; nothing else of a person is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, func, select

from charthouse.state.base import now
from charthouse.state.ledger import SyncLink, SyncRun, SyncTally
from charthouse.state.models import Link

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from charthouse.state.ledger import LinkResult, RunStatus
    from charthouse.state.models import Status

NOT_HAD: Final = ("partial", "failed", "refused")
"""Results of a type of which something may be missing. What a person did not grant is not missing."""
_SUMS: Final = ("requests", "retries", "pages", "received", "bytes", "waited", "new_versions", "vanished", "returned")


@dataclass(frozen=True, slots=True)
class Night:
    """A run: its links by how it ended for them, and what asking took over all of them."""

    run_id: str
    scope: str
    status: RunStatus
    started_at: datetime
    seconds: float | None
    links: int
    complete: int
    partial: int
    failed: int
    requests: int
    retries: int
    waited: float
    pages: int
    received: int
    bytes: int
    new_versions: int
    vanished: int
    returned: int


@dataclass(frozen=True, slots=True)
class TypeOfNight:
    """A type over the links of a run: how many of them by the result of asking, and what it took."""

    resource_type: str
    links: int
    complete: int
    partial: int
    failed: int
    refused: int
    not_permitted: int
    not_requested: int
    requests: int
    retries: int
    waited: float
    pages: int
    received: int
    bytes: int
    new_versions: int
    vanished: int
    returned: int
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkAndType:
    """One type of one link in one run. `result` is the reason where the type was not asked for."""

    run_id: str
    link_id: str
    provider: str
    resource_type: str
    result: str
    code: str
    requests: int
    retries: int
    waited: float
    pages: int
    received: int
    bytes: int
    new_versions: int
    vanished: int
    returned: int


@dataclass(frozen=True, slots=True)
class Behind:
    """A link of which a night lacks something: how its last night ended, when one was complete, and which types lack.

    `nights` are those since then; `types` maps the types that its last night did not have whole to their codes.
    """

    link_id: str
    provider: str
    status: Status
    result: LinkResult | None
    last_night: datetime | None
    last_complete: datetime | None
    nights: int
    types: dict[str, str]


def nights(session: Session, limit: int = 20, run_id: str | None = None) -> list[Night]:
    """The last runs that took links on, newest first; or the one of that id."""
    query = select(SyncRun).order_by(SyncRun.started_at.desc(), SyncRun.id.desc()).limit(limit)
    if run_id is not None:
        query = query.where(SyncRun.id == run_id)
    runs = list(session.scalars(query))
    ids = [run.id for run in runs]
    ended: dict[str, dict[str, int]] = {}
    counted = select(SyncLink.run_id, SyncLink.result, func.count()).where(SyncLink.run_id.in_(ids))
    for run, result, number in session.execute(counted.group_by(SyncLink.run_id, SyncLink.result)):
        ended.setdefault(run, {})[result] = number
    summed = select(SyncTally.run_id, *_sums()).where(SyncTally.run_id.in_(ids)).group_by(SyncTally.run_id)
    took = {run: _named(sums) for run, *sums in session.execute(summed)}
    return [
        Night(
            run_id=run.id,
            scope=run.scope,
            status=run.status,
            started_at=run.started_at,
            seconds=None if run.finished_at is None else (run.finished_at - run.started_at).total_seconds(),
            links=sum(ended.get(run.id, {}).values()),
            **{result: ended.get(run.id, {}).get(result, 0) for result in ("complete", "partial", "failed")},
            **took.get(run.id, _named([0] * len(_SUMS))),
        )
        for run in runs
    ]


def types_of(session: Session, run_id: str, provider: str | None = None) -> list[TypeOfNight]:
    """A run, type by type; of one provider's links where it is named. Types that belong to nobody are left out."""
    results = [_share(SyncTally.result == name) for name in ("complete", *NOT_HAD, "not_permitted")]
    query = (
        select(SyncTally.resource_type, func.count(), *results, _share(SyncTally.not_requested != ""), *_sums())
        .where(SyncTally.run_id == run_id, SyncTally.not_requested != "not_in_compartment")
        .group_by(SyncTally.resource_type)
        .order_by(SyncTally.resource_type)
    )
    codes = select(SyncTally.resource_type, SyncTally.code).where(SyncTally.run_id == run_id, SyncTally.code != "")
    if provider is not None:
        query = query.join(Link, Link.id == SyncTally.link_id).where(Link.provider == provider)
        codes = codes.join(Link, Link.id == SyncTally.link_id).where(Link.provider == provider)
    said: dict[str, set[str]] = {}
    for kind, code in session.execute(codes.distinct()):
        said.setdefault(kind, set()).add(code)
    return [
        TypeOfNight(
            resource_type=kind,
            links=links,
            complete=complete,
            partial=partial,
            failed=failed,
            refused=refused,
            not_permitted=not_permitted,
            not_requested=not_requested,
            **_named(sums),
            codes=tuple(sorted(said.get(kind, ()))),
        )
        for kind, links, complete, partial, failed, refused, not_permitted, not_requested, *sums in session.execute(
            query
        )
    ]


def rows_of(
    session: Session,
    *,
    run_id: str | None = None,
    link_id: str | None = None,
    resource_type: str | None = None,
    provider: str | None = None,
    limit: int = 1000,
) -> list[LinkAndType]:
    """What each link and type came to, newest run first, narrowed by what is given."""
    query = (
        select(SyncTally, Link.provider)
        .join(Link, Link.id == SyncTally.link_id)
        .join(SyncRun, SyncRun.id == SyncTally.run_id)
        .where(SyncTally.not_requested != "not_in_compartment")
        .order_by(SyncRun.started_at.desc(), SyncRun.id.desc(), Link.provider, SyncTally.link_id)
        .order_by(SyncTally.resource_type)
        .limit(limit)
    )
    for column, value in (
        (SyncTally.run_id, run_id),
        (SyncTally.link_id, link_id),
        (SyncTally.resource_type, resource_type),
        (Link.provider, provider),
    ):
        if value is not None:
            query = query.where(column == value)
    return [
        LinkAndType(
            run_id=row.run_id,
            link_id=row.link_id,
            provider=slug,
            resource_type=row.resource_type,
            result=row.result or row.not_requested,
            code=row.code,
            **{name: getattr(row, name) for name in _SUMS},
        )
        for row, slug in session.execute(query)
    ]


def behind(session: Session, statuses: Sequence[Status], older_than: timedelta) -> list[Behind]:
    """The links in one of `statuses` whose last night was not complete, or is longer ago; the worst first."""
    taken: dict[str, list[tuple[datetime, str, LinkResult]]] = {}
    query = (
        select(SyncLink.link_id, SyncRun.started_at, SyncLink.run_id, SyncLink.result)
        .join(SyncRun, SyncRun.id == SyncLink.run_id)
        .join(Link, Link.id == SyncLink.link_id)
        .where(Link.status.in_(statuses))
        .order_by(SyncRun.started_at, SyncRun.id)
    )
    for link_id, at, run_id, result in session.execute(query):
        taken.setdefault(link_id, []).append((at, run_id, result))
    oldest = now() - older_than
    found = []
    last_runs: dict[str, str] = {}
    for link in session.scalars(select(Link).where(Link.status.in_(statuses)).order_by(Link.provider, Link.id)):
        those = taken.get(link.id, [])
        complete = [at for at, _, result in those if result == "complete"]
        if those and those[-1][2] == "complete" and complete[-1] >= oldest:
            continue
        if those:
            last_runs[link.id] = those[-1][1]
        found.append(
            Behind(
                link_id=link.id,
                provider=link.provider,
                status=link.status,
                result=those[-1][2] if those else None,
                last_night=those[-1][0] if those else None,
                last_complete=complete[-1] if complete else None,
                nights=sum(1 for at, *_ in those if not complete or at > complete[-1]),
                types={},
            )
        )
    _name_types(session, last_runs, {each.link_id: each.types for each in found})
    return sorted(found, key=lambda each: (-each.nights, each.provider, each.link_id))


def _name_types(session: Session, last_runs: dict[str, str], types: dict[str, dict[str, str]]) -> None:
    query = select(SyncTally.run_id, SyncTally.link_id, SyncTally.resource_type, SyncTally.code).where(
        SyncTally.run_id.in_(sorted(set(last_runs.values()))), SyncTally.result.in_(NOT_HAD)
    )
    for run_id, link_id, kind, code in session.execute(query.order_by(SyncTally.resource_type)):
        if last_runs.get(link_id) == run_id:
            types[link_id][kind] = code


def _sums() -> list[ColumnElement[Any]]:
    return [func.sum(getattr(SyncTally, name)) for name in _SUMS]


def _named(sums: Sequence[Any]) -> dict[str, Any]:
    """The sums by name: whole numbers, but for the seconds. PostgreSQL sums up as Decimal."""
    return {
        name: round(float(value or 0), 1) if name == "waited" else int(value or 0)
        for name, value in zip(_SUMS, sums, strict=True)
    }


def _share(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))
