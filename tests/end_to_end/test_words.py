"""What commands say to whoever sits at the terminal: words, and no lines of the log among them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from charthouse.linking import links, people, providers
from charthouse.notify.outbox import tell
from charthouse.settings import PROJECT_ROOT, get_settings
from charthouse.state import session
from charthouse.state.notices import Delivery, Notice
from tests.conftest import Installation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def said(home: Path) -> Installation:
    return Installation(home)


def linked() -> tuple[str, str]:
    with session() as state:
        providers.register_provider(state, slug="there", name="There", fhir_base_url="http://127.0.0.1:1/fhir")
        person = people.create_person(state).person_key
        return person, links.start_link(state, person, "there", "direct", actor="operator").id


def test_the_version(said: Installation) -> None:
    done = said.run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "charthouse")
    assert done.stdout.split()[1] in (PROJECT_ROOT / "pyproject.toml").read_text()


def test_what_cannot_be_taken_back_asks_for_yes(said: Installation) -> None:
    person, link = linked()
    for command in (["erase", person], ["delete-link", link], ["refetch"]):
        done = said.run(*command)
        assert done.returncode == 2
        assert f"charthouse {' '.join(command)} --yes" in done.stderr
        assert done.stderr.startswith("Nothing was done.")
    assert said.run("refetch", "--yes").returncode == 0


def test_a_link_that_is_disconnected_already(said: Installation) -> None:
    _, link = linked()
    first, second = said.run("disconnect", link), said.run("disconnect", link)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "already" not in first.stdout
    assert "already" in second.stdout


def test_a_notice_that_was_sent_is_not_sent_again(said: Installation) -> None:
    person, _ = linked()
    with session() as state:
        tell(state, person, "erased", dedupe="once")
        notice = state.query(Notice).one()
        state.add(Delivery(notice_id=notice.id, channel="email", status="sent"))
        notice_id = notice.id
    done = said.run("notices", "retry", notice_id)
    assert (done.returncode, done.stdout) == (1, "")
    assert "it was sent" in done.stderr


def test_the_log_is_a_file_and_the_terminal_has_words(said: Installation) -> None:
    person, _ = linked()
    for command in (["retention", "--apply"], ["erase", person, "--yes"]):
        done = said.run(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert '"event"' not in done.stdout
    [log] = (said.home / "logs").glob("charthouse-*.log")
    assert {"retention applied", "a request was erased and proven"} <= {
        json.loads(line)["event"] for line in log.read_text().splitlines()
    }
    assert person not in log.read_text()
    heard = said.run("retention", "--apply", env={"CHARTHOUSE_LOG_FILE": "-"})
    assert "retention applied" in [json.loads(line)["event"] for line in heard.stderr.splitlines()]


def test_a_sentence_ends_once(said: Installation) -> None:
    told = said.run("sql", "select x from nowhere").stderr
    assert told.startswith("CH010 ")
    assert "!." not in told


def test_a_restore_without_keys_says_where_they_go(said: Installation, tmp_path: Path) -> None:
    assert said.run("backup", str(tmp_path / "backup"), "--keys", str(tmp_path / "keys")).returncode == 0
    done = Installation(tmp_path / "other").run("restore", str(tmp_path / "backup"))
    assert done.returncode == 1
    assert "--keys DIR" in done.stderr


def test_what_is_written_is_its_owners_alone(installation: Installation) -> None:
    assert installation.run("init").returncode == 0
    assert installation.run("people", "add").returncode == 0
    open_ones = [file.name for file in installation.home.rglob("*") if file.is_file() and file.stat().st_mode & 0o077]
    assert open_ones == []
    get_settings.cache_clear()
