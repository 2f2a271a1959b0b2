"""Verifying who somebody is: through the REST API and the verifier's own page, messages of every kind, and the CLI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from charthouse.linking import people, searching, verifications, verifying
from charthouse.linking.identity import parse_identity
from charthouse.notify.outbox import list_notices
from charthouse.state import session
from charthouse.state.identity import IdentityMessage, IdentitySession
from tests.conftest import Installation

from .conftest import ANN, SECRET

if TYPE_CHECKING:
    from .conftest import Town

OTHER = ("Zyxwalda", "Thornbarrow", "1964-02-03")


def session_of(key: str) -> str:
    with session(read_only=True) as state:
        found = [row.session_id for row in state.query(IdentitySession).filter_by(person_key=key)]
    return found[-1]


def due() -> list[str]:
    with session(read_only=True) as state:
        return searching.due(state, "bwell")


def reasons(key: str) -> list[str]:
    with session(read_only=True) as state:
        return [notice.reason for notice in list_notices(state, key)]


def test_the_whole_way_ends_with_a_search_that_is_due_and_keeps_nothing_that_was_shown(town: Town, capfd: Any) -> None:
    key = town.person()
    begun = town.begin(key, return_to="https://app.example/done")
    assert town.begin(key)["open_url"] == begun["open_url"], "one that is open is gone on with"
    assert (begun["status"], due()) == ("open", [])
    page = town.show(begun["open_url"])
    assert page.ok, page.text
    assert "Your identity is verified" in page.text
    assert "https://app.example/done?status=verified" in page.text
    found = town.until(key, "verified")
    assert (found["level"], "open_url" in found, due()) == ("IAL2", False, [key])
    assert town.ask("POST", f"/people/{key}/verifications", key, json={}).json()["code"] == "CH673"
    assert town.begin(key, again=True)["verification_id"] != found["verification_id"]
    assert town.ask("GET", f"/people/{key}/verifications", town.person(OTHER)).status_code == 404
    words = ("D1234-CANARY", "Q0FOQVJZLUl", "canary@mail", "+15555550123", "Quorvendish", *town.held.users.values())
    shown = re.compile("|".join(map(re.escape, words)).encode())
    kept = [file.name for file in town.home.rglob("*") if file.is_file() and shown.search(file.read_bytes())]
    assert kept == []
    assert not shown.search("".join(capfd.readouterr()).encode())


@pytest.mark.parametrize(
    ("outcome", "code", "reason"),
    [
        ("phone", "CH665", "verification_contact"),
        ("region", "CH666", "verification_region"),
        ("expired_id", "CH667", "verification_id_expired"),
        ("sources", "CH668", "verification_sources"),
        ("face", "CH669", "verification_failed"),
    ],
)
def test_each_cause_is_told_on_the_page_by_rest_in_a_notice_and_by_the_command(
    town: Town, outcome: str, code: str, reason: str
) -> None:
    key = town.person()
    page = town.show(town.begin(key)["open_url"], outcome)
    found = town.until(key, "failed")
    assert (found["code"], reasons(key), due()) == (code, [reason], [])
    assert found["action"], "something to do"
    assert code in page.text
    if outcome == "phone":
        row = Installation(town.home).json("people", "verifications", key)[0]
        assert (row["code"], bool(row["what to do"])) == (code, True)
        assert town.begin(key)["status"] == "open", "they can try again at once"


def test_somebody_elses_identity_verifies_nobody(town: Town) -> None:
    key = town.person()
    town.show(town.begin(key)["open_url"], "success", OTHER)
    assert (town.until(key, "failed")["code"], due()) == ("CH671", [])
    town.habits(traitless=True, silent=True)
    again = town.begin(key)
    assert "not decided yet" in town.show(again["open_url"]).text, "a project that says nothing of who it was"
    town.habits()
    town.forward(86_400)
    assert verifying.look_at_open() in (1, 2), "a late message may have begun a look at the first one, too"
    assert town.last(key)["status"] == "verified"


def test_a_project_that_hands_over_no_more_than_the_document_says_is_enough(town: Town) -> None:
    town.habits(document_alone=True)
    key, other = town.person(), town.person()
    town.show(town.begin(key)["open_url"])
    town.until(key, "verified")
    town.show(town.begin(other)["open_url"], "success", OTHER)
    assert (town.until(other, "failed")["code"], due()) == ("CH671", [key])


def test_two_accounts_that_are_one_person_are_one_verification_and_one_person_may_repeat_theirs(town: Town) -> None:
    first, second = town.person(), town.person()
    town.show(town.begin(first)["open_url"])
    town.until(first, "verified")
    page = town.show(town.begin(second)["open_url"])
    assert "CH672" in page.text
    assert (town.until(second, "failed")["code"], reasons(second), due()) == (
        "CH672",
        ["verification_other_account"],
        [first],
    )
    town.show(town.begin(first, again=True)["open_url"])
    town.until(first, "verified")
    with session(read_only=True) as state:
        assert [one.outcome for one in verifications.list_verifications(state, first)] == ["verified", "verified"]
    town.habits(one_session=True)
    stranger = town.person(OTHER)
    answer = town.ask("POST", f"/people/{stranger}/verifications", stranger, json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "CH653"), "a session that is another account's"


def test_messages_count_once_in_any_order_and_only_when_signed_lately_for_a_known_session(town: Town) -> None:
    key = town.person()
    town.habits(silent=True)
    opened = town.begin(key)["open_url"]
    name = session_of(key)
    page, _, token = opened.partition("?token=")
    form = dict(zip(("first_name", "last_name", "birth_date"), ANN, strict=True)) | {"outcome": "success"}
    requests.post(page, data=form | {"token": token}, timeout=10, allow_redirects=False)  # the browser never returns
    hour = 3_600.0
    assert town.send(name, id="event_0", secret="another secret") == [401]
    assert town.send(name, id="event_0", ago=72 * hour) == [401]
    assert town.send(name, id="event_0", ago=-hour) == [401]
    assert town.send("verify_unknown", id="event_0") == [422]
    url = f"{town.api}/verifiers/clear/messages"
    assert requests.post(url, data=b"{}", timeout=10).status_code == 401
    assert requests.post(url.replace("clear", "nobody"), data=b"{}", timeout=10).status_code == 404
    assert town.last(key)["status"] == "open"
    assert town.send(name, id="event_2", ago=30 * hour, times=3) == [200] * 3, "a verifier tries for thirty hours"
    assert town.until(key, "verified")["level"] == "IAL2"
    assert town.send(name, id="event_1", event="created") == [200]
    assert town.send(name, id="event_2", ago=30 * hour) == [200], "replayed a day later: it counts no more"
    with session(read_only=True) as state:
        assert state.query(IdentityMessage).count() == 2
    town.set("a new secret", hours=1.0)
    assert (town.send(name, id="event_3"), town.send(name, id="event_4", secret="a new secret")) == ([200], [200])
    town.forward(2 * hour)
    assert town.send(name, id="event_5", secret=SECRET, ago=-2 * hour) == [401], "the old key has ended"


def test_who_is_through_already_is_not_sent_to_a_page_that_is_over(town: Town) -> None:
    key = town.person()
    town.habits(silent=True)
    page, _, token = town.begin(key)["open_url"].partition("?token=")
    form = dict(zip(("first_name", "last_name", "birth_date"), ANN, strict=True)) | {"outcome": "success"}
    requests.post(page, data=form | {"token": token}, timeout=10, allow_redirects=False)
    answer = town.ask("POST", f"/people/{key}/verifications", key, json={})
    assert (answer.json()["code"], town.last(key)["status"]) == ("CH673", "verified")


def test_a_decision_by_hand_is_waited_for_and_may_be_taken_back(town: Town) -> None:
    key = town.person()
    town.habits(times=2, reordered=True)
    assert "not decided yet" in town.show(town.begin(key)["open_url"], "review").text
    name = session_of(key)
    for status, wanted in (("something_new", "open"), ("manual_success", "verified"), ("manual_fail", "failed")):
        requests.post(f"{town.verifier}/sandbox/reviews", json={"session": name, "status": status}, timeout=10)
        town.until(key, wanted)
        assert due() == ([key] if wanted == "verified" else []), status


def test_an_account_that_becomes_somebody_elses_has_to_verify_anew_and_so_has_one_after_a_year(town: Town) -> None:
    key = town.person()
    town.show(town.begin(key)["open_url"])
    town.until(key, "verified")
    for names, holds in (([{"given": ["Annabeth", "Jo"], "family": ANN[1]}], True), ([{"text": "Al Other"}], False)):
        with session() as state:
            people.update_person(state, key, identity=parse_identity({"names": names, "birth_date": ANN[2]}))
        assert (town.ask("GET", f"/people/{key}/search", key).json().get("code") is None) is holds
    assert (due(), town.ask("GET", f"/people/{key}/search", key).json()["code"]) == ([], "CH651")


def test_a_verifier_out_of_order_costs_nothing(town: Town) -> None:
    key = town.person()
    town.habits(refuses=503)
    answer = town.ask("POST", f"/people/{key}/verifications", key, json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "CH675")
    town.habits(silent=True)  # no message that comes late looks for us
    opened = town.begin(key)["open_url"]
    town.habits(refuses=503, silent=True)
    assert "not decided yet" in town.show(opened).text
    town.habits()
    town.forward(86_400)
    assert (verifying.look_at_open(), town.last(key)["status"], verifying.look_at_open()) == (1, "verified", 0)
    lost = requests.get(f"{town.api}/verified/nobody", timeout=10)
    assert (lost.status_code, "CH679" in lost.text) == (404, True)
    other = town.person(OTHER)
    assert "CH670" in town.show(town.begin(other)["open_url"], "cancel", OTHER).text
    assert (town.last(other)["status"], reasons(other)) == ("unfinished", [])
