"""The canaries: of the first a link is deleted, the second is erased, the third is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from charthouse.linking import links
from charthouse.operating.home import prepare
from charthouse.privacy import erase, receipts, registry, requests, signing
from charthouse.state import session
from tests.privacy.clinics import SAME_ID, SHARED, texts
from tests.privacy.conftest import environment
from tests.privacy.scanner import where

if TYPE_CHECKING:
    from tests.privacy.conftest import Home


def charthouse(home: Home, *arguments: str) -> str:
    """What `charthouse …` printed, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "charthouse", *arguments], env=environment(home), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def signs_of(home: Home, person: str) -> set[str]:
    """All that tells of somebody."""
    mine = {link for (name, _), link in home.links.items() if name == person}
    address = f"canary-{person.lower()}-address@people.example"
    return {f"CANARY-{person}", home.people[person], address, *mine, *texts(person, "north")}


def erased(person_key: str) -> erase.Erased:
    with session() as state:
        request = requests.ask_erasure(state, person_key)
    return erase.run([request.request_id])[0]


def test_each_gets_what_they_asked_for(home: Home) -> None:
    assert where(home.path, signs_of(home, "B")), "the scanner finds what is there"
    link = home.links["A", "south"]
    _stop_in_the_middle_of_two_nights(home)
    before = {"A": home.held("A", without=link), "C": home.held("C")}
    assert home.held("A") != before["A"]

    printed = charthouse(home, "delete-link", link, "--yes")
    assert where(home.path, {"CANARY-A-south", "CANARY-A-secret-nowhere"}) == set()
    assert where(home.path, {link}) <= {"state.sqlite", "state.sqlite-wal"}, "its row and its events"
    assert home.held("A") == before["A"]
    assert home.held("C") == before["C"]
    assert "receipt:" in printed
    with session() as state:
        row = links.get_link(state, link)
        assert (row.status, row.patient_id) == ("deleted", None)
        assert [event.to_state for event in links.list_events(state, link) if event.field == "status"][-1] == "deleted"

    printed = charthouse(home, "erase", home.people["B"], "--yes")
    assert where(home.path, signs_of(home, "B")) == set()
    assert home.held("A") == before["A"]
    assert home.held("C") == before["C"]
    assert where(home.path, {SHARED[0]["id"]}), "the doctor of everybody is still there"
    assert where(home.path, {SAME_ID}) == set(), "the id that both had goes with the last of them"
    _is_proven(home, printed)
    assert "erased already" in charthouse(home, "erase", home.people["B"], "--yes")
    assert len(list((home.path / "receipts").iterdir())) == 2

    # What the nights had begun goes on, and brings nobody back.
    for clinic in home.clinics.values():
        clinic.later = True
    prepare()
    home.night()
    home.night()
    assert where(home.path, signs_of(home, "B"), nobodys=False) == set()
    assert where(home.path, {"CANARY-A-south"}, nobodys=False) == set()
    assert len(home.held("C")["lab_results"]) == len(before["C"]["lab_results"]) + 1


def _stop_in_the_middle_of_two_nights(home: Home) -> None:
    """One night has landed and checked what came, and another one, of one clinic, has built and not published."""
    from charthouse.sync.check import check_batch
    from charthouse.sync.collect import collect_batch
    from charthouse.sync.plan import plan_run
    from charthouse.sync.store import store_batch

    home.clinics["north"].later = True
    home.nights += 1
    for name in plan_run(["north"], airflow_run_id=f"night-{home.nights}"):
        store_batch(check_batch(collect_batch(name)))
    home.build()
    home.clinics["north"].later = False
    for name in home.plan():
        check_batch(collect_batch(name))
    assert list((home.path / "staging").rglob("group*.parquet"))
    assert list((home.path / "landing").rglob("checked.parquet"))


def _is_proven(home: Home, printed: str) -> None:
    """The receipt holds, is of the code that was printed and of no other, and names nobody."""
    said = {line.partition(":")[0]: line.partition(":")[2].strip() for line in printed.splitlines()}
    text = Path(said["receipt"]).read_text()
    receipt = receipts.check(text, signing.public_keys(), said["code"].split()[0])
    assert receipt["act"] == "erase"
    assert receipt["proof"]["found"] == 0
    assert receipt["proof"]["files"] > 10
    assert receipt["erased"]["vault.resources"] > 5
    assert home.people["B"] not in json.dumps(receipt)
    with pytest.raises(Exception, match="CH914"):
        receipts.check(text, signing.public_keys(), "AAAA-BBBB-CCCC-DDDD")
    with pytest.raises(Exception, match="CH904"):
        receipts.check(text[:-9] + "AAAAAAAA\n", signing.public_keys())
    mails = [file.read_text() for file in (home.path / "mail").glob("*.eml") if "was deleted" in file.read_text()]
    assert len(mails) >= 1, "somebody was told"
    with session() as state:
        [request] = requests.list_requests(state, kind="erase")
        assert (request.status, request.person_key, request.receipt_id) == ("done", None, receipt["id"])


@pytest.mark.parametrize(
    "forgotten",
    [
        "logs",
        "mails",
        "state.audit_event",
        "vault.quarantine",
        "airflow.said",
        "state file",
    ],
)
def test_a_place_that_nobody_registered_is_found(home: Home, forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an entry out of the registry: the proof says so, and the request stays open."""
    kept = tuple(place for place in registry.PLACES if place.name != forgotten)
    assert len(kept) == len(registry.PLACES) - 1
    monkeypatch.setattr(registry, "PLACES", kept)
    ended = erased(home.people["C"])  # whose texts are the greatest of their columns
    assert not ended.done
    monkeypatch.undo()
    assert ended.receipt is None


def test_people_erased_together_cost_one_proof(home: Home) -> None:
    with session() as state:
        asked = [requests.ask_erasure(state, home.people[name]).request_id for name in "BC"]
    ended = erase.run(asked)
    assert all(each.done for each in ended), ended
    assert where(home.path, signs_of(home, "B") | signs_of(home, "C")) == set()
    assert home.held("A")["lab_results"]


def test_a_moved_home_is_proven_too(canaries: Home, tmp_path: Path) -> None:
    copied = canaries.copy(tmp_path / "elsewhere" / "home")
    with copied.lived_in():
        assert erased(copied.people["B"]).done
    assert where(copied.path, signs_of(copied, "B")) == set()
