"""A home with people, and the REST API in front of it: a real server on loopback, asked by ordinary requests."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import requests
import uvicorn

from charthouse.api import MOUNT, tokens
from charthouse.linking import links, people, providers
from charthouse.linking.identity import HumanName, Identity
from charthouse.settings import get_settings
from charthouse.state import session
from tests.linking.odd_provider import OddProvider
from tests.state.conftest import empty, home, postgres_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARIES = ("Zyxwalda", "Quorvendish", "1931-07-19")
"""Names and a birth date that no answer and no log may hold."""

RETURNS = "https://app.example, charthouse-app:"


class Api:
    """The API at its address, asked with a token or without."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    def ask(self, method: str, path: str, token: str | None = None, **said: Any) -> requests.Response:
        headers = dict(said.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        said.setdefault("timeout", 30)
        said.setdefault("allow_redirects", False)
        return self.http.request(method, self.url + path, headers=headers, **said)


class Clock:
    """Time as the tests will have it."""

    def __init__(self, file: Path) -> None:
        self._file, self._ahead = file, 0.0

    def forward(self, **by: float) -> None:
        from datetime import timedelta

        self._ahead += timedelta(**by).total_seconds()
        self._file.write_text(str(self._ahead))


@contextmanager
def serving(**changed: Any) -> Iterator[Api]:
    """The API on a free port, until the block ends; with settings that are changed."""
    from charthouse.api.app import make_server_app

    listening = socket.create_server(("127.0.0.1", 0))
    at = f"http://127.0.0.1:{listening.getsockname()[1]}"
    settings = get_settings().model_copy(update={"public_url": at, **changed})
    config = uvicorn.Config(make_server_app(settings), access_log=False, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield Api(at + MOUNT)
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Moves time; ask for it before the home."""
    file = tmp_path / "clock-of-the-test"
    file.write_text("0")
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(file))
    get_settings.cache_clear()
    return Clock(file)


@pytest.fixture
def provider(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddProvider]:
    """A provider that everything is right with, known as `odd`; its patient is the person."""
    monkeypatch.setenv("CHARTHOUSE_REQUEST_TRIES", "1")
    get_settings.cache_clear()
    with OddProvider() as server:
        server.patient = {
            "resourceType": "Patient",
            "id": "ann-canary",
            "name": [{"family": CANARIES[1], "given": [CANARIES[0]]}],
            "birthDate": CANARIES[2],
        }
        with session() as state:
            providers.register_provider(state, slug="odd", name="Odd Clinic", fhir_base_url=server.base)
        yield server


@pytest.fixture
def api(clock: Clock, home: Path) -> Iterator[Api]:
    """The API of a home with the provider `clinic`."""
    with serving(api_limit="100000/minute", api_page_limit="100000/minute", return_origins=RETURNS) as served:
        yield served


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of the test's own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


@pytest.fixture
def person(home: Path) -> str:
    """An adult of whom the account tells a name and a birth date."""
    identity = Identity((HumanName(family=CANARIES[1], given=(CANARIES[0],)),), date.fromisoformat(CANARIES[2]))
    with session() as state:
        return people.create_person(state, identity=identity, android_version=15).person_key


@pytest.fixture
def other(home: Path) -> str:
    """Somebody else."""
    with session() as state:
        return people.create_person(state).person_key


@pytest.fixture
def link(person: str) -> str:
    """A link of the person."""
    with session() as state:
        return links.start_link(state, person, "clinic", "direct", patient_id="patient-canary").id


@pytest.fixture
def operator(home: Path) -> str:
    """An operator's token."""
    return tokens.issue(operator=True)


@pytest.fixture
def own(person: str) -> str:
    """A token that acts for the person."""
    return tokens.issue(person=person)


__all__ = ["empty", "home", "postgres_schema"]
