"""Renewals of many links, written down in groups: marks before a provider is asked, tokens before they are used.

The rules are those of `charthouse.linking.credentials`; what differs is that the transactions are shared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, select, update

from charthouse.linking.credentials import Held, marked, renewed
from charthouse.state.group_commit import GroupCommit
from charthouse.state.models import Credential, Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Select
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
        self._group: GroupCommit[_Entry, bool] = GroupCommit(_write, settings)

    def __enter__(self) -> Self:
        self._group.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._group.__exit__(kind, error, trace)

    def mark(self, held: Held, *, begun: bool) -> bool:
        """As `credentials.Tokens.mark`."""
        return self._group.commit(_Entry(held, begun, {}, None))

    def keep(self, held: Held, issued: IssuedTokens) -> bool:
        """As `credentials.Tokens.keep`."""
        return self._group.commit(_Entry(held, False, renewed(held, issued, self._sealer), issued.scope))


def read_held(session: Session, link_ids: Sequence[str] | Select[str]) -> dict[str, Held]:
    """The tokens of many links, named or selected, still sealed; links without any are left out."""
    found = session.scalars(select(Credential).where(Credential.link_id.in_(link_ids)))
    return {stored.link_id: Held.of(stored) for stored in found}


def _write(session: Session, entries: Sequence[_Entry]) -> list[bool]:
    """Write a group. Rows are locked in one order: links, then credentials, each by id."""
    ids = sorted({entry.held.link_id for entry in entries})
    scopes = _rows(session, select(Link.id, Link.granted_scopes).where(Link.id.in_(ids)).order_by(Link.id))
    stored = select(Credential.link_id, Credential.version).where(Credential.link_id.in_(ids))
    versions = _rows(session, stored.order_by(Credential.link_id))
    stands = [versions.get(entry.held.link_id) == entry.held.version for entry in entries]
    standing = [entry for entry, stood in zip(entries, stands, strict=True) if stood]
    for begun in (True, False):
        _update(session, marked(begun), (entry for entry in standing if not entry.values and entry.begun is begun))
    for rotated in (True, False):  # a statement for all of them names the columns of each
        _update(session, {}, (e for e in standing if e.values and ("sealed_refresh" in e.values) is rotated))
    changed = [e for e in standing if e.scope is not None and scopes.get(e.held.link_id) != e.scope]
    if changed:
        session.connection().execute(
            update(Link).where(Link.id == bindparam("of_link")).values(granted_scopes=bindparam("scope")),
            [{"of_link": entry.held.link_id, "scope": entry.scope} for entry in changed],
        )
    return stands


def _rows(session: Session, query: Any) -> dict[str, Any]:
    return {key: value for key, value in session.execute(query.with_for_update())}  # noqa: C416  # rows are no pairs


def _update(session: Session, fixed: dict[str, Any], entries: Iterable[_Entry]) -> None:
    rows = [{"of_link": entry.held.link_id, **{f"to_{key}": v for key, v in entry.values.items()}} for entry in entries]
    if not rows:
        return
    values = fixed or {name.removeprefix("to_"): bindparam(name) for name in rows[0] if name != "of_link"}
    session.connection().execute(
        update(Credential).where(Credential.link_id == bindparam("of_link")).values(values), rows
    )
