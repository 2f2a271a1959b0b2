"""A small question is answered at once: what is imported and loaded for it, by name."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from charthouse.operating.cli import app
from charthouse.operating.cli.rooms import ROOMS, Rooms
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from pathlib import Path

FAR = {"airflow", "alembic", "fhir", "great_expectations", "numpy", "pandas", "psutil", "pyarrow", "rich", "sqlalchemy"}
FAR |= {"structlog", "charthouse.lake.records", "charthouse.lake.vault", "charthouse.state", "transforms.tables"}
FAR |= {f"charthouse.operating.cli.{place.partition(':')[0]}" for place in ROOMS.values()} - {
    "charthouse.operating.cli.erasing"  # `refetch --yes` has its option from there
}


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_question_imports_what_it_needs_and_no_more(home: Path, form: str) -> None:
    if get_settings().records_catalog:
        pytest.skip("the question is the same on PostgreSQL, whose own extension is loaded then")
    query = "SELECT list(DISTINCT function_name) AS l FROM duckdb_functions() WHERE function_name LIKE '%_scan'"
    query += "; SELECT count(*) AS n FROM conditions WHERE effective_start < now()" if form == "table" else ""
    told = "import sys; from charthouse.operating.cli import main\n"
    told += "try: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", told, "sql", "--format", form, query],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sqlite_scan" in done.stdout
    assert "postgres" not in done.stdout
    assert FAR & set(done.stderr.split()) == set()


def test_every_command_is_there_though_none_is_read_before_it_is_called() -> None:
    group = get_command(app)
    assert isinstance(group, Rooms)
    with group.make_context("charthouse", [], resilient_parsing=True) as context:
        names = group.list_commands(context)
        assert len(names) == len(set(names)) > len(ROOMS)
        helped = {name: found.get_short_help_str() for name in names if (found := group.get_command(context, name))}
    assert helped.keys() == set(names)
    assert all(helped.values())
