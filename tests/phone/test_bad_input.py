"""What a phone may not upload: each refused with its code, nothing of it stored, the rest kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.linking import links, people
from charthouse.state import session
from sandbox.phone import RefusedError, written
from sandbox.phone_store import DataSource
from tests.phone.conftest import BASE, House, measured, patient, phone_with, standard_records, vaccine

if TYPE_CHECKING:
    from collections.abc import Iterable


def line(kind: str, said: Any) -> dict[str, str]:
    return {"type": kind, "data": said if isinstance(said, str) else json.dumps(said)}


def uploaded(house: House, lines: Iterable[dict[str, Any]], types: tuple[str, ...], **person: Any) -> dict[str, Any]:
    """What comes of these lines of a new person's phone."""
    store, _ = phone_with([])
    app = house.app(house.person(**person), store)
    link = app.say_state()["data_sources"][0]["link_id"]
    return app.upload(link, written(lines, "full", types))


ME = line("PERSONAL_DETAILS", patient())
BOTH = ("PERSONAL_DETAILS", "VACCINES")


BAD_RECORDS = [
    (line("VACCINES", "{not json"), "CH170"),
    (line("VACCINES", "[]"), "CH170"),
    (line("VACCINES", {"resourceType": "Immunization"}), "CH170"),
    (line("VACCINES", vaccine("") | {"id": 7}), "CH170"),
    (line("VACCINES", {"id": "x"}), "CH170"),
    (line("VACCINES", vaccine("x", contained=[{"resourceType": "Patient", "id": "c"}])), "CH171"),
    (line("VACCINES", vaccine("x", contained={})), "CH171"),
    (line("VACCINES", {"resourceType": "DiagnosticReport", "id": "d"}), "CH172"),
    (line("VITAL_SIGNS", measured("o", "survey", "1-8", 1)), "CH172"),
    (line("VACCINES", vaccine("x", madeUp=1)), "CH173"),
    (line("VACCINES", vaccine("x", note=[])), "CH173"),
    (line("VACCINES", vaccine("x", occurrenceString="once")), "CH173"),
    (line("VACCINES", vaccine("x", occurrenceDateTime="2024-10-01T08:00:00")), "CH173"),
    (line("VACCINES", {key: value for key, value in vaccine("x").items() if key != "status"}), "CH173"),
    (line("LABORATORY_RESULTS", vaccine("x")), "CH174"),
    (line("VITAL_SIGNS", measured("o", "vital-signs", "8867-4", 60)), "CH174"),
]


def test_records_that_health_connect_would_not_have_taken(house: House) -> None:
    fine = line("VACCINES", vaccine("fine"))
    for bad, code in BAD_RECORDS:
        found = uploaded(house, [ME, bad, fine], BOTH)
        assert (found["status"], found["left_out"]) == ("accepted", {code: 1}), bad
        assert found["records"] == {"PERSONAL_DETAILS": 1, "VACCINES": 1}
    house.night(tables=False)
    assert house.vault() == {("Patient", "p1"), ("Immunization", "fine")}


BAD_UPLOADS: list[tuple[list[Any], str]] = [
    ([line("PERSONAL_DETAILS", patient(family="Somebody", given="Else")), line("VACCINES", vaccine("v"))], "CH986"),
    ([line("PERSONAL_DETAILS", patient(born="1956-07-18"))], "CH986"),
    ([line("PERSONAL_DETAILS", patient(given="Kid", born="2020-01-01"))], "CH643"),
    ([line("VACCINES", vaccine("v"))], "CH985"),
    ([], "CH985"),
    ([ME, {"type": "VACCINES"}], "CH984"),
    ([ME, {"data": "{}"}], "CH984"),
    ([ME, ["no", "object"]], "CH984"),
    ([ME, {"deleted": {"type": "Immunization", "id": "v1"}}], "CH984"),
    ([ME, line("VACCINES", vaccine("v", note=[{"text": "x" * 1_000_000}]))], "CH984"),
]


def test_uploads_that_are_not_theirs_or_cannot_be_read(house: House) -> None:
    theirs = {"CH986": "failed", "CH643": "disconnected"}
    for lines, code in BAD_UPLOADS:
        found = uploaded(house, lines, BOTH)
        assert (found["status"], found["code"], found["records"]) == ("refused", code, {})
        with session(read_only=True) as state:
            link = links.get_link(state, found["link_id"])
            assert link.status == theirs.get(code, "pending")
    assert house.uploads() == []
    house.night(tables=False)
    assert house.vault() == set()


def test_several_patients_of_one_set(house: House) -> None:
    """Two of the person's own, one of a child, and records of each."""
    kid = patient("kid", given="Kid", born="2020-01-01")
    lines = [
        line("VACCINES", vaccine("of-kid", of="kid")),
        line("VACCINES", vaccine("mine", of="p1")),
        line("VACCINES", vaccine("mine-too", of="p2")),
        line("VACCINES", vaccine("absolute", of="p2") | {"patient": {"reference": f"{BASE}/Patient/kid"}}),
        line("PERSONAL_DETAILS", kid),
        ME,
        line("PERSONAL_DETAILS", patient("p2")),
    ]
    found = uploaded(house, lines, BOTH)
    assert found["status"] == "accepted"
    house.night(tables=False)
    assert house.vault() == {
        ("Patient", "p1"),
        ("Patient", "p2"),
        ("Immunization", "mine"),
        ("Immunization", "mine-too"),
    }
    from charthouse.lake.session import open_vault

    with open_vault(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM vault.quarantine").fetchone() == (0,), "nothing of the child's"


def test_who_may_not_connect_a_phone(house: House) -> None:
    store, _ = phone_with(standard_records())

    def refused(person: str, **more: Any) -> tuple[int, str]:
        with pytest.raises(RefusedError) as error:
            house.app(person, store, **more).say_state()
        return error.value.status, error.value.code

    assert refused(house.person(agrees=False)) == (409, "CH972")
    assert refused(house.person(born="2015-01-01")) == (409, "CH611")
    assert refused(house.person(android=13)) == (409, "CH615")
    first, second = house.person(), house.person(family="Another")
    app = house.app(first, store)
    app.say_state()
    assert refused(second, device=app.device) == (409, "CH971")
    app.disconnect()
    house.app(second, store, device=app.device).say_state()
    assert refused(first, device=app.device) == (409, "CH971")
    with session(read_only=True) as state:
        assert {link.status for link in links.list_links(state, person_key=first)} == {"disconnected"}


def test_data_sources_beyond_what_the_platform_has(house: House) -> None:
    store, source = phone_with(standard_records())
    app = house.app(house.person(), store)

    def refused() -> str:
        with pytest.raises(RefusedError) as error:
            app.say_state()
        return error.value.code

    twin = store.add_source(DataSource(source.package_name, BASE, source.display_name))
    assert refused() == "CH976"
    del store.sources[twin.id]
    for number in range(20):
        store.add_source(DataSource(source.package_name, BASE, f"More {number}"))
    assert refused() == "CH976"
    store.sources = {source.id: source}
    for odd in (DataSource("a.b", "https://x.example/" + "y" * 2_000, "Long"), DataSource("a.b", BASE, "z" * 91)):
        store.add_source(odd)
        assert refused() == "CH976"
        del store.sources[odd.id]
    old = store.add_source(DataSource("a.b", BASE, "Old", fhir_version="3.0.2"))
    shown = {each["id"]: each for each in app.say_state()["data_sources"]}
    assert (shown[old.id]["status"], shown[old.id]["code"], "link_id" in shown[old.id]) == ("refused", "CH974", False)
    assert app.upload(shown[source.id]["link_id"], app.read(source.id))["status"] == "accepted", "the rest is kept"


def test_what_a_link_may_not_upload(house: House) -> None:
    store, source = phone_with(standard_records())
    app = house.app(house.person(), store)
    link = app.say_state()["data_sources"][0]["link_id"]
    reading = app.read(source.id)

    def refused(link_id: str) -> tuple[int, str]:
        with pytest.raises(RefusedError) as error:
            app.begin(link_id, reading)
        return error.value.status, error.value.code

    store.withdraw("LABORATORY_RESULTS")
    app.say_state()
    assert refused(link) == (409, "CH975")
    other, _ = phone_with([patient(family="Another")])
    stranger = house.app(house.person(family="Another"), other)
    assert refused(stranger.say_state()["data_sources"][0]["link_id"]) == (404, "CH806")
    with session() as state:
        from charthouse.linking import providers

        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="https://c.example/fhir")
        direct = links.start_link(state, app.person, "clinic", "direct", patient_id="x").id
    assert refused(direct) == (409, "CH973")
    with session() as state:
        from charthouse.linking import consents

        consents.withdraw(state, app.person, consents.SYNC)
    assert refused(link) == (409, "CH972")
    app.disconnect()
    assert refused(link) == (404, "CH970")


def test_somebody_who_turns_out_to_be_a_minor_while_an_upload_is_on_its_way(house: House) -> None:
    store, source = phone_with(standard_records())
    app = house.app(house.person(), store)
    link = app.say_state()["data_sources"][0]["link_id"]
    reading = app.read(source.id)
    upload = app.begin(link, reading)
    from datetime import date

    from charthouse.linking.identity import HumanName, Identity

    with session() as state:
        young = Identity((HumanName(family="Quorvendish", given=("Zyxwalda",)),), date(2015, 1, 1))
        people.update_person(state, app.person, identity=young)
    with pytest.raises(RefusedError) as error:
        app.send(link, upload, reading)
    assert error.value.status == 404, "the upload went with the link"
    house.night(tables=False)
    assert house.vault() == set()
