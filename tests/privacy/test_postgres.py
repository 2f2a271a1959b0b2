"""The same with the state and both catalogs on PostgreSQL: rewritten there, and looked at through their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from charthouse.lake.session import open_records, open_vault
from charthouse.privacy import erase, requests
from charthouse.privacy.erasers.databases import catalogs
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.engine import engine
from tests.privacy.conftest import stocked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.postgres
def test_erased_on_servers(postgres_stores: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, address in postgres_stores.items():
        monkeypatch.setenv(name, address)
    home = stocked(tmp_path / "home")
    try:
        with home.lived_in():
            kept = home.held("C")
            with session() as state:
                request = requests.ask_erasure(state, home.people["B"]).request_id
                link = requests.ask_deletion(state, home.links["A", "south"]).request_id
            ended = erase.run([request, link])
            assert all(each.done for each in ended), ended
            assert home.held("C") == kept
            urls = [get_settings().state_database, *(catalog.url for catalog in catalogs(get_settings()))]
            for url in urls:
                assert not _holds(url, [home.people["B"], "CANARY-B", "CANARY-A-south"]), url.rpartition("/")[2]
            for opened, lake in ((open_vault, "vault"), (open_records, "records")):
                with opened(read_only=True) as connection:
                    assert connection.execute(f"SELECT count(*) FROM ducklake_snapshots('{lake}')").fetchone() == (1,)
    finally:
        home.clean_up()
        with home.lived_in():
            engine().dispose()


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
