"""What Airflow has noted of somebody in its own database: masked, sign for sign, so that what reads it still can."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, MetaData, Table, UniqueConstraint, inspect, select, text
from sqlalchemy.exc import DBAPIError

from charthouse.errors import PrivacyError
from charthouse.privacy.registry import places
from charthouse.privacy.vocabulary import airflow_engine
from charthouse.state import tombstones

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from charthouse.privacy.matching import Matcher
    from charthouse.settings import Settings

MASK: Final = b"x"
_RUNS: Final = ("dag_run", "task_instance")
"""Tables tied to each other by the name of a run, which an operator may have given."""
Mask = Callable[[bytes], bytes]


def plain(said: bytes) -> bytes:
    """Nothing but the length of what was said."""
    return MASK * len(said)


def names(settings: Settings) -> Mask:
    """A mask for what has to stay different from others of its kind, and the same wherever it stands."""
    known = tombstones.opened(settings)

    def mask(said: bytes) -> bytes:
        secret = known.secret(f"mask {said.hex()}").hex().encode()
        return (secret * (len(said) // len(secret) + 1))[: len(said)]

    return mask


def erase(matcher: Matcher, settings: Settings) -> dict[str, int]:
    """Mask everything that `matcher` finds in the tables that hold what tasks said. Returns how many texts, by place.

    Raises:
        PrivacyError: CH911 when the database cannot be written.
    """
    made = airflow_engine(settings)
    if made is None:
        return {}
    taken: dict[str, int] = {}
    try:
        with made.begin() as connection:
            known = set(inspect(connection).get_table_names())
            if known.issuperset(_RUNS) and places("airflow", "mask"):
                _renamed(connection, matcher, names(settings))
            for place in places("airflow", "mask"):
                for name in sorted(known & set(place.what)):
                    taken[place.name] = taken.get(place.name, 0) + _masked(connection, name, matcher, names(settings))
    except DBAPIError as error:
        raise PrivacyError("CH911", where="airflow", what=type(error.orig).__name__) from None
    finally:
        made.dispose()
    return taken


def _renamed(connection: Connection, matcher: Matcher, mask: Mask) -> None:
    """Give runs that are named for somebody other names, and their tasks in the same statement: a key ties them."""
    for (run_id,) in connection.execute(text("SELECT DISTINCT run_id FROM dag_run")).all():
        masked = masked_text(run_id, matcher, mask)
        if masked is None:
            continue
        changes = [f"UPDATE {table} SET run_id = :new WHERE run_id = :old" for table in _RUNS]
        if connection.dialect.name == "postgresql":
            changes = [f"WITH tasks AS ({changes[1]}) {changes[0]}"]
        for change in changes:
            connection.execute(text(change), {"new": masked, "old": run_id})


def _names_of(table: Table) -> set[str]:
    """Columns whose values tell rows from each other, or are names of runs."""
    unique = {column.name for key in table.constraints if isinstance(key, UniqueConstraint) for column in key.columns}
    unique |= {column.name for index in table.indexes if index.unique for column in index.columns}
    return unique | {column.name for column in table.primary_key.columns} | {"run_id"}


def _masked(connection: Connection, name: str, matcher: Matcher, mask: Mask) -> int:
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
    naming = _names_of(table)
    changes: list[tuple[dict[str, Any], dict[str, Any]]] = []
    # Read as it is stored: what SQLAlchemy makes of a type is of no use here.
    for row in connection.execute(select(*map(text, quoted)).select_from(table)):
        values = dict(zip((column.name for column in table.columns), row, strict=True))
        changed = {}
        for column, value in values.items():
            masked = masked_text(value, matcher, mask if column in naming else plain)
            if masked is not None:
                changed[column] = masked
        if changed:
            changes.append((changed, {f"k_{number}": values[key.name] for number, key in enumerate(keys)}))
    for changed, found in changes:
        cast = {column: f"CAST(:v_{column} AS {kinds[column]})" for column in changed if server and column in kinds}
        to = ", ".join(f'"{column}" = {cast.get(column, f":v_{column}")}' for column in changed)
        said = {f"v_{column}": value for column, value in changed.items()}
        connection.execute(text(f'UPDATE "{name}" SET {to} WHERE {where}'), said | found)
    return sum(len(changed) for changed, _ in changes)


def masked_text(value: Any, matcher: Matcher, mask: Mask = plain) -> str | bytes | None:
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
        masked[start:end] = mask(raw[start:end])
    return masked.decode("utf-8", "replace") if isinstance(value, str) else bytes(masked)
