"""A home with a person and a link, as the tests of the state have it; a clock that moves; a provider that answers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from charthouse.clock import now
from charthouse.linking import credentials, links, people, providers
from charthouse.linking.identity import HumanName, Identity
from charthouse.settings import get_settings
from charthouse.state import session
from tests.linking.authorization_server import AuthorizationServer
from tests.linking.odd_provider import OddProvider
from tests.state.conftest import at_once, empty, home, link, postgres_schema, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["at_once", "empty", "home", "link", "postgres_schema", "workers"]


@pytest.fixture
def clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Put the clock ahead, by so much of the real time."""
    file = home / "clock"
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(file))
    get_settings.cache_clear()
    return lambda ahead: file.write_text(str(ahead.total_seconds())) and None


@pytest.fixture
def server(home: Path) -> Iterator[AuthorizationServer]:
    """The authorization server of the provider `portal`."""
    with AuthorizationServer() as standing:
        with session() as state:
            providers.register_provider(state, slug="portal", name="Portal", fhir_base_url=standing.base)
        yield standing


@pytest.fixture
def signed_in(server: AuthorizationServer, workers) -> Callable[..., str]:
    """A confirmed link of a new person at the portal, whose refresh token is `name.0`."""

    def make(
        name: str,
        *,
        refresh: bool = True,
        lasts: float | None = 3600,
        confirmed: bool = True,
        told: timedelta | None = None,
    ) -> str:
        with session() as state:
            person = people.create_person(state)
            link = links.start_link(state, person.person_key, "portal", "direct", patient_id=f"patient-{name}").id
            expires = None if lasts is None else now() + timedelta(seconds=lasts)
            tokens = workers.Issued(f"access-canary.{name}", f"{name}.0" if refresh else None, expires, "patient/*.rs")
            ends = None if told is None else now() + told
            credentials.store_tokens(state, link, tokens, refresh_expires_at=ends)
            if confirmed:
                links.transition(state, link, "confirmed", "records_received", "sync")
        return link

    return make


@pytest.fixture
def later(clock: Callable[[timedelta], None]) -> Callable[[float], None]:
    """Put the clock ahead, in seconds."""
    return lambda seconds: clock(timedelta(seconds=seconds))


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


EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
