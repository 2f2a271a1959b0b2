"""Client registrations: how providers know us, one a provider or one for all of a vendor. Secrets are sealed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast, get_args

from sqlalchemy import func, select

from charthouse.errors import LinkError
from charthouse.linking.providers import get_provider
from charthouse.linking.signing_keys import ALGORITHMS, assertion_signer
from charthouse.partners.backend_services import client_with_key
from charthouse.partners.client import Client, ClientAuth
from charthouse.settings import Settings, get_settings
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.linking import ClientRegistration
from charthouse.state.models import Provider
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.partners.client import Signer
    from charthouse.state.models import Actor

WITH_SECRET: Final = frozenset({"client_secret_basic", "client_secret_post"})
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_CLIENT_ID: Final = re.compile(r"[\x21-\x7e]{1,8192}")
"""RFC 6749 §A.1, without the space. Some servers put the whole registration into it, signed."""
_SECRET: Final = re.compile(r"[\x20-\x7e]{1,4096}")  # §A.2
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # §A.4
_WRITES: Final = re.compile(r"(?:patient|user|system)/[^?\s]*\.(?:write|\*|[cruds]*[cud][cruds]*)(?:\?.*)?")


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """A registration as an operator sees it, without its secret."""

    slug: str
    client_id: str
    auth: ClientAuth
    has_secret: bool
    algorithm: str | None
    scopes: str | None
    providers: int
    created_at: datetime


def set_registration(
    session: Session,
    slug: str,
    client_id: str,
    auth: str = "none",
    secret: str | None = None,
    scopes: str | None = None,
    *,
    algorithm: str | None = None,
    actor: Actor = "operator",
    settings: Settings | None = None,
) -> ClientRegistration:
    """Make a registration, or bring the one of that slug up to date. Without a `secret`, one that is kept stays.

    `scopes` replaces what would be asked for; they only read. `algorithm` is what signs with `private_key_jwt`: some
    servers take RS384 alone. Its `secret` there is a private key (JWK, JWK set or PEM) in place of our own pairs.

    Raises:
        LinkError: CH619 when something of it cannot be used. No secret is quoted.
        FetchError: CH163 for a private key that cannot be used.
    """
    if not _SLUG.fullmatch(slug):
        raise _unfit("slug", "it is 1 to 64 lower-case letters, digits and inner hyphens")
    if auth not in get_args(ClientAuth):
        raise _unfit(slug, "the ways to authenticate are " + ", ".join(get_args(ClientAuth)))
    if not _CLIENT_ID.fullmatch(client_id):
        raise _unfit(slug, "its client id is 1 to 8192 printable characters without spaces")
    kept = session.get(ClientRegistration, slug, with_for_update=True)
    if auth == "private_key_jwt" and secret is not None:
        client_with_key(client_id, secret, algorithm=algorithm)
    elif auth == "none" and secret is not None:
        raise _unfit(slug, f"{auth} has no secret")
    # A secret is no private key, nor the other way round.
    keeps = kept is not None and kept.sealed_secret is not None and (kept.auth in WITH_SECRET) == (auth in WITH_SECRET)
    if auth in WITH_SECRET and secret is None and not keeps:
        raise _unfit(slug, f"{auth} needs a secret")
    if auth in WITH_SECRET and secret is not None and not _SECRET.fullmatch(secret):
        raise _unfit(slug, "its secret is 1 to 4096 printable ASCII characters")
    known = ALGORITHMS["client_assertion"]
    if algorithm is not None and (auth != "private_key_jwt" or algorithm not in known):
        raise _unfit(slug, f"with private_key_jwt, its algorithm is one of {', '.join(known)}")
    registration = kept or ClientRegistration(slug=slug)
    registration.algorithm = algorithm
    registration.client_id, registration.scopes = client_id, _scopes(slug, scopes)
    registration.auth = cast("ClientAuth", auth)
    if secret is not None:
        registration.sealed_secret = sealer_of(settings).seal(secret, _owner(slug))
    elif auth == "none" or not keeps:
        registration.sealed_secret = None
    session.add(registration)
    deed = "registration.made" if kept is None else "registration.changed"
    audit.record(session, actor, deed, "registration", slug, {"auth": auth})
    session.flush()
    return registration


def get_registration(session: Session, slug: str) -> ClientRegistration:
    """A registration by its slug.

    Raises:
        LinkError: CH620 when there is none.
    """
    registration = session.get(ClientRegistration, slug)
    if registration is None:
        raise LinkError("CH620", where=f"registration {slug}")
    return registration


def list_registrations(session: Session) -> list[RegistrationView]:
    """Every registration, by slug, with the number of providers that use it."""
    used = (
        select(func.count()).where(Provider.registration == ClientRegistration.slug).correlate(ClientRegistration)
    ).scalar_subquery()
    return [
        RegistrationView(
            slug=registration.slug,
            client_id=registration.client_id,
            auth=registration.auth,
            has_secret=registration.sealed_secret is not None,
            algorithm=registration.algorithm,
            scopes=registration.scopes,
            providers=count,
            created_at=registration.created_at,
        )
        for registration, count in session.execute(select(ClientRegistration, used).order_by(ClientRegistration.slug))
    ]


def client_of(session: Session, provider_slug: str, settings: Settings | None = None) -> Client:
    """What we are to a provider: its registration, opened; without one, public, by the client id of the settings.

    Raises:
        StateError: CH602 when there is no such provider.
        LinkError: CH620 when its registration is gone.
        SetupError: CH006 when the key does not open its secret.
    """
    settings = settings or get_settings()
    provider = get_provider(session, provider_slug)
    if provider.registration is None:
        return Client(settings.client_id)
    return open_registration(session, provider.registration, settings)[0]


def open_registration(session: Session, slug: str, settings: Settings | None = None) -> tuple[Client, str | None]:
    """The client of a registration, opened, and the scopes that it wants asked, if any.

    With `private_key_jwt` it signs with a key of its own where it was given one, and else with a pair of ours.

    Raises:
        LinkError: CH620 when there is none of that slug.
        SetupError: CH006 when the key does not open its secret.
        FetchError: CH163 when its own key cannot be used.
    """
    settings = settings or get_settings()
    registration = get_registration(session, slug)
    secret = None
    if registration.sealed_secret is not None:
        secret = sealer_of(settings).open(registration.sealed_secret, _owner(registration.slug))
    if registration.auth != "private_key_jwt":
        client = Client(registration.client_id, registration.auth, secret)
    elif secret is not None:
        client = client_with_key(registration.client_id, secret, algorithm=registration.algorithm)
    else:
        signer = _signer(registration.client_id, registration.algorithm, settings)
        client = Client(registration.client_id, registration.auth, signer=signer)
    return client, registration.scopes


def scopes_of(session: Session, provider_slug: str) -> str | None:
    """What the provider's registration wants asked in place of what would be asked; None where it says nothing."""
    provider = get_provider(session, provider_slug)
    return None if provider.registration is None else get_registration(session, provider.registration).scopes


def _signer(client_id: str, algorithm: str | None, settings: Settings) -> Signer:
    """What signs when a token endpoint is asked, by the pair that signs then: a first pair may have to be made."""

    def sign(token_endpoint: str, *, ahead: timedelta = timedelta(0)) -> str:
        with state_session(settings, read_only=True) as state:
            made = assertion_signer(state, client_id, algorithm=algorithm, settings=settings)
        return made(token_endpoint, ahead=ahead)

    return sign


def _scopes(slug: str, scopes: str | None) -> str | None:
    words = (scopes or "").split()
    if not all(_SCOPE.fullmatch(word) for word in words):
        raise _unfit(slug, "its scopes hold a character that a scope cannot")
    if any(_WRITES.fullmatch(word) for word in words):
        raise _unfit(slug, "its scopes would let us write; we only read")
    return " ".join(words) or None


def _owner(slug: str) -> str:
    return f"secret of registration {slug}"


def _unfit(where: str, what: str) -> LinkError:
    return LinkError("CH619", where=f"registration {where}", what=what)
