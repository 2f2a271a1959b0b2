"""
### find_providers: every day

Looks for people's providers through the partner of their region: **verify** asks how open verifications of identities
stand, which neither a browser nor a message has brought; **plan** the partners, then **find** (a mapped task a
partner) everybody whose turn it is, at the partner's own rate. Whoever verified who they are and agreed is searched
for; what is found is connected, or shown to its person, who is told once. What ended here is told the partner first.

* *find is red:* the partner takes us for nobody (CH175), or nobody has set it up (CH178): `charthouse network list`,
  then clear the task. What goes wrong with one person fails no task: `charthouse network people` shows it.
* *It was killed, or ran out of time:* clear it, or let tomorrow's go on: who was not looked at is due still.
* *New links:* the hourly `refresh_connections` announces them, and `sync_records` reads them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from plugins.steps import TRIED_AGAIN, step


@dag(
    schedule="0 14 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    tags=["linking", "daily"],
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(hours=5)},
)
def find_providers() -> None:
    """Wire the day together; what each step does is in `charthouse.linking.finding`."""

    @step()
    def verify() -> None:
        """Ask the verifier how each open verification stands, where one is set up."""
        from charthouse.linking.verifying import look_at_open

        look_at_open()

    @step()
    def plan() -> list[str]:
        """The partners that are set up and search."""
        from charthouse.linking.searching import partners_set_up

        return partners_set_up()

    @step(pool="refresh", map_index_template="{{ partner }}")
    def find(partner: str) -> None:
        """Look at everybody whose turn it is at one partner."""
        from airflow.sdk import get_current_context

        from charthouse.linking.finding import find_providers

        get_current_context()["partner"] = partner
        find_providers(partner)

    planned = plan()
    verify() >> planned
    find.expand(partner=planned)


find_providers()
