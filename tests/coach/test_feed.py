"""The feed for back ends with an index of their own: by REST, its webhook, and what is gone is gone there too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from charthouse.api import tokens
from charthouse.notify.secrets import webhook_secrets
from charthouse.operating.cli.feed import app as feed_commands
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.feed import CoachFeedEntry
from tests.api.conftest import Api, serving
from tests.coach import edge
from tests.coach.edge import Town, stocked_town, town
from tests.conftest import ROOT
from tests.notify.receivers import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


__all__ = ["stocked_town", "town"]


@dataclass
class BackEnd:
    """A back end that keeps an index by the documented rules, and nothing else."""

    api: Api
    cursor: str | None = None
    index: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    heard: list[dict[str, Any]] = field(default_factory=list)

    def read(self, limit: int = 200) -> list[str]:
        """Ask until there is no more. Returns the kinds of changes, in order."""
        kinds = []
        while True:
            asked = {"limit": limit} | ({"since": self.cursor} if self.cursor else {})
            answer = self.api.ask("GET", "/coach/feed", tokens.issue(operator=True), params=asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert len(page["items"]) <= limit
            for item in page["items"]:
                self.heard.append(item)
                kinds.append(item["change"])
                self.keep(item)
            self.cursor = page["cursor"]
            if not page["more"]:
                return kinds

    def keep(self, item: dict[str, Any]) -> None:
        if item["change"] == "gone":
            self.index.pop(item["subject"], None)
        elif item["change"] == "delete":
            self.index.get(item["subject"], {}).pop(item["fact_id"], None)
        else:
            self.index.setdefault(item["subject"], {})[item["fact_id"]] = item["fact"]

    def values(self) -> list[list[float]]:
        """What the index holds: the numbers of each subject."""
        return sorted(sorted(fact["value"]["number"] for fact in facts.values()) for facts in self.index.values())


@pytest.fixture
def api(town: Town) -> Iterator[Api]:
    """The API of their home."""
    with serving(api_limit="100000/minute", api_page_limit="100000/minute") as served:
        yield served


@pytest.fixture
def receiver(town: Town, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The back end's webhook, with the secret that verifies."""
    with session() as state:
        secret = webhook_secrets(state)[0].text
    made = Receiver(secret)
    monkeypatch.setenv("CHARTHOUSE_COACH_WEBHOOK_URL", made.url)
    get_settings.cache_clear()
    yield made
    made.close()


def gather() -> str:
    """What the DAG's two steps do, by the command, in this process. What it printed."""
    get_settings.cache_clear()
    done = CliRunner().invoke(feed_commands, ["gather"])
    assert done.exit_code == 0, done.output
    return done.output


def gather_apart(**env: str) -> subprocess.CompletedProcess[str]:
    """What the DAG does, as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "charthouse", "feed", "gather"],
        cwd=ROOT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_an_index_follows_what_changes(api: Api, town: Town, tmp_path: Path) -> None:
    """New, changed and retracted facts, in pages of one; another reader that starts later has the same in the end."""
    assert "1 new, 0 changed, 0 gone" in gather()
    assert "0 new, 0 changed, 0 gone" in gather(), "once"
    reader = BackEnd(api)
    assert reader.read(limit=1) == ["put", "put"]
    assert reader.values() == [[5.4, 6.1]], "nobody who did not agree"
    assert {item["person_key"] for item in reader.heard} == {town.person}
    assert reader.read() == []
    edge.put(
        tmp_path / "3",
        town.person,
        town.link,
        edge.a1c(1, 5.4, "2024-03-05", status="entered-in-error"),
        edge.a1c(2, 6.0, "2025-04-06", status="corrected"),
        edge.a1c(3, 5.8, "2025-09-09"),
    )
    edge.agree(town.other)
    assert "1 new, 1 changed, 0 gone" in gather()
    assert sorted(reader.read(limit=1)) == ["delete", "put", "put", "put"], "what did not change is not told"
    assert reader.values() == [[5.8, 6.0], [9.9]]
    late = BackEnd(api)
    assert late.read() == ["put"] * 3
    assert late.index == reader.index


def test_who_changes_during_a_sweep_is_not_passed_over(api: Api, town: Town, tmp_path: Path) -> None:
    """A page ends inside a person, who changes before the next one is asked for."""
    gather()
    reader = BackEnd(api)
    page = api.ask("GET", "/coach/feed", tokens.issue(operator=True), params={"limit": 1}).json()
    for item in page["items"]:
        reader.keep(item)
    reader.cursor = page["cursor"]
    edge.put(
        tmp_path / "2",
        town.person,
        town.link,
        edge.a1c(1, 7.7, "2024-03-05"),
        edge.a1c(2, 8.8, "2025-04-06"),
        edge.a1c(3, 9.1, "2025-05-05"),
    )
    gather()
    reader.read(limit=2)
    assert reader.values() == [[7.7, 8.8, 9.1]]


def test_who_withdraws_disappears_with_the_next_call(api: Api, town: Town) -> None:
    """Before any DAG has run; for a reader in the middle of a sweep too. Who agrees again is another subject."""
    key = town.person
    gather()
    reader, half = BackEnd(api), BackEnd(api)
    reader.read()
    page = api.ask("GET", "/coach/feed", tokens.issue(operator=True), params={"limit": 1}).json()
    half.keep(page["items"][0])
    half.cursor = page["cursor"]
    [subject] = reader.index
    edge.withdraw(key)
    assert reader.read() == ["gone"]
    half.read()
    assert (reader.index, half.index) == ({}, {})
    assert reader.heard[-1] == {
        "change": "gone", "subject": subject, "person_key": None, "fact_id": None, "fact": None
    }  # fmt: skip
    assert BackEnd(api).read() == [], "whoever starts hears nothing of them"
    edge.agree(key)
    gather()
    assert reader.read() == ["put", "put"]
    assert list(reader.index) != [subject]


def test_who_is_erased_disappears_and_leaves_no_name(api: Api, town: Town, tmp_path: Path) -> None:
    """A tombstone that nobody can trace back; after its time a cursor of before is told to start again."""
    key = town.person
    gather()
    reader, sleeper = BackEnd(api), BackEnd(api)
    reader.read()
    sleeper.read()
    done = subprocess.run(
        [sys.executable, "-m", "charthouse", "erase", key, "--yes"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert reader.read() == ["gone"]
    assert reader.index == {}
    with session(read_only=True) as state:
        [entry] = state.scalars(select(CoachFeedEntry))
        assert (entry.person_key, entry.sealed_key, entry.manifest, entry.mark) == (None, None, None, "")
    clock = tmp_path / "clock"
    clock.write_text(str(timedelta(days=32).total_seconds()))
    pruned = subprocess.run(
        [sys.executable, "-m", "charthouse", "retention", "--apply"],
        cwd=ROOT, env=os.environ | {"CHARTHOUSE_CLOCK_FILE": str(clock)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert pruned.returncode == 0, pruned.stderr + pruned.stdout
    with session(read_only=True) as state:
        assert state.scalars(select(CoachFeedEntry)).all() == []
    late = api.ask("GET", "/coach/feed", tokens.issue(operator=True), params={"since": sleeper.cursor})
    assert (late.status_code, late.json()["code"]) == (410, "CH693")
    assert reader.read() == [], "who has heard of it goes on"
    assert BackEnd(api).read() == []


def test_who_may_read_the_feed(api: Api, town: Town) -> None:
    """Operators alone, by cursors of the feed alone."""
    for token, params, status, code in (
        (None, {}, 401, "CH801"),
        (tokens.issue(person=town.person), {}, 403, "CH805"),
        (tokens.issue(operator=True), {"since": "gAAAAAB0"}, 422, "CH694"),
        (tokens.issue(operator=True), {"since": "x" * 2000}, 422, "CH811"),
        (tokens.issue(operator=True), {"limit": 0}, 422, "CH811"),
    ):
        answer = api.ask("GET", "/coach/feed", token, params=params)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    empty = api.ask("GET", "/coach/feed", tokens.issue(operator=True)).json()
    assert (empty["items"], empty["more"]) == ([], False)
    again = api.ask("GET", "/coach/feed", tokens.issue(operator=True), params={"since": empty["cursor"]})
    assert again.status_code == 200, "a feed in which nothing has happened yet"


def test_the_back_end_is_told_that_there_is_something(
    api: Api, town: Town, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed, without content; again under the same id until it is received, and anew for what came meanwhile."""
    key = town.person
    receiver.answer = 503
    assert "is called again" in gather()
    edge.agree(town.other)
    receiver.answer = 204
    clock = tmp_path / "clock"
    clock.write_text("60")
    monkeypatch.setenv("CHARTHOUSE_CLOCK_FILE", str(clock))
    assert "the back end knows" in gather()
    ids = [call["headers"]["webhook-id"] for call in receiver.calls]
    assert (ids[0] == ids[1], len(set(ids)), len(ids)) == (True, 2, 3)
    assert receiver.forged == 0
    for call in receiver.calls:
        assert (call["body"]["type"], call["body"]["data"]) == ("coach.changed", {})
        assert datetime.fromisoformat(call["body"]["timestamp"]).tzinfo is not None
        assert key.encode() not in call["raw"]
    gather()
    assert len(receiver.calls) == 3, "nothing new, no call"
    edge.withdraw(key)
    gather()
    assert len(receiver.calls) == 4, "a withdrawal is a change"


@pytest.mark.crash
def test_a_kill_between_any_two_steps_loses_nothing(api: Api, town: Town, receiver: Receiver) -> None:
    """Killed after the first of two people, before the call, and after it: the next run makes up for it."""
    edge.agree(town.other)
    reader = BackEnd(api)
    told = []
    for place in ("feed.noted", "feed.telling", "feed.told"):
        assert gather_apart(CHARTHOUSE_CRASH_AT=place).returncode == -signal.SIGKILL, place
        told.append(len(receiver.calls))
    assert told == [0, 0, 1]
    assert "0 new, 0 changed, 0 gone; the back end knows" in gather()
    assert len(receiver.calls) == 2
    assert len(receiver.told) == 1, "one message, twice under one id"
    assert reader.read() == ["put"] * 3
    assert reader.values() == [[5.4, 6.1], [9.9]]
