"""Backups: taken while a night runs, looked at, restored elsewhere; what is not whole or not ours is refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.lake.session import VAULT, open_vault, purge
from charthouse.lake.vault import compact
from charthouse.privacy import backup
from charthouse.settings import get_settings
from tests.conftest import ROOT, Installation
from tests.sync.conftest import BOTH, House, house, observation  # noqa: F401  # `house` is a fixture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLES = ("conditions", "lab_results", "medications", "vaccines", "visits", "vitals")


def rows_of(installation: Installation) -> list[str]:
    """The rows of some tables."""
    query = " UNION ALL ".join(
        f"SELECT '{table}' AS t, to_json({table})::VARCHAR AS row FROM {table}" for table in TABLES
    )
    return [json.dumps(row) for row in installation.rows(f"FROM ({query}) ORDER BY ALL")]


@pytest.fixture(scope="module")
def taken(
    tmp_path_factory: pytest.TempPathFactory, new_installation: Any
) -> tuple[Installation, list[str], list[str], Path]:
    """A home after two nights, its rows after each, and the folder of the backup that was taken during the second.

    Of six people, one is found by the partner and one comes by phone.
    """
    folder = tmp_path_factory.mktemp("taken")
    installation: Installation = new_installation(folder / "home")
    done = installation.run("nightly", "--people", "3", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    first = rows_of(installation)
    night = subprocess.Popen(
        [sys.executable, "-m", "charthouse", "nightly", "--people", "6", "--seed", "5"],
        cwd=ROOT,
        env=installation.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not (line := night.stdout.readline()).startswith("fetch"):
        assert line, "the night ended before it fetched"
    shutil.copytree(installation.home / "sandbox", folder / "sandbox")  # the provider, which nobody backs up
    done = installation.run("backup", str(folder / "backup"), "--keys", str(folder / "keys"))
    assert done.returncode == 0, done.stderr
    assert night.poll() is None, "the night was over before its backup"
    printed, _ = night.communicate(timeout=120)
    assert night.returncode == 0, printed
    second = rows_of(installation)
    assert len(second) > len(first) > 0
    return installation, first, second, folder


def test_a_backup_taken_during_a_night_goes_on_elsewhere(taken: Any, tmp_path: Path) -> None:
    _, first, second, folder = taken
    other = Installation(tmp_path / "home")
    stones = tmp_path / "home" / "keys" / "tombstones.jsonl"
    stones.parent.mkdir(parents=True)
    erased = '{"version": 1, "key": "00"}\n{"digest": "erased since"}\n'
    stones.write_text(erased)
    done = other.run("restore", str(folder / "backup"), "--keys", str(folder / "keys"))
    assert done.returncode == 0, done.stderr
    assert rows_of(other) in (first, second)
    assert stones.read_text() == erased
    assert other.run("audit", "verify").returncode == 0
    assert other.json("audit", "verify")["anchored"] == other.json("audit", "verify")["events"]

    shutil.copytree(folder / "sandbox", other.home / "sandbox")
    done = other.run("nightly", "--people", "6", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows_of(other) == second
    assert other.run("doctor").returncode == 0

    again = other.run("restore", str(folder / "backup"))
    assert (again.returncode, again.stderr[:6]) == (1, "CH954 ")
    assert rows_of(other) == second
    again = other.run("restore", str(folder / "backup"), "--replace")  # this home has its keys by now
    assert again.returncode == 0, again.stderr
    assert rows_of(other) in (first, second)


def flip(file: Path) -> None:
    """Change one byte in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("deed", "code", "named"),
    [
        (lambda made: flip(next(made.glob("vault/data/**/*.parquet"))), "CH953", "vault/data/"),
        (lambda made: flip(made / "state.sqlite"), "CH953", "state.sqlite"),
        (lambda made: flip(made / "records" / "catalog.sqlite"), "CH953", "records/catalog.sqlite"),
        (lambda made: flip(made / "manifest.jws"), "CH953", "manifest.jws"),
        (lambda made: next(made.glob("vault/data/**/*.parquet")).unlink(), "CH953", "vault/data/"),
        (lambda made: (made / "manifest.jws").unlink(), "CH953", "manifest.jws"),
    ],
)
def test_a_backup_that_was_changed_is_refused_and_named(
    taken: Any, tmp_path: Path, deed: Callable[[Path], None], code: str, named: str
) -> None:
    _, _, _, folder = taken
    shutil.copytree(folder / "backup", tmp_path / "made")
    deed(tmp_path / "made")
    other = Installation(tmp_path / "home")
    done = other.run("restore", str(tmp_path / "made"), "--keys", str(folder / "keys"))
    assert (done.returncode, done.stderr[:5]) == (1, code), done.stderr
    assert named in done.stderr
    assert [file.name for file in other.home.rglob("*")] == ["home.lock"], "nothing was touched"


def test_a_backup_opens_with_its_own_keys_alone(taken: Any, tmp_path: Path) -> None:
    _, _, _, folder = taken
    other = Installation(tmp_path / "home")
    assert other.run("init").returncode == 0
    done = other.run("restore", str(folder / "backup"), "--replace")
    assert (done.returncode, done.stderr[:6]) == (1, "CH006 ")
    assert str(folder / "backup") not in (folder / "backup" / "settings.json").read_text()
    secret = next((folder / "keys").glob("*/credentials.key")).read_bytes().strip()
    assert not any(secret in file.read_bytes() for file in (folder / "backup").rglob("*") if file.is_file())


@pytest.mark.crash
def test_a_killed_backup_or_restore_is_run_again(taken: Any, tmp_path: Path) -> None:
    installation, _, second, _ = taken
    target = tmp_path / "made"
    for point in ("backup.state", "backup.vault.catalog", "backup.copied", "backup.written"):
        done = installation.run("backup", str(target), env={"CHARTHOUSE_CRASH_AT": point})
        assert done.returncode == -signal.SIGKILL
        assert not target.exists(), point
    done = installation.run("backup", str(target))
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["made"], "nothing is left of those that were killed"

    other = Installation(tmp_path / "home")
    keys = str(installation.home / "keys")
    for point in ("restore.aside", "restore.vault", "restore.state"):
        done = other.run("restore", str(target), "--keys", keys, env={"CHARTHOUSE_CRASH_AT": point})
        assert done.returncode == -signal.SIGKILL
    assert other.run("init").stderr.startswith("CH954 "), "what is half restored is not used"
    done = other.run("restore", str(target), "--keys", keys)
    assert done.returncode == 0, done.stderr
    assert rows_of(other) == second


def test_a_backup_is_not_put_into_another(taken: Any, tmp_path: Path) -> None:
    installation, _, _, folder = taken
    before = sorted(path for path in folder.rglob("*"))
    for arguments in (
        [folder / "backup"],
        [folder / "backup" / "exports" / "of-today"],
        [tmp_path / "made", "--keys", folder / "backup" / "keys"],
    ):
        done = installation.run("backup", *map(str, arguments))
        assert (done.returncode, done.stderr[:6]) == (1, "CH958 "), done.stderr
    assert sorted(path for path in folder.rglob("*")) == before


def test_a_full_disk_leaves_nothing(taken: Any, tmp_path: Path) -> None:
    installation, _, _, _ = taken
    command = f'ulimit -f 100; exec "{sys.executable}" -m charthouse backup "{tmp_path / "made"}"'
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=installation.environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr[:6]) == (1, "CH952 "), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_lost_or_cannot_be_read_is_no_backup(taken: Any, tmp_path: Path) -> None:
    installation, _, _, _ = taken
    files = (installation.home / "vault" / "data").rglob("*.parquet")
    file = max(files, key=lambda one: one.stat().st_mtime_ns)  # older ones may be of no snapshot any more
    file.rename(tmp_path / "aside")
    try:
        for said in ("files that its catalog names are gone", file.name):
            done = installation.run("backup", str(tmp_path / "made"))
            assert (done.returncode, done.stderr[:6]) == (1, "CH952 "), done.stderr
            assert said in done.stderr
            file.mkdir(exist_ok=True)  # root reads every file, but no folder as one
    finally:
        shutil.rmtree(file, ignore_errors=True)
        (tmp_path / "aside").rename(file)
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_files_that_are_cleaned_away_meanwhile_and_both_databases(
    house: House,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house.night()
    house.provider.resources.append(observation(3))
    before = house.night()
    times = []

    def cleaned(point: str) -> None:
        if point == "backup.vault.catalog" and len(times) < 2:
            times.append(point)
            with open_vault() as connection:
                connection.execute(f"DELETE FROM {VAULT}.quarantine WHERE link_id = 'nobody'")
                connection.execute("INSERT INTO vault.deposits SELECT uuid()::VARCHAR, 0, NULL, now()")
                compact(connection)
                purge(connection, VAULT)

    monkeypatch.setattr(backup.faults, "point", cleaned)
    made = backup.make(tmp_path / "made", tmp_path / "keys")
    assert len(times) == 2
    assert made.rows["vault"]["resources"] == 5
    house.lose("vault")
    done = house.charthouse("restore", str(tmp_path / "made"), "--replace")
    assert done.returncode == 0, done.stderr
    get_settings.cache_clear()
    assert house.held() == before
    assert house.night() == before


@pytest.mark.postgres
def test_postgres_without_its_tools_is_refused(postgres_stores: dict[str, str], tmp_path: Path) -> None:
    installation = Installation(tmp_path / "home", postgres_stores)
    assert installation.run("init").returncode == 0
    done = installation.run("backup", str(tmp_path / "made"), env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stderr[:6]) == (1, "CH957 ")
    assert "pg_dump" in done.stderr
    assert not (tmp_path / "made").exists()
    assert ill(installation, PATH=str(tmp_path)) == {"backups": "CH957"}
    assert ill(installation) == {}
    old = tmp_path / "old"
    old.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (old / name).write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
        (old / name).chmod(0o755)
    done = installation.run("backup", str(tmp_path / "made"), env={"PATH": f"{old}:/usr/bin:/bin"})
    assert (done.returncode, done.stderr[:6]) == (1, "CH957 ")
    assert ill(installation, PATH=f"{old}:/usr/bin:/bin") == {"backups": "CH957"}


def ill(installation: Installation, **environment: str) -> dict[str, str]:
    """What the doctor finds ill, with the number that it gives."""
    found = json.loads(installation.run("doctor", "--json", env=environment).stdout)
    return {one["what"]: one["detail"][:5] for one in found if not one["healthy"]}
