"""The schema: one migration at a time, no drift from the models, a clear word when it does not fit."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from charthouse.errors import StateError
from charthouse.linking import people
from charthouse.settings import get_settings
from charthouse.state import current_version, head_version, migrate, session
from charthouse.state.base import Base
from charthouse.state.engine import engine, sqlite_file
from charthouse.state.models import Person


def test_migrations_make_exactly_what_the_models_declare(home):
    with engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_processes_that_migrate_at_once_do_not_meet(empty, at_once):
    assert at_once(*[("migrate",)] * 3) == [{"did": head_version()}] * 3
    assert current_version() == head_version()


def test_a_database_of_another_version_is_refused_with_what_to_do(empty):
    with pytest.raises(StateError) as behind, session():
        pass
    assert behind.value.code == "CH609"
    assert "charthouse init" in str(behind.value)
    file = sqlite_file(get_settings())
    assert file is None or not file.exists(), "looking must not make a database"

    migrate()
    with engine().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for deed in (migrate, lambda: session().__enter__()):
        with pytest.raises(StateError, match=r"CH603.*9999"):
            deed()


def test_the_embedded_database_is_private_durable_and_checks_its_keys(home):
    file = sqlite_file(get_settings())
    if file is None:
        pytest.skip("the server looks after its own files")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with session() as state:
        pragmas = {
            name: state.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}


def test_instants_come_back_as_they_went_in_and_naive_ones_are_refused(home):
    at = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=timezone(timedelta(hours=-7)))
    with session() as state:
        state.add(Person(person_key="a", country="US", created_at=at))
    with session(read_only=True) as state:
        assert state.scalars(select(Person.created_at)).one() == at
        assert state.scalars(select(Person.created_at)).one().tzinfo is UTC
    with pytest.raises(StatementError, match="naive") as refused, session() as state:
        state.add(Person(person_key="key-canary", country="US", created_at=at.replace(tzinfo=None)))
    assert "canary" not in str(refused.value)


def test_a_session_keeps_all_or_nothing_and_a_reader_cannot_write(home):
    with pytest.raises(StateError, match="CH602"), session() as state:
        people.get_person(state, people.create_person(state).person_key + "?")
    with pytest.raises(StateError, match="CH605"), session(read_only=True) as state:
        people.create_person(state)
    with session(read_only=True) as state:
        assert people.list_people(state) == []


def test_what_the_database_refuses_is_told_without_its_values(home):
    with session() as state:
        state.add(Person(person_key="key-canary", country="US"))
    with pytest.raises(StateError) as refused, session() as state:
        state.add(Person(person_key="key-canary", country="US"))
    assert refused.value.code == "CH605"
    assert "IntegrityError" in str(refused.value) or "UniqueViolation" in str(refused.value)
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None
