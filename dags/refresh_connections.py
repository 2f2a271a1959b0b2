"""
### refresh_connections: every hour

Keeps people's links alive and tells them in time what they must know: **refresh** the tokens that are due (a mapped
task a provider), **match** new links with their account holders, **watch** the deadlines (confirmed within a day or
told why not, warned before an end, given up), **remove** what must go before people start over, and **announce** links
that wait for records, which starts `sync_records` for them. A skipped *announce* means that none wait.

* *refresh is red:* our own database or key is at fault, not a provider: run `charthouse doctor`, then clear the task.
  What providers do fails no task: `charthouse status` shows open alarms, `charthouse links show` what befell a link.
* *match is red:* as above; the links wait for the next hour.
* *watch is red:* clear it; a deadline that was met is told once, however often it is looked at.
* *remove is red:* another process writes to a lake (it is tried again), or a lake is shut: `charthouse doctor`.
* *It was paused for days:* unpause it. The first run catches up; nobody expires for our absence alone.

One task refreshes one provider, alone: that is the limit a pool of one slot would set. Airflow gives all mapped tasks
of a step one pool, so the pool `refresh` limits how many providers are asked at once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag
from airflow.sdk.exceptions import AirflowSkipException

from plugins.assets import WAITING
from plugins.steps import TRIED_AGAIN, step


@dag(
    schedule="0 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=55),
    doc_md=__doc__,
    tags=["linking", "hourly"],
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(minutes=45)},
)
def refresh_connections() -> None:
    """Wire the hour together; what each step does is in `charthouse.linking` and `charthouse.sync.removal`."""

    @step()
    def plan() -> list[str]:
        """The providers that have links to be refreshed."""
        from charthouse.linking.refresh import plan_refresh

        return plan_refresh()

    @step(pool="refresh", map_index_template="{{ provider }}")
    def refresh(provider: str) -> None:
        """Refresh the due links of one provider, each once."""
        from airflow.sdk import get_current_context

        from charthouse.linking.refresh import refresh_provider

        get_current_context()["provider"] = provider
        refresh_provider(provider)

    @step(pool="refresh", trigger_rule="all_done")
    def match() -> None:
        """Compare the Patients of new links with their accounts."""
        from charthouse.linking.watch import match_links

        match_links()

    @step(trigger_rule="all_done")
    def watch() -> None:
        """Look at every deadline, those of people's requests too, and forget sign-ins that are over."""
        from charthouse.linking.sign_in import forget_old
        from charthouse.linking.watch import watch_links
        from charthouse.privacy import deadlines

        watch_links()
        forget_old()
        deadlines.watch()

    @step(pool="vault_writer", trigger_rule="all_done")
    def remove_from_vault() -> None:
        """Take what must go out of the landing and the vault."""
        from charthouse.sync import removal

        removal.remove_from_vault()

    @step(pool="records_writer")
    def remove_from_records() -> None:
        """Take what must go out of the tables, and let its people start over."""
        from charthouse.sync import removal

        removal.remove_from_records()

    @step(outlets=[WAITING], trigger_rule="all_done")
    def announce() -> None:
        """Announce that links wait for records; skipped where none do."""
        from charthouse.sync.plan import any_waiting

        if not any_waiting():
            raise AirflowSkipException("no link waits")

    @step(trigger_rule="none_failed")
    def finish() -> None:
        """Red where a step before it is."""

    refreshed, matched, watched = refresh.expand(provider=plan()), match(), watch()
    removed, announced = remove_from_records(), announce()
    refreshed >> matched >> watched >> remove_from_vault() >> removed
    matched >> announced
    [refreshed, matched, watched, removed, announced] >> finish()


refresh_connections()
