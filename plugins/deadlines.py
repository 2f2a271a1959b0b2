"""Deadline alerts of the DAGs that work off people's requests: `@dag(deadline=within(RUN_HOURS), …)`.

Airflow's scheduler looks at them; one that is missed raises an alarm of ours (`charthouse status` and `doctor`).
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback

RUN_HOURS = 6
"""As `charthouse.privacy.deadlines.RUN_HOURS`, which no DAG file loads."""


def within(hours: float = RUN_HOURS) -> DeadlineAlert | None:
    """An alert for a run that has not ended so many hours after it was queued."""
    if sys.argv[1:3] == ["dags", "test"]:
        return None  # no scheduler looks at it, and Airflow 3.3 ends such a run with an error for it
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=hours),
        callback=SyncCallback("plugins.deadlines.missed"),
    )


def missed(context: dict[str, Any]) -> None:
    """Tell an operator: what Airflow's executor runs when a deadline is missed."""
    from charthouse.privacy.deadlines import late

    late(str(context["dag_run"]["dag_id"]))
