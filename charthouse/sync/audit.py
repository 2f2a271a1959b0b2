"""Audit: Great Expectations on the staged rows, before anyone sees them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from charthouse import faults, progress
from charthouse.errors import AuditError
from charthouse.files import put, scratch_of, write_whole
from charthouse.sync import auditor, night, runs, staging
from transforms.auditing import rules_of
from transforms.tables import tables

if TYPE_CHECKING:
    from transforms.auditing import Severity

Counts = tuple[tuple[str, int], ...]
"""Rules, and how many rows break each."""


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What the audit of a run said: rows looked at, rows that are marked and rows that are withheld, each by rule too
    (a row may break several), the rules that hold the whole batch, and how many people could not be built at all.
    """

    rows: int
    marked: int
    withheld: int
    marked_by: Counts
    withheld_by: Counts
    held_by: tuple[str, ...]
    not_built: int


def audit_run(airflow_run_id: str) -> None:
    """Audit every staged table and write down which rows are marked or withheld and whether the batch is held.

    Raises:
        AuditError: CH403 when an expectation could not be evaluated: a fault of ours, not of the data.
    """
    run_id = night.run_id_of(airflow_run_id)
    not_built = staging.drop_unfinished(run_id)
    progress.tell("audit", 0, total=len(tables()), unit="tables")
    with runs.stage(run_id, "audit") as counts:
        staging.folder(run_id).mkdir(parents=True, exist_ok=True)
        scratch = scratch_of(staging.broken_file(run_id))
        audits = auditor.audit(staging.rows(run_id), scratch) if staging.people_of(run_id) else []
        errors = sorted({rule for audit in audits for rule in audit["errors"]})
        if errors:
            raise AuditError("CH403", where=", ".join(errors))
        summary = AuditSummary(
            rows=sum(audit["rows"] for audit in audits),
            marked=sum(audit["marked"] for audit in audits),
            withheld=sum(audit["withheld"] for audit in audits),
            marked_by=_by_rule(audits, "warning"),
            withheld_by=_by_rule(audits, "withhold"),
            held_by=tuple(sorted({rule for audit in audits for rule in audit["table_failures"]})),
            not_built=not_built,
        )
        if audits:
            put(scratch, staging.broken_file(run_id))
        faults.point("audit.written")
        write_whole(staging.audit_file(run_id), orjson.dumps(asdict(summary)))
        counts |= {"rows": summary.rows, "marked": summary.marked, "withheld": summary.withheld}
    progress.tell("audit", len(tables()), unit="tables")


def _by_rule(audits: list[dict[str, Any]], severity: Severity) -> Counts:
    rules = {rule.id for table in tables() for rule in rules_of(table.name) if rule.severity == severity}
    return tuple((rule, count) for audit in audits for rule, count in audit["broken"] if rule in rules)


def read_summary(run_id: str) -> AuditSummary | None:
    """What the audit of the run said; None where it did not come to an end."""
    file = staging.audit_file(run_id)
    if not file.exists():
        return None
    said = orjson.loads(file.read_bytes())
    lists = {name: tuple(map(tuple, said[name])) for name in ("marked_by", "withheld_by")}
    return AuditSummary(**{**said, **lists, "held_by": tuple(said["held_by"])})
