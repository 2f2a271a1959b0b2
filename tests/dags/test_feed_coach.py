"""A real run of feed_coach: it is numbered what changed, the back end hears, and Airflow learns nothing of anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.coach.feed import standing
from charthouse.notify.secrets import webhook_secrets
from charthouse.operating import airflow_process
from charthouse.settings import get_settings
from charthouse.state import session
from tests.coach.edge import Town, stocked_town, town
from tests.notify.receivers import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

__all__ = ["stocked_town", "town"]


def test_a_run_gathers_and_calls(
    town: Town, migrated_airflow: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = get_settings().home
    migrated_airflow(home)
    with session() as state:
        receiver = Receiver(webhook_secrets(state)[0].text)
    monkeypatch.setenv("CHARTHOUSE_COACH_WEBHOOK_URL", receiver.url)
    get_settings.cache_clear()
    log = home / "logs" / "test.log"
    with log.open("ab") as out:
        airflow_process.dag_test("feed_coach", {}, out).wait()
    receiver.close()
    assert [each["type"] for each in receiver.told] == ["coach.changed"], log.read_text()
    assert (standing()["people"], standing()["changes"], standing()["told_up_to"]) == (1, 1, 1)
    for file in (file for folder in ("logs", "airflow") for file in (home / folder).rglob("*") if file.is_file()):
        assert town.person.encode() not in file.read_bytes(), file.name
