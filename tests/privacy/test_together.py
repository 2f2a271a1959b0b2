"""Somebody asks that a link goes and that everything goes: whichever came first, all of it ends, nothing is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from charthouse.api import tokens
from charthouse.privacy import erase, receipts, requests, signing
from charthouse.state import session
from charthouse.state.privacy import PrivacyRequest
from tests.api.conftest import serving
from tests.privacy.scanner import where
from tests.privacy.test_canary import charthouse, signs_of
from tests.privacy.test_killed import driven

if TYPE_CHECKING:
    from tests.privacy.conftest import Home

KINDS = ("delete_link", "erase")


def asked(home: Home, kind: str) -> str:
    with session() as state:
        if kind == "erase":
            return requests.ask_erasure(state, home.people["B"]).request_id
        return requests.ask_deletion(state, home.links["B", "north"]).request_id


def rows() -> dict[str, PrivacyRequest]:
    with session(read_only=True) as state:
        return {row.kind: row for row in state.scalars(select(PrivacyRequest))}


def nothing_is_left(home: Home) -> None:
    assert where(home.path, signs_of(home, "B")) == set()
    for row in rows().values():
        assert row.status not in requests.OPEN, (row.kind, row.code)
        assert (row.person_key, row.link_id, row.sealed_notes) == (None, None, None), row.kind
    assert erase.run_ready() == []


@pytest.mark.parametrize("order", [KINDS, KINDS[::-1]], ids=" then ".join)
def test_by_rest_the_erasure_takes_the_deletion_in(home: Home, order: tuple[str, ...]) -> None:
    paths = {
        "erase": f"/people/{home.people['B']}/erasures",
        "delete_link": f"/links/{home.links['B', 'north']}/delete",
    }
    with serving() as api:
        token = tokens.issue(operator=True)
        said = {kind: api.ask("POST", paths[kind], token).json() for kind in order}
        ended = erase.run_ready()
        assert [each.code for each in ended] == [None, None], ended
        after = {kind: api.ask("GET", f"/requests/{said[kind]['request_id']}", token).json() for kind in order}
    assert (after["erase"]["status"], after["delete_link"]["status"]) == ("done", "cancelled")
    assert after["delete_link"]["code"] == "CH906", "it says why"
    assert "link_id" not in after["delete_link"]
    nothing_is_left(home)


@pytest.mark.parametrize("first", KINDS)
def test_by_command_at_once_while_the_other_waits(home: Home, first: str) -> None:
    other = asked(home, next(kind for kind in KINDS if kind != first))
    words = {"erase": home.people["B"], "delete_link": home.links["B", "north"]}
    assert "receipt:" in charthouse(home, first.replace("_", "-"), words[first], "--yes")
    erase.run_ready()
    with session(read_only=True) as state:
        assert requests.find(state, other).status == ("cancelled" if first == "erase" else "done")
    nothing_is_left(home)


@pytest.mark.crash
@pytest.mark.parametrize("point", ["erase.vault", "erase.receipt"])
def test_a_deletion_that_was_killed_goes_with_the_erasure(home: Home, point: str) -> None:
    deletion = asked(home, "delete_link")
    assert driven(home, deletion, [point]) == [f"{point} killed"]
    erasure = asked(home, "erase")
    killed = "erase.state"
    assert driven(home, erasure, [killed, "-"]) == [f"{killed} killed", "- ended None ", "- left with 0"]
    assert rows()["delete_link"].status == ("done" if point == "erase.receipt" else "cancelled")
    nothing_is_left(home)


def test_what_an_older_version_left_stuck_ends(home: Home) -> None:
    """A deletion that was to be told of when its person had gone stayed open, and its notes with it."""
    deletion = asked(home, "delete_link")
    assert driven(home, deletion, ["erase.receipt"]) == ["erase.receipt killed"]
    kept = rows()["delete_link"].sealed_notes
    asked(home, "erase")
    assert all(each.done for each in erase.run_ready())
    with session() as state:
        state.execute(
            update(PrivacyRequest)
            .where(PrivacyRequest.id == deletion)
            .values(status="running", step="receipt", sealed_notes=kept, done_at=None, receipt_id=None)
        )
    [ended] = erase.run_ready()
    assert ended.done, ended
    assert rows()["delete_link"].receipt_id
    nothing_is_left(home)


def test_no_erasure_is_proven_while_notes_of_another_request_name_its_person(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    deletion = asked(home, "delete_link")
    driven(home, deletion, ["erase.vault"])
    erasure = asked(home, "erase")
    monkeypatch.setattr("charthouse.privacy.overtaking.take_in", lambda *_: set())
    monkeypatch.setattr("charthouse.privacy.erasers.state._overtaken", lambda *_: None)
    [ended] = erase.run([erasure])
    assert (ended.code, ended.where) == ("CH910", "notes of requests")
    monkeypatch.undo()
    with home.lived_in():
        [ended] = erase.run([erasure])
        assert ended.done, ended
        nothing_is_left(home)


def test_the_proof_of_the_erasure_looks_for_what_the_deletion_knew(home: Home) -> None:
    deletion = asked(home, "delete_link")
    driven(home, deletion, ["erase.vault"])  # the vault cannot tell any more what came by the link
    (home.path / "keys" / "left-by-somebody.txt").write_text("CANARY-B-north-mrn")
    erasure = asked(home, "erase")
    [ended] = erase.run([erasure])
    assert ended.code == "CH910"
    (home.path / "keys" / "left-by-somebody.txt").unlink()
    [ended] = erase.run([erasure])
    assert ended.done
    assert ended.receipt is not None
    assert receipts.check(ended.receipt.read_text(), signing.public_keys())["erased"]["vault.resources"]
    nothing_is_left(home)
