"""
### feed_coach: what changed, for back ends that keep an index of their own

Gives a number to what changed of people who agreed to the coach, tells who agrees no more to be gone, and calls the
back end's webhook (`CHARTHOUSE_COACH_WEBHOOK_URL`), which says that there is something, and nothing of what. The back
end reads it at `GET /coach/feed`. Runs as soon as tables are published, and every five minutes for consents and for
messages that were not received.

* *Run it now:* trigger it, or `charthouse feed gather`.
* *It is red:* the state database or the records could not be read; the error's number says which (docs/errors.md). Mend
  that and clear the task, or leave it to the next run: nothing is lost.
* *It is green and the back end hears nothing:* `charthouse feed status` says what became of the last message.

Nothing of a person is in XCom or logs: the tasks tell counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, dag

from plugins.assets import PUBLISHED
from plugins.steps import TRIED_AGAIN, step


@dag(
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC"), assets=PUBLISHED),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    tags=["coach"],
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(hours=1)},
)
def feed_coach() -> None:
    """Two steps; what they do is in `charthouse.coach`."""

    @step(pool="duckdb")
    def gather() -> None:
        """Number what changed, and let those be gone who agree no more."""
        from dataclasses import asdict

        from charthouse.coach.feed import gather
        from charthouse.log import get_logger

        found = gather()
        if found.new or found.changed or found.gone:
            get_logger(__name__).info("feed gathered", **asdict(found))

    @step()
    def tell() -> None:
        """Call the webhook, if there is something that it was not told."""
        from charthouse.coach.feed_webhook import tell

        tell()

    gather() >> tell()


feed_coach()
