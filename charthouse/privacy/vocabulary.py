"""What this installation says by itself, about nobody: its program, and the places that hold nothing of a person.

A text of a record that stands here as well (a code, a provider's name, a word of Airflow's) is no trace of anybody.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from sqlalchemy import MetaData, Table, create_engine, inspect, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from charthouse.privacy.matching import Matcher
from charthouse.privacy.registry import place_of, places
from charthouse.settings import PROJECT_ROOT
from charthouse.state.engine import engine

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Engine

    from charthouse.settings import Settings

ROOMS: Final = ("charthouse", "transforms", "schemas", "expectations", "dags", "plugins")
SUFFIXES: Final = frozenset({".py", ".json", ".toml", ".gz", ".html", ".txt", ".css", ".js", ".sql"})
BUSY_SECONDS: Final = 60
LARGEST: Final = 64_000_000


def ordinary(needles: Collection[bytes], words: Collection[bytes], settings: Settings) -> set[bytes]:
    """Those of `needles`, and of `words` that stand by themselves, that the installation says by itself."""
    matcher = Matcher(needles, words)
    found: set[bytes] = set()
    for said in _said(settings):
        found |= matcher.found(said)
    return found


def _said(settings: Settings) -> Iterator[bytes]:
    yield f"{settings.home}\n{settings.model_dump_json()}".encode()
    for room in ROOMS:
        for file in sorted((PROJECT_ROOT / room).rglob("*")):
            if file.suffix in SUFFIXES and file.is_file():
                content = file.read_bytes()
                yield gzip.decompress(content) if file.suffix == ".gz" else content
    for place in places("files", ""):
        if place.name in ("sandbox", "keys", "receipts"):
            continue
        for pattern in place.what:
            for file in sorted(settings.home.glob(pattern)):
                inside = file.relative_to(settings.home).as_posix()
                of_this = place_of("files", inside) is place  # a pattern may cover more than is left to it
                if of_this and file.is_file() and file.stat().st_size < LARGEST:
                    yield file.read_bytes()
    yield from _tables(engine(settings), [name for place in places("state", "") for name in place.what])
    airflow = airflow_engine(settings)
    if airflow is not None:
        yield from _tables(airflow, [name for place in places("airflow", "") for name in place.what])
        airflow.dispose()


def airflow_engine(settings: Settings) -> Engine | None:
    """An engine of Airflow's own database; None where there is none in this home."""
    url = make_url(settings.airflow_metadata)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True)
    from pathlib import Path

    if not url.database or not Path(url.database).exists():
        return None
    return create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})


def _tables(made: Engine, names: list[str]) -> Iterator[bytes]:
    """The rows of tables, as text."""
    with made.connect() as connection:
        known = set(inspect(connection).get_table_names())
        for name in names:
            if name not in known or name == "sqlite_sequence":
                continue
            try:
                table = Table(name, MetaData(), autoload_with=connection)
                rows = connection.execute(
                    select(*[text(f'"{column.name}"') for column in table.columns]).select_from(table)
                )
                yield "\n".join(repr(tuple(row)) for row in rows).encode("utf-8", "replace")
            except SQLAlchemyError:
                continue
