"""Publish: one transaction over all tables for the people who were rebuilt; then the lakes are compacted.

Nothing new means nothing rewritten: without people to rebuild neither lake is touched, unless the last compaction
failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse import faults, progress
from charthouse.coach import shelf as shelves
from charthouse.errors import LakeError
from charthouse.lake import records, shelf, vault
from charthouse.lake.session import RECORDS, VAULT, open_records, open_vault, writing
from charthouse.log import get_logger
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.sync import holding, night, runs, staging
from charthouse.sync.audit import read_summary

if TYPE_CHECKING:
    from charthouse.lake.records import TableChange

COMPACT = "compact"
log = get_logger(__name__)


def publish_run(airflow_run_id: str) -> list[str]:
    """Commit what the run staged and audited. Returns the tables that changed; none when the audit holds the batch.

    A compaction that fails afterwards is the outcome CH506 of the run, and is made up for by the next night.

    Raises:
        LakeError: CH503 when there was no audit to rely on.
    """
    run_id = night.run_id_of(airflow_run_id)
    summary = read_summary(run_id)
    if summary is None:
        raise LakeError("CH503", where=run_id, what="the audit did not come to its end")
    if summary.held_by:
        return []
    with runs.stage(run_id, "publish") as counts:
        people = staging.people_of(run_id)
        changes = _publish(run_id, people) if people else _unchanged()
        with session() as state:
            for change in changes:
                runs.record_table_tally(
                    state,
                    run_id,
                    change.table,
                    rows=change.rows,
                    rows_changed=max(change.removed, change.inserted),
                    held_rows=change.withheld,
                )
        counts["people"] = len(people)
        shelves.stock(people, get_settings())
    if people or _left_uncompacted():
        _compact(run_id)
    progress.tell("publish", 1, total=1, unit="snapshot" if people else "nothing new")
    return [change.table for change in changes if change.removed or change.inserted]


def _publish(run_id: str, people: dict[str, int]) -> list[TableChange]:
    with writing(RECORDS), open_records() as connection:
        # Under the hold in which it commits: nobody goes meanwhile.
        gone = holding.gone_among(records.staged_links(connection, staging.rows(run_id)))
        there = holding.people_among(people)
        with shelf.changing(people, get_settings()):
            changes = records.publish(
                connection,
                staging.rows(run_id),
                staging.broken_file(run_id),
                {person: sequence for person, sequence in people.items() if person in there},
                gone=sorted(gone),
                marks_of=staging.marks_of(run_id),
                run_id=run_id,
            )
            faults.point("publish.committed")
    return changes


def _compact(run_id: str) -> None:
    """Compact both lakes. What fails is an outcome of the run, whose tables are published all the same."""
    failed = []
    with runs.stage(run_id, COMPACT) as counts:
        for lake, opened, compact in ((RECORDS, open_records, records.compact), (VAULT, open_vault, vault.compact)):
            try:
                with writing(lake), opened() as connection:
                    compact(connection)
            except LakeError:
                log.exception("a lake was not compacted", lake=lake)
                failed.append(runs.Outcome("CH506", "batch", label=lake))
        counts["failed"] = len(failed)
    with session() as state:
        runs.record_outcomes(state, run_id, COMPACT, failed)


def _left_uncompacted() -> bool:
    """Whether the last compaction of any run failed, or was killed."""
    with session(read_only=True) as state:
        last = runs.last_stage(state, COMPACT)
        return last is not None and (last.finished_at is None or last.detail.get("failed", 0) > 0)


def _unchanged() -> list[TableChange]:
    with open_records(read_only=True) as connection:
        return [records.TableChange(table, rows, 0, 0, 0) for table, rows in records.counts(connection).items()]
