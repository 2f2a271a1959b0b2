"""What Airflow has noted of somebody in its own database: masked, sign for sign, so that what reads it still can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, MetaData, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError

from charthouse.errors import PrivacyError
from charthouse.privacy.matching import Matcher
from charthouse.privacy.registry import places
from charthouse.privacy.vocabulary import airflow_engine

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from charthouse.settings import Settings

MASK = "x"


def erase(needles: Collection[bytes], settings: Settings) -> dict[str, int]:
    """Mask everything of `needles` in the tables that hold what tasks said. Returns how many texts that were, by place.

    Raises:
        PrivacyError: CH911 when the database cannot be written.
    """
    made = airflow_engine(settings)
    if made is None:
        return {}
    matcher = Matcher(needles)
    taken: dict[str, int] = {}
    try:
        with made.begin() as connection:
            known = set(inspect(connection).get_table_names())
            for place in places("airflow", "mask"):
                for name in sorted(known & set(place.what)):
                    taken[place.name] = taken.get(place.name, 0) + _masked(connection, name, matcher)
    except DBAPIError as error:
        raise PrivacyError("CH911", where="airflow", what=type(error.orig).__name__) from None
    finally:
        made.dispose()
    return taken


def _masked(connection: Connection, name: str, matcher: Matcher) -> int:
    table = Table(name, MetaData(), autoload_with=connection)
    keys = list(table.primary_key.columns)
    if not keys:
        return 0
    server = connection.dialect.name == "postgresql"
    kinds = {column.name: str(column.type) for column in table.columns if isinstance(column.type, JSON)}
    quoted = [
        f'CAST("{column.name}" AS TEXT)' if server and column.name in kinds else f'"{column.name}"'
        for column in table.columns
    ]
    where = " AND ".join(f'"{key.name}" = :k_{number}' for number, key in enumerate(keys))
    changes: list[tuple[str, dict[str, Any]]] = []
    # Read as it is stored: what SQLAlchemy makes of a type is of no use here.
    for row in connection.execute(select(*map(text, quoted)).select_from(table)):
        values = dict(zip((column.name for column in table.columns), row, strict=True))
        for column, value in values.items():
            masked = masked_text(value, matcher)
            if masked is not None:
                said = {f"k_{number}": values[key.name] for number, key in enumerate(keys)}
                changes.append((column, {"value": masked, **said}))
    for column, said in changes:
        value = f"CAST(:value AS {kinds[column]})" if server and column in kinds else ":value"
        connection.execute(text(f'UPDATE "{name}" SET "{column}" = {value} WHERE {where}'), said)
    return len(changes)


def masked_text(value: Any, matcher: Matcher) -> str | bytes | None:
    """A stored value with what it says of somebody masked; None where it says nothing."""
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
    else:
        return None
    spans = matcher.places(raw)
    if not spans:
        return None
    masked = bytearray(raw)
    for start, end in spans:
        masked[start:end] = MASK.encode() * (end - start)
    return masked.decode("utf-8", "replace") if isinstance(value, str) else bytes(masked)
