"""
### sync_records: one night

Refreshes every due link and publishes what came: **plan → fetch → check → store** (a mapped batch of links each),
then **build → audit → publish** for the people whose vault moved on, then **finish**.

* *When:* every night at 02:00 UTC. Links that are new, or for which somebody asked, do not wait for it:
  `refresh_connections` announces them every hour (the asset `waiting_links`), and the run takes those alone.
* *Run it for some providers only:* trigger it with `{"providers": ["a-slug"]}`.
* *A task failed:* clear it. Every step may run twice. What no second try can change is tried once.
* *The run is red:* `charthouse status` says which links failed and why, by error code (docs/errors.md).

Tasks hand over names and counts only; nothing about a person is in XCom, logs or map labels.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import Asset, Param, dag, get_current_context, task_group

from plugins.assets import NIGHTLY_AND_WAITING, PUBLISHED
from plugins.steps import TRIED_AGAIN, step, until


@dag(
    schedule=NIGHTLY_AND_WAITING,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    doc_md=__doc__,
    tags=["sync", "nightly"],
    params={"providers": Param([], type="array", items={"type": "string"}, description="Slugs; empty = all.")},
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(hours=3)},
)
def sync_records() -> None:
    """Wire the night together; what each step does is in `charthouse.sync`."""

    @step()
    def plan() -> list[str]:
        """Open the run (or resume the one that was killed) and cut the due links into batches."""
        from charthouse.privacy.returning import erase_returned
        from charthouse.sync.plan import plan_run

        erase_returned()  # a restored backup may have brought somebody back
        context = get_current_context()
        waiting = context["dag_run"].run_type == "asset_triggered"
        return plan_run(context["params"]["providers"], airflow_run_id=context["run_id"], waiting=waiting)

    @step(pool="providers")
    def fetch(batch: str) -> str:
        """Land the pages of every link of the batch; while a provider works at an export, the slot is free."""
        from charthouse.sync.collect import collect_batch

        return collect_batch(batch, wait=until)

    @step(pool="duckdb")
    def check(batch: str) -> str:
        """Give every resource its verdict."""
        from charthouse.sync.check import check_batch

        return check_batch(batch)

    @step(pool="vault_writer")
    def store(batch: str) -> str:
        """Append what is new to the vault and note the batch in the ledger."""
        from charthouse.sync.store import store_batch

        return store_batch(batch)

    @task_group
    def batches(batch: str) -> None:
        """One batch of links, from the provider to the vault."""
        store(check(fetch(batch)))

    @step(trigger_rule="all_done")
    def plan_build(run_id: str | None = None) -> list[str]:
        """Find the people whose vault moved on, whatever became of single batches."""
        from charthouse.sync.build import plan_build

        return plan_build(run_id)

    @step(pool="duckdb")
    def build(group: str) -> str:
        """Stage the category rows of one group of people."""
        from charthouse.sync.build import build_group

        return build_group(group)

    @step(trigger_rule="all_done")
    def audit(run_id: str | None = None) -> None:
        """Run Great Expectations on the staged rows."""
        from charthouse.sync.audit import audit_run

        audit_run(run_id)

    @step(pool="records_writer", outlets=[PUBLISHED])
    def publish(run_id: str | None = None) -> None:
        """Commit all tables in one transaction, compact, and announce the tables that changed."""
        from charthouse.sync.publish import publish_run

        for table in publish_run(run_id):
            get_current_context()["outlet_events"][PUBLISHED].add(Asset(table, f"x-charthouse://records/{table}"))

    @step(trigger_rule="all_done")
    def finish(run_id: str | None = None) -> None:
        """Close the run; fail it when nothing was published or too many links failed."""
        from charthouse.sync.finish import finish_run

        finish_run(run_id)

    groups = plan_build()
    batches.expand(batch=plan()) >> groups
    build.expand(group=groups) >> audit() >> publish() >> finish()


sync_records()
