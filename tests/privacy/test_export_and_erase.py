"""An export and an erasure of the same person, at once: the export is called off, and nothing of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from charthouse.linking import people
from charthouse.operating.home import prepare
from charthouse.privacy import erase, requests
from charthouse.privacy.export import job
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.privacy import ExportPart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    prepare()
    with session() as state:
        key = people.create_person(state).person_key
    yield key
    get_settings.cache_clear()


def test_what_was_exported_goes_and_what_waits_is_called_off(person: str) -> None:
    with session() as state:
        done = requests.ask_export(state, person, actor="operator").request_id
    job.run(done)
    assert list((get_settings().exports / done).iterdir())
    with session() as state:
        waiting = requests.ask_export(state, person, {"since": "2026-01-01"}).request_id
        asked = requests.ask_erasure(state, person).request_id
    [ended] = erase.run([asked])
    assert ended.done, ended
    assert not get_settings().exports.exists() or not list(get_settings().exports.iterdir())
    with session(read_only=True) as state:
        assert state.query(ExportPart).count() == 0
        found = requests.find(state, waiting)
    assert (found.status, found.person_key) == ("cancelled", None)
    assert job.plan() == [], "nobody takes it up again"
