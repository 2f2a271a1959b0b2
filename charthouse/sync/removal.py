"""Removal: what was read under some links goes, from the landing, the vault and the tables, before people start over.

In this order: landing, vault, records, state. Killed between any two, it is done again. While a night is at work on the
person's links it waits for the next hour: rows that are on their way would come back.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse import faults
from charthouse.lake import records, shelf, vault
from charthouse.lake.session import RECORDS, VAULT, open_records, open_vault, writing
from charthouse.linking.removal import close_removals, open_removals
from charthouse.log import get_logger
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.ledger import SyncLink, SyncRun
from charthouse.state.models import Link

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.linking.removal import OpenRemoval

log = get_logger(__name__)


def remove_from_vault() -> int:
    """Take what is to be removed out of the landing and the vault. Returns the versions that went.

    Raises:
        LakeError: CH502 when another process writes to the vault: the task tries again.
    """
    due = _due()
    if not due:
        return 0
    ids = [removal.link_id for removal in due]
    for link_id in ids:
        for folder in get_settings().landing.glob(f"*/*/{link_id}"):
            shutil.rmtree(folder, ignore_errors=True)
    faults.point("removal.landing")
    with writing(VAULT), open_vault() as connection:
        removed = vault.remove_links(connection, ids)
    log.info("removed from the vault", links=len(ids), versions=removed)
    return removed


def remove_from_records() -> int:
    """Take what is to be removed out of the tables, and close what is done. Returns how many removals that were.

    Raises:
        LakeError: CH502 when another process writes to the records: the task tries again.
    """
    due = _due()
    if not due:
        return 0
    ids = [removal.link_id for removal in due]
    with open_vault(read_only=True) as connection:
        left = vault.links_among(connection, ids)
    done = [removal for removal in due if removal.link_id not in left]
    if not done:
        return 0
    people = [removal.person_key for removal in done]
    with writing(RECORDS), open_records() as connection, shelf.changing(people, get_settings()):
        rows = records.remove_links(connection, people, [removal.link_id for removal in done])
    faults.point("removal.removed")
    with session() as state:
        done = [removal for removal in done if not _at_work(state, removal)]
        close_removals(state, done, {"rows": rows})
    log.info("removed from the records", links=len(done), rows=rows)
    return len(done)


def _due() -> list[OpenRemoval]:
    with session(read_only=True) as state:
        return [removal for removal in open_removals(state) if not _at_work(state, removal)]


def _at_work(state: Session, removal: OpenRemoval) -> bool:
    """Whether a night that is under way took on a link of the person."""
    query = (
        select(SyncRun.id)
        .join(SyncLink, SyncLink.run_id == SyncRun.id)
        .join(Link, Link.id == SyncLink.link_id)
        .where(SyncRun.status == "running", Link.person_key == removal.person_key)
    )
    return state.scalar(query.limit(1)) is not None
