"""The footing of what has been read: each watermark rests on a deposit that the vault has taken.

A night asks providers only for what is newer than the watermarks. Where the vault was lost, emptied or restored from an
older backup, that would leave a hole in silence; so whoever fetches, stores or builds looks first whether the vault has
every deposit that a watermark rests on. A vault that has more is no fault: a killed store is repeated.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from charthouse.errors import LakeError
from charthouse.lake import records, vault
from charthouse.lake.session import VAULT, open_records, open_vault
from charthouse.linking import links
from charthouse.settings import get_settings
from charthouse.state import audit, session
from charthouse.state.ledger import SyncRun
from charthouse.state.models import Link, Watermark
from charthouse.sync import runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from sqlalchemy.orm import Session


def check() -> None:
    """Look whether the vault holds what has been read. Where nothing has been read yet, there need not be a vault.

    Raises:
        LakeError: CH504 when it does not, CH501 when it cannot be opened.
    """
    with session(read_only=True) as state:
        if state.scalar(select(Watermark.link_id).limit(1)) is None:
            return
    with open_vault(read_only=True) as connection:
        require(connection)


def require(connection: duckdb.DuckDBPyConnection, link_ids: Sequence[str] | None = None) -> None:
    """Look whether the attached vault holds what has been read for these links, or for all.

    Raises:
        LakeError: CH504 when it does not.
    """
    asked = select(Watermark.deposit).distinct()
    if link_ids is not None:
        asked = asked.where(Watermark.link_id.in_(link_ids))
    with session(read_only=True) as state:
        deposits = set(state.scalars(asked))
        if not deposits:
            return
        if vault.is_empty(connection):
            raise LakeError(
                "CH504", where=VAULT, what=f"it is empty, or a table is gone; {_links(state)} have been read"
            )
        noted = {deposit for deposit in deposits if deposit is not None}
        lost = noted - vault.deposits_among(connection, noted)
        if lost:
            lacking = f"{_links(state, lost)} of {_links(state)} rest on deposits that it never took"
            raise LakeError("CH504", where=VAULT, what=lacking)


def adopt(connection: duckdb.DuckDBPyConnection) -> None:
    """Let what was read before deposits were kept rest on the vault that is there, unless that is empty."""
    with session(read_only=True) as state:
        if state.scalar(select(Watermark.link_id).where(Watermark.deposit.is_(None)).limit(1)) is None:
            return
    if vault.is_empty(connection):
        return
    with session() as state:
        state.execute(
            update(Watermark).where(Watermark.deposit.is_(None)).values(deposit=vault.newest_deposit(connection))
        )


def refetch() -> int:
    """Forget how far every link has been read and who is built. Returns how many links had been read.

    Runs that are open end as failed, and what they had landed and staged goes: it was fetched on the old footing.
    Nothing in the vault or the tables is touched. Killed half-way, it is run again.
    """
    with session(read_only=True) as state:
        count = state.scalar(select(func.count(Watermark.link_id.distinct()))) or 0
    with open_records() as connection:
        records.create(connection)
        records.forget_built(connection)
    settings = get_settings()
    for folder in (settings.landing, settings.staging):
        for leftover in folder.glob("*/"):
            shutil.rmtree(leftover)
    with session() as state:
        for run_id in state.scalars(select(SyncRun.id).where(SyncRun.status == "running")):
            waiting = runs.links_of(state, run_id, results=("waiting",))
            runs.record_link_results(state, run_id, dict.fromkeys(waiting, "failed"))
            runs.record_outcomes(state, run_id, "", [runs.Outcome("CH504", "batch")])
            runs.finish_run(state, run_id, "failed")
        begun = state.scalars(select(Link.id).where(Link.sync_status.in_(("waiting", "running"))))
        links.set_sync_statuses(state, dict.fromkeys(begun, "failed"))
        state.execute(delete(Watermark))
        audit.record(state, "operator", "refetch", "vault", VAULT, {"links": count})
    return count


def _links(state: Session, deposits: set[str] | None = None) -> str:
    counted = select(func.count(Watermark.link_id.distinct()))
    if deposits is not None:
        return str(state.scalar(counted.where(Watermark.deposit.in_(deposits))))
    return f"{state.scalar(counted)} links"
