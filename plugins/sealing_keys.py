"""The keys that seal, kept in an Airflow connection: `CHARTHOUSE_KEY_PROVIDER=plugins.sealing_keys:of_connection`.

The connection `charthouse_keys` holds Fernet keys, the newest first, separated by commas: as its password, or in its
extra as `{"keys": ["…"]}`. It is asked for when something is sealed or opened, in tasks, in the API server and at the
command line alike.
"""

from __future__ import annotations

import os

CONNECTION = "charthouse_keys"


def of_connection() -> list[str]:
    """The keys of the connection.

    Raises:
        Exception: as Airflow's, where there is no such connection.
    """
    from airflow.sdk import Connection
    from airflow.sdk.execution_time import task_runner

    if not hasattr(task_runner, "SUPERVISOR_COMMS"):
        # Outside a task nobody stands between us and Airflow's own database: say so, as `airflow connections` does.
        os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    connection = Connection.get(CONNECTION)
    listed = connection.extra_dejson.get("keys")
    if listed:
        return [str(key) for key in listed]
    return [key.strip() for key in (connection.password or "").split(",") if key.strip()]
