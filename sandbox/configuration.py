"""What a provider says of itself: `.well-known/smart-configuration` (SMART App Launch 2.2 §conformance), and the
OpenID configuration of its issuer (OpenID Connect Discovery §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sandbox.assertions import ALGORITHMS
from sandbox.consent import CATEGORIES
from sandbox.scopes import CONTEXT_SCOPES, as_written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.profiles import Profile

_ADDRESSES: Final = ("authorization_endpoint", "token_endpoint", "revocation_endpoint", "introspection_endpoint",
                     "management_endpoint", "jwks_uri", "user_access_brand_bundle")  # fmt: skip


def issuer_of(origin: str, provider: str) -> str:
    """The OpenID issuer of a provider."""
    return f"{origin}/{provider}/oauth"


def endpoints(origin: str, provider: str, profile: Profile) -> dict[str, str]:
    """The addresses of the endpoints that there are, absolute, named as in the configuration."""
    oauth = issuer_of(origin, provider)
    said = {"authorization_endpoint": f"{oauth}/authorize", "token_endpoint": f"{oauth}/token"}
    if profile.revocation:
        said["revocation_endpoint"] = f"{oauth}/{profile.revocation_path}"
    if profile.introspection:
        said["introspection_endpoint"] = f"{oauth}/introspect"
    if profile.management:
        said["management_endpoint"] = f"{oauth}/manage"
    return said


def configuration(
    origin: str, provider: str, profile: Profile, types: Iterable[str], brand: dict[str, str]
) -> dict[str, Any]:
    """The SMART configuration. `brand` identifies the provider's own brand in its bundle."""
    said: dict[str, Any] = {
        "issuer": issuer_of(origin, provider),
        "jwks_uri": f"{issuer_of(origin, provider)}/jwks",
        **endpoints(origin, provider, profile),
        "token_endpoint_auth_methods_supported": list(profile.auth_methods),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": [*profile.grant_types_listed, *_of_systems(profile)],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": scopes_supported(profile, types),
        "authorization_response_iss_parameter_supported": profile.iss_parameter,
        "capabilities": _capabilities(profile),
    }
    if profile.brands:
        said["user_access_brand_bundle"] = f"{origin}/{provider}/brands.json"
        said["user_access_brand_identifier"] = brand
    if profile.relative_urls:
        said |= {name: urlsplit(said[name]).path for name in _ADDRESSES if name in said}
    return {name: value for name, value in said.items() if name not in profile.configuration_omits}


def _of_systems(profile: Profile) -> tuple[str, ...]:
    asked = profile.bulk.offered and not profile.bulk.open and "client_credentials" not in profile.grant_types_listed
    return ("client_credentials",) if asked else ()


def openid_configuration(origin: str, provider: str, profile: Profile, types: Iterable[str]) -> dict[str, Any]:
    """The metadata of the issuer."""
    said = configuration(origin, provider, profile, types, {})
    left = {"capabilities", "user_access_brand_bundle", "user_access_brand_identifier", "management_endpoint"}
    return {name: value for name, value in said.items() if name not in left} | {
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "fhirUser"],
    }


def scopes_supported(profile: Profile, types: Iterable[str]) -> list[str]:
    """The scopes that the provider says it knows."""
    accesses = [access for version, access in (("v2", "rs"), ("v1", "read")) if version in profile.scope_versions]
    said = [scope for scope in CONTEXT_SCOPES if scope != "online_access"]
    if profile.wildcards != "refused" and not profile.lists_types:
        return said + [f"patient/*.{access}" for access in accesses]
    kinds = list(types)
    said += [f"patient/{kind}.{access}" for access in accesses for kind in kinds]
    if "v2" in profile.scope_versions:
        said += [
            as_written(f"patient/{kind}.rs?category={category}", profile)
            for kind, categories in CATEGORIES.items()
            for _, category in categories
        ]
    return said


def _capabilities(profile: Profile) -> list[str]:
    methods = set(profile.auth_methods)
    said = {
        "launch-standalone": True,
        "authorize-post": True,
        "client-public": "none" in methods,
        "client-confidential-symmetric": bool(methods & {"client_secret_basic", "client_secret_post"}),
        "client-confidential-asymmetric": "private_key_jwt" in methods,
        "sso-openid-connect": True,
        "context-standalone-patient": True,
        "permission-patient": True,
        "permission-offline": profile.refresh != "none",
        "permission-v1": "v1" in profile.scope_versions,
        "permission-v2": "v2" in profile.scope_versions,
    }
    return [name for name, is_so in said.items() if is_so]
