"""Authorization requests: SMART App Launch 2.2 standalone launch, code flow with PKCE (S256 only, RFC 7636)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from sandbox.oauth_error import OAuthError
from sandbox.scopes import access_of, grantable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.clients import Clients
    from sandbox.profiles import Profile

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9\-_]{43}")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be shown to a person: client, where to answer, what is asked."""

    client_id: str
    client_name: str
    redirect_uri: str
    state: str
    scope: str
    challenge: str
    prompt: str
    login_hint: str
    nonce: str
    issuer: str
    """Sent along as `iss` (RFC 9207); empty where the provider does not."""

    def answer(self, **parameters: str) -> str:
        """The redirect URI with these parameters, the state and the issuer."""
        if self.state:
            parameters["state"] = self.state
        if self.issuer:
            parameters["iss"] = self.issuer
        joint = "&" if urlsplit(self.redirect_uri).query else "?"
        return self.redirect_uri + joint + urlencode(parameters)

    def refused(self, error: OAuthError) -> str:
        """The redirect URI with an error (RFC 6749 §4.1.2.1)."""
        return self.answer(error=error.code, error_description=error.description)


def trusted_redirect(uri: str) -> bool:
    """Whether an address may be sent a code: https, a loopback address, or an app's own scheme; no fragment."""
    parts = urlsplit(uri)
    if not parts.scheme or "#" in uri:
        return False
    if parts.scheme == "http":
        return parts.hostname in ("127.0.0.1", "localhost", "::1")
    return (parts.scheme == "https" and bool(parts.hostname)) or "." in parts.scheme


def read_authorization(
    parameters: Mapping[str, str], clients: Clients, profile: Profile, issuer: str
) -> AuthorizationRequest:
    """Read an authorization request as far as it says whom to answer; `refusal` judges the rest.

    Raises:
        OAuthError: the client must not be answered by redirect (RFC 6749 §4.1.2.1).
    """
    client_id, redirect_uri = parameters.get("client_id", ""), parameters.get("redirect_uri", "")
    if not client_id:
        raise OAuthError("invalid_request", "client_id is missing")
    client = clients.at_authorization(client_id, redirect_uri)
    if not trusted_redirect(redirect_uri):
        raise OAuthError("invalid_request", "redirect_uri must be https, a loopback address or an app's own scheme")
    return AuthorizationRequest(
        client_id=client_id,
        client_name=(client.client_name if client else "") or client_id,
        redirect_uri=redirect_uri,
        state=parameters.get("state", ""),
        scope=" ".join(grantable(parameters.get("scope", ""), profile)),
        challenge=parameters.get("code_challenge", ""),
        prompt=parameters.get("prompt", ""),
        login_hint=parameters.get("login_hint", ""),
        nonce=parameters.get("nonce", ""),
        issuer=issuer if profile.iss_parameter else "",
    )


def refusal(parameters: Mapping[str, str], request: AuthorizationRequest, fhir_base: str) -> OAuthError | None:
    """Why a request whose client is known cannot be granted, or None."""
    if parameters.get("response_type") != "code":
        return OAuthError("unsupported_response_type", "response_type must be code")
    if not request.state:
        return OAuthError("invalid_request", "state is required")
    if parameters.get("aud", "").rstrip("/") != fhir_base:
        return OAuthError("invalid_request", "aud must be the FHIR base of this server")
    if parameters.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(request.challenge):
        return OAuthError("invalid_request", "PKCE with S256 is required")
    if not access_of("", request.scope.split()).scopes:
        return OAuthError("invalid_scope", "none of the scopes can be granted")
    return None
