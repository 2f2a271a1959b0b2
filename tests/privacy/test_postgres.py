"""The same on PostgreSQL (state, both catalogs, Airflow): rewritten there, and looked at through their tables."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text

from charthouse.lake.session import open_records, open_vault
from charthouse.operating import airflow_process
from charthouse.privacy import erase, requests
from charthouse.privacy.erasers.databases import catalogs
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.engine import engine
from tests.privacy.conftest import stocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import URL


@pytest.mark.postgres
def test_erased_on_servers(home_on_postgres: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, address in home_on_postgres.items():
        monkeypatch.setenv(name, address)
    home = stocked(tmp_path / "home")
    try:
        with home.lived_in(), airflow_of_its_own(make_url(home_on_postgres["CHARTHOUSE_STATE_URL"])) as airflow:
            monkeypatch.setenv("CHARTHOUSE_AIRFLOW_DATABASE_URL", airflow)
            get_settings.cache_clear()
            note(airflow, home.people["B"])
            kept = home.held("C")
            with session() as state:
                request = requests.ask_erasure(state, home.people["B"]).request_id
                link = requests.ask_deletion(state, home.links["A", "south"]).request_id
            ended = erase.run([request, link])
            assert all(each.done for each in ended), ended
            assert home.held("C") == kept
            urls = [airflow, get_settings().state_database, *(catalog.url for catalog in catalogs(get_settings()))]
            for url in urls:
                assert not _holds(url, [home.people["B"], "CANARY-B", "CANARY-A-south"]), url.rpartition("/")[2]
            for opened, lake in ((open_vault, "vault"), (open_records, "records")):
                with opened(read_only=True) as connection:
                    assert connection.execute(f"SELECT count(*) FROM ducklake_snapshots('{lake}')").fetchone() == (1,)
    finally:
        home.clean_up()
        with home.lived_in():
            engine().dispose()


@contextmanager
def airflow_of_its_own(server: URL) -> Iterator[str]:
    """The address of a database that Airflow has made its tables in."""
    url = server.set(drivername="postgresql+psycopg2", database=f"airflow_{secrets.token_hex(4)}")
    made = create_engine(server, isolation_level="AUTOCOMMIT")
    with made.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {url.database}"))
        address = url.render_as_string(hide_password=False)
        environment = airflow_process.environment() | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address}
        done = subprocess.run([airflow_process.AIRFLOW, "db", "migrate"], env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr[-2000:]
        yield address
        connection.execute(text(f"DROP DATABASE {url.database} WITH (FORCE)"))
    made.dispose()


def note(address: str, person: str) -> None:
    """What Airflow may hold of somebody: a run that is named for them, its conf, a stack trace."""
    made = create_engine(address)
    with made.begin() as connection:
        connection.execute(
            text("INSERT INTO import_error (filename, stacktrace) VALUES ('x', :said)"),
            {"said": f"about {person}, CANARY-B-first and CANARY-B-north-mrn"},
        )
        connection.execute(
            text(
                "INSERT INTO dag_run (dag_id, run_id, state, run_type, run_after, conf, clear_number, span_status) "
                "VALUES ('run_erasures', :run, 'success', 'manual', '2026-01-01', CAST(:conf AS jsonb), 0, 'ended')"
            ),
            {"run": f"for-{person}", "conf": f'{{"person": "{person}"}}'},
        )
    made.dispose()


def _holds(url: str, signs: list[str]) -> list[str]:
    """The tables of a database in which something of `signs` stands."""
    made = create_engine(url)
    found = []
    with made.connect() as connection:
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for (name,) in names.all():
            rows = connection.execute(text(f'SELECT CAST(t AS TEXT) FROM "{name}" AS t')).scalars().all()
            if any(sign in row for sign in signs for row in rows):
                found.append(name)
    made.dispose()
    return found
