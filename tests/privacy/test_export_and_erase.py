"""An export and an erasure of the same person, at once: the export is called off, and nothing of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from charthouse.linking import people
from charthouse.privacy import erase, requests
from charthouse.privacy.export import job
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.privacy import ExportPart
from tests.conftest import home

__all__ = ["home"]  # an empty one, not that of the canaries

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def person(home: Path) -> str:
    with session() as state:
        return people.create_person(state).person_key


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
