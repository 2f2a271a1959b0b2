"""Requests of people by REST: asked for once, taken back in time, worked off, and seen by nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.clock import now
from charthouse.linking import links
from charthouse.operating.home import prepare
from charthouse.privacy import erase, receipts
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.models import Link, Person
from charthouse.state.requests import IdempotentRequest
from tests.api.conftest import (
    Api,
    Clock,
    api,
    clock,
    empty,
    home,
    operator,
    other,
    own,
    person,
    postgres_schema,
    serving,
)
from tests.api.test_requests import problem

if TYPE_CHECKING:
    from requests import Response

__all__ = ["api", "clock", "empty", "home", "operator", "other", "own", "person", "postgres_schema"]


@pytest.fixture(autouse=True)
def _lakes(home: object) -> None:
    prepare()


def ask(api: Api, path: str, token: str, **more: Any) -> Response:
    return api.ask("POST", path, token, **more)


def linked(person: str) -> str:
    with session() as state:
        return links.start_link(state, person, "clinic", "direct", patient_id="canary-patient-77").id


def test_an_erasure_is_asked_for_once_worked_off_and_proven(api: Api, own: str, operator: str, person: str) -> None:
    link = linked(person)
    once = {"headers": {"Idempotency-Key": "once"}}
    asked = ask(api, f"/people/{person}/erasures", own, **once)
    assert asked.status_code == 202
    said = asked.json()
    assert (said["kind"], said["status"]) == ("erase", "waiting")
    assert ask(api, f"/people/{person}/erasures", own).json()["request_id"] == said["request_id"]
    assert ask(api, f"/people/{person}/erasures", own, **once).json() == said
    [listed] = api.ask("GET", f"/people/{person}/requests", own).json()["items"]
    assert listed == {name: value for name, value in said.items() if name != "receipt_code"}

    [ended] = erase.run_ready()
    assert ended.done, ended
    with session(read_only=True) as state:
        assert state.get(Person, person) is None
        assert state.get(Link, link) is None
        assert state.query(IdempotentRequest).all() == [], "kept answers of the person go too"
    assert problem(api.ask("GET", f"/people/{person}/requests", own)) == (404, "CH806")
    after = api.ask("GET", f"/requests/{said['request_id']}", operator).json()
    assert after["status"] == "done"
    assert person not in str(after)
    receipt = api.ask("GET", f"/receipts/{after['receipt_id']}", operator).json()["document"]
    keys = api.ask("GET", "/receipts.jwks.json").json()
    held = receipts.check(receipt, keys, said["receipt_code"])
    assert held["act"] == "erase"
    assert held["proof"]["found"] == 0
    assert problem(ask(api, f"/requests/{said['request_id']}/cancel", operator)) == (409, "CH901")


def test_what_has_not_begun_can_be_taken_back(
    home: object, person: str, own: str, operator: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setenv("CHARTHOUSE_ERASURE_WAIT_DAYS", "3")
    get_settings.cache_clear()
    with serving() as api:
        said = ask(api, f"/people/{person}/erasures", own).json()
        assert erase.run_ready() == []
        back = ask(api, f"/requests/{said['request_id']}/cancel", own)
        assert back.json()["status"] == "cancelled"
        assert ask(api, f"/requests/{said['request_id']}/cancel", own).json() == back.json()
        again = ask(api, f"/people/{person}/erasures", own).json()
        assert again["request_id"] != said["request_id"]
        clock.forward(days=4)
        assert now() > now() - timedelta(days=4)
        [ended] = erase.run_ready()
        assert ended.done


def test_nobody_asks_for_another_or_learns_that_they_exist(
    api: Api, own: str, other: str, person: str, operator: str
) -> None:
    link = linked(person)
    theirs = linked(other)
    nobody = "00000000-0000-4000-8000-000000000000"
    asked = ask(api, f"/people/{other}/erasures", operator).json()
    for path in (
        f"/people/{other}/erasures",
        f"/people/{nobody}/erasures",
        f"/links/{theirs}/delete",
        f"/links/{nobody}/delete",
        f"/requests/{asked['request_id']}/cancel",
        f"/requests/{nobody}/cancel",
    ):
        refused = ask(api, path, own)
        assert problem(refused) == (404, "CH806"), path
    for path in (f"/people/{other}/requests", f"/requests/{asked['request_id']}", f"/receipts/{nobody}"):
        assert problem(api.ask("GET", path, own)) == (404, "CH806"), path
    deleted = ask(api, f"/links/{link}/delete", own)
    assert (deleted.status_code, deleted.json()["link_id"]) == (202, link)
