"""How vendors differ: each habit of a real server is a field, and a profile is a set of them.

The sources of the fields and of the values are in `docs/sandbox.md`. `standard` is the specification without habits.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from sandbox.bulk_habits import BulkHabits

Seconds = Annotated[float, msgspec.Meta(ge=0)]
AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]

DAY: Final = 86_400.0
AUTH_METHODS: Final[tuple[AuthMethod, ...]] = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")


class Profile(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The behaviour of an authorization server where the standards leave it open, or where it departs from them."""

    name: str = "standard"

    sign_in: bool = True
    """Without, there is no authorization server: whoever reaches the FHIR API sees everybody (an R4 server as it comes,
    such as HAPI FHIR's starter)."""

    # Lifetimes. None is without an end.
    access_seconds: Seconds = 3600
    refresh_seconds: Seconds | None = None
    """A refresh token dies this long after it was given out or last used."""
    grant_seconds: Seconds | None = None
    """The person's permission ends this long after it was given, whatever is refreshed."""
    lifetimes_offered: tuple[Seconds, ...] = ()
    """Lengths of `grant_seconds` that the person may choose from; the last one is chosen beforehand."""

    # Refresh tokens.
    rotation: bool = True
    """Each refresh gives a new refresh token and retires the old one (RFC 9700 §4.14.2)."""
    grace_seconds: Seconds = 60
    """A retired refresh token gives the same successor for this long; afterwards it ends the grant."""
    repeats_refresh_token: bool = False
    """Without rotation: the answer repeats the refresh token, else it has none (RFC 6749 §6 permits both)."""
    refresh: Literal["any", "confidential", "none"] = "any"
    """Which clients get refresh tokens."""
    refresh_unasked: bool = False
    """The registration yields a refresh token, not the scope `offline_access`."""
    hides_offline_access: bool = False
    """`scope` in the answer does not list `offline_access` although there is a refresh token."""
    refresh_min_seconds: Seconds = 0
    """Refreshes of one grant that follow sooner are answered 429."""

    # Errors.
    expired_refresh_error: str = "invalid_grant"
    expired_refresh_description: str = "the refresh token has expired"
    bad_scope_error: str = "invalid_scope"
    """What the token endpoint says to a scope that it cannot read or grant."""
    error_uri: bool = False
    access_runs_out: bool = False
    """Ending a grant kills its refresh tokens at once; access tokens live on until they expire."""

    # The token answer.
    expires_in_text: bool = False
    answers_grant_expiration: bool = False
    answers_refresh_expires_in: bool = False

    # Scopes.
    wildcards: Literal["granted", "expanded", "refused"] = "granted"
    scope_versions: tuple[Literal["v1", "v2"], ...] = ("v1", "v2")
    offers_types: bool = True
    """The consent page lets the person choose among the types and categories."""
    lists_types: bool = False
    """`scopes_supported` names each type, and each category of Condition and Observation."""
    social_history_malformed: bool = False

    # Endpoints and what the configuration says of them.
    auth_methods: tuple[AuthMethod, ...] = AUTH_METHODS
    revocation: bool = True
    revocation_path: Literal["revoke", "token/revoke"] = "revoke"
    introspection: bool = True
    management: bool = False
    brands: bool = True
    iss_parameter: bool = True
    grant_types_listed: tuple[str, ...] = ("authorization_code", "refresh_token")
    configuration_omits: tuple[str, ...] = ()
    relative_urls: bool = False

    # Bulk Data.
    bulk: BulkHabits = BulkHabits()

    # Limits.
    minute_limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Requests of all kinds in a minute of the clock; more are answered 429 without Retry-After."""


class ProfileError(Exception):
    """A profile that is not known, or a field that it does not have. The text is one sentence."""


_ALL: Final = (
    Profile(),
    Profile(name="open", sign_in=False),
    Profile(
        name="epic",
        grace_seconds=0,
        refresh="confidential",
        refresh_unasked=True,
        hides_offline_access=True,
        lifetimes_offered=(DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY),
        auth_methods=("none", "private_key_jwt"),
    ),
    Profile(
        name="oracle-health",
        access_seconds=570,
        refresh_seconds=92 * DAY,
        rotation=False,
        refresh="confidential",
        refresh_min_seconds=60,
        error_uri=True,
        access_runs_out=True,
        wildcards="refused",
        revocation=False,
        management=True,
    ),
    Profile(
        name="athenahealth",
        refresh_seconds=90 * DAY,
        expired_refresh_error="invalid_client",
        expired_refresh_description=(
            "Refresh token could not be mapped to the original authorization request. User must re-authenticate."
        ),
        grant_types_listed=("authorization_code", "client_credentials"),
    ),
    Profile(
        name="healow",
        refresh_seconds=90 * DAY,
        bad_scope_error="invalid_grant",
        lists_types=True,
        social_history_malformed=True,
        revocation=False,
        introspection=False,
        minute_limit=250,
    ),
    Profile(name="nextgen", scope_versions=("v1",), revocation_path="token/revoke"),
    Profile(name="blue-button", grant_seconds=395 * DAY, answers_grant_expiration=True),
    Profile(
        name="bwell",
        configuration_omits=("capabilities", "grant_types_supported", "code_challenge_methods_supported"),
    ),
    Profile(
        name="keycloak",
        access_seconds=300,
        refresh_seconds=1800,
        grace_seconds=0,
        answers_refresh_expires_in=True,
        wildcards="expanded",
    ),
)
PROFILES: Final = {profile.name: profile for profile in _ALL}


def profile_named(name: str) -> Profile:
    """A declared profile.

    Raises:
        ProfileError: there is none of that name.
    """
    if name not in PROFILES:
        raise ProfileError(f"there is no profile {name!r}; there are {', '.join(PROFILES)}")
    return PROFILES[name]


def changed(profile: Profile, body: bytes) -> Profile:
    """The profile with the fields of a JSON object; with `name` in it, that profile is what they change.

    Raises:
        ProfileError: no such profile, no such field, or a value that the field cannot have.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, object])
        base = profile_named(str(fields.pop("name"))) if "name" in fields else profile
        return msgspec.convert(msgspec.to_builtins(base) | fields, Profile)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ProfileError(f"this is no profile: {error}") from None
