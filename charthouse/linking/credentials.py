"""Tokens of links: sealed at rest, one refresher at a time, a rotation that survives a crash.

Sources: RFC 6749 §6 and SMART App Launch 2.2 (refresh: a returned refresh token replaces the old one, and none
returned means that the old one stays); the providers' lifetimes differ and are learnt, never assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import delete, select, update

from charthouse import faults
from charthouse.errors import FetchError, StateError
from charthouse.linking.expiry import SAME, next_look
from charthouse.linking.links import clear_watermarks, get_link
from charthouse.linking.states import DUE
from charthouse.settings import Settings, get_settings
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.locks import exclusive
from charthouse.state.models import Credential
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor, Link
    from charthouse.state.seals import Sealer

MARGIN = timedelta(seconds=60)
REFUSED = ("CH111", "CH113", "CH123")
"""Codes of a renewal that the provider refused: the refresh token was not spent without our knowing."""
UNANSWERED = "CH101"


class IssuedTokens(Protocol):
    """What a token endpoint issued (`charthouse.partners.token_endpoint.TokenSet` is one). Instants are aware."""

    @property
    def access_token(self) -> str: ...
    @property
    def refresh_token(self) -> str | None: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def scope(self) -> str | None: ...
    @property
    def patient(self) -> str | None: ...
    @property
    def refresh_expires_at(self) -> datetime | None: ...


def credential_lock(link_id: str) -> str:
    """The name under which one process at a time renews a link's tokens (`charthouse.state.locks`)."""
    return f"credential of link {link_id}"


def store_tokens(
    session: Session,
    link_id: str,
    tokens: IssuedTokens,
    *,
    refresh_expires_at: datetime | None = None,
    settings: Settings | None = None,
) -> None:
    """Keep the tokens of a new sign-in, sealed, in place of any older ones; and what was granted, at the link.

    A new grant begins: its age counts from now, and its person may be warned of its end once more.
    `refresh_expires_at` is an end that the provider told elsewhere than with the tokens.

    Raises:
        StateError: CH601 for a link that has ended, CH602 for an unknown one, CH606 when the sign-in was for another
            patient than the link's.
        SetupError: CH006 when there is no usable key.
    """
    sealer = sealer_of(settings)
    link = get_link(session, link_id, lock=True)
    if link.status not in DUE:
        raise StateError("CH601", where=f"link {link_id}", what=f"tokens for a link that is {link.status}")
    if tokens.patient is not None:
        if link.patient_id not in (None, tokens.patient):
            raise StateError("CH606", where=f"link {link_id}")
        link.patient_id = tokens.patient
    _grant(session, link, tokens.scope)
    at = now()
    told = min(filter(None, (refresh_expires_at, tokens.refresh_expires_at)), default=None)
    stored = session.get(Credential, link_id, with_for_update=True)
    if stored is None:
        stored = Credential(link_id=link_id, version=0)
        session.add(stored)
    stored.version += 1
    stored.sealed_access = sealer.seal(tokens.access_token, _owner(link_id, "access"))
    stored.access_seen_at, stored.access_expires_at = at, tokens.expires_at
    stored.sealed_refresh = stored.refresh_seen_at = stored.next_refresh_at = None
    stored.granted_at = at
    stored.refresh_expires_at, stored.told_since = told, at if told is not None else None
    if tokens.refresh_token:
        stored.sealed_refresh = sealer.seal(tokens.refresh_token, _owner(link_id, "refresh"))
        stored.refresh_seen_at = at
        stored.next_refresh_at = next_look(at, at, told)
    stored.renewal_started_at, stored.renewal_tries = None, 0
    session.flush()


def revoke_local(session: Session, link_id: str, *, actor: Actor = "person") -> bool:
    """Forget a link's tokens; whether there were any. The provider is told by whoever holds its endpoint.

    A renewal that is in flight meanwhile does not bring them back.
    """
    gone = session.execute(delete(Credential).where(Credential.link_id == link_id).returning(Credential.link_id)).all()
    if gone:
        audit.record(session, actor, "credential.revoked", "link", link_id)
    return bool(gone)


def refresh_token(session: Session, link_id: str, *, settings: Settings | None = None) -> str | None:
    """The refresh token of a link; None where there is none."""
    return read_tokens(session, link_id, settings=settings)[1]


def read_tokens(session: Session, link_id: str, *, settings: Settings | None = None) -> tuple[str | None, str | None]:
    """The access and the refresh token of a link as they stand, for revoking them; None where there is none.

    The empty access token of a server that asks for none (`charthouse.linking.own_server`) is none.
    """
    stored = session.get(Credential, link_id)
    if stored is None:
        return None, None
    held, sealer = Held.of(stored), sealer_of(settings)
    return held.access(sealer) or None, None if held.sealed_refresh is None else held.refresh(sealer)


@dataclass(frozen=True, slots=True)
class Held:
    """The tokens of a link at one moment, still sealed."""

    link_id: str
    sealed_access: bytes = field(repr=False)
    sealed_refresh: bytes | None = field(repr=False)
    seen_at: datetime
    expires_at: datetime | None
    version: int
    in_doubt: bool
    granted_at: datetime | None
    told: datetime | None
    told_since: datetime | None

    @classmethod
    def of(cls, stored: Credential) -> Held:
        """What a row holds."""
        return cls(
            link_id=stored.link_id,
            sealed_access=stored.sealed_access,
            sealed_refresh=stored.sealed_refresh,
            seen_at=stored.access_seen_at,
            expires_at=stored.access_expires_at,
            version=stored.version,
            in_doubt=stored.renewal_started_at is not None,
            granted_at=stored.granted_at,
            told=stored.refresh_expires_at,
            told_since=stored.told_since,
        )

    def access(self, sealer: Sealer) -> str:
        """The access token."""
        return sealer.open(self.sealed_access, _owner(self.link_id, "access"))

    def refresh(self, sealer: Sealer) -> str:
        """The refresh token.

        Raises:
            FetchError: CH113 where there is none.
        """
        if self.sealed_refresh is None:
            raise FetchError("CH113", where=f"link {self.link_id}", what="there is no refresh token")
        return sealer.open(self.sealed_refresh, _owner(self.link_id, "refresh"))

    def fresh(self) -> bool:
        """Whether the access token may still be used: 60 s are left, or half of a life shorter than two minutes."""
        if self.expires_at is None:
            return True
        return self.expires_at - now() > min(MARGIN, (self.expires_at - self.seen_at) / 2)


class Ledger(Protocol):
    """Where a renewal is written down. Each answers whether the stored tokens still were those of `held`."""

    def mark(self, held: Held, *, begun: bool) -> bool: ...
    def keep(self, held: Held, issued: IssuedTokens, *, rotated: bool) -> bool: ...


def renew(held: Held, ask: Callable[[str], IssuedTokens], ledger: Ledger, sealer: Sealer) -> IssuedTokens | None:
    """Renew tokens whose link this process holds alone: marked, asked for, kept, and only then returned.

    None where the stored tokens have become others meanwhile: a new sign-in, or none because access was removed. Where
    no answer came, the same refresh token is tried once more at once; after that the renewal stays in doubt, and the
    next one begins with the same token again, within the provider's grace if it has one.

    Raises:
        FetchError: what `ask` raised; CH113 where there is no refresh token.
    """
    refresh, in_doubt = held.refresh(sealer), held.in_doubt
    while True:
        if not ledger.mark(held, begun=True):
            return None
        faults.point("credentials.marked")
        try:
            issued = ask(refresh)
            break
        except FetchError as error:
            if error.code in REFUSED:
                ledger.mark(held, begun=False)
                if in_doubt:
                    what = "a renewal was cut off before, and its refresh token is spent"
                    raise FetchError(error.code, where=f"link {held.link_id}", what=what) from None
                raise
            if error.code != UNANSWERED or in_doubt:
                raise
            in_doubt = True  # only the answer may be lost: the same token is tried once more, at once
    faults.point("credentials.renewed")
    rotated = issued.refresh_token is not None and issued.refresh_token != refresh
    if not ledger.keep(held, issued, rotated=rotated):
        return None
    faults.point("credentials.kept")
    return issued


def marked(begun: bool) -> dict[str, object]:
    """The columns of a credential whose renewal is in flight, or is not."""
    if begun:
        return {"renewal_started_at": now(), "renewal_tries": Credential.renewal_tries + 1}
    return {"renewal_started_at": None, "renewal_tries": 0}


def told_since(held: Held, end: datetime) -> datetime:
    """Since when an end has been told that is told now: the same end of another token is that of the grant itself."""
    if held.told is None or abs(end - held.told) > SAME:
        return now()
    return held.told_since or held.granted_at or now()


KEPT = (
    "sealed_access", "access_seen_at", "access_expires_at", "version", "refresh_expires_at", "told_since",
    "next_refresh_at", "renewal_started_at", "renewal_tries",
)  # fmt: skip
"""The columns of a credential that every renewal changes."""
ROTATED = ("sealed_refresh", "refresh_seen_at")
"""Those that it changes where the refresh token is a new one."""


def renewed(held: Held, issued: IssuedTokens, sealer: Sealer, *, rotated: bool) -> dict[str, object]:
    """The columns of a credential after a renewal: `KEPT`, and `ROTATED` where it is `rotated`.

    An end that was told of a token that has been replaced since holds no longer, until it is told of the new one too.
    """
    at, link_id = now(), held.link_id
    told, since = held.told, held.told_since
    if issued.refresh_expires_at is not None:
        told, since = issued.refresh_expires_at, told_since(held, issued.refresh_expires_at)
    elif told is not None and told <= at:
        told = since = None
    elif rotated:
        since = None
    values: dict[str, object] = {
        "sealed_access": sealer.seal(issued.access_token, _owner(link_id, "access")),
        "access_seen_at": at,
        "access_expires_at": issued.expires_at,
        "version": held.version + 1,
        "refresh_expires_at": told,
        "told_since": since,
        "next_refresh_at": next_look(at, held.granted_at, told if since is not None else None),
        "renewal_started_at": None,
        "renewal_tries": 0,
    }
    if rotated and issued.refresh_token is not None:
        values["sealed_refresh"] = sealer.seal(issued.refresh_token, _owner(link_id, "refresh"))
        values["refresh_seen_at"] = at
    return values


class Tokens:
    """Where fetching gets its access tokens from. Safe to share between threads; processes need not know each other."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or get_settings()
        self._sealer = sealer_of(self._settings)

    def access_token(self, link_id: str, ask: Callable[[str], IssuedTokens], *, force: bool = False) -> str:
        """An access token that will last; renewed first where less than 60 s are left.

        `ask` trades a refresh token for new tokens at the provider. `force` renews in any case, for a token that the
        provider refused (401) before its time. What `ask` raises goes through; where the provider did not answer, the
        renewal stays marked as in doubt, and the next call tries the same refresh token again: if the provider rotated
        it meanwhile, its answer (CH113) says so, and only then need the person sign in again.

        Raises:
            FetchError: CH113 when there are no tokens, or no refresh token and the access token is at its end.
            SetupError: CH006 when the key does not open what is stored.
            StateError: CH608 when another process renews this link's tokens and does not come to an end.
        """
        seen = self._held(link_id)
        if seen.fresh() and not force:
            return seen.access(self._sealer)
        if seen.sealed_refresh is None and not force and seen.expires_at is not None and seen.expires_at > now():
            return seen.access(self._sealer)
        seen.refresh(self._sealer)
        with exclusive(credential_lock(link_id), self._settings):
            held = self._held(link_id)
            if held.version != seen.version and held.fresh():
                return held.access(self._sealer)  # another renewed them while this one waited
            issued = renew(held, ask, self, self._sealer)
        if issued is None:
            return self._held(link_id).access(self._sealer)
        return issued.access_token

    def mark(self, held: Held, *, begun: bool) -> bool:
        """Note that a renewal of these tokens is in flight, or that it is not; False when they are others by now."""
        return self._change(held, marked(begun))

    def keep(self, held: Held, issued: IssuedTokens, *, rotated: bool) -> bool:
        """Store what was issued unless the stored tokens are others by now; whether it was stored."""
        return self._change(held, renewed(held, issued, self._sealer, rotated=rotated), scope=issued.scope)

    def _change(self, held: Held, values: dict[str, object], scope: str | None = None) -> bool:
        """Change the stored tokens (and the link's granted scopes) unless they are others than `held` by now."""
        with state_session(self._settings) as state:
            link = get_link(state, held.link_id, lock=True)
            changed = state.execute(
                update(Credential)
                .where(Credential.link_id == held.link_id, Credential.version == held.version)
                .values(values)
                .returning(Credential.link_id)
            ).all()
            if changed and scope is not None:
                link.granted_scopes = scope
        return bool(changed)

    def _held(self, link_id: str) -> Held:
        with state_session(self._settings, read_only=True) as state:
            stored = state.get(Credential, link_id)
        if stored is None:
            raise FetchError("CH113", where=f"link {link_id}", what="there are no tokens")
        return Held.of(stored)


def in_doubt(session: Session) -> list[str]:
    """The links whose last renewal was begun and not answered: by a crash, or by a provider that fell silent."""
    query = select(Credential.link_id).where(Credential.renewal_started_at.is_not(None)).order_by(Credential.link_id)
    return list(session.scalars(query))


def _grant(session: Session, link: Link, scope: str | None) -> None:
    """Note what was granted. Where that has changed, what may be seen now can be older than what was read before."""
    if scope is None or scope == link.granted_scopes:
        return
    if link.granted_scopes is not None:
        clear_watermarks(session, link.id)
    link.granted_scopes = scope


def _owner(link_id: str, kind: str) -> str:
    return f"{kind} token of link {link_id}"
