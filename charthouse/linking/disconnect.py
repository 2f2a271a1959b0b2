"""Taking access away: at the provider where it can be told (RFC 7009), here in any case."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from charthouse.errors import CharthouseError, StateError
from charthouse.lake import shelf
from charthouse.linking import consents, found_providers, links, network_ends, upload_files
from charthouse.linking.credentials import credential_lock, read_tokens
from charthouse.linking.providers import get_provider
from charthouse.linking.registrations import client_of
from charthouse.log import get_logger
from charthouse.partners import smart
from charthouse.settings import get_settings
from charthouse.state import session as state_session
from charthouse.state.locks import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charthouse.partners.client import Client
    from charthouse.settings import Settings
    from charthouse.state.models import Actor

RENEWAL_SECONDS: Final = 5.0
ENDING: Final = frozenset({consents.SYNC, consents.IMPORT})
"""Consents on which links rest."""
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Disconnected:
    """What became of a link's access. Where the provider was not told, `portal_url` leads to its own switch, if known.

    `revoked`: the provider took the tokens back. Otherwise they are deleted here, and run out there.
    """

    link_id: str
    revoked: bool
    portal_url: str | None


def disconnect(
    link_id: str, *, actor: Actor = "person", reason: str = "access_removed", settings: Settings | None = None
) -> Disconnected:
    """Disconnect a link: no night asks for it any more, its tokens go, and the provider is told where it listens.

    Access ends here first, in one transaction with what the person is told. A provider that does not answer keeps
    nobody connected. A renewal that is in flight is waited for a little, so that the tokens it brings are revoked too.

    Raises:
        StateError: CH601 when the link may not be disconnected for this reason, CH602 when there is none.
    """
    with _renewed(link_id, settings), state_session(settings) as state:
        link = links.get_link(state, link_id, lock=True)
        provider = get_provider(state, link.provider)
        base, portal_url = provider.fhir_base_url, provider.portal_url
        access = refresh = client = None
        try:
            access, refresh = read_tokens(state, link_id, settings=settings)
            client = None if access is None else client_of(state, provider.slug, settings)
        except CharthouseError as error:  # a lost key keeps nobody connected either
            log.warning("tokens were not revoked at the provider", code=error.code, provider=provider.slug)
        links.transition(state, link_id, "disconnected", reason, actor)
        by_partner = link.route == "verified"
        if by_partner:
            found_providers.note_ending(state, link_id)
    upload_files.remove_of_link(link_id, settings or get_settings())
    if by_partner:
        return Disconnected(link_id, network_ends.tell_disconnected(link_id, settings), portal_url)
    revoked, switch = False, None
    if client is not None:
        revoked, switch = revoke(base, client, access, refresh)
    return Disconnected(link_id, revoked, None if revoked else portal_url or switch)


def withdraw_consent(person_key: str, kind: str, *, actor: Actor = "person", settings: Settings | None = None) -> int:
    """Note that a person takes a consent back; with that to syncing, all their links end. Returns how many did.

    With that to importing records, those links end that a partner found; the partner is told at once, or as soon as it
    answers, and searches for nobody who took it back. Who takes the one to syncing back takes this one back, too.

    With that to personalisation, the coach sees nothing from this moment on, and the person's shelf goes.

    Safe to repeat: a run that was cut off between two links goes on with the others.

    Raises:
        StateError: CH602 when there is no such person.
    """
    with state_session(settings) as state:
        consents.withdraw(state, person_key, kind, actor=actor)
        standing = links.list_links(state, person_key=person_key) if kind in ENDING else []
        if kind == consents.IMPORT:
            standing = [link for link in standing if link.route == "verified"]
        told = kind in ENDING and network_ends.end(state, person_key, actor=actor)
    if kind == consents.PERSONALISATION:
        shelf.drop([person_key], settings or get_settings())
    ended = 0
    for link in standing:
        if link.status in ("disconnected", "deleted"):
            continue
        with suppress(StateError):  # it ended by itself meanwhile
            disconnect(link.link_id, actor=actor, reason="consent_withdrawn", settings=settings)
            ended += 1
    if told:
        network_ends.tell_withdrawn(person_key, settings)
    return ended


@contextmanager
def _renewed(link_id: str, settings: Settings | None) -> Iterator[None]:
    """Hold off renewals of a link, once one in flight has ended. One that does not end soon is not waited for."""
    with ExitStack() as held:
        with suppress(StateError):
            held.enter_context(exclusive(credential_lock(link_id), settings, wait=RENEWAL_SECONDS))
        yield


def revoke(base: str, client: Client, access: str | None, refresh: str | None) -> tuple[bool, str | None]:
    """Whether the provider took the tokens back, and where else people may do so, if it says.

    The refresh token goes first: many servers end the whole grant with it. It is the one that counts; servers may
    refuse to take back access tokens (`unsupported_token_type`, RFC 7009 §2.2.1), which run out by themselves.
    """
    switch, revoked = None, False
    try:
        configuration = smart.discover(base)
        switch = configuration.management_endpoint
        for token, hint in ((refresh, "refresh_token"), (access, "access_token")):
            if token is not None:
                revoked = smart.revoke(base, token, client, hint=hint, configuration=configuration) or revoked
    except CharthouseError as error:
        log.warning("a token was not revoked at the provider", code=error.code)
    return revoked, switch
