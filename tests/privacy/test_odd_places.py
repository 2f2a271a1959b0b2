"""People who share things with others, and places that operators thought of: an erasure ends, and takes no more."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import unicodedata
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from charthouse.errors import StateError
from charthouse.files import write_whole
from charthouse.lake.session import open_vault
from charthouse.linking import links, people, signing_keys
from charthouse.linking.identity import parse_identity
from charthouse.notify.contacts import set_contact
from charthouse.notify.drain import drain
from charthouse.notify.outbox import tell
from charthouse.privacy import backup, erase, requests, restore
from charthouse.settings import get_settings
from charthouse.state import session, tombstones
from charthouse.state.engine import engine
from charthouse.state.locks import exclusive
from charthouse.state.models import LinkEvent
from charthouse.state.privacy import Receipt
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.store import store_batch
from tests.partners.odd_server import Asked, Reply, as_json
from tests.privacy.clinics import PATIENTS, SAME_ID, texts
from tests.privacy.conftest import environment
from tests.privacy.scanner import where
from tests.privacy.test_canary import charthouse, erased, signs_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.privacy.conftest import Home


def told(home: Home, person: str, address: str) -> set[str]:
    """Tell somebody something at an address. Returns the names of the new mails."""
    before = set((home.path / "mail").glob("*.eml"))
    with session() as state:
        set_contact(state, home.people[person], "email", address)
        tell(state, home.people[person], "erased", reason="link_deleted", dedupe=person)
    drain()
    return {file.name for file in set((home.path / "mail").glob("*.eml")) - before}


def test_who_share_an_address_keep_their_mails(home: Home) -> None:
    theirs = {person: told(home, person, "household@people.example") for person in "BC"}
    assert all(theirs.values())
    assert erased(home.people["B"]).done
    left = {file.name for file in (home.path / "mail").iterdir()}
    assert theirs["C"] <= left
    assert not theirs["B"] & left


def test_an_address_in_the_record_of_another_is_no_trace(home: Home) -> None:
    """A mother's address stands in her child's record, and her own in the record of one clinic of hers."""
    assert told(home, "C", "CANARY-B-north-mail@x.example")
    assert erased(home.people["B"]).done
    assert told(home, "A", "CANARY-A-south-mail@x.example")
    with session() as state:
        request = requests.ask_deletion(state, home.links["A", "south"]).request_id
    assert erase.run([request])[0].done


@pytest.mark.parametrize("address", ["bob.canary@bücher.example", "bøb.canary@people.example"])
def test_the_last_mail_names_nobody_of_an_international_domain(home: Home, address: str) -> None:
    with session() as state:
        set_contact(state, home.people["B"], "email", address)
    assert erased(home.people["B"]).done
    assert where(home.path, {"bob.canary", "bøb.canary"}) == set()


def test_runs_and_variables_that_are_named_for_people(home: Home) -> None:
    """Two of them, one after the other: what is left of their names must not be the same."""
    keys = [home.people[person] for person in "BC"]
    logs = home.path / "airflow" / "logs" / "dag_id=run_erasures"
    with closing(sqlite3.connect(home.path / "airflow" / "airflow.db")) as airflow:
        airflow.execute("PRAGMA ignore_check_constraints = ON")
        for key in keys:
            file = logs / f"run_id=for-{key}" / "task_id=erase" / "attempt=1.log"
            file.parent.mkdir(parents=True)
            file.write_text(f"about {key}")
            airflow.execute('INSERT INTO variable ("key", val, is_encrypted) VALUES (?, ?, 0)', [f"for {key}", key])
            airflow.execute(
                "INSERT INTO dag_run (dag_id, run_id, state, run_type, run_after, log_template_id, conf, "
                "clear_number, span_status) VALUES ('run_erasures', ?, 'success', 'manual', "
                "'2026-01-01', 1, ?, 0, 'ended')",
                [f"for-{key}", f'{{"person": "{key.upper()}", "bare": "{key.replace("-", "")}"}}'],
            )
        airflow.commit()
    for key in keys:
        assert erased(key).done
        assert where(home.path, {key, key.replace("-", "")}) == set()
    with closing(sqlite3.connect(home.path / "airflow" / "airflow.db")) as airflow:
        runs = {f"run_id={run}" for (run,) in airflow.execute("SELECT run_id FROM dag_run WHERE run_id LIKE 'for-%'")}
    assert runs == {folder.name for folder in logs.iterdir()}, "their logs are still found"
    assert len(runs) == 2


def test_ids_that_begin_with_the_ids_of_others(home: Home) -> None:
    """A link that no night has read yet, so that nothing but the state knows its patient."""
    with session() as state:
        links.start_link(state, home.people["C"], "south", "direct", patient_id=PATIENTS["B", "south"] + "_2")
    assert erased(home.people["B"]).done


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="gives up rights that it has")
def test_what_may_not_be_written_is_named_and_goes_once_it_may(home: Home) -> None:
    """By a process whom the modes of files hold, as they do not hold root."""
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", sys.executable, "-m", "charthouse"]
    for place, path, mode in (
        ("mails", home.path / "mail", 0o500),
        ("logs", home.path / "logs" / "some-task.log", 0o400),
        ("vault", home.path / "vault" / "catalog.sqlite", 0o400),
    ):
        before = path.stat().st_mode
        path.chmod(mode)
        tried = subprocess.run(
            [*command, "erase", home.people["B"], "--yes"], env=environment(home), capture_output=True, text=True
        )
        path.chmod(before)
        assert tried.returncode == 1, tried.stdout
        [said] = [line for line in tried.stderr.splitlines() if line.startswith("CH")]
        assert said.startswith(("CH911", "CH50")), said
        assert place in said
        assert str(home.path) not in said
    assert "receipt: " in charthouse(home, "erase", home.people["B"], "--yes")
    assert where(home.path, signs_of(home, "B")) == set()


def named(home: Home, person: str, **name: object) -> None:
    """Give an account a name."""
    with session() as state:
        identity = parse_identity({"names": [name], "birth_date": "1980-02-03"})
        people.update_person(state, home.people[person], identity=identity)


def test_short_names_are_whole_words_in_any_spelling(home: Home) -> None:
    """Too short to be told from chance in a file of bytes, they are told from it in a line and in a column."""
    zoe = "Zo\u00eb"
    named(home, "B", family="Quix", given=[zoe, "Grant"], text="Renée Ångström-Quix")
    log = home.path / "logs" / "some-task.log"
    apart = unicodedata.normalize("NFD", zoe)
    with log.open("a") as lines:
        lines.write(f"of Quix, QUIX and {zoe}: {apart}; Quixote and Quixó stay\nGrant expired\n")
        lines.write(unicodedata.normalize("NFD", "Renée Ångström-Quix") + "; RENÉE ÅNGSTRÖM-QUIX\n")
    with closing(sqlite3.connect(home.path / "airflow" / "airflow.db")) as airflow:
        airflow.execute("INSERT INTO import_error (filename, stacktrace) VALUES ('quixotic', 'no row of Quix')")
        airflow.commit()
    with session() as state:
        event = links.list_events(state, home.links["C", "north"])[0]
        state.get_one(LinkEvent, event.id).reason = "of Quix"
    ended = erased(home.people["B"])
    assert (ended.code, ended.where) == ("CH910", "state file"), "a column of the state that no eraser knows"
    text = log.read_text(errors="replace")
    assert "of xxxx, xxxx and xxxx" in text
    assert "; Quixote and Quixó stay\nGrant expired" in text
    assert not [said for said in (apart, "QUIX", "ngstr", "NGSTR") if said in text]
    with session() as state:
        state.get_one(LinkEvent, event.id).reason = "quixotic"
    assert erase.run([ended.request_id])[0].done
    with closing(sqlite3.connect(home.path / "airflow" / "airflow.db")) as airflow:
        assert airflow.execute("SELECT stacktrace FROM import_error WHERE filename = 'quixotic'").fetchall() == [
            ("no row of xxxx",)
        ]


def test_a_short_name_that_another_bears_is_no_trace(home: Home) -> None:
    """It stands in the record of somebody who lives, and in a line about them."""
    named(home, "B", family="Quix", given=["Ann"])
    home.clinics["north"].rule(
        sent_to("C", {"resourceType": "Condition", "id": "of-c", "note": [{"text": "Ann Quix"}]})
    )
    home.night()
    with session() as state:
        event = links.list_events(state, home.links["C", "north"])[0]
        state.get_one(LinkEvent, event.id).reason = "of Quix"
    assert erased(home.people["B"]).done


def test_an_excerpt_of_a_long_note_is_found(home: Home) -> None:
    """A tool that quotes a note quotes a part of it, from anywhere."""
    words = " ".join(f"canaryword-{number}-of-b" for number in range(200))
    note = {"resourceType": "Condition", "id": "long", "note": [{"text": words}], "subject": {"reference": "#x"}}
    home.clinics["north"].rule(sent_to("B", note))
    home.night()
    log = home.path / "logs" / "some-task.log"
    log.write_text(f"a row that could not be read: {words[1200:1800]}\n{words[2600:3200]}\n")
    assert erased(home.people["B"]).done
    assert log.read_text().count("x" * 30) >= 2


def test_an_id_that_is_none(home: Home) -> None:
    with session() as state:
        person = people.create_person(state).person_key
        links.start_link(state, person, "south", "direct", patient_id="id with space_and#~&*(")
    assert erased(person).done


def test_an_erasure_that_has_not_ended_is_gone_on_with(home: Home) -> None:
    """Its person is gone, and its request names nobody any more: asked again, it must not be taken for done."""
    person = home.people["B"]
    left = home.path / "landing" / "notes-of-somebody.txt"
    left.write_text(person)
    ended = erased(person)
    assert (ended.code, ended.receipt) == ("CH910", None)
    again = subprocess.run(
        [sys.executable, "-m", "charthouse", "erase", person, "--yes"],
        env=environment(home), capture_output=True, text=True,
    )  # fmt: skip
    assert again.returncode == 1, again.stdout
    assert "CH910" in again.stderr
    left.unlink()
    assert "receipt: " in charthouse(home, "erase", person, "--yes")
    assert "erased already" in charthouse(home, "erase", person, "--yes")


def test_nothing_in_the_clear_is_exported_into_the_home(home: Home) -> None:
    """It would be found by every proof, and nobody would take it away."""
    person = home.people["B"]
    done = subprocess.run(
        [sys.executable, "-m", "charthouse", "export", person, "--out", str(home.path / "landing" / "mine")],
        env=environment(home), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "CH931" in done.stderr
    assert not (home.path / "landing" / "mine").exists()


@pytest.mark.crash
def test_a_restore_brings_nobody_back_and_loses_no_receipt(home: Home) -> None:
    """The backup is older than the keys that sign receipts; who was erased since must not be read out of it first."""
    backup, keys = home.path.parent / "backup", home.path.parent / "keys"
    charthouse(home, "backup", str(backup), "--keys", str(keys))
    printed = charthouse(home, "erase", home.people["B"], "--yes")
    said = {line.partition(":")[0]: line.partition(":")[2].strip() for line in printed.splitlines()}
    signing_keys.rotate("receipt")
    charthouse(home, "verify", said["receipt"], "--code", said["code"].split()[0])
    engine().dispose()
    restoring = ("restore", str(backup), "--keys", str(keys), "--replace")
    for point in ("restore.vault", "restore.state", "restore.proofs"):
        killed = subprocess.run(
            [sys.executable, "-m", "charthouse", *restoring],
            env=environment(home) | {"CHARTHOUSE_CRASH_AT": point}, capture_output=True,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, point
    assert "erased again" in charthouse(home, *restoring)
    assert not (home.path / ".restore").exists()
    assert where(home.path, {home.people["B"], *texts("B", "north")}) == set()
    charthouse(home, "verify", said["receipt"], "--code", said["code"].split()[0])
    for file in (home.path / "receipts").iterdir():
        charthouse(home, "verify", str(file))
    assert len(list((home.path / "receipts").iterdir())) == 2
    with session() as state:
        assert len(list(state.scalars(select(Receipt)))) == 2
    assert len(signing_keys.list_keys("receipt")) == 2, "the second is that of before, too"


def test_tombstones_are_joined_under_the_lock_under_which_they_are_written(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may be erased, by another process, while a backup is put back."""
    made = home.path.parent / "backup"
    tombstones.bury([("person", "somebody")])
    backup.make(made)
    seen = []

    def written(file: Path, content: bytes) -> None:
        if file == get_settings().tombstones:
            with pytest.raises(StateError), exclusive("tombstones", wait=0):
                pass
            seen.append(file)
        write_whole(file, content)

    monkeypatch.setattr(restore, "write_whole", written)
    restore.restore(made, replace=True)
    assert seen


def sent_to(person: str, *resources: dict[str, Any]) -> Callable[[Asked], Reply | None]:
    """A rule by which a clinic answers somebody's search for conditions with these, its slashes escaped."""

    def answer(asked: Asked) -> Reply | None:
        if f"token-{person}" not in (asked.headers.get("Authorization") or "") or not asked.path.endswith("/Condition"):
            return None
        reply = as_json({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources]})
        return replace(reply, body=reply.body.replace(b"Patient/", rb"Patient\/"))

    return answer


def sends_astray(home: Home, *patients: str) -> None:
    """From now on C's clinic sends C something about others (CH207), in spellings of several servers."""
    strays = [
        {"resourceType": "Condition", "id": f"stray-{number}", "subject": {"reference": f"Patient/{patient}"}}
        for number, patient in enumerate(patients)
    ]
    home.clinics["north"].rule(sent_to("C", *strays))


def strays_kept() -> set[str]:
    """The ids of what was sent astray that the vault holds."""
    with open_vault(read_only=True) as vault:
        rows = vault.execute(
            "SELECT resource FROM vault.quarantine "
            "UNION ALL SELECT encode(CAST(resource AS VARCHAR)) FROM vault.resources"
        ).fetchall()
    return {f"stray-{number}" for number in range(9) for (row,) in rows if f'"stray-{number}"'.encode() in row}


OTHERS = (SAME_ID + "_2", SAME_ID + ".1", SAME_ID + "-1", SAME_ID + "~1", "1" + SAME_ID)
"""Patients whose ids begin or end as B's does: `eve`, and `eve_2`."""


@pytest.mark.parametrize("reached", ["landed", "checked", "stored"])
def test_what_was_sent_to_others_goes_with_the_one_whom_it_is_about(home: Home, reached: str) -> None:
    """However far the night of the other has come, and again when the provider repeats itself in the next one."""
    sends_astray(home, SAME_ID, *OTHERS, SAME_ID + "/_history/3", f"{SAME_ID}#name")
    others = {f"stray-{number}" for number in range(1, len(OTHERS) + 1)}
    batches = [collect_batch(name) for name in home.plan()]
    if reached != "landed":
        batches = [check_batch(name) for name in batches]
    if reached == "stored":
        for name in batches:
            store_batch(name)
        assert strays_kept() > others
    assert erased(home.people["B"]).done
    for name in batches:
        store_batch(check_batch(name))
    assert strays_kept() == others, "what is about somebody else is not B's"
    home.build()
    home.end()
    home.night()
    assert strays_kept() == others
