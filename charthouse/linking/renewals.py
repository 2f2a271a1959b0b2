"""Renewals of many links, written down in groups: marks before a provider is asked, tokens before they are used.

The rules are those of `charthouse.linking.credentials`; what differs is that the transactions are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, select, update

from charthouse.linking.credentials import KEPT, ROTATED, Held, renewed
from charthouse.state.base import now
from charthouse.state.group_commit import GroupCommit
from charthouse.state.models import Credential, Link

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from sqlalchemy import BindParameter, Select, Update
    from sqlalchemy.orm import Session

    from charthouse.linking.credentials import IssuedTokens
    from charthouse.settings import Settings
    from charthouse.state.seals import Sealer


class _Entry(NamedTuple):
    """A mark (`values` is empty, `begun` says of what) or tokens to keep."""

    held: Held
    begun: bool
    values: dict[str, Any]
    scope: str | None


class GroupLedger:
    """Where the renewals of one batch are written down (`credentials.Ledger`). Used as a context, by many threads."""

    def __init__(self, sealer: Sealer, settings: Settings | None = None) -> None:
        self._sealer = sealer
        self._group: GroupCommit[list[_Entry], list[bool]] = GroupCommit(_write_lists, settings)

    def __enter__(self) -> Self:
        self._group.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._group.__exit__(kind, error, trace)

    def mark(self, held: Held, *, begun: bool) -> bool:
        """As `credentials.Tokens.mark`."""
        return self._group.commit([_Entry(held, begun, {}, None)])[0]

    def mark_all(self, few: Sequence[Held]) -> list[bool]:
        """Mark several renewals as in flight, in one transaction; of each, whether its tokens stood."""
        return self._group.commit([_Entry(held, True, {}, None) for held in few]) if few else []

    def keep(self, held: Held, issued: IssuedTokens, *, rotated: bool) -> bool:
        """As `credentials.Tokens.keep`."""
        return self.keep_soon(held, issued, rotated=rotated).result()[0]

    def keep_soon(self, held: Held, issued: IssuedTokens, *, rotated: bool) -> Future[list[bool]]:
        """Hand tokens in to be kept with the next transaction, without waiting for it."""
        values = renewed(held, issued, self._sealer, rotated=rotated)
        return self._group.submit([_Entry(held, False, values, issued.scope)])


class Begun:
    """A ledger for one renewal that was marked together with others, and is kept while the next one is asked for.

    The tokens go to the disk at once; who holds the link looks at `kept()` before letting go of it.
    """

    def __init__(self, ledger: GroupLedger) -> None:
        self._ledger = ledger
        self._first = True
        self._kept: Future[list[bool]] | None = None

    def kept(self) -> bool:
        """Whether there are new tokens, and they are on disk by now.

        Raises:
            StateError: CH605 when the state database could not be written.
        """
        return self._kept is not None and self._kept.result()[0]

    def mark(self, held: Held, *, begun: bool) -> bool:
        """As `credentials.Tokens.mark`."""
        if begun and self._first:
            self._first = False
            return True
        return self._ledger.mark(held, begun=begun)

    def keep(self, held: Held, issued: IssuedTokens, *, rotated: bool) -> bool:
        """As `credentials.Tokens.keep`."""
        self._kept = self._ledger.keep_soon(held, issued, rotated=rotated)
        return True


def read_held(session: Session, link_ids: Sequence[str] | Select[str]) -> dict[str, Held]:
    """The tokens of many links, named or selected, still sealed; links without any are left out."""
    found = session.scalars(select(Credential).where(Credential.link_id.in_(link_ids)))
    return {stored.link_id: Held.of(stored) for stored in found}


def _write_lists(session: Session, lists: Sequence[list[_Entry]]) -> list[list[bool]]:
    stands = iter(_write(session, [entry for entries in lists for entry in entries]))
    return [[next(stands) for _ in entries] for entries in lists]


def _write(session: Session, entries: Sequence[_Entry]) -> list[bool]:
    """Write a group. Rows are locked in one order: links, then credentials, each by id."""
    connection = session.connection()
    ids = sorted({entry.held.link_id for entry in entries})
    scopes = {key: scope for key, scope in connection.execute(_SCOPES, {"ids": ids})}  # noqa: C416  # rows are no pairs
    versions = {key: version for key, version in connection.execute(_VERSIONS, {"ids": ids})}  # noqa: C416
    stands = [versions.get(entry.held.link_id) == entry.held.version for entry in entries]
    standing = [entry for entry, stood in zip(entries, stands, strict=True) if stood]
    at = now()
    kinds: dict[Update, list[dict[str, Any]]] = {}
    for entry in standing:
        row = {"of_link": entry.held.link_id}
        if not entry.values:
            kinds.setdefault(_BEGUN if entry.begun else _NOT_BEGUN, []).append({**row, "at": at})
            continue
        keep = _KEEP_ROTATED if "sealed_refresh" in entry.values else _KEEP
        kinds.setdefault(keep, []).append({**row, **{f"to_{name}": value for name, value in entry.values.items()}})
        if entry.scope is not None and scopes.get(entry.held.link_id) != entry.scope:
            kinds.setdefault(_SCOPE, []).append({**row, "scope": entry.scope})
    for statement, rows in kinds.items():
        connection.execute(statement, rows)
    return stands


# Built once: to build a statement costs more than to run it.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_SCOPES = select(Link.id, Link.granted_scopes).where(Link.id.in_(_IDS)).order_by(Link.id).with_for_update()
_VERSIONS = (
    select(Credential.link_id, Credential.version)
    .where(Credential.link_id.in_(_IDS))
    .order_by(Credential.link_id)
    .with_for_update()
)
_SCOPE = update(Link).where(Link.id == bindparam("of_link")).values(granted_scopes=bindparam("scope"))
_OF_LINK = update(Credential).where(Credential.link_id == bindparam("of_link"))
_BEGUN = _OF_LINK.values(renewal_started_at=bindparam("at"), renewal_tries=Credential.renewal_tries + 1)
_NOT_BEGUN = _OF_LINK.values(renewal_started_at=None, renewal_tries=0)
_KEEP = _OF_LINK.values({name: bindparam(f"to_{name}") for name in KEPT})
_KEEP_ROTATED = _OF_LINK.values({name: bindparam(f"to_{name}") for name in (*KEPT, *ROTATED)})
