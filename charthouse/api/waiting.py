"""A sign-in that waits for its person: what its page says before they begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.clock import now
from charthouse.errors import LinkError
from charthouse.linking.sign_in import bind_browser, state_hash
from charthouse.state import session
from charthouse.state.linking import SignIn
from charthouse.state.models import Link, Provider

if TYPE_CHECKING:
    from datetime import datetime

    from charthouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Waiting:
    """Which provider it is for, and until when it waits."""

    provider_name: str
    expires_at: datetime


def waiting_sign_in(state: str, *, browser: str | None, settings: Settings) -> Waiting:
    """The sign-in of a `state`, for the browser that has it or for any while none has. Looking binds nothing.

    Raises:
        LinkError: CH630 for one that is unknown or over, CH631 when another browser has it, CH632 after its hour.
    """
    query = (
        select(SignIn, Provider.name)
        .join(Link, Link.id == SignIn.link_id)
        .join(Provider, Provider.slug == Link.provider)
        .where(SignIn.state_hash == state_hash(state))
    )
    with session(settings, read_only=True) as opened:
        found = opened.execute(query).first()
    if found is None:
        raise LinkError("CH630")
    row, name = found
    if row.browser_hash is not None:
        if browser is None:
            raise LinkError("CH631")
        bind_browser(state, browser, settings=settings)  # it is theirs already, or this says whose it is not
    elif row.used_at is not None or row.sealed_secrets is None:
        raise LinkError("CH630")
    elif row.expires_at <= now():
        raise LinkError("CH632")
    return Waiting(str(name), row.expires_at)
