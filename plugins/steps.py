"""A step of a DAG: Airflow's task, which says nothing of its result and knows which errors are final."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

if TYPE_CHECKING:
    from collections.abc import Callable


TRIED_AGAIN: dict[str, Any] = {
    "owner": "charthouse",
    "retries": 2,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": True,
}
"""What every task of ours is declared with."""

WORTH_LEAVING = timedelta(seconds=20)
"""A task that would wait no longer than this keeps its slot: beginning anew takes as long."""


def until(moment: datetime) -> None:
    """Wait until an instant; where that is far off, give the slot back and begin the task again then.

    Airflow keeps the instant and nothing else, and no try is spent. It does the same under `airflow dags test`.

    Raises:
        AirflowRescheduleException: the task is to begin again at `moment`.
    """
    left = moment - datetime.now(UTC)
    if left > WORTH_LEAVING:
        raise AirflowRescheduleException(moment)
    time.sleep(max(0.0, left.total_seconds()))


def step(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Declare a function as a task: `@step(pool="duckdb")`. `options` are those of Airflow's `@task`.

    An error of ours that no second try can change (`final` in the catalogue) fails the task at once; anything else is
    tried again as the DAG says.
    """

    def declare(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            from charthouse.errors import CharthouseError

            try:
                return function(*args, **kwargs)
            except CharthouseError as error:
                if error.entry.final:
                    raise AirflowFailException(str(error)) from error
                raise

        return task(show_return_value_in_logs=False, **options)(run)

    return declare
