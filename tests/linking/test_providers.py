"""Providers that operators add, change, retire and look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from charthouse.errors import LinkError, StateError
from charthouse.linking import credentials, links, people, providers
from charthouse.linking.provider_check import check_provider
from charthouse.linking.registrations import set_registration
from charthouse.operating.cli import app
from charthouse.partners.addresses import origins_in
from charthouse.partners.search import compartment_types
from charthouse.partners.token_endpoint import TokenSet
from charthouse.settings import get_settings
from charthouse.state import audit, session
from tests.linking.lists import region, write
from tests.partners.odd_server import Asked, OddServer, Reply, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def test_a_provider_is_added_once(home: Path) -> None:
    with session() as state:
        providers.add_provider(
            state, slug="one", name="One", fhir_base_url="https://one.example/R4/", portal_url="https://my.one.example"
        )
    for slug, url in (("one", "https://other.example"), ("two", "HTTPS://one.example:443/r4")):
        with pytest.raises(LinkError, match="CH623"), session() as state:
            providers.add_provider(state, slug=slug, name="N", fhir_base_url=url)
    with pytest.raises(LinkError, match="CH620"), session() as state:
        providers.add_provider(state, slug="two", name="N", fhir_base_url="https://two.example", registration="none")
    with session(read_only=True) as state:
        assert [view.slug for view in providers.list_providers(state)] == ["clinic", "one"]


@pytest.mark.parametrize(
    "changes",
    [
        {"slug": "Two Words"},
        {"name": ""},
        {"name": "a\r\nb"},
        {"name": "x" * 201},
        {"region": "usa"},
        {"partner": "nobody"},
        {"page_origins": "https://pages.example/path"},
        {"page_origins": "pages.example"},
        {"portal_url": "javascript:alert(1)"},
        {"portal_url": "https://my.example/a b"},
        {"fhir_base_url": "ftp://one.example"},
        {"fhir_base_url": "javascript:alert(1)"},
        {"fhir_base_url": "https://user:secret@one.example"},
        {"fhir_base_url": "https://one.example/fhir?x=1"},
        {"fhir_base_url": "https://one.example/\r\nfhir"},
        {"fhir_base_url": "https://[one.example/"},
        {"fhir_base_url": "https://one.example\\@two.example/"},
    ],
)
def test_details_that_cannot_be_used_are_refused(home: Path, changes: dict[str, str]) -> None:
    given = {"slug": "one", "name": "One", "fhir_base_url": "https://one.example/fhir"} | changes
    with pytest.raises(StateError) as error, session() as state:
        providers.add_provider(state, **given)
    assert error.value.code in ("CH602", "CH607")
    assert "secret" not in str(error.value)


def test_a_change_is_in_the_trail_and_never_sends_tokens_elsewhere_unasked(home: Path, link: str) -> None:
    with session() as state:
        credentials.store_tokens(state, link, TokenSet("a", "r", None, None, None))
    with session() as state:
        providers.edit_provider(state, "clinic", fhir_base_url="https://clinic.example/fhir/r4", name="Clinic 2")
        with pytest.raises(LinkError, match="CH622"):
            providers.edit_provider(state, "clinic", fhir_base_url="https://elsewhere.example/fhir")
        providers.edit_provider(state, "clinic", fhir_base_url="https://new.example/fhir", with_links=True)
        set_registration(state, "vendor", "client")
        providers.edit_provider(state, "clinic", registration="vendor", portal_url="https://my.example", active=False)
        providers.edit_provider(state, "clinic", registration="", portal_url="", active=False)
        clinic = providers.get_provider(state, "clinic")
        assert (clinic.registration, clinic.portal_url, clinic.active) == (None, None, False)
        said = [(event.action, event.detail) for event in audit.trail(state, "provider", "clinic")][1:]
        assert said == [
            ("provider.endpoint_changed", {"before": "https://clinic.example/fhir", "after": "https://clinic.example/fhir/r4"}),
            ("provider.changed", {"fields": "name"}),
            ("provider.endpoint_changed", {"before": "https://clinic.example/fhir/r4", "after": "https://new.example/fhir"}),
            ("provider.changed", {"fields": "active,portal_url,registration"}),
            ("provider.changed", {"fields": "portal_url,registration"}),
        ]  # fmt: skip


def test_who_retires_ends_its_links_and_nobody_starts_another(home: Path) -> None:
    with session() as state:
        found = {}
        for status in ("pending", "confirmed", "expired", "failed", "disconnected"):
            person = people.create_person(state).person_key
            link = links.start_link(state, person, "clinic", "direct", patient_id=status)
            link.status = status
            found[link.id] = status
        state.flush()
        assert providers.retire_provider(state, "clinic") == providers.Retired(4, 0)
        assert providers.retire_provider(state, "clinic") == providers.Retired(0, 0)
        for link_id, status in found.items():
            assert links.get_link(state, link_id).status == "disconnected"
            if status != "disconnected":
                event = links.list_events(state, link_id)[-1]
                assert (event.from_state, event.reason, event.actor) == (status, "provider_retired", "operator")
        assert [event.action for event in audit.trail(state, "provider", "clinic")].count("provider.retired") == 1
        providers.edit_provider(state, "clinic", active=True)
        assert providers.get_provider(state, "clinic").retired_at is None


GOOD = {
    "authorization_endpoint": "auth/authorize",
    "token_endpoint": "auth/token",
    "revocation_endpoint": "auth/revoke",
    "introspection_endpoint": "auth/introspect",
    "code_challenge_methods_supported": ["S256"],
    "capabilities": [
        "launch-standalone",
        "client-public",
        "context-standalone-patient",
        "permission-patient",
        "permission-offline",
        "permission-v2",
    ],
    "scopes_supported": ["launch/patient", "offline_access", "patient/*.rs"],
}


@pytest.fixture
def look(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, tuple[str, str]]]]:
    """Let a provider say this of itself, look at it, and tell what was found."""
    monkeypatch.setenv("CHARTHOUSE_REQUEST_TRIES", "1")
    get_settings.cache_clear()
    said: dict[str, Any] = {}

    def answer(asked: Asked) -> Reply:
        last = asked.path.rpartition("/")[2]
        found = said[{"metadata": "metadata", "Patient": "patients"}.get(last, "configuration")]
        return found if isinstance(found, Reply) else as_json(found)

    with OddServer(answer) as server:

        def run(
            configuration: Any = GOOD, metadata: Any = None, provider: str = "", patients: Any = None
        ) -> dict[str, tuple[str, str]]:
            said["configuration"] = configuration
            said["patients"] = patients or Reply(401)
            types = [{"type": kind} for kind in ("Patient", *compartment_types())]
            said["metadata"] = metadata or {
                "resourceType": "CapabilityStatement",
                "fhirVersion": "4.0.1",
                "rest": [{"mode": "server", "resource": types}],
            }
            if provider:
                with session() as state:
                    providers.edit_provider(state, provider, fhir_base_url=f"{server.url}/fhir")
            findings = check_provider(provider or f"{server.url}/fhir")
            return {finding.what: (finding.state, finding.detail) for finding in findings}

        yield run


def test_a_good_provider_has_nothing_missing(look: Callable[..., dict[str, tuple[str, str]]]) -> None:
    found = look()
    assert {what for what, (state, _) in found.items() if state == "missing"} == set()
    assert found["scopes"] == ("ok", "launch/patient offline_access patient/*.rs")
    assert {what for what, (state, _) in found.items() if state == "ok"} >= {
        "PKCE", "capabilities", "lasting links", "revocation", "introspection", "FHIR version", "resources",
    }  # fmt: skip
    with session() as state:
        set_registration(state, "vendor", "client", scopes="launch/patient patient/Patient.read")
        providers.edit_provider(state, "clinic", registration="vendor")
    assert found["categories"][0] == "ok"
    found = look(provider="clinic")
    assert found["categories"][0] == "remark"
    assert found["client"] == ("ok", "none, as registered")
    assert found["scopes"] == ("ok", "of the registration: launch/patient patient/Patient.read")


WITHOUT = {key: value for key, value in GOOD.items() if key not in ("revocation_endpoint", "introspection_endpoint")}
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no PKCE": (GOOD | {"code_challenge_methods_supported": ["plain"]}, "PKCE", "missing"),
    "PKCE not said": ({**GOOD, "code_challenge_methods_supported": None}, "PKCE", "remark"),
    "no revocation": (WITHOUT, "revocation", "remark"),
    "no introspection": (WITHOUT, "introspection", "remark"),
    "no refresh": (GOOD | {"capabilities": ["launch-standalone"], "scopes_supported": ["patient/*.rs"]},
                   "lasting links", "missing"),
    "no standalone launch": (GOOD | {"capabilities": ["permission-offline"]}, "capabilities", "remark"),
    "nothing said": ({"authorization_endpoint": "a", "token_endpoint": "t"}, "capabilities", "remark"),
    "confidential only": (GOOD | {"capabilities": ["client-confidential-symmetric"]}, "client", "missing"),
    "secrets only": (GOOD | {"capabilities": [], "token_endpoint_auth_methods_supported": ["client_secret_basic"]},
                     "client", "missing"),
    "no Patient": (GOOD | {"scopes_supported": ["patient/Observation.rs"]}, "scopes", "missing"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_missing_is_said(look: Callable[..., dict[str, tuple[str, str]]], case: str) -> None:
    configuration, what, state = CASES[case]
    assert look(configuration)[what][0] == state


def test_a_server_that_lets_everybody_read_lacks_no_sign_in(look: Callable[..., dict[str, tuple[str, str]]]) -> None:
    everybody = as_json({"resourceType": "Bundle", "type": "searchset"})
    assert look(Reply(404), patients=everybody)["smart-configuration"][0] == "remark"
    assert look(Reply(404))["smart-configuration"][0] == "missing"


def test_a_registration_that_does_not_fit_is_said(look: Callable[..., dict[str, tuple[str, str]]]) -> None:
    with session() as state:
        set_registration(state, "vendor", "client", "private_key_jwt")
        providers.edit_provider(state, "clinic", registration="vendor")
    takes = GOOD | {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
    assert look(takes, provider="clinic")["client"][0] == "missing"
    takes = GOOD | {
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384"],
    }
    assert look(takes, provider="clinic")["client"] == ("missing", "we sign with ES384; it takes RS384")
    with session() as state:
        set_registration(state, "vendor", "client", "private_key_jwt", algorithm="RS384")
    assert look(takes, provider="clinic")["client"][0] == "ok"


def test_answers_that_make_no_sense_are_findings(look: Callable[..., dict[str, tuple[str, str]]]) -> None:
    html = Reply(200, b"<html>", {"Content-Type": "text/html"})
    found = look(html, html)
    assert (found["smart-configuration"][0], found["/metadata"][0]) == ("missing", "missing")
    other = {"resourceType": "CapabilityStatement", "fhirVersion": "1.0.2", "rest": []}
    assert look(metadata=other)["FHIR version"] == ("missing", "1.0.2")
    assert look(metadata=Reply(401))["/metadata"][0] == "remark"
    assert look(metadata=Reply(503))["/metadata"][0] == "missing"
    bare = {"resourceType": "CapabilityStatement", "rest": [{"resource": [{"type": "Observation"}]}]}
    assert look(metadata=bare)["resources"] == ("missing", "Patient cannot be read")
    bare["rest"][0]["resource"] += [{"type": kind} for kind in ("Patient", "Condition", "Encounter")]
    assert look(metadata=bare)["resources"] == ("remark", "nothing for: allergies, medications, procedures, vaccines")
    plain = check_provider("http://clinic.invalid/fhir")
    assert [finding.state for finding in plain] == ["missing", "missing"]
    secure = check_provider("https://clinic.invalid/fhir")
    assert [(finding.what, finding.state) for finding in secure] == [("FHIR base", "missing")], "nobody answers there"


def test_everything_can_be_done_from_the_command_line(home: Path, tmp_path: Path) -> None:
    if "postgresql" in get_settings().state_database:
        pytest.skip("the command line is the same")
    runner = CliRunner()

    def run(*arguments: str, stdin: str | None = None) -> str:
        done = runner.invoke(app, ["providers", *arguments], input=stdin)
        assert done.exit_code == 0, (done.output, done.exception)
        assert "canary" not in done.output
        return done.output

    run("add", "one", "https://one.example/fhir", "--name", "One", "--client-id", "c1", "--auth", "client_secret_post",
        "--secret-file", "-", stdin="canary\n")  # fmt: skip
    run("register", "vendor", "--client-id", "c2", "--auth", "private_key_jwt", "--algorithm", "RS384")
    run("edit", "one", "--registration", "vendor", "--closed", "--portal-url", "https://my.one.example")
    assert "4 brands" in run("import", write(tmp_path, region()), "--registration", "vendor")
    (found,) = json.loads(run("search", "mercy medical", "--json"))
    assert (found["provider"], found["linkable"]) == ("mercy-medical-center", True)
    assert "Baltimore, MD 21202" in run("search", "mercy", "--place", "maryland")
    listed = {row["slug"]: row for row in json.loads(run("list", "--json"))}
    assert listed["one"]["registration"] == "vendor"
    registered = {row["slug"]: row for row in json.loads(run("registrations", "--json"))}
    assert (registered["one"]["has_secret"], registered["vendor"]["providers"]) == (True, 5)
    assert "retired one" in run("retire", "one")
    done = runner.invoke(app, ["providers", "check", "one", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.output)[0]["what"] == "open"


def test_pages_may_go_on_where_the_operator_says(home: Path) -> None:
    with session() as state:
        providers.add_provider(state, slug="paged", name="Paged", fhir_base_url="https://paged.example/R4")
        person = people.create_person(state)
        link = links.start_link(state, person.person_key, "paged", "direct", patient_id="p")
        providers.edit_provider(state, "paged", page_origins="https://pages.example, https://more.example:8443/")
        (work,) = links.work_of(state, [link.id])
    assert origins_in(work.page_origins) == {("https", "pages.example", 443), ("https", "more.example", 8443)}
    with session() as state:
        providers.edit_provider(state, "paged", page_origins="")
        (work,) = links.work_of(state, [link.id])
    assert origins_in(work.page_origins) == frozenset()
