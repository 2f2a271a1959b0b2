"""Audit: Great Expectations on the staged rows, before anyone sees them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from charthouse import faults, progress
from charthouse.errors import AuditError
from charthouse.files import put, scratch_of, write_whole
from charthouse.sync import night, runs, staging
from transforms.tables import tables

if TYPE_CHECKING:
    from pathlib import Path

WITHHELD_SCHEMA = pa.schema([("table_name", pa.string()), ("row_key", pa.string()), ("rule", pa.string())])


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What the audit of a run said: rows looked at, rows withheld, the rules that hold the whole batch, and how many
    people could not be built at all.
    """

    rows: int
    withheld: int
    held_by: tuple[str, ...]
    not_built: int


def audit_run(airflow_run_id: str) -> None:
    """Audit every staged table and write down which rows are withheld and whether the batch is held.

    Raises:
        AuditError: CH403 when an expectation could not be evaluated: a fault of ours, not of the data.
    """
    run_id = night.run_id_of(airflow_run_id)
    not_built = staging.drop_unfinished(run_id)
    progress.tell("audit", 0, total=len(tables()), unit="tables")
    with runs.stage(run_id, "audit") as counts:
        audits = _audited(staging.rows(run_id)) if staging.people_of(run_id) else []
        errors = sorted({rule for audit in audits for rule in audit["errors"]})
        if errors:
            raise AuditError("CH403", where=", ".join(errors))
        broken = [(audit["table"], row_key, rule) for audit in audits for rule, row_key in audit["broken_rows"]]
        summary = AuditSummary(
            rows=sum(audit["rows"] for audit in audits),
            withheld=len({(table, row_key) for table, row_key, _ in broken}),
            held_by=tuple(sorted({rule for audit in audits for rule in audit["table_failures"]})),
            not_built=not_built,
        )
        staging.folder(run_id).mkdir(parents=True, exist_ok=True)
        rows = [dict(zip(WITHHELD_SCHEMA.names, row, strict=True)) for row in broken]
        scratch = scratch_of(staging.withheld_file(run_id))
        pq.write_table(pa.Table.from_pylist(rows, schema=WITHHELD_SCHEMA), scratch)
        put(scratch, staging.withheld_file(run_id))
        faults.point("audit.written")
        write_whole(staging.audit_file(run_id), orjson.dumps(asdict(summary)))
        counts |= {"rows": summary.rows, "withheld": summary.withheld}
    progress.tell("audit", len(tables()), unit="tables")


def _audited(rows: Path) -> list[dict[str, Any]]:
    """Each table's `TableAudit`, from a process of its own: what Great Expectations loads goes when it ends.

    Raises:
        AuditError: CH403 when the process broke; where it did is in the task's log.
    """
    command = [sys.executable, "-m", "transforms.auditing", str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603
    if done.returncode:
        raise AuditError("CH403", where="transforms.auditing", what=f"it ended with {done.returncode}")
    audits: list[dict[str, Any]] = orjson.loads(done.stdout)
    return audits


def read_summary(run_id: str) -> AuditSummary | None:
    """What the audit of the run said; None where it did not come to an end."""
    file = staging.audit_file(run_id)
    if not file.exists():
        return None
    said = orjson.loads(file.read_bytes())
    return AuditSummary(**{**said, "held_by": tuple(said["held_by"])})
