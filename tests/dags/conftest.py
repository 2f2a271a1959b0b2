"""What the tests of DAGs share: Airflow's database, migrated once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def airflow_is_ready(request: pytest.FixtureRequest, migrated_airflow: Callable[[Path], None]) -> None:
    """Wherever a test has a home, Airflow's database stands in it."""
    if "home" in request.fixturenames:
        migrated_airflow(request.getfixturevalue("home"))
