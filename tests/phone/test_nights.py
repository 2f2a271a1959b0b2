"""From the phone to the tables: in the same night as every other link, and what goes, is withdrawn, or comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from charthouse.linking import links, providers
from charthouse.linking.disconnect import disconnect
from charthouse.linking.watch import watch_links
from charthouse.notify.catalogue import source as source_of_text
from charthouse.privacy import erase, requests
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.bulk import GoneResource
from charthouse.state.notices import Notice
from sandbox.phone import App, written
from sandbox.phone_store import TYPES, DataSource, HealthConnect
from tests.api.conftest import Clock, clock
from tests.conftest import Installation
from tests.phone.conftest import BASE, House, measured, patient, phone_with, standard_records, vaccine


def started(house: House, store: HealthConnect) -> tuple[App, str]:
    app = house.app(house.person(), store)
    [found] = app.sync()
    assert found["status"] == "accepted", found
    return app, found["link_id"]


def gone(link: str) -> set[tuple[str, str, str]]:
    with session(read_only=True) as state:
        rows = state.query(GoneResource).where(GoneResource.link_id == link)
        return {(row.resource_type, row.resource_id, row.reason) for row in rows}


def test_a_night_takes_what_the_phone_brought(house: House) -> None:
    store, _ = phone_with(standard_records())
    app, link = started(house, store)
    house.night()
    assert house.vault() == {(one["resourceType"], one["id"]) for one in standard_records()}
    assert house.rows("SELECT route, provider, count(*) FROM records.lab_results GROUP BY ALL") == [
        ("phone", "health-connect", 2)
    ]
    assert house.rows("SELECT count(*) FROM records.vaccines") == [(2,)]
    assert house.rows("SELECT count(*) FROM records.vitals") == [(1,)]
    assert house.uploads() == []
    shown = house.api.ask("GET", f"/links/{link}", app._token()).json()
    assert (shown["route"], shown["status"], shown["sync_status"]) == ("phone", "confirmed", "complete")
    assert set(shown["categories"].values()) == {"permitted"}
    house.night()
    assert house.rows("SELECT count(*) FROM records.lab_results") == [(2,)], "nothing new: it is not asked"


def test_a_permission_withdrawn_is_not_permitted_and_never_deleted(house: House) -> None:
    store, source = phone_with(standard_records())
    app, link = started(house, store)
    house.night(tables=False)
    store.withdraw("LABORATORY_RESULTS", "PERSONAL_DETAILS")
    store.delete(source.id, "Immunization", "v2")
    [found] = app.sync()
    assert found["status"] == "accepted", "whose it is was seen before"
    house.night()
    shown = house.api.ask("GET", f"/links/{link}", app._token()).json()
    assert {name for name, given in shown["categories"].items() if given == "not_permitted"} == {"lab_results"}
    assert shown["status"] == "confirmed"
    assert gone(link) == {("Immunization", "v2", "not_served")}
    marks = dict(house.rows("SELECT resource_key, remarks FROM records.vaccines"))
    assert ["no-longer-served" in marks[f"{link}/Immunization/{name}"] for name in ("v1", "v2")] == [False, True]
    assert house.rows("SELECT count(*), count(*) FILTER (len(remarks) > 0) FROM records.lab_results") == [(2, 0)]
    store.grant("LABORATORY_RESULTS", "PERSONAL_DETAILS")
    store.upsert(source.id, json.dumps(vaccine("v2")))
    app.sync()
    house.night(tables=False)
    assert gone(link) == set()


def test_of_a_set_read_whole_the_missing_is_gone_type_by_type(house: House) -> None:
    store, source = phone_with(standard_records())
    app, link = started(house, store)
    house.night(tables=False)
    store.delete(source.id, "Observation", "l1")
    store.delete(source.id, "Observation", "h1")
    app.upload(link, app.read(source.id, ["LABORATORY_RESULTS", "PERSONAL_DETAILS"]))
    house.night(tables=False)
    assert gone(link) == {("Observation", "l1", "not_served")}, "vital signs were not read"
    # A record that is left out is on the phone all the same.
    lines = [
        {"type": "LABORATORY_RESULTS", "data": "{torn"},
        {"type": "PERSONAL_DETAILS", "data": json.dumps(patient())},
    ]
    app.upload(link, written(lines, "full", ("LABORATORY_RESULTS", "PERSONAL_DETAILS")))
    house.night(tables=False)
    assert gone(link) == {("Observation", "l1", "not_served")}


def test_several_readings_of_one_day_are_what_was_said_last(house: House) -> None:
    store, source = phone_with(standard_records())
    app, link = started(house, store)
    store.delete(source.id, "Immunization", "v1")
    store.upsert(source.id, json.dumps(measured("l2", "laboratory", "2345-7", 105)))
    app.sync()
    changes = [
        {"deleted": {"type": "Observation", "id": "l1"}},
        {"type": "VACCINES", "data": json.dumps(vaccine("v3"))},
    ]
    found = app.upload(link, written(changes, "changes", TYPES), changes_token="go-on-here")
    assert found["status"] == "accepted"
    house.night(tables=False)
    assert ("Immunization", "v1") not in house.vault(), "it was gone before any night"
    assert ("Immunization", "v3") in house.vault()
    assert house.text_of("Observation", "l2")["valueQuantity"]["value"] == 105
    assert app.say_state()["data_sources"][0]["changes_token"] == "go-on-here"
    deleted = [{"deleted": {"type": "Observation", "id": "l2"}}, {"deleted": {"type": "Observation", "id": "unknown"}}]
    app.upload(link, written(deleted, "changes", TYPES))
    house.night(tables=False)
    assert gone(link) >= {("Observation", "l2", "deleted")}


def test_disconnecting_the_phone_leaves_the_other_routes(house: House) -> None:
    with session() as state:
        providers.register_provider(state, slug="lakeside", name="Lakeside", fhir_base_url=BASE)
    store, source = phone_with(standard_records())
    app, link = started(house, store)
    with session() as state:
        direct = links.start_link(state, app.person, "lakeside", "direct", patient_id="p1").id
    house.night(tables=False)
    with session(read_only=True) as state:
        assert links.get_link(state, link).provider == "lakeside", "its base is that of a provider that we know"
    app.upload(link, app.read(source.id))
    assert house.uploads()
    [shown] = Installation(house.home).json("phones", "list", app.person)
    assert (shown["link"], shown["data_source"], shown["permitted"]) == (link, "Lakeside", 12)
    assert app.disconnect() == {"links_ended": 1}
    assert house.uploads() == []
    with session(read_only=True) as state:
        assert (links.get_link(state, link).status, links.get_link(state, direct).status) == ("disconnected", "pending")
    assert len(house.vault()) == len(standard_records()), "what was read stays"
    again = app.say_state()["data_sources"][0]
    assert (again["link_id"], again["status"]) == (link, "pending")


def test_a_link_that_ended_comes_back_only_when_it_is_asked_for(house: House) -> None:
    store, source = phone_with(standard_records())
    app, link = started(house, store)
    house.night(tables=False)
    app.upload(link, app.read(source.id))
    disconnect(link, settings=get_settings())
    assert house.uploads() == []
    assert app.say_state()["data_sources"][0]["status"] == "disconnected"
    assert app.sync() == []
    refused = house.api.ask("POST", f"/links/{link}/reconnect", app._token())
    assert (refused.status_code, refused.json()["code"]) == (409, "CH614"), "nobody signs in for a phone"
    assert app.say_state(reconnect=[source.id])["data_sources"][0]["status"] == "pending"
    with session() as state:
        request = requests.ask_deletion(state, link)
    erase.run([request.request_id])
    assert house.vault() == set()
    assert app.say_state()["data_sources"][0]["status"] == "deleted"
    assert app.sync() == []
    back = app.say_state(reconnect=[source.id])["data_sources"][0]
    assert (back["status"], back["link_id"] == link) == ("pending", False)


def test_erasing_a_person_leaves_nothing_of_their_phone(house: House) -> None:
    records = [*standard_records(), vaccine("canary-vaccine", note=[{"text": "CANARY-OF-THE-PHONE"}])]
    store, source = phone_with(records)
    store.add_source(DataSource("com.canary.portal", "https://canary-base.example/r4", "Canary Hospital"))
    app, link = started_all(house, store)
    house.night()
    app.upload(link, app.read(source.id))
    upload = app.begin(link, app.read(source.id, ["VACCINES"]))
    assert house.uploads()
    with session() as state:
        request = requests.ask_erasure(state, app.person)
    [done] = erase.run([request.request_id])
    assert done is not None
    assert house.uploads() == []
    signs = [
        b"CANARY-OF-THE-PHONE",
        b"canary-vaccine",
        b"Canary Hospital",
        b"canary-base",
        b"com.canary",
        upload.encode(),
    ]
    signs += [app.device.encode(), app.person.encode(), source.id.encode(), link.encode()]
    for file in house.home.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert [sign for sign in signs if sign in content] == [], file.name


def started_all(house: House, store: HealthConnect) -> tuple[App, str]:
    app = house.app(house.person(), store)
    found = app.sync()
    return app, found[0]["link_id"]


def test_a_phone_that_uploads_nothing_is_told_where_to_look(clock: Clock, house: House) -> None:
    """Nobody signs in here, so nothing is abandoned: the permissions in Health Connect are what to look at."""
    store, source = phone_with(standard_records())
    store.withdraw("PERSONAL_DETAILS")
    app = house.app(house.person(), store)
    link = app.say_state()["data_sources"][0]["link_id"]
    assert app.upload(link, app.read(source.id))["code"] == "CH985"
    clock.forward(hours=25)
    assert (watch_links().unconfirmed, watch_links().abandoned) == (1, 0)
    with session(read_only=True) as state:
        [notice] = state.scalars(select(Notice).where(Notice.link_id == link))
        assert (notice.kind, notice.reason) == ("not_confirmed", "nothing_uploaded")
    assert "Health Connect" in source_of_text("en", "not_confirmed", "nothing_uploaded", "action")
    clock.forward(days=14)
    assert watch_links().given_up == 1


@pytest.mark.crash
@pytest.mark.parametrize("point", ["phone.landed", "store.accounted", "phone.settled"])
def test_a_night_killed_at_a_point_goes_on(house: House, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = phone_with(standard_records())
    _, link = started(house, store)

    class KilledError(BaseException):
        pass

    def reached(name: str) -> None:
        if name == point:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("charthouse.faults.point", reached)
        with pytest.raises(KilledError):
            house.night(tables=False)
    house.nights -= 1
    house.night(tables=False)
    assert len(house.vault()) == len(standard_records())
    assert house.uploads() == []
    with session(read_only=True) as state:
        assert links.get_link(state, link).sync_status == "complete"
        assert links.due_links(state) == []


def test_whoever_received_an_upload_was_killed_before_it_was_judged(house: House, monkeypatch: Any) -> None:
    store, source = phone_with(standard_records())
    app = house.app(house.person(), store)
    link = app.say_state()["data_sources"][0]["link_id"]
    reading = app.read(source.id)
    upload = app.begin(link, reading)
    with monkeypatch.context() as patch:
        patch.setattr("charthouse.api.routes.uploads.judging.judge", lambda *_, **__: None)
        app.send(link, upload, reading)
    assert app.verdict(link, upload, seconds=0)["status"] == "received"
    house.night(tables=False)
    assert len(house.vault()) == len(standard_records())


__all__ = ["clock"]
