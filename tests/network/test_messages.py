"""Messages of the partner at the real REST API: signed, lately, of known people, each once."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import requests
import uvicorn
from sqlalchemy import func, select

from charthouse.api.app import make_server_app
from charthouse.linking import finding, searching
from charthouse.linking.network_accounts import set_account
from charthouse.state import session
from charthouse.state.network import NetworkMessage, NetworkPerson

from .conftest import CLIENT, SECRET, connect, verified

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def served() -> Iterator[str]:
    """The REST API of the home that is entered; the address for the partner's messages."""
    server = uvicorn.Server(uvicorn.Config(make_server_app(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/charthouse/v1/partners/bwell/messages"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def told(partner) -> Iterator[tuple[str, str]]:
    """A person who was looked at, and the address for messages; the partner has it."""
    with served() as url:
        connect(partner, webhook_url=url)
        key = verified(partner.patients["north"][0])
        finding.look_now(key)
        yield key, url


def turns(key: str) -> list[str]:
    with session(read_only=True) as state:
        return searching.due(state, "bwell")


def taken() -> int:
    with session(read_only=True) as state:
        return state.scalar(select(func.count()).select_from(NetworkMessage)) or 0


def test_a_message_makes_it_the_persons_turn_and_counts_once_in_any_order(partner, told):
    key, _ = told
    assert turns(key) == []
    assert partner.send(key, id="later", times=3)["statuses"] == [200, 200, 200]
    assert partner.send(key, id="earlier")["statuses"] == [200]
    assert (turns(key), taken()) == ([key], 2)


def test_an_id_that_names_a_kind_of_event_counts_for_each_person_and_again_on_another_day(partner, told):
    key, _ = told
    other = verified(partner.patients["north"][1])
    finding.look_now(other)
    for person in (key, other, key):
        assert partner.send(person, id="bundle-data-export")["statuses"] == [200]
    assert (sorted(turns(key)), taken()) == (sorted([key, other]), 2)
    with session() as state:
        for row in state.scalars(select(NetworkMessage)):
            row.received_at -= timedelta(days=2)
        state.get_one(NetworkPerson, key).next_look_at += timedelta(days=9)
    assert turns(key) == [other]
    assert partner.send(key, id="bundle-data-export")["statuses"] == [200]
    assert (sorted(turns(key)), taken()) == (sorted([key, other]), 2)


def test_what_is_not_signed_lately_by_the_secret_in_force_is_refused_and_nothing_is_kept(partner, told):
    key, url = told
    for order, status in (
        ({"ago": 86_400.0}, 401),  # replayed a day later
        ({"ago": -3_600.0}, 401),
        ({"secret": "another secret"}, 401),
    ):
        assert partner.send(key, **order)["statuses"] == [status], order
    assert partner.send("6c1b6a4e-2f0e-4f6b-9f0e-000000000000")["statuses"] == [422], "about nobody"
    assert requests.post(url, data=b"{}", timeout=10).status_code == 401
    assert requests.post(url.replace("bwell", "nobody"), data=b"{}", timeout=10).status_code == 404
    assert (turns(key), taken()) == ([], 0)


def test_an_old_secret_signs_for_as_long_as_it_is_said_to(partner, told):
    key, url = told
    for hours, status in ((1.0, 200), (0.0, 401)):
        with session() as state:
            set_account(
                state,
                "bwell",
                api_url=partner.network,
                fhir_base_url=f"{partner.network}/fhir/4_0_0",
                client_key=CLIENT,
                secret=SECRET,
                webhook_url=url,
                webhook_secret=f"a new one {hours}",
                old_webhook_hours=hours,
            )
        signs = "what signs messages" if hours else "a new one 1.0"
        assert partner.send(key, secret=signs)["statuses"] == [status]
        assert partner.send(key, secret=f"a new one {hours}")["statuses"] == [200]


def test_the_app_sees_what_was_found_and_waves_it_away(partner, told):
    from charthouse.api.tokens import issue

    key, url = told
    api = url.partition("/partners/")[0]
    mine = {"Authorization": f"Bearer {issue(person=key)}"}
    search = requests.get(f"{api}/people/{key}/search", headers=mine, timeout=10).json()
    assert (search["permitted"], search["state"]) == (True, "done")
    items = requests.get(f"{api}/people/{key}/found-providers", headers=mine, timeout=10).json()["items"]
    assert {one["way"] for one in items} == {"connected", "sign_in"}
    waiting = next(one["found_id"] for one in items if one["way"] == "sign_in")
    page = requests.post(f"{api}/found-providers/{waiting}/sign-in", headers=mine, timeout=10).json()["sign_in_url"]
    assert page.startswith(f"{partner.network}/connect/")
    connected = next(one["found_id"] for one in items if one["way"] == "connected")
    refused = requests.post(f"{api}/found-providers/{connected}/sign-in", headers=mine, timeout=10)
    assert (refused.status_code, refused.json()["code"]) == (409, "CH655")
    assert requests.post(f"{api}/found-providers/{waiting}/dismiss", headers=mine, timeout=10).ok
    assert len(requests.get(f"{api}/people/{key}/found-providers", headers=mine, timeout=10).json()["items"]) == 1
    other = {"Authorization": f"Bearer {issue(person=verified(partner.patients['north'][1]))}"}
    for answer in (
        requests.get(f"{api}/people/{key}/found-providers", headers=other, timeout=10),
        requests.post(f"{api}/found-providers/{waiting}/dismiss", headers=other, timeout=10),
    ):
        assert answer.status_code == 404
    assert requests.post(f"{api}/people/{key}/search", headers=mine, timeout=10).status_code == 202
    with session(read_only=True) as state:
        assert state.get_one(NetworkPerson, key).code is None
