"""The registry against what there is: the tables of all stores, and the files of a home after a real night."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from charthouse.privacy.registry import PLACES, place_of, places
from charthouse.state.tables import Base

if TYPE_CHECKING:
    from pathlib import Path

    from charthouse.privacy.registry import Store


def test_every_table_of_the_state_is_declared_with_what_ties_it_to_somebody() -> None:
    for table in Base.metadata.sorted_tables:
        place = place_of("state", table.name)
        assert place is not None, f"nobody registered {table.name}: can it hold something of a person?"
        assert place.why or place.person in table.columns, table.name
        assert place.link in ("", *table.columns.keys()), table.name
        tied = {key.column.table.name for key in table.foreign_keys} & {"person", "link", "notice"}
        assert place.eraser or not tied, f"{table.name} points at somebody"


def test_a_place_is_declared_once_and_says_why_it_needs_no_eraser() -> None:
    names = [place.name for place in PLACES]
    assert len(set(names)) == len(names)
    for place in PLACES:
        assert bool(place.why) != bool(place.eraser), place.name
        assert place.is_empty or place.person, place.name


def test_everything_that_a_night_leaves_is_registered(night: Any) -> None:
    home: Path = night.home
    databases: list[tuple[Store, Path]] = [
        ("state", home / "state.sqlite"),
        ("catalogs", home / "vault" / "catalog.sqlite"),
        ("catalogs", home / "records" / "catalog.sqlite"),
        ("airflow", home / "airflow" / "airflow.db"),
    ]
    for store, file in databases:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            lake = file.parent.name
            if store == "catalogs":
                inside = [name for (name,) in database.execute("SELECT table_name FROM ducklake_table")]
                assert {name for name in inside if place_of(lake, name) is None} == set(), lake  # type: ignore[arg-type]
        assert {name for name in tables if place_of(store, name) is None} == set(), store
    files = [file.relative_to(home).as_posix() for file in home.rglob("*") if file.is_file()]
    assert {name for name in files if place_of("files", name) is None} == set()


def test_every_entry_for_files_is_needed_by_something_or_says_where_it_comes_from(night: Any) -> None:
    home: Path = night.home
    found = {place_of("files", file.relative_to(home).as_posix()) for file in home.rglob("*") if file.is_file()}
    seldom = {"landing", "uploads", "staging", "exports", "spill", "airflow's logs", "receipts", "temporary copies"}
    assert {place.name for place in places("files") if place not in found} <= seldom
