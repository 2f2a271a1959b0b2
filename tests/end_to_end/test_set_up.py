"""What keeps a night from starting is one clear sentence with a number, exit code 1, and no traceback."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from charthouse import credentials, links, people, providers
from charthouse.state import session

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def assert_refused(done: subprocess.CompletedProcess[str], code: str, *parts: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    [sentence] = done.stderr.strip().splitlines()
    assert sentence.startswith(f"{code} ")
    for part in parts:
        assert part in sentence


def test_a_source_that_is_not_there(installation: Any) -> None:
    assert_refused(installation.run("nightly", "--source", "no/such/folder"), "CH002", "no/such/folder")


def test_a_source_without_resources(installation: Any, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("nothing to see")
    assert_refused(installation.run("nightly", "--source", str(tmp_path / "source")), "CH003", "source")


def test_a_port_in_use(installation: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = installation.run("nightly", "--people", "1", env={"CHARTHOUSE_SANDBOX_PORT": port})
    assert_refused(done, "CH004", port)


def test_a_home_that_cannot_be_made(installation: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = installation.run("nightly", env={"CHARTHOUSE_HOME": str(tmp_path / "file" / "home")})
    assert_refused(done, "CH005", "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_home(installation: Any, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    done = installation.run("nightly", env={"CHARTHOUSE_HOME": str(tmp_path / "locked" / "home")})
    assert_refused(done, "CH005", "locked")


def test_a_key_that_is_missing(home: Path, new_installation: Any) -> None:
    class Tokens:
        access_token, refresh_token, expires_at, scope, patient = "a", "r", None, "patient/*.rs", "somebody"

    with session() as state:
        providers.register_provider(state, slug="there", name="There", fhir_base_url="http://127.0.0.1:1/fhir")
        person = people.create_person(state)
        credentials.store_tokens(state, links.start_link(state, person.person_key, "there", "direct").id, Tokens())
    (home / "keys" / "credentials.key").unlink()
    installation = new_installation(home)
    assert_refused(installation.run("nightly", "--people", "1"), "CH006", "credentials.key")
    [finding] = [row for row in _findings(installation) if row["what"] == "credentials key"]
    assert not finding["healthy"]
    assert "backup" in finding["mend"]


def test_a_setting_that_does_not_fit(installation: Any) -> None:
    done = installation.run("status", env={"CHARTHOUSE_BATCH_LINKS": "many"})
    assert_refused(done, "CH001", "CHARTHOUSE_BATCH_LINKS")


def test_a_home_that_another_night_holds(installation: Any) -> None:
    from filelock import FileLock

    assert installation.run("init").returncode == 0
    with FileLock(installation.home / "home.lock"):
        assert_refused(installation.run("nightly", "--people", "1"), "CH007")


def test_status_and_sql_before_the_first_night(installation: Any) -> None:
    assert installation.run("init").returncode == 0
    assert_refused(installation.run("status"), "CH009", "make nightly")
    assert installation.rows("select count(*) as n from vaccines") == [{"n": 0}]


def _findings(installation: Any) -> Any:
    return json.loads(installation.run("doctor", "--json").stdout)
