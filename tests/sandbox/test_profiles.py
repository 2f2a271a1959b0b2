"""The vendors' habits: each profile is met as an app would meet that vendor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest

from sandbox.profiles import PROFILES, Profile
from tests.sandbox.app import ALL, ROOT, App, redirected, run, serving
from tests.sandbox.vendor import assertion, error_of, key_set, new_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.vendor import Vendor

DAY = 86_400
MALFORMED = "http://terminology.hl7.org//CodeSystem-observation-category|social-history"
SOCIAL = "http://terminology.hl7.org/CodeSystem/observation-category|social-history"


def granted(vendor: Vendor, person: str, scope: str = ALL, **more: str) -> dict[str, Any]:
    answer = vendor.exchange(person, scope, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def works(vendor: Vendor, person: str, answer: dict[str, Any]) -> bool:
    return vendor.get(f"Patient/{person}", answer["access_token"]).status_code == 200


def test_an_open_server_shows_everybody_to_whoever_asks(vendor: Vendor, person: str) -> None:
    vendor.become("open")
    assert vendor.get(".well-known/smart-configuration", None).status_code == 404
    assert "security" not in vendor.get("metadata", None).json()["rest"][0]
    assert {found["id"] for found in vendor.search("Patient", "")} == set(vendor.people())
    for whose in vendor.people():
        assert vendor.get(f"Patient/{whose}", None).json()["id"] == whose
        mine = vendor.search(f"Observation?patient={whose}", "")
        assert {found["subject"]["reference"] for found in mine} == {f"Patient/{whose}"}
    two = ",".join(vendor.people()[:2])
    assert len(vendor.search(f"Observation?patient={two}", "")) > len(
        vendor.search(f"Observation?patient={person}", "")
    )


@pytest.mark.parametrize("name", [name for name, profile in PROFILES.items() if profile.sign_in])
def test_every_profile_lets_somebody_sign_in_and_read(vendor: Vendor, person: str, name: str) -> None:
    vendor.become(name)
    access = "read" if PROFILES[name].scope_versions == ("v1",) else "rs"
    scope = f"launch/patient openid offline_access patient/Patient.{access} patient/Goal.{access}"
    key = new_key("ES384")
    secret = {"jwks": key_set(key)} if name == "epic" else {"client_secret": "s"}
    vendor.register(client_id="app", **secret)

    def proof() -> dict[str, str]:
        return assertion(key, "app", vendor.smart["token_endpoint"]) if name == "epic" else {"client_secret": "s"}

    first = granted(vendor, person, scope, **proof())
    assert works(vendor, person, first)
    second = vendor.refresh(first["refresh_token"], **proof())
    assert second.status_code == 200, second.text
    assert works(vendor, person, second.json())


def test_epic_gives_lasting_access_to_confidential_clients_without_saying_so(vendor: Vendor, person: str) -> None:
    vendor.become("epic")
    scope = "launch/patient offline_access patient/Patient.rs"
    said = granted(vendor, person, scope)
    assert ("refresh_token" in said, said["scope"]) == (False, "launch/patient patient/Patient.rs")
    key, endpoint = new_key("ES384"), vendor.smart["token_endpoint"]
    vendor.register(client_id="app", jwks=key_set(key))
    # The registration yields the token, not the scope.
    said = granted(vendor, person, "launch/patient patient/Patient.rs", **assertion(key, "app", endpoint))
    assert ("refresh_token" in said, "offline_access" in said["scope"]) == (True, False)
    renewed = vendor.refresh(said["refresh_token"], **assertion(key, "app", endpoint)).json()
    assert renewed["refresh_token"] != said["refresh_token"]
    vendor.later(1)
    assert error_of(vendor.refresh(said["refresh_token"], **assertion(key, "app", endpoint))) == (400, "invalid_grant")
    vendor.later(0)
    vendor.register(client_id="app", jwks=key_set(key), persistent_access=False)
    assert "refresh_token" not in granted(vendor, person, ALL, **assertion(key, "app", endpoint))
    vendor.register(client_id="secretive", client_secret="s")
    assert error_of(vendor.exchange(person, client_secret="s")) == (401, "invalid_client")


def test_oracle_keeps_one_refresh_token_and_throttles(vendor: Vendor, person: str) -> None:
    vendor.become("oracle-health")
    vendor.register(client_id="app", client_secret="s")
    assert "revocation_endpoint" not in vendor.smart
    assert not any("*" in scope for scope in vendor.smart["scopes_supported"])
    assert redirected(vendor.authorize(person, "launch/patient patient/*.rs")[0])["error"] == "invalid_scope"
    scope = "launch/patient offline_access patient/Patient.rs"
    first = granted(vendor, person, scope + " patient/*.rs", client_secret="s")
    assert (first["expires_in"], first["scope"]) == (570, scope)
    token = first["refresh_token"]

    def refresh() -> tuple[int, str]:
        answer = vendor.refresh(token, client_secret="s")
        if answer.status_code != 200:
            assert vendor.http.get(answer.json()["error_uri"], timeout=10).status_code == 200
        return answer.status_code, answer.json().get("error", answer.json().get("refresh_token", ""))

    assert refresh() == (200, "")
    assert refresh() == (429, "temporarily_unavailable")
    vendor.later(61)
    assert refresh() == (200, "")
    # Suspended and revoked look the same, and only a suspended one works again; access tokens run out.
    assert vendor.act("suspend", patient=person, client_id="app") >= 1
    vendor.later(130)
    assert refresh() == (400, "invalid_grant")
    assert works(vendor, person, first)
    vendor.act("resume", patient=person, client_id="app")
    assert refresh() == (200, "")
    # Unused for more than three months.
    vendor.later(90 * DAY)
    assert refresh() == (200, "")
    vendor.later(183 * DAY)
    assert refresh() == (400, "invalid_grant")
    page = vendor.http.get(vendor.smart["management_endpoint"], params={"patient": person}, timeout=10)
    assert "End access" in page.text


def test_a_person_ends_an_apps_access_at_the_providers_own_page(vendor: Vendor, person: str) -> None:
    vendor.become(management=True)
    said = granted(vendor, person)
    url = vendor.smart["management_endpoint"]
    (mine, *_) = [one for one in vendor.get(f"{vendor.admin}/grants", None).json()[::-1] if one["patient"] == person]
    done = vendor.http.post(url, data={"patient": person, "grant": mine["grant"], "act": "end"}, timeout=10)
    assert done.status_code == 200
    assert mine["grant"] not in done.text
    assert error_of(vendor.refresh(said["refresh_token"])) == (400, "invalid_grant")
    assert not works(vendor, person, said)
    vendor.become()
    assert vendor.http.get(url, timeout=10).status_code == 404


def test_athenahealth_blames_the_client_for_an_expired_token(vendor: Vendor, person: str) -> None:
    vendor.become("athenahealth")
    assert vendor.smart["grant_types_supported"] == ["authorization_code", "client_credentials"]
    assert "permission-offline" in vendor.smart["capabilities"]
    token = granted(vendor, person)["refresh_token"]
    vendor.later(91 * DAY)
    answer = vendor.refresh(token)
    assert error_of(answer) == (400, "invalid_client")
    assert answer.json()["error_description"].endswith("User must re-authenticate.")


def test_healow_repeats_a_malformed_code_and_counts_minutes(vendor: Vendor, person: str) -> None:
    vendor.become("healow")
    assert not {"revocation_endpoint", "introspection_endpoint"} & vendor.smart.keys()
    for endpoint in ("revoke", "introspect"):
        url = vendor.smart["token_endpoint"].replace("token", endpoint)
        assert vendor.http.post(url, data={"token": "x"}, timeout=10).status_code == 404
    listed = vendor.smart["scopes_supported"]
    assert f"patient/Observation.rs?category={MALFORMED}" in listed
    assert not any(SOCIAL in scope for scope in listed)
    asked = f"launch/patient offline_access patient/Patient.rs patient/Observation.rs?category={SOCIAL}"
    said = granted(vendor, person, asked)
    assert said["scope"] == asked.replace(SOCIAL, MALFORMED)
    found = vendor.search(f"Observation?patient={person}", said["access_token"])
    assert {one["category"][0]["coding"][0]["code"] for one in found} == {"social-history"}
    assert error_of(vendor.refresh(said["refresh_token"], scope="patient/*.nonsense")) == (400, "invalid_grant")
    now = time.time()
    vendor.later(-(now % 60) + 120)
    codes = [vendor.token(grant_type="refresh_token", refresh_token="x").status_code for _ in range(250)]
    assert set(codes) == {400}
    over = [
        vendor.token(grant_type="refresh_token", refresh_token="x"),
        vendor.authorize(person)[0],
        vendor.get(f"Patient/{person}", said["access_token"]),
    ]
    assert [answer.status_code for answer in over] == [429, 429, 429]
    assert not any("Retry-After" in answer.headers for answer in over)
    vendor.later(-(now % 60) + 180)
    assert works(vendor, person, said)


def test_nextgen_knows_scopes_of_version_1_and_revokes_below_the_token_endpoint(vendor: Vendor, person: str) -> None:
    vendor.become("nextgen")
    assert "permission-v2" not in vendor.smart["capabilities"]
    assert redirected(vendor.authorize(person, "launch/patient patient/Goal.rs")[0])["error"] == "invalid_scope"
    page = vendor.authorize(person, "launch/patient patient/Observation.read", prompt=None)[0].text
    assert "patient/Observation.read" in page
    assert "?category=" not in page
    said = granted(vendor, person, "launch/patient offline_access patient/*.read")
    url = vendor.smart["revocation_endpoint"]
    assert url.endswith("/token/revoke")
    form = {"token": said["refresh_token"], "client_id": vendor.client_id}
    assert vendor.http.post(url, data=form, timeout=10).status_code == 200
    assert error_of(vendor.refresh(said["refresh_token"])) == (400, "invalid_grant")


def test_blue_button_and_keycloak_say_when_it_ends(vendor: Vendor, person: str) -> None:
    vendor.become("blue-button")
    said = granted(vendor, person)
    ends = time.strptime(said["access_grant_expiration"], "%Y-%m-%d %H:%M:%SZ")
    assert ends.tm_year in (time.gmtime().tm_year + 1, time.gmtime().tm_year + 2)
    vendor.later(394 * DAY)
    again = vendor.refresh(said["refresh_token"]).json()
    assert again["access_grant_expiration"] == said["access_grant_expiration"]
    vendor.later(396 * DAY)
    assert error_of(vendor.refresh(again["refresh_token"])) == (400, "invalid_grant")
    vendor.later(0)
    vendor.become("keycloak")
    assert granted(vendor, person)["refresh_expires_in"] == 1800


def test_configurations_lack_what_the_standard_requires(vendor: Vendor, person: str) -> None:
    vendor.become("bwell")
    assert not {"capabilities", "grant_types_supported", "code_challenge_methods_supported"} & vendor.smart.keys()
    vendor.become(relative_urls=True)
    address = vendor.smart["token_endpoint"]
    assert address.startswith("/vendor/oauth/")
    vendor.smart = {name: urljoin(vendor.base, value) for name, value in vendor.smart.items() if isinstance(value, str)}
    assert works(vendor, person, granted(vendor, person))
    vendor.become(expires_in_text=True, iss_parameter=False)
    answer, _ = vendor.authorize(person)
    assert "iss" not in redirected(answer)
    assert vendor.smart["authorization_response_iss_parameter_supported"] is False
    assert granted(vendor, person)["expires_in"] == "3600"


def test_rotation_can_be_off_and_tokens_live_for_minutes_or_months(vendor: Vendor, person: str) -> None:
    vendor.become(rotation=False, repeats_refresh_token=True, refresh_seconds=120, access_seconds=60)
    said = granted(vendor, person)
    vendor.later(61)
    assert not works(vendor, person, said)
    assert vendor.refresh(said["refresh_token"]).json()["refresh_token"] == said["refresh_token"]
    vendor.later(180)
    assert vendor.refresh(said["refresh_token"]).status_code == 200
    vendor.later(302)
    assert error_of(vendor.refresh(said["refresh_token"])) == (400, "invalid_grant")
    vendor.later(0)
    vendor.become(refresh="none")
    assert "permission-offline" not in vendor.smart["capabilities"]
    assert "refresh_token" not in granted(vendor, person)
    wrong = vendor.http.post(f"{vendor.admin}/profile", json={"nonsense": 1}, timeout=10)
    assert (wrong.status_code, "nonsense" in wrong.json()["error"]) == (400, True)


def test_every_profile_and_field_is_documented() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text()
    missing = [name for name in [*PROFILES, *Profile.__struct_fields__] if f"`{name}`" not in text]
    assert missing == []


def test_profiles_are_chosen_at_the_start(generated: Path) -> None:
    chosen = ("--profile", "healow", "--profile", "north=epic", "--access-seconds", "120")
    with serving(*chosen, north=generated, south=generated) as bases:
        said = {}
        for name, base in bases.items():
            url = f"{base.removesuffix('/fhir')}/sandbox/profile"
            said[name] = App(base).get(url, None).json()
        assert {name: one["name"] for name, one in said.items()} == {"north": "epic", "south": "healow"}
        assert {one["access_seconds"] for one in said.values()} == {120}
    for wrong in (("--profile", "nobody"), ("--profile", "east=epic"), ("--rate", "fast"), ("--rate", "0")):
        done = run("serve", "--provider", f"north={generated}", *wrong)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr


def test_a_rate_of_token_requests_may_be_set(generated: Path) -> None:
    with serving("--rate", "5", house=generated) as bases:
        app = App(bases["house"])
        answers = [app.token(grant_type="refresh_token", refresh_token="x") for _ in range(12)]
        busy = [answer for answer in answers if answer.status_code == 429]
        assert 4 <= len(busy) <= 7
        assert {answer.headers["Retry-After"] for answer in busy} == {"1"}
        time.sleep(1)
        assert app.token(grant_type="refresh_token", refresh_token="x").status_code == 400
