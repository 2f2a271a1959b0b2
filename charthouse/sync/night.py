"""The night that an Airflow run is working on."""

from __future__ import annotations

from charthouse.errors import StateError
from charthouse.state import session
from charthouse.sync import runs


def run_id_of(airflow_run_id: str) -> str:
    """The id, in our ledger, of the run that Airflow's run opened or took up.

    Raises:
        StateError: CH009 when Airflow's run never came to plan one.
    """
    with session(read_only=True) as state:
        run = runs.current_run(state, airflow_run_id)
        if run is None:
            raise StateError("CH009", where=airflow_run_id)
        return run.id
