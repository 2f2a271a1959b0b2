"""How verifiers of identities are reached: what an operator sets, opened for use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sqlalchemy import select

from charthouse.errors import LinkError
from charthouse.linking import webhook_secrets
from charthouse.linking.verifications import LEVELS
from charthouse.partners.addresses import origin
from charthouse.partners.identity import API_URL, PAGE_URL, SLUG, Clear, Verifier
from charthouse.settings import get_settings
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.identity import IdentityVerifier
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings

LONGEST_URL: Final = 2048
MOST_RATE: Final = 10_000.0
_ID: Final = re.compile(r"[\x21-\x7e]{1,255}")
_KEY: Final = re.compile(r"[\x21-\x7e]{8,4096}")
_SECRET: Final = re.compile(r"[\x20-\x7e]{8,4096}")


@dataclass(frozen=True, slots=True)
class VerifierView:
    """A verifier as an operator sees it, without its secrets."""

    verifier: str
    api_url: str
    page_url: str
    project_id: str
    level: str
    has_webhook_secret: bool
    old_webhook_secret_ends_at: datetime | None
    requests_per_second: float


def set_verifier(
    session: Session,
    *,
    project_id: str,
    key: str,
    webhook_secret: str | None = None,
    old_webhook_hours: float = 48.0,
    api_url: str = API_URL,
    page_url: str = PAGE_URL,
    level: str = "IAL2",
    requests_per_second: float = 10.0,
    settings: Settings | None = None,
) -> IdentityVerifier:
    """Let CLEAR be asked, in place of what was set before.

    A new secret of the webhook takes the place of the one in force, which holds for `old_webhook_hours` more: as long
    as the verifier tries a message again.

    Raises:
        LinkError: CH676 for an address, an id, a secret, a level or a rate that cannot be used.
    """
    for what, address in (("api", api_url), ("page", page_url)):
        _check_address(what, address)
    for what, word, form in (("project", project_id, _ID), ("key", key, _KEY), ("secret", webhook_secret, _SECRET)):
        if word is not None and not form.fullmatch(word):
            raise LinkError("CH676", where=what, what="it has visible characters, a secret 8 or more")
    if level not in LEVELS:
        raise LinkError("CH676", where="level", what=f"it is one of {', '.join(LEVELS)}")
    if not 0 < requests_per_second <= MOST_RATE:
        raise LinkError("CH676", where="rate", what="it is a number of requests a second above 0")
    keys = sealer_of(settings)
    row = session.get(IdentityVerifier, SLUG, with_for_update=True) or IdentityVerifier(verifier=SLUG)
    row.api_url, row.page_url = api_url.rstrip("/"), page_url
    row.project_id, row.level, row.requests_per_second = project_id, level, requests_per_second
    row.sealed_key = keys.seal(key, f"key of {_owner(SLUG)}")
    if webhook_secret is not None:
        webhook_secrets.replace(row, webhook_secret, keys, _owner(SLUG), old_hours=old_webhook_hours)
    session.add(row)
    audit.record(session, "operator", "identity.verifier_set", "verifier", SLUG, {"api_url": row.api_url})
    session.flush()
    return row


def list_verifiers(session: Session) -> list[VerifierView]:
    """Every verifier that is set up."""
    return [
        VerifierView(
            verifier=row.verifier,
            api_url=row.api_url,
            page_url=row.page_url,
            project_id=row.project_id,
            level=row.level,
            has_webhook_secret=row.sealed_webhook_secret is not None,
            old_webhook_secret_ends_at=row.old_webhook_secret_ends_at,
            requests_per_second=row.requests_per_second,
        )
        for row in session.scalars(select(IdentityVerifier).order_by(IdentityVerifier.verifier))
    ]


def verifier_of(session: Session, slug: str = SLUG, settings: Settings | None = None) -> Verifier:
    """How a verifier is reached, opened.

    Raises:
        LinkError: CH674 where nobody has set it up.
        SetupError: CH006 when the key does not open its secrets.
    """
    row = session.get(IdentityVerifier, slug)
    if row is None:
        raise LinkError("CH674", where=f"verifier {slug}" if slug == SLUG else "")
    keys = sealer_of(settings)
    return Verifier(
        slug=row.verifier,
        api_url=row.api_url,
        page_url=row.page_url,
        project_id=row.project_id,
        level=row.level,
        key=keys.open(row.sealed_key, f"key of {_owner(slug)}"),
        webhook_secrets=webhook_secrets.in_force(row, keys, _owner(slug)),
        requests_per_second=row.requests_per_second,
    )


def client_of(slug: str = SLUG, settings: Settings | None = None) -> Clear:
    """The client of a verifier, ready to ask. Close it.

    Raises:
        LinkError: CH674 where nobody has set it up.
    """
    settings = settings or get_settings()
    with state_session(settings, read_only=True) as state:
        return Clear(verifier_of(state, slug, settings), settings)


def _check_address(what: str, address: str) -> None:
    parts = urlsplit(address)
    fine = origin(address) is not None and address.isprintable() and " " not in address and len(address) <= LONGEST_URL
    if not fine or parts.username or parts.password or parts.fragment or parts.query:
        raise LinkError("CH676", where=what, what="it is no http(s) address without a query")


def _owner(slug: str) -> str:
    return f"verifier {slug}"
