"""A home whose people can be told things, a clock that is moved, and who is told: a push service, a mail server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from charthouse.linking import links, people
from charthouse.notify import contacts, drain, outbox, secrets
from charthouse.settings import get_settings
from charthouse.state import session
from tests.notify.receivers import MailServer, Receiver, mail_controller
from tests.state.conftest import empty, home, postgres_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["empty", "home", "postgres_schema"]


@pytest.fixture
def configure(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings: `configure(webhook_url=…)`."""

    def change(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"CHARTHOUSE_{name.upper()}", str(value))
        get_settings.cache_clear()

    return change


@pytest.fixture
def clock(home: Path, configure: Callable[..., None]) -> Callable[[float], None]:
    """Move the clock ahead by so many seconds, counted from the real one."""
    file = home / "clock"
    configure(clock_file=file)
    return lambda seconds: file.write_text(str(seconds)) and None


@pytest.fixture
def person(home: Path) -> str:
    """A new person."""
    with session() as state:
        return people.create_person(state).person_key


@pytest.fixture
def link(person: str) -> str:
    """The id of a pending link of theirs with the provider `clinic`, whose name is Clinic."""
    with session() as state:
        return links.start_link(state, person, "clinic", "direct", patient_id="patient-canary").id


@pytest.fixture
def receiver(configure: Callable[..., None]) -> Iterator[Receiver]:
    """The app's push service, with the secret that verifies."""
    with session() as state:
        made = Receiver(secrets.webhook_secrets(state)[0].text)
    configure(webhook_url=made.url)
    yield made
    made.close()


@pytest.fixture
def mails(configure: Callable[..., None]) -> Iterator[MailServer]:
    """A mail server that takes everything."""
    server = MailServer()
    controller = mail_controller(server)
    configure(
        smtp_url=f"smtp://127.0.0.1:{controller.port}",
        mail_from="Health Records <records@charthouse.example>",
        public_url="https://records.example",
    )
    yield server
    controller.stop()


@pytest.fixture
def write(person: str) -> Callable[[str], None]:
    """Give the person a mail address."""

    def give(address: str = "ada@people.example") -> None:
        with session() as state:
            contacts.set_contact(state, person, "email", address)

    return give


@pytest.fixture
def tell(person: str) -> Callable[..., None]:
    """Tell the person something."""
    number = iter(range(1_000_000))

    def say(kind: str, **told: object) -> None:
        with session() as state:
            assert outbox.tell(state, person, kind, **({"dedupe": f"test:{next(number)}"} | told))  # type: ignore[arg-type]

    return say


@pytest.fixture
def states(person: str) -> Callable[[], list[tuple[str, str, str, str | None]]]:
    """Every delivery of the person: kind, channel, status, code."""

    def ask() -> list[tuple[str, str, str, str | None]]:
        with session(read_only=True) as state:
            return [
                (notice.kind, way.channel, way.status, way.code)
                for notice in reversed(outbox.list_notices(state, person))
                for way in notice.deliveries
            ]

    return ask


@pytest.fixture
def drained() -> Callable[..., drain.DrainReport]:
    """Drain the outbox."""
    return drain.drain
