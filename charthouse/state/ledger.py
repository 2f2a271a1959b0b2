"""The tables of the ledger: what each run did, to which links, with what result. Counts and codes, no values."""

from __future__ import annotations

from datetime import datetime  # SQLAlchemy reads the annotations
from typing import Any, Literal, get_args

from sqlalchemy import JSON, Double, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from charthouse.state.base import Base, Key, now, one_of
from charthouse.state.models import Slug, Word

RunStatus = Literal["running", "complete", "partial", "failed", "held"]
LinkResult = Literal["waiting", "complete", "partial", "failed"]
Unit = Literal["resource", "type", "link", "batch"]

RUN_STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
LINK_RESULTS: tuple[LinkResult, ...] = get_args(LinkResult)
UNITS: tuple[Unit, ...] = get_args(Unit)


class SyncRun(Base):
    """One night over one scope. Of a scope, one run at most is running: the index says so."""

    __tablename__ = "sync_run"
    __table_args__ = (
        one_of("status", RUN_STATUSES),
        Index(
            "uq_sync_run_running",
            "scope",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )

    id: Mapped[str] = mapped_column(Key, primary_key=True)
    scope: Mapped[str] = mapped_column(Text)
    status: Mapped[RunStatus] = mapped_column(Word, default="running")
    started_at: Mapped[datetime] = mapped_column(default=now, index=True)
    finished_at: Mapped[datetime | None]
    airflow_run_id: Mapped[str | None] = mapped_column(String(250), index=True)
    resumed: Mapped[int] = mapped_column(default=0)


def of_run() -> Mapped[str]:
    """A column that makes its row part of a run."""
    return mapped_column(ForeignKey("sync_run.id", ondelete="CASCADE"), primary_key=True)


def _count() -> Mapped[int]:
    """A number that is not known of rows of before it was counted."""
    return mapped_column(default=0, server_default=text("0"))


class SyncLink(Base):
    """A link that a run took on, and how it ended for it."""

    __tablename__ = "sync_link"
    __table_args__ = (one_of("result", LINK_RESULTS),)

    run_id: Mapped[str] = of_run()
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    result: Mapped[LinkResult] = mapped_column(Word, default="waiting")


class SyncStage(Base):
    """The time one part of a stage took; `part` is a batch or group, empty where the stage is one task."""

    __tablename__ = "sync_stage"

    run_id: Mapped[str] = of_run()
    stage: Mapped[str] = mapped_column(Slug, primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True, default="")
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(default=1)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class SyncTally(Base):
    """Resources of one type that one link brought in one run.

    `accepted` includes `with_remarks`, and is `new_versions` + `unchanged`; `repeated` are copies of a resource that
    the same run had received already. `not_requested` is a reason, empty where the type was asked for.

    `result` is how asking ended (`landing.QueryStatus`), empty where nothing was asked, and `code` why it did not end
    well. `requests` were sent, `retries` of them after one in vain, `waited` seconds before them; `received` are
    entries in `pages`, and `bytes` their bodies unpacked. `vanished` are resources that are served no longer since this
    run, `returned` those that are again.
    """

    __tablename__ = "sync_tally"

    run_id: Mapped[str] = of_run()
    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    resource_type: Mapped[str] = mapped_column(Slug, primary_key=True)
    fetched: Mapped[int] = mapped_column(default=0)
    accepted: Mapped[int] = mapped_column(default=0)
    with_remarks: Mapped[int] = mapped_column(default=0)
    quarantined: Mapped[int] = mapped_column(default=0)
    repeated: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    new_versions: Mapped[int] = mapped_column(default=0)
    not_requested: Mapped[str] = mapped_column(Slug, default="")
    result: Mapped[str] = mapped_column(Word, default="", server_default=text("''"))
    code: Mapped[str] = mapped_column(String(5), default="", server_default=text("''"))
    requests: Mapped[int] = _count()
    retries: Mapped[int] = _count()
    pages: Mapped[int] = _count()
    received: Mapped[int] = _count()
    bytes: Mapped[int] = _count()
    vanished: Mapped[int] = _count()
    returned: Mapped[int] = _count()
    waited: Mapped[float] = mapped_column(Double, default=0.0, server_default=text("0"))


class TableTally(Base):
    """Rows of one category table after a run, how many of them it wrote, and how many the audit withheld."""

    __tablename__ = "table_tally"

    run_id: Mapped[str] = of_run()
    table_name: Mapped[str] = mapped_column(Slug, primary_key=True)
    rows: Mapped[int] = mapped_column(default=0)
    rows_changed: Mapped[int] = mapped_column(default=0)
    held_rows: Mapped[int] = mapped_column(default=0)


class ItemOutcome(Base):
    """What went other than well: a numbered code on the smallest unit it touches, and how often."""

    __tablename__ = "item_outcome"
    __table_args__ = (one_of("unit", UNITS), Index("ix_item_outcome_run_id_batch", "run_id", "batch"))

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("sync_run.id", ondelete="CASCADE"))
    batch: Mapped[str] = mapped_column(default="")
    link_id: Mapped[str | None] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), index=True)
    resource_type: Mapped[str | None] = mapped_column(Slug)
    unit: Mapped[Unit] = mapped_column(Word)
    code: Mapped[str] = mapped_column(String(5))
    label: Mapped[str] = mapped_column(Text, default="")
    count: Mapped[int] = mapped_column(default=1)
