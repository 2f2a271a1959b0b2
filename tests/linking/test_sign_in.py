"""Signing in at providers as they are: each answer that can come, by what becomes of the link."""

from __future__ import annotations

import base64
import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwk
from sqlalchemy import select

from charthouse.errors import LinkError, StateError
from charthouse.linking import (
    confirm,
    credentials,
    links,
    people,
    providers,
    registrations,
    sign_in,
    signing_keys,
    watch,
)
from charthouse.linking.disconnect import disconnect
from charthouse.linking.permissions import permitted
from charthouse.partners import id_token
from charthouse.state import session
from charthouse.state.linking import Removal, SignIn
from charthouse.state.models import Credential
from tests.linking.odd_provider import ANN, OTHER_KEY, OddProvider, sent_back
from tests.partners.odd_server import Asked, Reply, as_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from charthouse.linking.sign_in import Finished, Started

REDIRECT = "http://127.0.0.1:1/callback"
BROWSER = "a-browser-session"


def start(person: str, **more: Any) -> Started:
    given = {"browser": BROWSER, "redirect_uri": REDIRECT, "return_to": "app://home"} | more
    return sign_in.start_sign_in(person, "odd", **given)


def finish(parameters: dict[str, str], browser: str | None = BROWSER) -> Finished:
    return sign_in.finish_sign_in(parameters, browser=browser)


def linked(person: str, provider: OddProvider, **more: Any) -> Finished:
    """The whole way."""
    return finish(provider.agree(start(person, **more).authorize_url))


def has_tokens(link_id: str) -> bool:
    with session(read_only=True) as state:
        return state.get(Credential, link_id) is not None


def status(link_id: str) -> tuple[str, str | None]:
    with session(read_only=True) as state:
        link = links.get_link(state, link_id)
        return link.status, link.failed_reason


@pytest.fixture(autouse=True)
def _nothing_leaks(caplog: pytest.LogCaptureFixture) -> Any:
    """No log line holds a token, a code, a name or a patient's id."""
    caplog.set_level(logging.DEBUG)
    id_token._held.clear()
    yield
    assert "canary" not in caplog.text.lower()


def test_the_whole_way(person: str, provider: OddProvider) -> None:
    provider.claims = {"fhirUser": f"{provider.base}/Patient/ann-canary"}
    provider.granted["refresh_expires_in"] = 86_400
    started = start(person)
    asked = sent_back(started.authorize_url)
    assert asked["aud"] == provider.base
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"] == "launch/patient openid fhirUser offline_access patient/*.rs"
    assert asked["nonce"]
    assert len(started.state) >= 43, "256 bits"
    assert started.state not in repr(started)
    with session(read_only=True) as state:
        row = state.scalars(select(SignIn)).one()
        assert started.state not in repr(vars(row))
        assert started.state.encode() not in (row.sealed_secrets or b"")

    done = finish(provider.agree(started.authorize_url))
    assert (done.link_id, done.status, done.code, done.return_to) == (started.link_id, "pending", None, "app://home")
    with session(read_only=True) as state:
        link = links.get_link(state, done.link_id)
        assert (link.patient_id, link.granted_scopes) == ("ann-canary", "launch/patient patient/*.rs")
        assert link.identity_matched_at is not None
        assert link.sync_requested_at is not None
        kept = state.get(Credential, done.link_id)
        assert kept is not None
        assert kept.refresh_expires_at is not None
        assert credentials.refresh_token(state, done.link_id) == "canary-refresh"
    assert provider.revoked == []


def test_scope_that_is_not_said_is_as_asked_and_the_patient_may_be_who_signed_in(
    person: str, provider: OddProvider
) -> None:
    provider.granted = {"scope": None, "patient": None}
    provider.claims = {"fhirUser": "Patient/ann-canary"}
    done = linked(person, provider)
    assert done.code is None
    with session(read_only=True) as state:
        granted = links.get_link(state, done.link_id).granted_scopes
    assert granted is not None
    assert "patient/*.rs" in granted


@pytest.mark.parametrize(
    "configuration",
    [
        {"issuer": None, "jwks_uri": None, "capabilities": None, "scopes_supported": None},
        {"jwks_uri": None},
        {"authorization_endpoint": "/as/authorize", "token_endpoint": "../as/token", "capabilities": "permission-v2"},
        {"capabilities": ["permission-v1"], "scopes_supported": ["patient/*.*", "launch/patient"]},
    ],
)
def test_lean_configurations(person: str, provider: OddProvider, configuration: dict[str, Any]) -> None:
    provider.configuration = {
        name: value for name, value in (provider.configuration | configuration).items() if value is not None
    }
    provider.claims = {"fhirUser": "Patient/ann-canary"}
    provider.granted["scope"] = "patient/*.read"
    started = start(person)
    if "scopes_supported" not in provider.configuration:
        types = {word for word in sent_back(started.authorize_url)["scope"].split() if word.startswith("patient/")}
        assert types == {"patient/Observation.read", "patient/Patient.read"}, "those of its CapabilityStatement"
    assert finish(provider.agree(started.authorize_url)).code is None


def test_a_state_is_known_bound_and_good_once(
    person: str, provider: OddProvider, later: Callable[[float], None]
) -> None:
    started = start(person)
    answer = provider.agree(started.authorize_url)
    for odd in ({}, {"state": ""}, {"state": "x" * 600}, {"state": answer["state"][:-1]}):
        with pytest.raises(LinkError, match="CH630"):
            finish({"code": answer["code"], **odd})
    for other in (None, "another-browser"):
        with pytest.raises(LinkError, match="CH631"):
            finish(answer, other)
    assert provider.asked_for_tokens() == 0
    assert finish(answer).code is None
    again = finish(answer)
    assert (again.link_id, again.status, again.code) == (started.link_id, "pending", None), "it is told the outcome"
    assert finish(answer | {"code": "other"}).code is None
    assert provider.asked_for_tokens() == 1

    late = start(person)
    later(3601)
    done = finish(provider.agree(late.authorize_url))
    assert (done.code, done.status) == ("CH632", "pending")
    assert finish(provider.agree(late.authorize_url)).code == "CH632"
    later(9 * 86_400)
    assert sign_in.forget_old() == 2


def test_a_start_page_binds_the_browser_that_comes_first(
    person: str, provider: OddProvider, later: Callable[[float], None]
) -> None:
    started = start(person, browser=None)
    answer = provider.agree(started.authorize_url)
    with pytest.raises(LinkError, match="CH631"):
        finish(answer)
    with pytest.raises(LinkError, match="CH631"):
        finish(answer, None)
    with pytest.raises(LinkError, match="CH630"):
        sign_in.bind_browser("no-such-state", BROWSER)
    assert sign_in.bind_browser(started.state, BROWSER) == started.authorize_url
    assert sign_in.bind_browser(started.state, BROWSER) == started.authorize_url, "the page was loaded again"
    with pytest.raises(LinkError, match="CH631"):
        sign_in.bind_browser(started.state, "another-browser")
    assert finish(answer).code is None
    with pytest.raises(LinkError, match="CH630"):
        sign_in.bind_browser(started.state, BROWSER)
    slow = start(person, browser=None)
    later(3601)
    with pytest.raises(LinkError, match="CH632"):
        sign_in.bind_browser(slow.state, BROWSER)


def test_two_callbacks_at_once(person: str, provider: OddProvider) -> None:
    answer = provider.agree(start(person).authorize_url)
    told: list[Finished] = []
    callbacks = [threading.Thread(target=lambda: told.append(finish(answer))) for _ in range(6)]
    for each in callbacks:
        each.start()
    for each in callbacks:
        each.join()
    assert [(done.status, done.code) for done in told] == [("pending", None)] * 6
    assert provider.asked_for_tokens() == 1


@pytest.mark.parametrize(
    ("changes", "code", "becomes"),
    [
        ({"iss": "https://evil.example"}, "CH634", "pending"),
        ({"code": None, "error": "access_denied"}, "CH635", "failed"),
        ({"code": None, "error": "temporarily_unavailable"}, "CH642", "pending"),
        ({"code": None, "error": "unauthorized_client"}, "CH637", "pending"),
        ({"code": None, "error": "invalid_scope"}, "CH604", "failed"),
        ({"code": None, "error": "canary <script>"}, "CH604", "failed"),
        ({"code": None}, "CH635", "failed"),
        ({"code": "canary-of-another-client"}, "CH636", "failed"),
    ],
)
def test_answers_without_a_code_that_works(
    person: str, provider: OddProvider, changes: dict[str, str | None], code: str, becomes: str
) -> None:
    started = start(person)
    done = finish(provider.agree(started.authorize_url, **changes))
    assert (done.code, done.status) == (code, becomes)
    assert done.reason == ("sign_in_refused" if becomes == "failed" else None)
    assert not has_tokens(started.link_id)
    assert linked(person, provider).code is None, "starting again goes well"


def test_the_issuer_is_compared_where_it_is_said_or_announced(person: str, provider: OddProvider) -> None:
    assert finish(provider.agree(start(person).authorize_url, iss=f"{provider.url}/as")).code is None
    provider.configuration["authorization_response_iss_parameter_supported"] = True
    assert linked(person, provider).code == "CH634"
    assert finish(provider.agree(start(person).authorize_url, iss=f"{provider.url}/as")).code is None
    del provider.configuration["issuer"]
    assert finish(provider.agree(start(person).authorize_url, iss=f"{provider.url}/other")).code is None
    assert finish(provider.agree(start(person).authorize_url, iss="https://evil.example/as")).code == "CH634"


@pytest.mark.parametrize(
    "broken",
    [
        Reply(200, b"<html>canary: please sign in</html>", {"Content-Type": "text/html"}),
        Reply(503),
        Reply(500, b"canary"),
        Reply(302, headers={"Location": "http://127.0.0.1:1/"}),
        Reply(200, b'{"access_token": "can', cut=9),
    ],
)
def test_a_token_endpoint_that_is_down_costs_nothing(person: str, provider: OddProvider, broken: Reply) -> None:
    started = start(person)
    answer = provider.agree(started.authorize_url)
    provider.odd["/as/token"] = broken
    done = finish(answer)
    assert (done.code, done.status) == ("CH642", "pending")
    del provider.odd["/as/token"]
    done = finish(answer)  # the page is loaded again
    assert (done.link_id, done.code) == (started.link_id, None)
    assert has_tokens(started.link_id)


def test_a_provider_that_is_down_at_the_start(person: str, provider: OddProvider) -> None:
    provider.odd["/fhir/.well-known/smart-configuration"] = Reply(503)
    with pytest.raises(LinkError, match="CH642"):
        start(person)
    provider.odd["/fhir/.well-known/smart-configuration"] = Reply(200, b"<html>")
    with pytest.raises(StateError, match="CH604"):
        start(person)
    with session(read_only=True) as state:
        assert links.list_links(state, person_key=person) == []


@pytest.mark.parametrize(
    ("granted", "code", "reason"),
    [
        ({"scope": ""}, "CH639", "sign_in_refused"),
        ({"scope": "openid launch/patient offline_access"}, "CH639", "sign_in_refused"),
        ({"scope": "patient/Observation.rs patient/Condition.rs"}, "CH638", "patient_not_readable"),
        ({"patient": None}, "CH640", "sign_in_refused"),
        ({"patient": "../../evil"}, "CH640", "sign_in_refused"),
        ({"patient": ""}, "CH640", "sign_in_refused"),
    ],
)
def test_grants_that_are_of_no_use_are_explained_and_given_back(
    person: str, provider: OddProvider, granted: dict[str, Any], code: str, reason: str
) -> None:
    provider.granted |= granted
    done = linked(person, provider)
    assert (done.code, done.status, done.reason) == (code, "failed", reason)
    assert not has_tokens(done.link_id)
    assert provider.revoked == ["canary-refresh"]


@pytest.mark.parametrize("patient", ["ann-canary", "Patient/ann-canary"])
def test_a_patient_may_be_named_as_a_reference(person: str, provider: OddProvider, patient: str) -> None:
    provider.granted["patient"] = patient
    assert linked(person, provider).code is None


@pytest.mark.parametrize(
    ("claims", "changes"),
    [
        ({"iss": "https://evil.example"}, {}),
        ({"aud": "another-client"}, {}),
        ({"aud": ["charthouse", "b"], "azp": "b"}, {}),
        ({"nonce": "another"}, {}),
        ({"exp": 1_000_000_000}, {}),
        ({"exp": None}, {}),
        ({"iat": 4_000_000_000, "exp": 4_000_000_300}, {}),
        ({"sub": "s"}, {"signed_with": OTHER_KEY}),
        ({"sub": "s"}, {"algorithm": "none"}),
        (
            {"sub": "s"},
            {"algorithm": "HS256", "signed_with": jwk.OctKey.import_key("a-guess-of-a-secret-of-ours")},
        ),
    ],
)
def test_an_identity_token_that_does_not_hold_ends_the_sign_in(
    person: str, provider: OddProvider, claims: dict[str, Any], changes: dict[str, Any]
) -> None:
    provider.claims = claims
    for name, value in changes.items():
        setattr(provider, name, value)
    done = linked(person, provider)
    assert (done.code, done.reason) == ("CH641", "sign_in_refused")
    assert not has_tokens(done.link_id)
    assert provider.revoked == ["canary-refresh"]


def test_an_identity_token_of_a_server_whose_clock_is_ten_minutes_off(person: str, provider: OddProvider) -> None:
    import time

    at = int(time.time())
    for off in (-600, 600):
        provider.claims = {"iat": at + off, "exp": at + off + 60}
        assert linked(person, provider).code is None
    provider.claims = {"iat": at - 3600, "exp": at - 3000}
    assert linked(person, provider).code == "CH641"


def test_an_identity_token_that_cannot_be_judged_says_nothing(person: str, provider: OddProvider) -> None:
    provider.claims = {"fhirUser": "Patient/somebody-canary"}
    provider.odd["/as/jwks"] = Reply(503)
    assert linked(person, provider).code is None
    provider.granted["patient"] = None
    assert linked(person, provider).code == "CH640"
    del provider.odd["/as/jwks"]
    provider.claims["nonce"] = None
    assert linked(person, provider).code == "CH640"


def test_a_key_that_came_since_is_fetched_once(person: str, provider: OddProvider) -> None:
    provider.claims = {"sub": "s"}
    assert linked(person, provider).code is None
    provider.signed_with, provider.published = OTHER_KEY, [OTHER_KEY]
    assert linked(person, provider).code is None
    assert len([asked for asked in provider.asked if asked.path == "/as/jwks"]) == 2


@pytest.mark.parametrize(
    ("auth", "secret"),
    [
        ("client_secret_basic", "plain-canary"),
        ("client_secret_basic", "p+l/a=i%n:c&canary é".replace("é", "e")),
        ("raw_basic", "p+l/a=i%n&canary"),
        ("client_secret_post", "p+l/a=i%n:c&canary"),
    ],
)
def test_confidential_clients(person: str, provider: OddProvider, auth: str, secret: str) -> None:
    provider.client = {"auth": auth, "id": "app:1" if auth == "client_secret_basic" else "app-1", "secret": secret}
    with session() as state:
        way = "client_secret_basic" if auth == "raw_basic" else auth
        registrations.set_registration(state, "vendor", provider.client["id"], way, secret)  # type: ignore[arg-type]
        providers.edit_provider(state, "odd", registration="vendor")
    assert linked(person, provider).code is None
    with session() as state:
        registrations.set_registration(state, "vendor", provider.client["id"], way, "wrong")  # type: ignore[arg-type]
    done = linked(person, provider)
    assert done.code == "CH637"
    assert done.status == "pending", "a registration to mend ends nobody's link"


def test_a_wrong_secret_at_a_server_that_insists_on_its_encoding(person: str, provider: OddProvider) -> None:
    """It finds fault with the form of the second try; what is wrong is still the secret of the first."""

    def strict(asked: Asked) -> Reply:
        login = base64.b64decode(asked.headers["Authorization"].split()[1]).decode()
        return (
            as_json({"error": "invalid_client"}, 401) if "%2B" in login else as_json({"error": "invalid_request"}, 400)
        )

    provider.odd["/as/token"] = strict
    with session() as state:
        registrations.set_registration(state, "vendor", "app-1", "client_secret_basic", "p+l%canary")
        providers.edit_provider(state, "odd", registration="vendor")
    done = linked(person, provider)
    assert (done.code, done.status) == ("CH637", "pending")


def test_a_401_is_about_the_client_whatever_name_it_has(person: str, provider: OddProvider) -> None:
    provider.odd["/as/token"] = as_json({"error": "invalid_request"}, 401)
    done = linked(person, provider)
    assert (done.code, done.status) == ("CH637", "pending"), "an operator mends it; the link is not failed for it"
    provider.odd["/as/token"] = as_json({"error": "invalid_grant"}, 401)
    assert linked(person, provider).code == "CH636"


def test_an_assertion_has_the_client_id_beside_it_where_the_server_wants_it(person: str, provider: OddProvider) -> None:
    """RFC 7521 §4.2 permits it, SMART leaves it out; a server refuses the code, the renewal and the revocation."""

    def wants_it(asked: Asked) -> Reply | None:
        return None if asked.form.get("client_id") == "app-1" else as_json({"error": "invalid_request"}, 400)

    provider.odd["/as/token"] = provider.odd["/as/revoke"] = wants_it
    with session() as state:
        registrations.set_registration(state, "vendor", "app-1", "private_key_jwt")
        providers.edit_provider(state, "odd", registration="vendor")
    provider.client = {"auth": "private_key_jwt", "id": "app-1"}
    provider.assertion_keys = signing_keys.public_jwks("client_assertion")
    done = linked(person, provider)
    assert done.code is None
    assert disconnect(done.link_id).revoked
    assert provider.revoked == ["canary-refresh", "canary-access"]


@pytest.mark.parametrize("ahead", [600, -600])
def test_an_assertion_is_made_by_the_clock_of_a_server_that_is_ten_minutes_off(
    person: str, provider: OddProvider, later: Callable[[float], None], ahead: float
) -> None:
    later(ahead)
    with session() as state:
        registrations.set_registration(state, "vendor", "app-1", "private_key_jwt")
        providers.edit_provider(state, "odd", registration="vendor")
    provider.client = {"auth": "private_key_jwt", "id": "app-1"}
    provider.assertion_keys = signing_keys.public_jwks("client_assertion")
    assert linked(person, provider).code is None
    assert provider.asked_for_tokens() == 2
    provider.assertion_keys = {"keys": [OTHER_KEY.as_dict(private=False)]}
    assert linked(person, provider).code == "CH637"
    assert provider.asked_for_tokens() == 4, "once more, and no more"


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_clients_that_prove_themselves_by_a_key(person: str, provider: OddProvider, algorithm: str) -> None:
    with session() as state:
        registrations.set_registration(state, "vendor", "app-1", "private_key_jwt", algorithm=algorithm)
        providers.edit_provider(state, "odd", registration="vendor")
        client = registrations.client_of(state, "odd")
    provider.client = {"auth": "private_key_jwt", "id": "app-1"}
    provider.assertion_keys = signing_keys.public_jwks("client_assertion")
    assert linked(person, provider).code is None
    assert client.signer is not None
    assert client.signer("https://a.example") != client.signer("https://a.example"), "each has an id of its own"
    provider.assertion_keys = {"keys": [OTHER_KEY.as_dict(private=False)]}
    assert linked(person, provider).code == "CH637"


def test_somebody_elses_records_are_not_kept(person: str, provider: OddProvider) -> None:
    for patient in (ANN | {"birthDate": "1980-03-01"}, ANN | {"name": [{"family": "Other"}]}, ANN | {"id": "other"}):
        provider.patient = patient
        done = linked(person, provider)
        assert (done.code, done.status, done.reason) == ("CH644", "failed", "identity_not_matched")
        assert done.detail in ("birth_date_differs", "name_differs", "other_patient")
        assert not has_tokens(done.link_id)
        assert provider.revoked.pop() == "canary-refresh"


def test_a_minors_records_are_disconnected_and_removed(person: str, provider: OddProvider) -> None:
    provider.patient = ANN | {"birthDate": "2020-01-01", "name": [{"family": "Child"}]}
    done = linked(person, provider)
    assert (done.code, done.status) == ("CH643", "disconnected")
    assert not has_tokens(done.link_id)

    provider.patient = dict(ANN)
    done = linked(person, provider)
    assert done.code is None
    with session() as state:  # a night has read it; then the provider corrects the birth date
        links.transition(state, done.link_id, "confirmed", "records_received", "sync")
        links.set_sync_status(state, done.link_id, "waiting")
    provider.patient = ANN | {"birthDate": "2020-01-01"}
    assert confirm.match_patient(done.link_id).outcome == "minor_found"
    with session(read_only=True) as state:
        assert [row.link_id for row in state.scalars(select(Removal))] == [done.link_id]
    with pytest.raises(LinkError, match="CH617"):
        start(person)


def test_a_confirmed_link_is_compared_again_after_a_week(person: str, provider: OddProvider, clock: Any) -> None:
    link_id = linked(person, provider).link_id
    with session() as state:
        links.transition(state, link_id, "confirmed", "records_received", "sync")
        links.set_sync_status(state, link_id, "waiting")
    renewed = as_json({"access_token": "canary-access", "expires_in": 3600})
    provider.odd["/as/token"] = lambda asked: renewed if "refresh_token" in asked.form else None
    asked = len(provider.asked)
    clock(timedelta(days=6))
    assert watch.match_links() == 0
    assert len(provider.asked) == asked, "the provider is not asked before a week is over"

    provider.patient = None
    clock(timedelta(days=8))
    assert watch.match_links() == 0
    assert status(link_id) == ("confirmed", None), "the night decides, while it brings anything"
    asked = len(provider.asked)
    assert watch.match_links() == 0
    assert len(provider.asked) == asked

    provider.patient = ANN | {"name": [{"family": "Newcanary", "given": ["Annacanary"]}]}
    clock(timedelta(days=16))
    watch.match_links()
    assert status(link_id) == ("failed", "identity_not_matched")
    assert not has_tokens(link_id)
    with session(read_only=True) as state:
        assert state.scalars(select(Removal)).all() == [], "a name that has changed erases nothing"


@pytest.mark.parametrize(
    ("reply", "outcome", "becomes"),
    [
        (as_json({}, 403), "patient_not_readable", "failed"),
        (as_json({}, 404), "patient_not_readable", "failed"),
        (Reply(500), "later", "pending"),
        (Reply(200, b"<html>canary</html>"), "later", "pending"),
        (as_json({"resourceType": "OperationOutcome"}), "later", "pending"),
    ],
)
def test_a_patient_that_cannot_be_read(
    person: str, provider: OddProvider, reply: Reply, outcome: str, becomes: str
) -> None:
    provider.odd["/fhir/Patient/ann-canary"] = reply
    done = linked(person, provider)
    assert done.status == becomes
    assert done.code == ("CH638" if becomes == "failed" else None)
    if becomes == "failed":
        return
    with session(read_only=True) as state:
        assert confirm.unmatched(state) == [done.link_id]
        assert links.due_links(state) == [], "nobody reads a link whose Patient has not been compared"
    del provider.odd["/fhir/Patient/ann-canary"]
    assert confirm.match_patient(done.link_id).outcome == "matched"
    with session(read_only=True) as state:
        assert confirm.unmatched(state) == []
        assert [work.link_id for work in links.due_links(state)] == [done.link_id]


def test_a_token_that_is_refused_is_renewed_once(person: str, provider: OddProvider) -> None:
    done = linked(person, provider)
    refused = [as_json({}, 401)]
    provider.odd["/fhir/Patient/ann-canary"] = lambda _: refused.pop() if refused else None
    provider.odd["/as/token"] = lambda asked: (
        as_json({"access_token": "canary-access", "expires_in": 60}) if "refresh_token" in asked.form else None
    )
    assert confirm.match_patient(done.link_id).outcome == "matched"
    provider.odd["/fhir/Patient/ann-canary"] = as_json({}, 401)
    provider.odd["/as/token"] = as_json({"error": "invalid_grant"}, 400)
    assert confirm.match_patient(done.link_id).outcome == "expired"
    assert status(done.link_id) == ("expired", None)


def test_signing_in_again_keeps_the_link_and_its_patient(person: str, provider: OddProvider) -> None:
    first = linked(person, provider)
    with session() as state:
        links.transition(state, first.link_id, "expired", "authorization_ended", "sync")
    done = linked(person, provider, link_id=first.link_id)
    assert (done.link_id, done.status, done.code) == (first.link_id, "pending", None)

    # Without naming it, the person's link for this patient is taken up all the same.
    with session() as state:
        links.transition(state, first.link_id, "expired", "authorization_ended", "sync")
    done = linked(person, provider)
    assert (done.link_id, done.status, done.code) == (first.link_id, "pending", None)

    provider.granted["patient"] = "bob-canary"
    done = linked(person, provider, link_id=first.link_id)
    assert (done.link_id, done.status, done.code) == (first.link_id, "pending", "CH606")
    assert has_tokens(first.link_id), "those of before"
    assert provider.revoked == ["canary-refresh"]

    refused = provider.agree(start(person, link_id=first.link_id).authorize_url, code=None, error="access_denied")
    assert finish(refused).status == "pending", "saying no to more takes nothing away"
    with session() as state:
        other = people.create_person(state).person_key
    with pytest.raises(LinkError, match="CH610"):
        start(other)
    with pytest.raises(StateError, match="CH602"):
        start(person, link_id="no-such-link")


def test_a_link_that_is_deleted_meanwhile_gets_no_tokens(person: str, provider: OddProvider) -> None:
    started = start(person)
    with session() as state:
        links.transition(state, started.link_id, "deleted", "deletion_asked", "person")
    done = finish(provider.agree(started.authorize_url))
    assert (done.code, done.status) == ("CH602", "deleted")
    assert provider.revoked == ["canary-refresh"]


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_link_that_is_disconnected_meanwhile_stays_so(person: str, provider: OddProvider, meanwhile: bool) -> None:
    """Before the answer comes, or while the provider trades its code; a sign-in that begins afterwards is another."""
    started = start(person)

    def end(_: Asked | None = None) -> None:
        disconnect(started.link_id)

    answer = provider.agree(started.authorize_url)
    if meanwhile:
        provider.odd["/as/token"] = end
    else:
        end()
    done = finish(answer)
    assert (done.code, done.status) == ("CH630", "disconnected")
    assert not has_tokens(started.link_id)
    assert provider.revoked == (["canary-refresh"] if meanwhile else [])
    provider.odd.clear()
    answer = provider.agree(start(person, link_id=started.link_id).authorize_url)
    assert finish(answer).code is None
    disconnect(started.link_id)
    assert finish(answer).code == "CH630", "the page, loaded once more"


def test_a_provider_that_moves_meanwhile_gets_nothing_of_the_other_server(person: str, provider: OddProvider) -> None:
    started = start(person)
    with OddProvider() as moved:
        with session() as state:
            providers.edit_provider(state, "odd", fhir_base_url=moved.base)
        assert finish(provider.agree(started.authorize_url)).code == "CH630"
        assert moved.asked == []
    assert provider.asked_for_tokens() == 0


def test_a_sign_in_whose_worker_died_says_so(person: str, provider: OddProvider) -> None:
    started = start(person)
    with session() as state:
        row = state.get(SignIn, sign_in.state_hash(started.state))
        assert row is not None
        row.used_at = row.started_at
    assert finish(provider.agree(started.authorize_url)).code == "CH633"


def test_a_fault_of_ours_lets_the_same_answer_come_again(
    person: str, provider: OddProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = provider.agree(start(person).authorize_url)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("charthouse.linking.callback._tokens", broken)
        with pytest.raises(RuntimeError):
            finish(answer)
    assert finish(answer).code is None


def test_permissions_by_category() -> None:
    whole = permitted("patient/*.read")
    assert set(whole.categories.values()) == {"permitted"}
    assert len(whole.categories) == 10
    assert permitted(None).patient_readable
    malformed = "http://terminology.hl7.org//CodeSystem-observation-category|social-history"
    some = permitted(
        "launch/patient patient/Patient.r user/Condition.rs?category=http://x|problem-list-item patient/Immunization.r "
        "patient/AllergyIntolerance.cruds patient/MedicationDispense.rs patient/Procedure.write "
        f"patient/Observation.rs?category={malformed} "
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|vital-signs&code=x|1"
    )
    assert some.categories == {
        "allergies": "permitted",
        "conditions": "partly",
        "lab_results": "not_permitted",
        "medications": "partly",
        "pregnancy": "partly",
        "procedures": "not_permitted",
        "social_history": "permitted",
        "vaccines": "not_permitted",
        "visits": "not_permitted",
        "vitals": "partly",
    }
    assert "permitted: allergies, social history" in some.sentence().lower()
    assert permitted("").grants_nothing
    assert permitted("openid patient/Patient.write").grants_nothing
