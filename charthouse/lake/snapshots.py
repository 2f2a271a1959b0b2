"""The records as they were after a night: snapshots by the run that published them, or by time.

DuckLake keeps what a snapshot shows until it is expired: a compaction drops those older than a week, and an erasure all
that there are, so nobody who was erased comes back this way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from charthouse.errors import LakeError
from charthouse.lake.session import RECORDS, open_records, quoted

if TYPE_CHECKING:
    import duckdb

    from charthouse.settings import Settings

AUTHOR = "charthouse"
PUBLISHED = "published"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of the records: its number, when it was committed, and the run that published it, if one did."""

    number: int
    at: datetime
    run_id: str | None


def name(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Let the snapshot that the transaction under way commits say which run it is of."""
    connection.execute(
        f"CALL {RECORDS}.set_commit_message({quoted(AUTHOR)}, {quoted(PUBLISHED)}, extra_info => {quoted(run_id)})"
    )


def listed(connection: duckdb.DuckDBPyConnection) -> list[Snapshot]:
    """The snapshots that there are, oldest first."""
    rows = connection.execute(
        f"SELECT snapshot_id, epoch_us(snapshot_time), CASE WHEN author = {quoted(AUTHOR)} THEN commit_extra_info END "
        f"FROM ducklake_snapshots({quoted(RECORDS)}) ORDER BY snapshot_id"
    ).fetchall()
    began = datetime(1970, 1, 1, tzinfo=UTC)
    return [Snapshot(number, began + timedelta(microseconds=at), run_id) for number, at, run_id in rows]


def newest(settings: Settings | None = None) -> Snapshot:
    """The snapshot that is published now."""
    with open_records(read_only=True, trusting=True, settings=settings) as connection:
        return listed(connection)[-1]


def find(as_of: str, settings: Settings | None = None) -> Snapshot:
    """The snapshot that a night left: by the id of its run, a day (its end), or an instant; without a zone in UTC.

    A run that published nothing left what was there when it ended.

    Raises:
        LakeError: CH511 where the records do not go back so far, CH512 where there is no such night.
    """
    with open_records(read_only=True, trusting=True, settings=settings) as connection:
        known = listed(connection)
    if _RUN.fullmatch(as_of):
        if published := [each for each in known if each.run_id == as_of]:
            return published[-1]  # the first brought the rows, another one how links stood at the end
        until = _end_of(as_of, settings)
    else:
        until = _instant(as_of)
    before = [each for each in known if each.at <= until]
    if not before:
        raise LakeError("CH511", where=as_of, what=f"the oldest is of {known[0].at:%Y-%m-%dT%H:%M:%SZ}")
    return before[-1]


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise LakeError("CH512", what="it is a run's id, a day or an instant") from None
    if _DAY.fullmatch(text):
        return at.replace(tzinfo=UTC) + timedelta(days=1, microseconds=-1)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _end_of(run_id: str, settings: Settings | None) -> datetime:
    from charthouse.state import current_version, session
    from charthouse.state.ledger import SyncRun

    if current_version(settings) is None:
        raise LakeError("CH512", where=run_id, what="no run has this id")
    with session(settings, read_only=True) as state:
        run = state.get(SyncRun, run_id)
        if run is None:
            raise LakeError("CH512", where=run_id, what="no run has this id")
        if run.finished_at is None:
            raise LakeError("CH512", where=run_id, what="it has not ended")
        return run.finished_at
