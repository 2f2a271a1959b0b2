"""The whole way at the sandbox in the guise of each vendor: their scopes, lifetimes, clients and silences."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from charthouse.clock import now
from charthouse.linking import credentials, links, providers, registrations, sign_in, signing_keys
from charthouse.linking.permissions import permitted
from charthouse.partners import smart
from charthouse.partners.client import Client
from charthouse.state import session
from charthouse.state.models import Credential
from tests.linking.test_link_command import base, person
from tests.sandbox.vendor import Vendor

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["base", "person"]

REDIRECT = "http://127.0.0.1:1/callback"


@pytest.fixture
def vendor(base: str) -> Iterator[Vendor]:
    """The sandbox, to be made into a vendor."""
    made = Vendor(base)
    yield made
    for what in ("faults", "clients", "requests"):
        made.http.delete(f"{made.admin}/{what}", timeout=10)
    made.become()


def link(person: str, **more: Any) -> tuple[sign_in.Finished, str]:
    """Sign in as Ann and agree to everything. Also the scope that was asked for."""
    started = sign_in.start_sign_in(person, "sandbox", browser="b", redirect_uri=REDIRECT, **more)
    url = f"{started.authorize_url}&prompt=none&login_hint=ann-canary"
    answer = requests.get(url, allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    given = parse_qs(urlsplit(answer.headers["Location"]).query)
    asked = parse_qs(urlsplit(started.authorize_url).query)["scope"][0]
    return sign_in.finish_sign_in({name: values[0] for name, values in given.items()}, browser="b"), asked


@pytest.mark.parametrize(
    ("profile", "asked", "ends"),
    [
        ("standard", "patient/*.rs", None),
        ("epic", "patient/*.rs", None),
        ("oracle-health", "patient/Immunization.rs", None),
        ("athenahealth", "patient/*.rs", None),
        ("healow", "patient/Immunization.rs", None),
        ("nextgen", "patient/*.read", None),
        ("blue-button", "patient/*.rs", timedelta(days=395)),
        ("bwell", "patient/*.rs", None),
        ("keycloak", "patient/*.rs", timedelta(seconds=1800)),
    ],
)
def test_a_public_client_at_each(person: str, vendor: Vendor, profile: str, asked: str, ends: timedelta | None) -> None:
    vendor.become(profile)
    done, scope = link(person)
    assert (done.status, done.code) == ("pending", None)
    assert asked in scope.split()
    with session(read_only=True) as state:
        found = links.get_link(state, done.link_id)
        kept = state.get(Credential, done.link_id)
        assert kept is not None
        assert found.identity_matched_at is not None
        assert permitted(found.granted_scopes).categories["vaccines"] == "permitted"
        if ends is not None:
            assert kept.refresh_expires_at is not None
            assert abs(kept.refresh_expires_at - now() - ends) < timedelta(minutes=2)


@pytest.mark.parametrize("auth", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_a_confidential_client_at_epic(person: str, vendor: Vendor, auth: Any) -> None:
    vendor.become("epic", auth_methods=[auth])
    secret = None if auth == "private_key_jwt" else "s:e+c/r%e&t canary"
    registered = {"client_id": "ours", "token_endpoint_auth_method": auth, "redirect_uris": [REDIRECT]}
    registered |= {"client_secret": secret} if secret else {"jwks": signing_keys.public_jwks("client_assertion")}
    answer = requests.post(f"{vendor.admin}/clients", json=registered, timeout=10)
    assert answer.status_code == 200, answer.text
    with session() as state:
        registrations.set_registration(state, "epic", "ours", auth, secret)
        providers.edit_provider(state, "sandbox", registration="epic")
        client = registrations.client_of(state, "sandbox")
    done, _ = link(person)
    assert done.code is None
    with session(read_only=True) as state:
        refresh_token = credentials.refresh_token(state, done.link_id)
    assert refresh_token is not None
    renewed = smart.refresh(vendor.base, refresh_token, client)
    said = smart.introspect(vendor.base, renewed.access_token, client)
    assert said is not None
    assert (said.active, said.patient) == (True, "ann-canary")
    assert said.expires_at is not None
    assert smart.revoke(vendor.base, renewed.refresh_token or "", client)
    again = smart.introspect(vendor.base, renewed.refresh_token or "", client, hint="refresh_token")
    assert again is not None
    assert not again.active


def test_introspection_by_a_public_client(person: str, vendor: Vendor) -> None:
    done, _ = link(person)
    with session(read_only=True) as state:
        access = credentials.Tokens().access_token(done.link_id, lambda _: pytest.fail("it is fresh"))
        assert links.get_link(state, done.link_id).patient_id == "ann-canary"
    said = smart.introspect(vendor.base, access, Client("charthouse"), bearer=access)
    assert said is not None
    assert said.active
    vendor.become(introspection=False)
    assert smart.introspect(vendor.base, access, Client("charthouse")) is None
