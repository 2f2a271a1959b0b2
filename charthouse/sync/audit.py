"""Audit: Great Expectations on the staged rows, before anyone sees them."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from charthouse import faults, progress
from charthouse.errors import AuditError
from charthouse.sync import staging
from transforms.tables import tables


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What the audit of a run said: rows looked at, rows withheld, and the rules that hold the whole batch."""

    rows: int
    withheld: int
    held_by: tuple[str, ...]


def audit_run() -> AuditSummary:
    """Audit every staged table of the run and write down which rows are withheld and whether the batch is held.

    Raises:
        AuditError: CH403 when an expectation could not be evaluated: a fault of ours, not of the data.
    """
    from transforms.auditing import audit_staged

    missing = [
        file.stem
        for file in (staging.folder(run_id) / "groups").glob("*.json")
        if not staging.done_marker(run_id, file.stem).exists()
    ]
    if missing:
        raise AuditError("CH402", where=run_id, what=f"{len(missing)} groups were not built")
    progress.tell("audit", 0, total=len(tables()), unit="tables")
    audits = audit_staged(staging.rows(run_id))
    progress.tell("audit", len(audits), unit="tables")
    errors = sorted({rule for audit in audits for rule in audit.errors})
    if errors:
        raise AuditError("CH403", where=", ".join(errors))
    broken = [(audit.table, row_key, rule) for audit in audits for rule, row_key in audit.broken_rows]
    names = ("table_name", "row_key", "rule")
    columns = list(zip(*broken, strict=True)) or [(), (), ()]
    table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
    file = staging.withheld_file(run_id)
    pq.write_table(table, file)
    faults.point("audit.written")
    summary = AuditSummary(
        rows=sum(audit.rows for audit in audits),
        withheld=len({(table_name, row_key) for table_name, row_key, _ in broken}),
        held_by=tuple(sorted({rule for audit in audits for rule in audit.table_failures})),
    )
    staging.write_whole(
        staging.audit_file(run_id),
        orjson.dumps({"rows": summary.rows, "withheld": summary.withheld, "held_by": summary.held_by}),
    )
    return summary


def read_summary(run_id: str) -> AuditSummary:
    """What the audit of the run said, as written down."""
    said = orjson.loads(staging.audit_file(run_id).read_bytes())
    return AuditSummary(rows=said["rows"], withheld=said["withheld"], held_by=tuple(said["held_by"]))
