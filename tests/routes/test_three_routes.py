"""One person by all three routes: records say where they came from, what is the same is there once, each ends alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests

from charthouse.api import tokens
from charthouse.lake.session import open_vault
from charthouse.linking import consents, credentials, finding, links, providers
from charthouse.linking.confirm import match_patient
from charthouse.linking.disconnect import disconnect
from charthouse.partners import smart
from charthouse.partners.client import Client
from charthouse.privacy import erase
from charthouse.privacy import requests as privacy_requests
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.models import Credential
from charthouse.sync.plan import plan_run
from sandbox.phone import App
from sandbox.phone_store import DataSource, HealthConnect
from tests.api.conftest import serving
from tests.network.conftest import Night, report, rows, verified

if TYPE_CHECKING:
    from pathlib import Path

    from tests.network.conftest import Partner

DIRECT, VERIFIED = "south", "bwell-north-clinic"


def links_by_route(person: str) -> dict[str, Any]:
    with session(read_only=True) as state:
        return {link.route: link for link in links.list_links(state, person_key=person)}


def statuses(person: str) -> dict[str, str]:
    return {route: link.status for route, link in links_by_route(person).items()}


def sign_in(partner: Partner, person: str, patient: str) -> None:
    """The person signs in at the clinic to the south."""
    base = f"{partner.url}/{DIRECT}/fhir"
    granted = smart.sign_in_unattended(
        base, login_hint=patient, client=Client(get_settings().client_id), redirect_uri="http://127.0.0.1/callback"
    )
    with session() as state:
        providers.register_provider(state, slug=DIRECT, name="South Clinic", fhir_base_url=base)
        link = links.start_link(state, person, DIRECT, "direct", patient_id=granted.patient)
        credentials.store_tokens(state, link.id, granted)
    assert match_patient(link.id).outcome == "matched"


def phone_of(url: str, partner: Partner, person: str, patient: str) -> App:
    """A phone on which another app shares the person's vaccines, as the clinic to the south has them."""
    store = HealthConnect()
    source = store.add_source(DataSource("com.example.portal", "https://portal.example/r4", "Portal"))
    for ask in (f"Patient/{patient}", f"Immunization?patient={patient}&_count=500"):
        token = sign_in_token(partner, patient)
        said = requests.get(
            f"{partner.url}/{DIRECT}/fhir/{ask}", headers={"Authorization": f"Bearer {token}"}, timeout=10
        ).json()
        for one in [entry["resource"] for entry in said["entry"]] if said["resourceType"] == "Bundle" else [said]:
            one.pop("meta", None)
            assert store.upsert(source.id, json.dumps(one)) is not None
    return App(url, person, lambda: tokens.issue(person=person), store)


def sign_in_token(partner: Partner, patient: str) -> str:
    return smart.sign_in_unattended(
        f"{partner.url}/{DIRECT}/fhir",
        login_hint=patient,
        client=Client(get_settings().client_id),
        redirect_uri="http://127.0.0.1/callback",
    ).access_token


def test_each_is_told_and_ends_alone(partner: Partner, home: Path) -> None:
    person = verified(partner.patients["north"][1])
    patient = partner.patients["south"][1]["patient"]
    with session() as state:
        consents.give(state, person, consents.SYNC)
    finding.look_now(person)
    sign_in(partner, person, patient)
    with serving(api_limit="100000/minute") as api:
        app = phone_of(api.url, partner, person, patient)
        assert {one["status"] for one in app.sync()} == {"accepted"}
        assert report(Night("all").run()).links.complete == 3
        assert statuses(person) == {"direct": "confirmed", "verified": "confirmed", "phone": "confirmed"}

        # Each row says by which route it came; what all three say of one shot is one shot.
        shots = rows("vaccines", "route, effective_start_day, code")
        by_route = {
            route: sorted(map(str, (row[1:] for row in shots if row[0] == route))) for route in statuses(person)
        }
        assert by_route["direct"]
        assert by_route["direct"] == by_route["verified"] == by_route["phone"]
        once = rows("vaccines_best", "effective_start_day, code")
        assert sorted(map(str, once)) == by_route["direct"]
        seen = {route for (route,) in rows("visits", "DISTINCT route")}
        assert seen == {"direct", "verified"}, "a phone shares no visits of this app"
        (half,) = [number for (number,) in rows("visits", "count(*)")]
        assert [(half // 2,)] == rows("visits_best", "count(*)")

        # The partner's connection ends: the others go on.
        found = links_by_route(person)
        disconnect(found["verified"].link_id)
        assert statuses(person) == {"direct": "confirmed", "verified": "disconnected", "phone": "confirmed"}
        assert partner.people()[person]["connections"]["north-clinic"][0] == "DISCONNECTED", "the partner is told"
        assert {one["status"] for one in app.sync()} == {"accepted"}
        assert report(Night("two").run()).links.complete == 2

        # Then the phone, then the sign-in; what was read stays until the person has it deleted.
        assert app.disconnect() == {"links_ended": 1}
        disconnect(found["direct"].link_id)
        assert set(statuses(person).values()) == {"disconnected"}
        assert plan_run([], airflow_run_id="nobody") == []
        assert rows("vaccines", "route, effective_start_day, code") == shots
        assert not [path for path in (home / "uploads").rglob("*") if path.is_file()]
        with session(read_only=True) as state:
            assert state.query(Credential).count() == 0

        # One route's data go, and nothing of the others'.
        with session() as state:
            request = privacy_requests.ask_deletion(state, found["phone"].link_id)
        erase.run([request.request_id])
    assert {route for (route,) in rows("vaccines", "DISTINCT route")} == {"direct", "verified"}
    assert sorted(map(str, rows("vaccines_best", "effective_start_day, code"))) == by_route["direct"]
    with open_vault(read_only=True) as connection:
        held = {link for (link,) in connection.execute("SELECT DISTINCT link_id FROM vault.resources").fetchall()}
    assert held == {found["direct"].link_id, found["verified"].link_id}
