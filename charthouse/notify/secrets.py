"""The secrets of notices: what signs webhooks (it rotates), and what signs the links to unsubscribe (it does not)."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, select

from charthouse.clock import now
from charthouse.notify.contacts import sealer
from charthouse.state import audit
from charthouse.state.base import new_key
from charthouse.state.notices import WebhookSecret

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.notices import SecretPurpose

OVERLAP: Final = timedelta(days=1)
"""How long an old secret signs beside the new one, unless the operator says otherwise."""
_BYTES: Final = 32  # Standard Webhooks: 24 to 64 bytes
_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in force. `text` is `whsec_` and base64, as receivers' libraries take it."""

    secret_id: str
    text: str = field(repr=False)
    created_at: datetime
    ends_at: datetime | None


def webhook_secrets(session: Session, settings: Settings | None = None) -> list[Secret]:
    """The secrets that sign now, the newest first. Makes the first one."""
    return _in_force(session, "webhook", settings) or [_make(session, "webhook", settings)]


def rotate(session: Session, *, overlap: timedelta = OVERLAP, settings: Settings | None = None) -> Secret:
    """Make a new secret. Those before it sign beside it for `overlap`, so that receivers change over without a gap."""
    ends = now() + overlap
    open_ended = select(WebhookSecret).where(WebhookSecret.purpose == "webhook")
    for row in session.scalars(open_ended.where(or_(WebhookSecret.ends_at.is_(None), WebhookSecret.ends_at > ends))):
        row.ends_at = ends
    made = _make(session, "webhook", settings)
    audit.record(session, "operator", "webhook_secret.rotated", "webhook_secret", made.secret_id)
    return made


def unsubscribe_keys(session: Session, settings: Settings | None = None) -> list[bytes]:
    """The keys that a link to unsubscribe may be signed with, the one that signs first; none before the first mail.

    They never change: what stands in a mail must work for years. Two drains that begin at once may make two.
    """
    found = reversed(_in_force(session, "unsubscribe", settings))
    return [base64.b64decode(secret.text.removeprefix(_PREFIX)) for secret in found]


def ensure_unsubscribe_key(session: Session, settings: Settings | None = None) -> bytes:
    """The key that signs links to unsubscribe, made where there is none yet."""
    if not unsubscribe_keys(session, settings):
        _make(session, "unsubscribe", settings)
    return unsubscribe_keys(session, settings)[0]


def _in_force(session: Session, purpose: SecretPurpose, settings: Settings | None) -> list[Secret]:
    query = (
        select(WebhookSecret)
        .where(WebhookSecret.purpose == purpose)
        .where(or_(WebhookSecret.ends_at.is_(None), WebhookSecret.ends_at > now()))
        .order_by(WebhookSecret.created_at.desc(), WebhookSecret.id.desc())
    )
    rows = list(session.scalars(query))
    if not rows:
        return []
    opener = sealer(settings)
    return [Secret(row.id, opener.open(row.sealed, _owner(row)), row.created_at, row.ends_at) for row in rows]


def _make(session: Session, purpose: SecretPurpose, settings: Settings | None) -> Secret:
    text = _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()
    row = WebhookSecret(id=new_key(), purpose=purpose, created_at=now())
    row.sealed = sealer(settings).seal(text, _owner(row))
    session.add(row)
    session.flush()
    return Secret(row.id, text, row.created_at, row.ends_at)


def _owner(row: WebhookSecret) -> str:
    return f"{row.purpose}_secret:{row.id}"
