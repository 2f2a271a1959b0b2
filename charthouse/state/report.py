"""The report of a run: everything that `charthouse status` and the console show, as plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlalchemy import and_, func, or_, select

from charthouse.errors import StateError
from charthouse.state.ledger import LINK_RESULTS, ItemOutcome, SyncLink, SyncRun, SyncStage, SyncTally, TableTally

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.ledger import RunStatus, Unit


BROKEN_RULES: dict[str, Literal["marked", "withheld"]] = {"CH401": "withheld", "CH405": "marked"}
"""Outcomes that are rows which broke a rule of the audit; their label is the rule."""


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """The links that a run took on, by how it ended for them; `waiting` = not ended."""

    total: int
    complete: int
    partial: int
    failed: int
    waiting: int


@dataclass(frozen=True, slots=True)
class TypeReport:
    """A resource type over all links of a run: `fetched` = `accepted` + `quarantined` + `repeated`.

    `accepted` includes `with_remarks`, and is `new_versions` + `unchanged`. `not_requested` counts the links for which
    the type was not asked for, by reason. `vanished` are served no longer since this run, `returned` are again.
    """

    resource_type: str
    fetched: int
    accepted: int
    with_remarks: int
    quarantined: int
    repeated: int
    unchanged: int
    new_versions: int
    vanished: int
    returned: int
    not_requested: dict[str, int]


@dataclass(frozen=True, slots=True)
class TableReport:
    """A category table after a run."""

    table: str
    rows: int
    rows_changed: int
    held_rows: int


@dataclass(frozen=True, slots=True)
class StageReport:
    """A stage over all its parts. `wall_seconds`: while any part was at work; `busy_seconds`: of all parts together."""

    stage: str
    parts: int
    unfinished: int
    attempts: int
    wall_seconds: float
    busy_seconds: float
    started_at: datetime
    finished_at: datetime | None
    detail: dict[str, int]


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """One code on one kind of unit: how often, over how many links."""

    code: str
    unit: Unit
    resource_type: str | None
    count: int
    links: int


@dataclass(frozen=True, slots=True)
class RuleReport:
    """A row rule of the audit that rows broke: how many, and whether they are `withheld` or `marked`."""

    rule: str
    does: Literal["marked", "withheld"]
    rows: int


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run, whole. Stages stand in the order in which they began, everything else by name."""

    run_id: str
    scope: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    airflow_run_id: str | None
    resumed: int
    links: LinkCounts
    types: tuple[TypeReport, ...]
    tables: tuple[TableReport, ...]
    rules: tuple[RuleReport, ...]
    stages: tuple[StageReport, ...]
    outcomes: tuple[OutcomeReport, ...]

    @property
    def seconds(self) -> float | None:
        """From beginning to end, on the clock; None while it runs."""
        return None if self.finished_at is None else (self.finished_at - self.started_at).total_seconds()

    @property
    def fetched(self) -> int:
        """Resources fetched, of all types."""
        return sum(row.fetched for row in self.types)

    @property
    def new_versions(self) -> int:
        """Versions that the vault had not seen, of all types."""
        return sum(row.new_versions for row in self.types)

    @property
    def vanished(self) -> int:
        """Resources that are served no longer since this run, of all types."""
        return sum(row.vanished for row in self.types)

    @property
    def returned(self) -> int:
        """Resources that are served again since this run, of all types."""
        return sum(row.returned for row in self.types)

    @property
    def audit_to_build(self) -> float | None:
        """Seconds of the audit by seconds of the build; None where either did nothing or has not ended."""
        seconds = {stage.stage: stage.wall_seconds for stage in self.stages if not stage.unfinished}
        rows = {stage.stage: stage.detail.get("rows", 0) for stage in self.stages}
        if not rows.get("audit") or not seconds.get("build") or "audit" not in seconds:
            return None
        return seconds["audit"] / seconds["build"]

    @property
    def nothing_new(self) -> bool:
        """Whether the run found nothing to write."""
        return not self.new_versions and not any(row.rows_changed for row in self.tables)


def run_report(session: Session, run_id: str) -> RunReport:
    """The report of a run.

    Raises:
        StateError: CH009 when there is no such run.
    """
    run = session.get(SyncRun, run_id)
    if run is None:
        raise StateError("CH009", where=run_id)
    return RunReport(
        run_id=run.id,
        scope=run.scope,
        status=run.status,
        started_at=run.started_at,
        finished_at=run.finished_at,
        airflow_run_id=run.airflow_run_id,
        resumed=run.resumed,
        links=_links(session, run_id),
        types=_types(session, run_id),
        tables=_tables(session, run_id),
        rules=_rules(session, run_id),
        stages=_stages(session, run_id),
        outcomes=_outcomes(session, run_id),
    )


def _links(session: Session, run_id: str) -> LinkCounts:
    query = select(SyncLink.result, func.count()).where(SyncLink.run_id == run_id).group_by(SyncLink.result)
    found = {result: count for result, count in session.execute(query)}  # noqa: C416  # a row is no pair to mypy
    counts = {result: found.get(result, 0) for result in LINK_RESULTS}
    return LinkCounts(total=sum(counts.values()), **counts)


def _types(session: Session, run_id: str) -> tuple[TypeReport, ...]:
    names = (
        *("fetched", "accepted", "with_remarks", "quarantined", "repeated", "unchanged", "new_versions"),
        *("vanished", "returned"),
    )
    sums = [func.sum(getattr(SyncTally, name)) for name in names]
    told = or_(SyncTally.fetched > 0, SyncTally.not_requested != "", SyncTally.vanished > 0)
    mine = and_(SyncTally.run_id == run_id, told)
    skipped: dict[str, dict[str, int]] = {}
    reasons = (
        select(SyncTally.resource_type, SyncTally.not_requested, func.count())
        .where(mine, SyncTally.not_requested != "")
        .group_by(SyncTally.resource_type, SyncTally.not_requested)
        .order_by(SyncTally.not_requested)
    )
    for kind, reason, count in session.execute(reasons):
        skipped.setdefault(kind, {})[reason] = count
    query = select(SyncTally.resource_type, *sums).where(mine).group_by(SyncTally.resource_type)
    return tuple(
        TypeReport(
            resource_type=kind,
            **{name: int(total) for name, total in zip(names, totals, strict=True)},
            not_requested=skipped.get(kind, {}),
        )
        for kind, *totals in session.execute(query.order_by(SyncTally.resource_type))
    )


def _tables(session: Session, run_id: str) -> tuple[TableReport, ...]:
    query = select(TableTally).where(TableTally.run_id == run_id).order_by(TableTally.table_name)
    return tuple(
        TableReport(row.table_name, rows=row.rows, rows_changed=row.rows_changed, held_rows=row.held_rows)
        for row in session.scalars(query)
    )


def _stages(session: Session, run_id: str) -> tuple[StageReport, ...]:
    parts: dict[str, list[SyncStage]] = {}
    query = select(SyncStage).where(SyncStage.run_id == run_id).order_by(SyncStage.started_at, SyncStage.stage)
    for row in session.scalars(query):
        parts.setdefault(row.stage, []).append(row)
    return tuple(_stage(name, rows) for name, rows in parts.items())


def _stage(name: str, rows: list[SyncStage]) -> StageReport:
    """`rows` are in the order in which they began."""
    detail: Counter[str] = Counter()
    wall, until = 0.0, None
    for row in rows:
        detail.update(row.detail)
        if row.finished_at is None:
            continue
        start = row.started_at if until is None else max(row.started_at, until)
        if row.finished_at > start:
            wall += (row.finished_at - start).total_seconds()
        until = row.finished_at if until is None else max(row.finished_at, until)
    unfinished = sum(row.finished_at is None for row in rows)
    return StageReport(
        stage=name,
        parts=len(rows),
        unfinished=unfinished,
        attempts=max(row.attempts for row in rows),
        wall_seconds=wall,
        busy_seconds=sum(row.seconds or 0.0 for row in rows),
        started_at=rows[0].started_at,
        finished_at=None if unfinished else until,
        detail=dict(detail),
    )


def _rules(session: Session, run_id: str) -> tuple[RuleReport, ...]:
    query = (
        select(ItemOutcome.label, ItemOutcome.code, func.sum(ItemOutcome.count))
        .where(ItemOutcome.run_id == run_id, ItemOutcome.code.in_(BROKEN_RULES), ItemOutcome.label != "")
        .group_by(ItemOutcome.label, ItemOutcome.code)
        .order_by(ItemOutcome.code, ItemOutcome.label)
    )
    return tuple(RuleReport(label, BROKEN_RULES[code], int(rows)) for label, code, rows in session.execute(query))


def _outcomes(session: Session, run_id: str) -> tuple[OutcomeReport, ...]:
    keys = (ItemOutcome.code, ItemOutcome.unit, ItemOutcome.resource_type)
    query = (
        select(*keys, func.sum(ItemOutcome.count), func.count(ItemOutcome.link_id.distinct()))
        .where(ItemOutcome.run_id == run_id)
        .group_by(*keys)
        .order_by(ItemOutcome.code, ItemOutcome.unit, func.coalesce(ItemOutcome.resource_type, ""))
    )
    return tuple(
        OutcomeReport(code=code, unit=unit, resource_type=kind, count=int(count), links=links)
        for code, unit, kind, count, links in session.execute(query)
    )
