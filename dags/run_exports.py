"""
### run_exports: people's requests to take their data away

Works off what people asked for by `POST /people/{key}/exports`: a mapped task an export, those first that are due
first. What is finished is encrypted, told to its person (`export_ready`), and deleted after
`CHARTHOUSE_EXPORT_KEEP_DAYS`. No request is the usual case: then *export* is skipped.

* *export is red:* the number says why (docs/errors.md). CH502: another process wrote to a lake; CH931: the disk is
  full; CH942: a file was damaged, and is made anew. Mend it and clear the task, or leave it to the next run: finished
  parts are kept, and the export goes on behind them. Nobody is told before it is whole.
* *It was killed:* nothing to do. What it was writing is the beginning of an encrypted file, which the next run removes.
* *expire is red:* the folder of exports cannot be written. Until it can, links to what is over do not work anyway.
* *Do one now:* trigger this DAG, or `charthouse export PERSON --out DIR`.

Map indexes show requests' ids. Nothing of a person is in XCom or logs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from plugins.deadlines import within
from plugins.steps import TRIED_AGAIN, step


@dag(
    schedule="*/5 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    deadline=within(),
    doc_md=__doc__,
    tags=["privacy"],
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(hours=6)},
)
def run_exports() -> None:
    """Wire it together; what each step does is in `charthouse.privacy.export.job`."""

    @step()
    def expire() -> None:
        """Delete exports whose time is over."""
        from charthouse.privacy.export.job import expire_exports

        expire_exports()

    @step()
    def plan() -> list[str]:
        """The ids of the requests that wait, or that a run before did not end."""
        from charthouse.privacy.export.job import plan

        return plan()

    @step(pool="duckdb", map_index_template="{{ request_id }}")
    def export(request_id: str) -> None:
        """Make one export, or go on with it."""
        from airflow.sdk import get_current_context

        from charthouse.errors import PrivacyError
        from charthouse.privacy.export.job import run

        get_current_context()["request_id"] = request_id
        try:
            run(request_id)
        except PrivacyError as error:
            if error.code not in ("CH903", "CH943"):  # done elsewhere, or no longer wanted
                raise

    expire() >> export.expand(request_id=plan())


run_exports()
