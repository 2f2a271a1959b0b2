"""
### run_erasures: every ten minutes

Erases what people asked to have erased, and proves it: links that are to be deleted, and people who are to be
forgotten, all that are due in one go. Nothing to do is the usual case. How it goes: docs/privacy.md.

* *Do it now:* `charthouse erase PERSON --yes` or `charthouse delete-link LINK --yes`, or trigger this.
* *It is red:* something is in the way of a request; `charthouse requests` names it by number (docs/errors.md) and the
  log names the place. What people see is gone all the same: it is the last trace, or the proof, that is lacking.
  CH911: make the place writable, clear the task. CH912: a worker or a notice was on its way; the next run does it.
  CH910 twice in the same place: something writes there that nobody registered; that is a fault of ours.
* *A provider does not take tokens back:* that keeps nothing from ending; the tokens are destroyed here.
* *It was off for days:* unpause it. Each request has a date by which the law wants it done: `charthouse requests`.

Nothing of a person is in XCom or logs: the task tells ids of requests and counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag

from plugins.deadlines import within
from plugins.steps import TRIED_AGAIN, step


@dag(
    schedule="*/10 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    deadline=within(),
    doc_md=__doc__,
    tags=["privacy"],
    default_args=TRIED_AGAIN | {"execution_timeout": timedelta(hours=3), "retry_delay": timedelta(minutes=2)},
)
def run_erasures() -> None:
    """One step; what it does is in `charthouse.privacy.erase`."""

    @step()
    def erase() -> int:
        """Erase what is due. Returns how many requests have ended; one that has not makes the task red."""
        from charthouse.errors import PrivacyError
        from charthouse.privacy.erase import run_ready

        ended = run_ready()
        left = [each for each in ended if not each.done]
        if left:
            said = ", ".join(sorted({f"{each.code} {each.where}".strip() for each in left}))
            raise PrivacyError("CH910", where=f"{len(left)} of {len(ended)} requests", what=said)
        return len(ended)

    erase()


run_erasures()
