"""Who signed in, and where: ID tokens (OpenID Connect Core), `iss` (RFC 9207), introspection (RFC 7662)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from joserfc import jwk, jwt

from tests.sandbox.app import REDIRECT, redirected
from tests.sandbox.vendor import error_of

if TYPE_CHECKING:
    from tests.sandbox.vendor import Vendor

SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"


def test_an_id_token_is_for_this_client_and_this_sign_in(vendor: Vendor, person: str) -> None:
    answer, verifier = vendor.authorize(person, SCOPE, nonce="a-nonce")
    form = {"code": redirected(answer)["code"], "redirect_uri": REDIRECT, "code_verifier": verifier}
    said = vendor.token(grant_type="authorization_code", **form).json()
    keys = jwk.KeySet.import_key_set(vendor.get(vendor.smart["jwks_uri"], None).json())
    read = jwt.decode(said["id_token"], keys, algorithms=["RS256"])
    claims = read.claims
    assert claims["iss"] == vendor.smart["issuer"]
    assert claims["aud"] == vendor.client_id
    assert claims["nonce"] == "a-nonce"
    assert claims["fhirUser"] == f"{vendor.base}/Patient/{person}"
    assert claims["iat"] <= time.time() + 1 < claims["exp"]
    assert person not in claims["sub"]
    openid = vendor.get(vendor.smart["issuer"] + "/.well-known/openid-configuration", None).json()
    assert (openid["issuer"], openid["jwks_uri"]) == (vendor.smart["issuer"], vendor.smart["jwks_uri"])
    assert "sso-openid-connect" in vendor.smart["capabilities"]
    assert {"openid", "fhirUser"} <= set(vendor.smart["scopes_supported"])
    bare = vendor.exchange(person, "openid patient/Goal.rs").json()
    assert "fhirUser" not in jwt.decode(bare["id_token"], keys, algorithms=["RS256"]).claims
    assert "id_token" not in vendor.exchange(person, "patient/Goal.rs").json()


def test_every_answer_names_its_issuer(vendor: Vendor, person: str) -> None:
    assert vendor.smart["authorization_response_iss_parameter_supported"] is True
    for changes in ({}, {"scope": "nothing"}, {"login_hint": "nobody"}, {"code_challenge": None}):
        answer, _ = vendor.authorize(person, **{"scope": SCOPE, **changes})
        assert redirected(answer)["iss"] == vendor.smart["issuer"]


def test_introspection_tells_of_access_and_refresh_tokens(vendor: Vendor, person: str) -> None:
    vendor.become(refresh_seconds=7200)
    said = vendor.exchange(person, SCOPE).json()
    url = vendor.smart["introspection_endpoint"]

    def introspect(token: str) -> dict[str, object]:
        return vendor.http.post(url, data={"token": token}, timeout=10).json()

    access, refresh = introspect(said["access_token"]), introspect(said["refresh_token"])
    for told, seconds in ((access, 3600), (refresh, 7200)):
        assert (told["active"], told["client_id"], told["patient"]) == (True, vendor.client_id, person)
        assert told["fhirUser"] == f"{vendor.base}/Patient/{person}"
        assert abs(int(str(told["exp"])) - time.time() - seconds) < 5
    assert ("token_type" in access, "token_type" in refresh) == (True, False)
    vendor.refresh(said["refresh_token"])
    assert introspect(said["refresh_token"]) == {"active": False}
    vendor.act("end", patient=person)
    assert introspect(said["access_token"]) == {"active": False}
    assert error_of(vendor.http.post(url, data={}, timeout=10)) == (400, "invalid_request")
