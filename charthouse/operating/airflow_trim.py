"""Airflow's own database, trimmed by the retention table: `airflow db clean`, in a process of its own.

Tasks cannot reach that database (Airflow takes its address out of their environment), so the address comes from the
home's own Airflow or from the setting.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from charthouse.errors import PrivacyError
from charthouse.log import get_logger
from charthouse.operating.airflow_process import AIRFLOW, environment
from charthouse.privacy import retention
from charthouse.settings import get_settings
from charthouse.state import audit, session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.state.models import Actor

log = get_logger(__name__)

BATCH = 10_000
"""Rows of one transaction: the scheduler writes between two of them."""
_IN_TASKS = ("_AIRFLOW_PROCESS_CONTEXT", "AIRFLOW__CORE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD")


def trim(*, actor: Actor = "operator") -> bool:
    """Remove what is past its time from Airflow's database; whether there is one that we can reach.

    Raises:
        PrivacyError: CH961 when Airflow could not, with its log where this process logs.
    """
    [entry] = [entry for entry in retention.table() if entry.name == retention.AIRFLOW]
    before, reached = entry.before(), _environment()
    if before is None or reached is None:
        log.info("Airflow's metadata is not trimmed", days=entry.days, reached=reached is not None)
        return False
    command = [AIRFLOW, "db", "clean", "--clean-before-timestamp", before.isoformat(), "--yes", "--skip-archive"]
    command += ["--batch-size", str(BATCH), "--error-on-cleanup-failure"]
    done = subprocess.run(command, env=dict(reached), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        log.error("airflow db clean failed", last=done.stderr.strip().rpartition("\n")[2][:200])
        raise PrivacyError("CH961", what=f"airflow db clean ended with {done.returncode}")
    with session() as state:
        audit.record(state, actor, "retention.applied", "retention", retention.AIRFLOW, {"days": entry.days or 0})
    return True


def _environment() -> Mapping[str, str] | None:
    settings = get_settings()
    given = settings.airflow_database_url.get_secret_value()
    url = make_url(settings.airflow_metadata)
    if not given and not Path(str(url.database)).exists():
        return None
    made = dict(os.environ) if given else environment()
    for name in _IN_TASKS:
        made.pop(name, None)
    if given:
        made["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = given
    return made
