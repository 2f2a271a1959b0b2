"""Finish: close the run in the ledger, confirm the links whose records came, and decide whether the run failed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from charthouse import faults, progress
from charthouse.errors import AuditError, CharthouseError, FetchError, LakeError
from charthouse.linking import links
from charthouse.linking.people import get_person
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.sync import batches, night, runs, staging
from charthouse.sync.audit import read_summary
from charthouse.sync.standing import tell_standing

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.state.ledger import RunStatus
    from charthouse.sync.audit import AuditSummary

EXPECTED = frozenset({"CH103", "CH115", "CH164", "CH183", "CH405"})
"""Outcomes that leave a run complete: a type that the person did not grant, a server's own warning, a document that is
not to be had, what a partner says is not to be shown, a marked row."""


def finish_run(airflow_run_id: str) -> None:
    """Close the run as complete, partial, held or failed.

    Raises:
        AuditError: CH402 when the audit held the batch.
        LakeError: CH503 when the tables could not be published.
        FetchError: CH118 when more links failed than the threshold permits.
    """
    run_id = night.run_id_of(airflow_run_id)
    faults.point("finish.begun")
    summary = read_summary(run_id)
    _note_what_was_left(run_id, summary)
    with session(read_only=True) as state:
        report = runs.run_report(state, run_id)
    published = any(stage.stage == "publish" and not stage.unfinished for stage in report.stages)
    fault: CharthouseError | None = None
    status: RunStatus = "complete"
    if summary is not None and summary.held_by:
        status, fault = "held", AuditError("CH402", where=", ".join(summary.held_by))
    elif not published:
        status, fault = "failed", LakeError("CH503", where=run_id)
    elif report.links.failed > get_settings().failure_threshold * report.links.total:
        counted = f"{report.links.failed} of {report.links.total}"
        status, fault = "failed", FetchError("CH118", where=run_id, what=counted)
    elif report.links.complete < report.links.total or any(said.code not in EXPECTED for said in report.outcomes):
        status = "partial"
    with session() as state:
        if published:
            _confirm(state, run_id)
        runs.finish_run(state, run_id, status)
    if published:
        tell_standing(run_id)
        shutil.rmtree(staging.folder(run_id), ignore_errors=True)
    if not batches.of_run(run_id):
        shutil.rmtree(get_settings().landing / run_id, ignore_errors=True)
    progress.tell("finish", 1, total=1, unit=status)
    if fault is not None:
        raise fault


def _note_what_was_left(run_id: str, summary: AuditSummary | None) -> None:
    """Account for what no other step could: batches that broke, people who could not be built, a held batch."""
    outcomes = []
    with session() as state:
        for name in batches.of_run(run_id):
            batch = batches.read(name)
            outcomes.append(runs.Outcome("CH117", "batch", label=batch.folder.name))
            standing = links.work_of(state, batch.link_ids)
            runs.record_link_results(state, run_id, dict.fromkeys([link.link_id for link in standing], "failed"))
            left = [link.link_id for link in standing if link.sync_status in ("waiting", "running")]
            links.set_sync_statuses(state, dict.fromkeys(left, "failed"))
        if summary is not None and summary.not_built:
            outcomes.append(runs.Outcome("CH404", "batch", count=summary.not_built))
        if summary is not None:
            outcomes.extend(runs.Outcome("CH402", "batch", label=rule) for rule in summary.held_by)
            outcomes.extend(runs.Outcome("CH401", "resource", label=rule, count=n) for rule, n in summary.withheld_by)
            outcomes.extend(runs.Outcome("CH405", "resource", label=rule, count=n) for rule, n in summary.marked_by)
        runs.record_outcomes(state, run_id, "", outcomes)


def _confirm(state: Session, run_id: str) -> None:
    """Records came and are published: the pending links among them are confirmed.

    One that was confirmed before, and signed in again, need not bring anything new. One whose Patient has still to be
    compared with the account is not confirmed yet.
    """
    brought = runs.links_with_records(state, run_id)
    for link_id in runs.links_of(state, run_id, results=("complete", "partial")):
        link = links.get_link(state, link_id)
        if link.status != "pending" or not (link_id in brought or link.confirmed_at is not None):
            continue
        if link.identity_matched_at is not None or get_person(state, link.person_key).sealed_identity is None:
            links.transition(state, link_id, "confirmed", "records_received", "sync")
