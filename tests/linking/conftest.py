"""A home with a person and a link, as the tests of the state have it; and a provider to sign in at."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from charthouse.linking import people, providers
from charthouse.linking.identity import HumanName, Identity
from charthouse.settings import get_settings
from charthouse.state import session
from tests.linking.odd_provider import OddProvider
from tests.state.conftest import at_once, empty, home, link, postgres_schema, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["at_once", "empty", "home", "link", "postgres_schema", "workers"]


@pytest.fixture
def later(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves our clock by so many seconds."""
    file = home / "clock"
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(file))
    get_settings.cache_clear()
    return lambda seconds: file.write_text(str(seconds), encoding="ascii") and None


@pytest.fixture
def provider(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddProvider]:
    """A provider that everything is right with, known as `odd`."""
    monkeypatch.setenv("CHARTHOUSE_REQUEST_TRIES", "1")
    monkeypatch.setenv("CHARTHOUSE_RETRY_WAIT_MAX", "0.01")
    get_settings.cache_clear()
    with OddProvider() as server:
        with session() as state:
            providers.register_provider(state, slug="odd", name="Odd", fhir_base_url=server.base)
        yield server


@pytest.fixture
def person(home: Path) -> str:
    """The key of a person whose account says who they are: the provider's patient."""
    identity = Identity((HumanName("Canaryfamily", ("Annacanary",)),), date(1980, 2, 29))
    with session() as state:
        return people.create_person(state, identity=identity).person_key
