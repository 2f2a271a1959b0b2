"""How partner networks are reached: what an operator sets, opened for use, and the identity tokens that partners take.

A partner exchanges our identity token of a person for one of its own (RFC 8693). It holds names and birth date, lives
for minutes, and is signed by a key of ours whose public half is at `identity.jwks.json` of the REST API.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from joserfc import jwt
from sqlalchemy import select, update

from charthouse.errors import FetchError
from charthouse.linking import signing_keys, webhook_secrets
from charthouse.linking.regions import ensure_partner
from charthouse.partners import registry
from charthouse.partners.addresses import origin
from charthouse.partners.network import Account, Who
from charthouse.settings import get_settings
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.models import Partner, Provider
from charthouse.state.network import NetworkAccount
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.linking.identity import Identity
    from charthouse.partners.hosts import Hosts
    from charthouse.partners.network import Network
    from charthouse.settings import Settings

ISSUER: Final = "charthouse"
LIVES: Final = timedelta(minutes=5)
LONGEST_URL: Final = 2048
MOST_RATE: Final = 10_000.0
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SECRET: Final = re.compile(r"[\x20-\x7e]{8,4096}")


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as an operator sees it, without its secrets."""

    partner: str
    api_url: str
    fhir_base_url: str
    users_url: str | None
    client_key: str
    webhook_url: str | None
    has_webhook_secret: bool
    old_webhook_secret_ends_at: datetime | None
    requests_per_second: float


def set_account(
    session: Session,
    partner: str,
    *,
    api_url: str,
    fhir_base_url: str,
    client_key: str,
    secret: str,
    users_url: str | None = None,
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    old_webhook_hours: float = 24.0,
    requests_per_second: float = 10.0,
    settings: Settings | None = None,
) -> NetworkAccount:
    """Let a partner be reached, in place of what was set before.

    A new secret of the webhook takes the place of the one in force, which holds for `old_webhook_hours` more.

    Raises:
        LinkError: CH624 where no code speaks to the partner.
        FetchError: CH179 for an address, a key, a secret or a rate that cannot be used.
    """
    registry.class_of(partner)
    for what, address in (("api", api_url), ("FHIR base", fhir_base_url), ("users", users_url)):
        if address is not None:
            _check_address(what, address)
    if webhook_url is not None:
        _check_address("webhook", webhook_url)
    if not _KEY.fullmatch(client_key):
        raise FetchError("CH179", where="client key", what="it has 1 to 255 visible characters")
    for what, word in (("secret", secret), ("webhook secret", webhook_secret)):
        if word is not None and not _SECRET.fullmatch(word):
            raise FetchError("CH179", where=what, what="it has 8 to 4096 printable characters")
    if not 0 < requests_per_second <= MOST_RATE:
        raise FetchError("CH179", where="rate", what="it is a number of requests a second above 0")
    ensure_partner(session, partner)
    if session.get(Partner, partner) is None:
        raise FetchError("CH179", where="partner", what="no region names it")
    keys = sealer_of(settings)
    account = session.get(NetworkAccount, partner, with_for_update=True) or NetworkAccount(partner=partner)
    account.api_url, account.fhir_base_url = api_url.rstrip("/"), fhir_base_url.rstrip("/")
    account.users_url = users_url.rstrip("/") if users_url else None
    account.client_key, account.webhook_url = client_key, webhook_url
    account.requests_per_second = requests_per_second
    account.sealed_secret = keys.seal(secret, _owner(partner, "secret"))
    if webhook_secret is not None:
        webhook_secrets.replace(account, webhook_secret, keys, f"partner {partner}", old_hours=old_webhook_hours)
    session.add(account)
    # What it found is read at its base, also by whoever is not searched for again before the next night.
    found = Provider.slug.startswith(f"{partner}-", autoescape=True)
    moved = update(Provider).where(Provider.partner == partner, found)
    session.execute(moved.values(fhir_base_url=account.fhir_base_url))
    audit.record(session, "operator", "network.account_set", "partner", partner, {"api_url": account.api_url})
    session.flush()
    return account


def list_accounts(session: Session) -> list[AccountView]:
    """Every account, by partner."""
    return [
        AccountView(
            partner=row.partner,
            api_url=row.api_url,
            fhir_base_url=row.fhir_base_url,
            users_url=row.users_url,
            client_key=row.client_key,
            webhook_url=row.webhook_url,
            has_webhook_secret=row.sealed_webhook_secret is not None,
            old_webhook_secret_ends_at=row.old_webhook_secret_ends_at,
            requests_per_second=row.requests_per_second,
        )
        for row in session.scalars(select(NetworkAccount).order_by(NetworkAccount.partner))
    ]


def account_of(session: Session, partner: str, settings: Settings | None = None) -> Account:
    """How a partner is reached, opened.

    Raises:
        FetchError: CH178 where nobody has set it up.
        SetupError: CH006 when the key does not open its secrets.
    """
    row = session.get(NetworkAccount, partner)
    if row is None:
        raise FetchError("CH178", where=f"partner {partner}")
    keys = sealer_of(settings)
    return Account(
        partner=partner,
        api_url=row.api_url,
        fhir_base_url=row.fhir_base_url,
        users_url=row.users_url,
        client_key=row.client_key,
        secret=keys.open(row.sealed_secret, _owner(partner, "secret")),
        webhook_url=row.webhook_url,
        webhook_secrets=webhook_secrets.in_force(row, keys, f"partner {partner}"),
        requests_per_second=row.requests_per_second,
    )


def network_of(partner: str, settings: Settings | None = None, hosts: Hosts | None = None) -> Network:
    """The client of a partner, ready to ask. Close it.

    Raises:
        LinkError: CH624 where no code speaks to the partner.
        FetchError: CH178 where nobody has set it up.
    """
    settings = settings or get_settings()
    made = registry.class_of(partner)
    with state_session(settings, read_only=True) as state:
        account = account_of(state, partner, settings)
    return made(account, identity_tokens(account, settings), settings, hosts)


def who_is(person_key: str, identity: Identity) -> Who:
    """A person as a partner has to know them: by the first of their names."""
    name = identity.names[0]
    given, family = name.given, name.family
    if not family and name.text:
        *first, family = name.text.split()
        given = given or tuple(first)
    return Who(person_key, given or (family,), family or " ".join(given), identity.birth_date.isoformat())


def identity_tokens(account: Account, settings: Settings) -> Callable[[Who], str]:
    """What makes our identity token of a person (OpenID Connect Core §2) for a partner."""
    issuer = settings.public_url.rstrip("/") or ISSUER

    def token(who: Who) -> str:
        kid, key = signing_keys.current("identity_token", settings=settings)
        at = int(now().timestamp())
        claims: dict[str, Any] = {
            "iss": issuer,
            "aud": account.client_key,
            "sub": who.key,
            "given_name": " ".join(who.given),
            "family_name": who.family,
            "birthdate": who.birth_date,
            "iat": at,
            "exp": at + int(LIVES.total_seconds()),
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode({"alg": "RS256", "kid": kid, "typ": "JWT"}, claims, key, algorithms=["RS256"])

    return token


def _check_address(what: str, address: str) -> None:
    parts = urlsplit(address)
    fine = origin(address) is not None and address.isprintable() and " " not in address and len(address) <= LONGEST_URL
    if not fine or parts.username or parts.password or parts.fragment:
        raise FetchError("CH179", where=what, what="it is no http(s) address")


def _owner(partner: str, what: str) -> str:
    return f"{what} of partner {partner}"
