"""People, consents, preferences and contacts: what goes in, what comes out, and what never does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from charthouse.notify import outbox, unsubscribing
from charthouse.state import session
from tests.api.conftest import CANARIES

if TYPE_CHECKING:
    from tests.api.conftest import Api

IDENTITY = {"names": [{"family": CANARIES[1], "given": [CANARIES[0]]}], "birth_date": CANARIES[2]}


def test_an_account_is_made_once_and_never_says_who_it_is(
    api: Api, operator: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wanted = {"country": "US", "subject": "account-canary", "identity": IDENTITY, "android_version": 15}
    first = api.ask("POST", "/people", operator, json=wanted)
    assert first.status_code == 201
    key = first.json()["person_key"]
    assert first.headers["Location"] == f"/charthouse/v1/people/{key}"
    assert first.json()["identity_known"] is True
    again = api.ask("POST", "/people", operator, json=wanted)
    assert (again.status_code, again.json()["person_key"]) == (200, key)
    changed = api.ask("PATCH", f"/people/{key}", operator, json={"country": "GB", "preview_member": False})
    assert (changed.json()["country"], changed.json()["preview_member"]) == ("GB", False)
    shown = api.ask("GET", f"/people/{key}", operator)
    said = first.text + again.text + changed.text + shown.text + caplog.text
    assert not [canary for canary in (*CANARIES, "account-canary") if canary in said]


@pytest.mark.parametrize(
    "identity",
    [
        {"names": [{"family": f"{CANARIES[0]}\r\nBcc: x@example.org"}], "birth_date": CANARIES[2]},
        {"names": [{"family": f"{CANARIES[0]}\u0000"}], "birth_date": CANARIES[2]},
        {"names": [{"family": CANARIES[0] * 50}], "birth_date": CANARIES[2]},
        {"names": [{"text": " "}], "birth_date": CANARIES[2]},
        {"names": [{}], "birth_date": CANARIES[2]},
        {"names": [], "birth_date": CANARIES[2]},
        {"names": [{"family": CANARIES[0]}], "birth_date": "1931-02-30"},
        {"names": [{"family": CANARIES[0]}], "birth_date": "2931-02-01"},
        {"names": [{"family": CANARIES[0]}], "birth_date": 19310719},
        {"names": [{"family": CANARIES[0], CANARIES[1]: 1}], "birth_date": CANARIES[2]},
        {"names": [{"family": [CANARIES[0]]}], "birth_date": CANARIES[2]},
        {"names": CANARIES[0], "birth_date": CANARIES[2]},
    ],
)
def test_what_does_not_fit_is_named_and_never_repeated(
    api: Api, operator: str, identity: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = api.ask("POST", "/people", operator, json={"identity": identity})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in ("CH811", "CH618")
    assert not [canary for canary in CANARIES if canary in answer.text + caplog.text]


def test_consents(api: Api, own: str, person: str) -> None:
    at = f"/people/{person}/consents"
    assert api.ask("GET", f"{at}/sync", own).status_code == 404
    given = api.ask("PUT", f"{at}/sync", own, json={"version": "2026-03"})
    assert given.json()["version"] == "2026-03"
    assert api.ask("PUT", f"{at}/sync", own, json={"version": "2026-03"}).json() == given.json()
    api.ask("PUT", f"{at}/coach", own, json={})
    assert api.ask("GET", f"{at}/sync", own).json() == given.json()
    assert [api.ask("DELETE", f"{at}/sync", own).status_code for _ in range(2)] == [204, 204]
    assert api.ask("GET", f"{at}/sync", own).status_code == 404
    items = api.ask("GET", at, own).json()["items"]
    assert [(one["kind"], "withdrawn_at" in one) for one in items] == [("sync", True), ("coach", False)]
    for kind in ("Sync", "a b", "x" * 65):
        assert api.ask("PUT", f"{at}/{kind}", own, json={}).status_code == 422


def test_whoever_takes_back_the_consent_to_sync_is_disconnected(api: Api, own: str, person: str, link: str) -> None:
    at = f"/people/{person}/consents"
    for kind in ("sync", "coach"):
        assert api.ask("PUT", f"{at}/{kind}", own, json={}).status_code == 200
    assert api.ask("DELETE", f"{at}/coach", own).status_code == 204
    assert api.ask("GET", f"/links/{link}", own).json()["status"] == "pending", "the coach's is not that of links"
    assert [api.ask("DELETE", f"{at}/sync", own).status_code for _ in range(2)] == [204, 204]
    assert api.ask("GET", f"/links/{link}", own).json()["status"] == "disconnected"
    reasons = [event["reason"] for event in api.ask("GET", f"/links/{link}/events", own).json()["items"]]
    assert reasons == ["started", "consent_withdrawn"]


def test_preferences_and_contacts(api: Api, own: str, person: str) -> None:
    at = f"/people/{person}"
    first = api.ask("GET", f"{at}/preferences", own).json()
    assert (first["time_zone"], first["unsubscribed"], first["contacts"]) == ("UTC", [], [])
    wanted = {
        "time_zone": "America/New_York",
        "quiet_from": "22:00",
        "quiet_until": "07:30",
        "unsubscribed": [{"channel": "email", "kind": "expiring"}],
    }
    changed = api.ask("PATCH", f"{at}/preferences", own, json=wanted)
    assert changed.status_code == 200, changed.text
    assert changed.json()["quiet_from"] == "22:00:00"
    assert changed.json()["unsubscribed"] == wanted["unsubscribed"]
    assert (
        api.ask("PATCH", f"{at}/preferences", own, json={"digest": "daily"}).json()["time_zone"] == "America/New_York"
    )
    cleared = api.ask("PATCH", f"{at}/preferences", own, json={"quiet_from": None, "quiet_until": None})
    assert "quiet_from" not in cleared.json()
    for wrong in ({"time_zone": "Mars/Base"}, {"quiet_from": "25:00"}, {"quiet_from": "10:00"}, {"digest": "hourly"}):
        assert api.ask("PATCH", f"{at}/preferences", own, json=wrong).status_code == 422, wrong

    contact = api.ask("PUT", f"{at}/contacts/email", own, json={"address": "canary@example.org"})
    assert contact.status_code == 200
    assert "canary" not in contact.text
    for wrong in ("canary", "a@b\r\nBcc: c@example.org", ""):
        refused = api.ask("PUT", f"{at}/contacts/email", own, json={"address": wrong})
        assert refused.status_code == 422
        assert "canary" not in refused.text
    assert len(api.ask("GET", f"{at}/preferences", own).json()["contacts"]) == 1
    assert [api.ask("DELETE", f"{at}/contacts/email", own).status_code for _ in range(2)] == [204, 204]
    assert api.ask("PUT", f"{at}/contacts/pigeon", own, json={}).status_code == 422


def test_notices_come_newest_first_in_pages(api: Api, own: str, person: str) -> None:
    with session() as state:
        for number in range(5):
            outbox.tell(state, person, "provider_found", dedupe=f"found:{number}", detail={"number": number})
    at: str | None = f"/people/{person}/notices?limit=2"
    seen = []
    while at is not None:
        page = api.ask("GET", at, own).json()
        seen += [notice["detail"]["number"] for notice in page["items"]]
        at = f"/people/{person}/notices?limit=2&cursor={page['next']}" if "next" in page else None
    assert seen == [4, 3, 2, 1, 0]


def test_leaving_takes_one_click_and_looking_takes_none(api: Api, own: str, person: str) -> None:
    with session() as state:
        token = unsubscribing.unsubscribe_token(state, person, "email", "expiring")

    def unwanted() -> list[dict[str, str]]:
        found: list[dict[str, str]] = api.ask("GET", f"/people/{person}/preferences", own).json()["unsubscribed"]
        return found

    page = api.ask("GET", f"/unsubscribe/{token}")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post">' in page.text
    assert unwanted() == []
    for _ in range(2):
        done = api.ask("POST", f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200
    assert unwanted() == [{"channel": "email", "kind": "expiring"}]
    for bad in (token[:-3], token + "A", "x", "%00", "a" * 900):
        assert api.ask("POST", f"/unsubscribe/{bad}").status_code == 404, bad
