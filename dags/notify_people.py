"""
### notify_people: tells people what became of their connections

Sends what stands in the outbox: mails, push notices, messages. Runs every five minutes, and as soon as a night has
published, for that is when links are confirmed. Nothing to tell is the usual case; background refreshes tell nobody.

* *Run it now:* trigger it, or `charthouse notices send`.
* *It is red:* the state database or the key could not be used; the error's number says which (docs/errors.md). Mend
  that and clear the task, or leave it to the next run: nothing is lost, and nothing is sent twice.
* *It is green and people hear nothing:* `charthouse notices list --status undeliverable` shows what was given up, with
  the number of the reason; `charthouse notices list --status waiting` what is tried again. A receiver or a mail server
  that is down never turns this red: notices wait for days. `charthouse notices retry ID` sends one again.

Nothing of a person is in XCom or logs: the task tells counts by channel.
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
    tags=["notices"],
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(hours=1)},
)
def notify_people() -> None:
    """One step; what it does is in `charthouse.notify`."""

    @step()
    def send() -> None:
        """Plan what is new, send what is due, note what became of it."""
        from charthouse.log import get_logger
        from charthouse.notify.drain import drain

        report = drain(seconds=1800)
        if report.planned or report.counts:
            get_logger(__name__).info("notices drained", planned=report.planned, **report.by_channel())

    send()


notify_people()
