"""A sandbox's verifier and the REST API, both real servers on loopback, in front of a home whose people verify."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests
import uvicorn

from charthouse.api.app import make_server_app
from charthouse.api.tokens import issue
from charthouse.linking import consents, people
from charthouse.linking.identity import parse_identity
from charthouse.linking.keys import ensure_key
from charthouse.linking.verifiers import set_verifier
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.engine import engine
from sandbox.identity import Habits, Identities
from sandbox.server import make_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY, SECRET = "sandbox_key_of_ours", "what signs events"
ANN = ("Annabeth", "Quorvendish", "1971-07-19")


@dataclass
class Town:
    """Both servers, and the home."""

    api: str
    verifier: str
    held: Identities
    clock: Path
    home: Path

    def person(self, who: tuple[str, str, str] = ANN, *, consent: bool = True) -> str:
        """An account of somebody; its key."""
        first, last, born = who
        identity = parse_identity({"names": [{"given": [first], "family": last}], "birth_date": born})
        with session() as state:
            key = people.create_person(state, identity=identity, android_version=14).person_key
            if consent:
                consents.give(state, key, consents.IMPORT)
        return key

    def ask(self, method: str, path: str, key: str, **said: Any) -> requests.Response:
        """The REST API, as a person."""
        token = {"Authorization": f"Bearer {issue(person=key)}"}
        return requests.request(method, self.api + path, headers=token, timeout=30, **said)

    def begin(self, key: str, **said: Any) -> dict[str, Any]:
        """Begin to verify somebody."""
        answer = self.ask("POST", f"/people/{key}/verifications", key, json=said)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def show(self, open_url: str, outcome: str = "success", who: tuple[str, str, str] = ANN) -> requests.Response:
        """Go through the verifier's page, and back to ours."""
        assert requests.get(open_url, timeout=10).ok
        page, _, token = open_url.partition("?token=")
        form = dict(zip(("first_name", "last_name", "birth_date"), who, strict=True))
        return requests.post(page, data=form | {"token": token, "outcome": outcome}, timeout=30)

    def last(self, key: str) -> dict[str, Any]:
        """A person's newest verification, as the app sees it."""
        return dict(self.ask("GET", f"/people/{key}/verifications", key).json()["items"][-1])

    def until(self, key: str, status: str) -> dict[str, Any]:
        """The newest verification, once messages have brought it to this status."""
        for _ in range(100):
            found = self.last(key)
            if found["status"] == status:
                return found
            time.sleep(0.05)
        raise AssertionError(found)

    def send(self, session_id: str, **order: Any) -> list[int]:
        """Let the verifier send an event; the statuses of our answers."""
        said = {"project_id": "project_1", "session": session_id, **order}
        return list(requests.post(f"{self.verifier}/sandbox/messages", json=said, timeout=30).json()["statuses"])

    def habits(self, **changed: Any) -> None:
        """Let the verifier behave so."""
        self.held.habits = Habits(**changed)

    def set(self, secret: str = SECRET, hours: float = 48.0) -> None:
        """Set the verifier up in the home, and the home there."""
        with session() as state:
            set_verifier(
                state,
                project_id="project_1",
                key=KEY,
                webhook_secret=secret,
                old_webhook_hours=hours,
                api_url=f"{self.verifier}/v1",
                page_url=f"{self.verifier}/verify",
                requests_per_second=500.0,
            )

    def forward(self, seconds: float) -> None:
        """Move the time of the home."""
        self.clock.write_text(str(seconds))


@contextmanager
def _served(app: Any, line: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [line]}, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield
    server.should_exit = True
    thread.join(10)


def _line() -> tuple[socket.socket, str]:
    line = socket.create_server(("127.0.0.1", 0))
    return line, f"http://127.0.0.1:{line.getsockname()[1]}"


@pytest.fixture
def town(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """Everything, as it should be."""
    ours, public = _line()
    theirs, sandbox = _line()
    monkeypatch.setenv("CHARTHOUSE_PUBLIC_URL", public)
    monkeypatch.setenv("CHARTHOUSE_RETURN_ORIGINS", "https://app.example")
    monkeypatch.setenv("CHARTHOUSE_RETRY_WAIT_MAX", "0.02")
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(tmp_path / "clock"))
    get_settings.cache_clear()
    ensure_key()
    held = Identities()
    with _served(make_server_app(), ours), _served(make_app({}, identities=held), theirs):
        made = Town(f"{public}/charthouse/v1", f"{sandbox}/identity", held, tmp_path / "clock", home)
        made.set()
        project = {
            "project_id": "project_1",
            "api_key": KEY,
            "webhook_url": f"{made.api}/verifiers/clear/messages",
            "webhook_secret": SECRET,
            "webhook_token": "a-token-beside-the-signature",
        }
        requests.post(f"{made.verifier}/sandbox/projects", json=project, timeout=10).raise_for_status()
        yield made
    engine().dispose()
    get_settings.cache_clear()
