"""A step of a DAG: Airflow's task, which says nothing of its result and knows which errors are final."""

from __future__ import annotations

from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from collections.abc import Callable


TRIED_AGAIN: dict[str, Any] = {
    "owner": "charthouse",
    "retries": 2,
    "retry_delay": timedelta(seconds=15),
    "retry_exponential_backoff": True,
}
"""What every task of ours is declared with."""


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
