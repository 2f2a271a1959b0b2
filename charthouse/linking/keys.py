"""The keys that seal: made on a new installation, looked after, and changed without anyone signing in again.

A change goes: a new key in front (`rotate` puts it into the file; a variable or a connection gets it from an operator),
everything sealed anew under it, and the old ones taken out once nothing needs them (`retire`). Between any two steps
the old keys still open what they sealed, so a change that is cut off goes on when it is run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.fernet import Fernet
from sqlalchemy import and_, inspect, select, tuple_, update
from sqlalchemy.exc import DBAPIError

from charthouse import faults
from charthouse.errors import SetupError, StateError
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, current_version
from charthouse.state import session as state_session
from charthouse.state.engine import describe, engine
from charthouse.state.key_sources import KeyFile, make_key, replace_keys, source_of
from charthouse.state.locks import exclusive
from charthouse.state.sealed import SEALED, SealedColumn
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charthouse.state.seals import Sealer

SLICE: Final = 500
"""Rows sealed anew in one transaction: others wait no longer than that takes."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one column holds: values sealed under the newest key, under older ones, and such that no key opens."""

    column: str
    newest: int
    older: int
    lost: int


def ensure_key(settings: Settings | None = None) -> None:
    """Make the key file on a new installation; otherwise look that the keys are usable.

    Raises:
        SetupError: CH006 when they are malformed, do not open what is stored, or are missing while something is stored.
    """
    settings = settings or get_settings()
    source = source_of(settings)
    if isinstance(source, KeyFile) and not source.file.exists():
        if _any_sealed(settings) is not None:
            raise SetupError("CH006", where=source.where, what="there are sealed tokens, and no key to open them")
        make_key(source.file)
    check_key(settings)


def check_key(settings: Settings | None = None) -> None:
    """Look that the keys are usable and open what is stored: one value of every sealed column.

    Raises:
        SetupError: CH006 when they are missing, unreadable, malformed, or others than what is stored was sealed with.
    """
    settings = settings or get_settings()
    sealer = sealer_of(settings)
    for _, sealed in _samples(settings):
        if not sealer.opens(sealed):
            raise SetupError("CH006", where=sealer.where, what="it does not open what is stored")


def key_is_needed(settings: Settings | None = None) -> bool:
    """Whether anything is stored that only the key can open; what cannot be asked counts as yes."""
    try:
        return _any_sealed(settings or get_settings()) is not None
    except StateError:
        return True


def status(settings: Settings | None = None) -> list[Sealed]:
    """What every sealed column holds, by the key that opens it."""
    settings = settings or get_settings()
    sealer = sealer_of(settings)
    counted = []
    for column in SEALED:
        found = {"newest": 0, "older": 0, "lost": 0}
        for rows in _slices(column, settings):
            for *_, sealed in rows:
                found["newest" if sealer.is_newest(sealed) else "older" if sealer.opens(sealed) else "lost"] += 1
        counted.append(Sealed(column.name, **found))
    return counted


def rotate(settings: Settings | None = None) -> int:
    """Change the key: put a new one in front, unless a change is under way, and seal everything anew under it.

    Keys that are not in a file are put in front by whoever holds them; then this seals anew. Returns how many values it
    sealed. Killed anywhere, it goes on when it is run again.

    Raises:
        SetupError: CH006 when there is a value that no key opens: nothing else is left undone.
    """
    settings = settings or get_settings()
    with exclusive("sealing keys", settings):
        source, under_way = source_of(settings), any(column.older for column in status(settings))
        if isinstance(source, KeyFile) and not under_way:
            replace_keys(source.file, [Fernet.generate_key(), *source.keys()])
            faults.point("keys.made")
        return _reseal(sealer_of(settings), settings)


def retire(settings: Settings | None = None) -> int:
    """Take the older keys out of the key file, once nothing is sealed under them. Returns how many went.

    Raises:
        SetupError: CH006 when something is sealed under them, or the keys are not in a file.
    """
    settings = settings or get_settings()
    with exclusive("sealing keys", settings):
        source = source_of(settings)
        if not isinstance(source, KeyFile):
            raise SetupError("CH006", where=source.where, what="its keys are taken out where they are kept")
        if any(column.older for column in status(settings)):
            raise SetupError("CH006", where=source.where, what="older keys still open something: rotate first")
        newest, *older = source.keys()
        if older:
            replace_keys(source.file, [newest])
            with state_session(settings) as state:
                audit.record(state, "operator", "keys.retired", "keys", "seals", {"keys": len(older)})
    return len(older)


def _reseal(sealer: Sealer, settings: Settings) -> int:
    done = lost = 0
    for column in SEALED:
        for rows in _slices(column, settings):
            changes = []
            for *key, sealed in rows:
                if sealer.is_newest(sealed):
                    continue
                if sealer.opens(sealed):
                    changes.append((key, sealed, sealer.reseal(sealed)))
                else:
                    lost += 1
            if not changes:
                continue
            with state_session(settings) as state:
                for key, before, after in changes:
                    # A value that somebody replaced meanwhile was sealed under the newest key by then.
                    same = and_(*(part == value for part, value in zip(column.key, key, strict=True)))
                    state.execute(
                        update(column.model).where(same, column.attribute == before).values({column.column: after})
                    )
            done += len(changes)
            faults.point("keys.slice")
    with state_session(settings) as state:
        audit.record(state, "operator", "keys.rotated", "keys", "seals", {"values": done, "lost": lost})
    if lost:
        raise SetupError("CH006", where=sealer.where, what=f"it opens everything but {lost} stored values")
    return done


def _slices(column: SealedColumn, settings: Settings) -> Iterator[list[tuple[Any, ...]]]:
    """(key…, sealed value) of every row that has one, in the order of the keys, a slice at a time."""
    key = column.key
    last: tuple[Any, ...] | None = None
    while True:
        query = select(*key, column.attribute).where(column.attribute.is_not(None)).order_by(*key).limit(SLICE)
        if last is not None:
            query = query.where(tuple_(*key) > last)
        with state_session(settings, read_only=True) as state:
            rows = [tuple(row) for row in state.execute(query)]
        if rows:
            yield rows
        if len(rows) < SLICE:
            return
        last = rows[-1][:-1]


def _any_sealed(settings: Settings) -> tuple[SealedColumn, bytes] | None:
    return next(_samples(settings), None)


def _samples(settings: Settings) -> Iterator[tuple[SealedColumn, bytes]]:
    """One stored value of every sealed column that has any; none on a new installation.

    The schema need not be this code's: the keys are looked after before the database is migrated.
    """
    if current_version(settings) is None:
        return
    try:
        with engine(settings).execution_options(postgresql_readonly=True).connect() as connection:
            looked_at = inspect(connection)
            standing = {
                table: {found["name"] for found in looked_at.get_columns(table)}
                for table in looked_at.get_table_names()
            }
            for column in SEALED:
                if column.column not in standing.get(column.model.__tablename__, ()):
                    continue
                query = select(column.attribute).where(column.attribute.is_not(None)).limit(1)
                sealed = connection.execute(query).scalar()
                if sealed is not None:
                    yield column, sealed
    except DBAPIError as error:
        raise StateError("CH605", what=describe(error)) from None
