"""Keys: wherever they come from, changed while others read, and every sealed column with them."""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import LargeBinary

from charthouse.errors import SetupError
from charthouse.linking import credentials, keys
from charthouse.settings import get_settings
from charthouse.state import sealed, session
from charthouse.state.key_sources import KeyFunction
from charthouse.state.models import Person
from charthouse.state.notices import Contact
from charthouse.state.seals import sealer_of
from charthouse.state.tables import Base

OWNER = "the owner of a canary"


def test_every_column_that_can_hold_something_sealed_is_declared():
    declared = {(column.model.__tablename__, column.column) for column in sealed.SEALED}
    stored = {
        (table.name, column.name)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    public = {("fhir_server", "statement")}  # what a server says of itself to anybody
    hashes = {("coach_feed_entry", "manifest")}  # under the entry's sealed key
    assert stored - public - hashes == declared


@pytest.fixture
def filled(home, link, workers):
    """A link with tokens, and a person with an identity and an address."""
    sealer = sealer_of()
    with session() as state:
        tokens = workers.Issued("access-canary", "refresh-canary", datetime.now(UTC) + timedelta(hours=1))
        credentials.store_tokens(state, link, tokens)
        person = state.query(Person).one()
        person.sealed_identity = sealer.seal("identity-canary", OWNER)
        state.add(
            Contact(person_key=person.person_key, channel="email", sealed_address=sealer.seal("address-canary", OWNER))
        )
    return link


def opened() -> tuple[str | None, str, str]:
    with session(read_only=True) as state:
        person, contact = state.query(Person).one(), state.query(Contact).one()
        return (
            credentials.refresh_token(state, state.query(credentials.Credential).one().link_id),
            sealer_of().open(person.sealed_identity, OWNER),
            sealer_of().open(contact.sealed_address, OWNER),
        )


WHOLE = ("refresh-canary", "identity-canary", "address-canary")


def counted() -> tuple[int, int, int]:
    found = keys.status()
    return tuple(sum(getattr(column, name) for column in found) for name in ("newest", "older", "lost"))


def test_a_new_key_seals_everything_anew_and_the_old_one_goes_when_nothing_needs_it(filled):
    file = get_settings().credentials_key
    reader = sealer_of()  # a task that is at work all the while
    old = file.read_text().split()
    assert keys.rotate() == 4
    assert opened() == WHOLE
    assert counted() == (4, 0, 0)
    assert file.read_text().split()[1:] == old
    assert keys.retire() == 1
    assert set(file.read_text().split()) & set(old) == set()
    assert opened() == WHOLE
    assert reader.is_newest(reader.seal("new", OWNER)), "a sealer that was made before follows"
    assert sealer_of().is_newest(reader.seal("new", OWNER))


@pytest.mark.crash
@pytest.mark.parametrize("point", ["keys.made", "keys.slice"])
def test_a_change_that_is_killed_goes_on_where_it_was(filled, at_once, point):
    assert at_once(("rotate",), crash_at=point) == [{"killed": signal.SIGKILL}]
    lines = get_settings().credentials_key.read_text().split()
    assert len(lines) == 2
    assert opened() == WHOLE
    assert counted()[1] > 0
    with pytest.raises(SetupError, match="rotate first"):
        keys.retire()
    assert at_once(("rotate",)) == [{"did": 4 if point == "keys.made" else 3}]
    assert get_settings().credentials_key.read_text().split() == lines, "no second new key"
    assert counted() == (4, 0, 0)
    assert opened() == WHOLE


def test_a_value_that_no_key_opens_is_told_and_keeps_nothing_else_back(filled):
    with session() as state:
        state.query(Person).one().sealed_identity = Fernet(Fernet.generate_key()).encrypt(b"[]")
    with pytest.raises(SetupError, match="everything but 1"):
        keys.rotate()
    assert counted() == (3, 0, 1)


def test_keys_of_the_environment(filled, monkeypatch):
    file = get_settings().credentials_key
    old, new = file.read_text().strip(), Fernet.generate_key().decode()
    monkeypatch.setenv("CHARTHOUSE_KEYS", f"{new}, {old}")
    file.unlink()
    get_settings.cache_clear()
    assert old not in repr(get_settings())
    assert opened() == WHOLE
    keys.check_key()
    assert keys.rotate() == 4
    with pytest.raises(SetupError, match="CHARTHOUSE_KEYS"):
        keys.retire()
    monkeypatch.setenv("CHARTHOUSE_KEYS", new)
    get_settings.cache_clear()
    assert opened() == WHOLE
    monkeypatch.setenv("CHARTHOUSE_KEYS", "no key")
    get_settings.cache_clear()
    with pytest.raises(SetupError, match="CH006") as refused:
        keys.check_key()
    assert "no key" not in str(refused.value)


def test_keys_of_a_function(filled, monkeypatch, tmp_path):
    file = get_settings().credentials_key
    monkeypatch.setattr(KeyFunction, "_answers", {})
    monkeypatch.delitem(sys.modules, "offered_keys", raising=False)
    (tmp_path / "offered_keys.py").write_text(f"def keys():\n    return [{file.read_text().strip()!r}]\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("CHARTHOUSE_KEY_PROVIDER", "offered_keys:keys")
    file.unlink()
    get_settings.cache_clear()
    assert opened() == WHOLE
    monkeypatch.setenv("CHARTHOUSE_KEY_PROVIDER", "offered_keys:none")
    get_settings.cache_clear()
    with pytest.raises(SetupError, match="offered_keys:none"):
        keys.check_key()
