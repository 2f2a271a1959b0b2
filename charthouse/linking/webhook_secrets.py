"""The secrets that sign what others send us: while one is replaced, the one before holds on for a while.

Whatever is told things by webhook keeps its two secrets in three columns of the same names.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from charthouse.state.base import now

if TYPE_CHECKING:
    from datetime import datetime

    from charthouse.state.seals import Sealer


class Signer(Protocol):
    """A row that holds them."""

    sealed_webhook_secret: bytes | None
    sealed_old_webhook_secret: bytes | None
    old_webhook_secret_ends_at: datetime | None


def replace(row: Signer, secret: str, keys: Sealer, owner: str, *, old_hours: float) -> None:
    """Let a secret be in force; the one before it holds for `old_hours` more. `owner` says whose they are."""
    if row.sealed_webhook_secret is not None:
        before = keys.open(row.sealed_webhook_secret, f"webhook of {owner}")
        row.sealed_old_webhook_secret = keys.seal(before, f"old webhook of {owner}")
        row.old_webhook_secret_ends_at = now() + timedelta(hours=old_hours)
    row.sealed_webhook_secret = keys.seal(secret, f"webhook of {owner}")


def in_force(row: Signer, keys: Sealer, owner: str) -> tuple[str, ...]:
    """The secrets that may sign now, opened: the newest first."""
    found = []
    if row.sealed_webhook_secret is not None:
        found.append(keys.open(row.sealed_webhook_secret, f"webhook of {owner}"))
    ends = row.old_webhook_secret_ends_at
    if row.sealed_old_webhook_secret is not None and ends is not None and ends > now():
        found.append(keys.open(row.sealed_old_webhook_secret, f"old webhook of {owner}"))
    return tuple(found)
