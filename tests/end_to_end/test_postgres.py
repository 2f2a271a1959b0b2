"""A night whose state and lake catalogs are PostgreSQL, as a production installation has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.postgres
def test_a_night_on_postgresql_and_again_with_nothing_new(
    tmp_path: Path, new_installation: Any, postgres_stores: dict[str, str]
) -> None:
    installation = new_installation(tmp_path / "home")
    on_postgres = replace(installation, env=postgres_stores)
    for nothing_new in (False, True):
        done = on_postgres.run("nightly", "--people", "3", "--seed", "5")
        assert done.returncode == 0, done.stdout + done.stderr
        report = on_postgres.json("status")
        assert report["nothing_new"] is nothing_new
        assert report["links"]["complete"] == 3
    counted = " union all ".join(
        f"select '{t['table']}' as t, count(*) as n from {t['table']}" for t in report["tables"]
    )
    assert {row["t"]: row["n"] for row in on_postgres.rows(counted)} == {
        table["table"]: table["rows"] for table in report["tables"]
    }
    assert sum(table["rows"] for table in report["tables"]) > 500
    assert {file.name for file in installation.home.rglob("*.sqlite")} == {"generated.sqlite"}, "the sandbox's alone"
