"""Ends of grants that a provider tells when asked about a refresh token (RFC 7662), learnt after a renewal.

SMART specifies introspection of access tokens; of refresh tokens many servers answer as well. What they do not tell
stays unknown.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import update

from charthouse.errors import CharthouseError
from charthouse.linking.credentials import told_since
from charthouse.linking.expiry import next_look
from charthouse.linking.renewals import read_held
from charthouse.partners import smart
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.models import Credential
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from charthouse.linking.credentials import Held
    from charthouse.partners.client import Client
    from charthouse.settings import Settings

MOST: Final = 500
"""Links asked about in one go."""
IN_VAIN: Final = 3
"""Answers without an end before the provider is asked no more this hour."""


def learn_ends(
    link_ids: Sequence[str], base: str, client: Client, configuration: smart.SmartConfiguration, settings: Settings
) -> int:
    """Ask for the end of each link's refresh token, and note those that are told. Returns how many were."""
    sealer = sealer_of(settings)
    with state_session(settings, read_only=True) as state:
        held = read_held(state, link_ids[:MOST])
    learnt = vain = 0
    for link in held.values():
        if vain >= IN_VAIN:
            break
        # A public client has no proof of its own; the access token authorizes the question (RFC 7662 §2.1), or, with
        # servers that take no such thing, its id has to do.
        said = None
        for bearer in (link.access(sealer), None) if client.auth == "none" else (None,):
            with suppress(CharthouseError):
                said = smart.introspect(
                    base,
                    link.refresh(sealer),
                    client,
                    hint="refresh_token",
                    bearer=bearer,
                    configuration=configuration,
                )
            if said is not None:
                break
        if said is None or not said.active or said.expires_at is None:
            vain += 1
            continue
        vain = 0
        learnt += note_end(link, said.expires_at, settings)
    return learnt


def note_end(held: Held, end: datetime, settings: Settings | None = None) -> bool:
    """Note the end that a provider told of the tokens held, unless they are others by now; whether it was noted."""
    with state_session(settings) as state:
        changed = state.execute(
            update(Credential)
            .where(Credential.link_id == held.link_id, Credential.version == held.version)
            .values(
                refresh_expires_at=end,
                told_since=told_since(held, end),
                next_refresh_at=next_look(now(), held.granted_at, end),
            )
            .returning(Credential.link_id)
        ).all()
    return bool(changed)
