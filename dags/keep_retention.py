"""
### keep_retention: every week

Removes what is past its time by the retention table (`charthouse retention` shows it: what, how long, why, and what is
due): landing, exports, logs, outcomes, events, notices, deposits and more in **prune**, Airflow's own database in
**trim_airflow** (`airflow db clean`). What went stands in the audit trail: `charthouse audit show --action retention`.

* *Run it now:* trigger it, or `charthouse retention --apply`.
* *prune is red:* one entry could not be pruned, and the others were; its name stands in the log. A lake that another
  process writes to passes (it is tried again). `CH960`: CHARTHOUSE_RETENTION names what is not in the table.
* *trim_airflow is red:* the log has Airflow's last word. On SQLite a busy scheduler may hold the database: clear it.
* *verify_audit is red* (`CH950`): the audit trail was written to past this software; `charthouse audit verify` says
  where. Keep a copy of the state and of `keys/` before anything else. Clearing the task does not mend it.
* *It was paused for months:* unpause it; the first run removes more than usual, in slices.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from plugins.steps import TRIED_AGAIN, step


@dag(
    schedule="30 4 * * 0",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    doc_md=__doc__,
    tags=["privacy", "weekly"],
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(hours=4)},
)
def keep_retention() -> None:
    """Three steps, none of which waits for another; what they do is in `charthouse.privacy`."""

    @step(pool="vault_writer")
    def prune() -> None:
        """Remove what is past its time from the home, the state and the vault."""
        from charthouse.privacy import retention

        retention.apply(actor="sync")

    @step()
    def trim_airflow() -> None:
        """Remove what is past its time from Airflow's own database."""
        from charthouse.operating.airflow_trim import trim

        trim(actor="sync")

    @step()
    def verify_audit() -> None:
        """Look whether the audit trail holds."""
        from charthouse.privacy.audit_trail import require, verify

        require(verify())

    prune()
    trim_airflow()
    verify_audit()


keep_retention()
