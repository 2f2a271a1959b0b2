"""What keeps a night from starting is one clear sentence with a number, exit code 1, and no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from charthouse.errors import StateError
from charthouse.linking import credentials, links, people, providers
from charthouse.settings import PROJECT_ROOT
from charthouse.state import session
from charthouse.sync.finish import finish_run
from charthouse.sync.plan import plan_run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def assert_refused(done: subprocess.CompletedProcess[str], code: str, *parts: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    [sentence] = done.stderr.strip().splitlines()
    assert sentence.startswith(f"{code} ")
    for part in parts:
        assert part in sentence


@pytest.fixture
def ready(prepared_home: Path, tmp_path: Path, new_installation: Any) -> Any:
    """A home in which everything is made, so that nothing but what keeps the night from starting is waited for."""
    shutil.copytree(prepared_home, tmp_path / "home")
    return new_installation(tmp_path / "home")


def test_a_source_that_is_not_there(ready: Any) -> None:
    assert_refused(ready.run("nightly", "--source", "no/such/folder"), "CH002", "no/such/folder")


def test_a_source_without_resources(ready: Any, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("nothing to see")
    assert_refused(ready.run("nightly", "--source", str(tmp_path / "source")), "CH003", "source")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_source_that_may_not_be_read(installation: Any, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert_refused(installation.run("nightly", "--source", str(tmp_path / "closed")), "CH002", "closed")


def test_a_port_in_use(ready: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = ready.run("nightly", "--people", "1", env={"CHARTHOUSE_SANDBOX_PORT": port})
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


def store_some_token() -> None:
    class Tokens:
        access_token, refresh_token, expires_at, scope, patient = "a", "r", None, "patient/*.rs", "somebody"
        refresh_expires_at = None

    with session() as state:
        providers.register_provider(state, slug="there", name="There", fhir_base_url="http://127.0.0.1:1/fhir")
        person = people.create_person(state)
        credentials.store_tokens(state, links.start_link(state, person.person_key, "there", "direct").id, Tokens())


def test_a_key_that_is_missing(home: Path, new_installation: Any) -> None:
    store_some_token()
    (home / "keys" / "credentials.key").unlink()
    installation = new_installation(home)
    assert_refused(installation.run("nightly", "--people", "1"), "CH006", "credentials.key")
    [finding] = [row for row in _findings(installation) if row["what"] == "credentials key"]
    assert not finding["healthy"]
    assert "backup" in finding["mend"]


def test_a_home_that_another_night_holds(installation: Any) -> None:
    from filelock import FileLock

    assert installation.run("init").returncode == 0
    with FileLock(installation.home / "home.lock"):
        for command in ("nightly", "airflow", "init"):
            assert_refused(installation.run(command), "CH007")


def test_two_that_begin_at_once_in_a_new_home(installation: Any) -> None:
    with ThreadPoolExecutor(3) as aside:
        several = list(aside.map(lambda _: installation.run("init"), range(3)))
    assert {done.returncode for done in several} <= {0, 1}
    assert 0 in {done.returncode for done in several}
    for done in several:
        assert done.returncode == 0 or re.fullmatch(r"CH007 .*\n", done.stderr)


def test_status_and_sql_before_the_first_night(installation: Any) -> None:
    assert installation.run("init").returncode == 0
    assert_refused(installation.run("status"), "CH009", "make nightly")
    assert installation.rows("select count(*) as n from vaccines") == [{"n": 0}]


def test_a_run_of_an_unknown_provider_is_refused_before_it_begins(home: Path) -> None:
    """Opened first, it would have been closed as complete, and Airflow's run been green."""
    with pytest.raises(StateError, match=r"CH602.*elsewhere"):
        plan_run(["elsewhere"], airflow_run_id="manual")
    with pytest.raises(StateError, match="CH009"):
        finish_run("manual")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BATCH_LINKS", "many"),
        ("AIRFLOW_PORT", "65536"),
        ("SANDBOX_PORT", "-1"),
        ("DUCKDB_MEMORY", "lots"),
        ("STATE_URL", "mysql://someone:hunter2@host/db"),
        ("VAULT_CATALOG", "dbname=vault password=hunter2"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_setting_that_does_not_fit(installation: Any, variable: str, value: str) -> None:
    done = installation.run("init", env={f"CHARTHOUSE_{variable}": value})
    assert_refused(done, "CH001", f"CHARTHOUSE_{variable}")
    assert "hunter2" not in done.stderr


def test_an_empty_variable_is_an_unset_one(installation: Any) -> None:
    empty = installation.run("settings", "--json", env={"CHARTHOUSE_HOME": "", "CHARTHOUSE_AIRFLOW_PORT": ""})
    values = {row["variable"]: row["value"] for row in json.loads(empty.stdout)}
    assert values["CHARTHOUSE_HOME"] == str(PROJECT_ROOT / "var")
    assert values["CHARTHOUSE_AIRFLOW_PORT"] is None


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("status", "CH609"),
        ("people list --json", "CH609"),
        ("airflow dags list", "CH014"),
        ("airflow no-such-command", "CH014"),
        ("sql select", "CH501"),
    ],
)
def test_whoever_looks_at_a_home_that_is_not_there_makes_none(installation: Any, command: str, code: str) -> None:
    assert_refused(installation.run(*command.split()), code)
    assert not installation.home.exists()


@pytest.mark.parametrize("command", ["sql x", "init", "status", "airflow"])
def test_a_home_that_is_a_file(installation: Any, command: str) -> None:
    installation.home.write_text("in the way")
    done = installation.run(*command.split())
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert re.match(r"CH(005|013|501|609) ", done.stderr)


def test_a_key_that_does_not_open_what_is_stored(home: Path, new_installation: Any) -> None:
    store_some_token()
    key = home / "keys" / "credentials.key"
    key.write_bytes(Fernet.generate_key())
    assert_refused(new_installation(home).run("nightly"), "CH006", "credentials.key", "does not open")


def _findings(installation: Any) -> Any:
    return json.loads(installation.run("doctor", "--json").stdout)
