"""Retention: a table of data (`data/retention.json`) of what is kept for how long and why, and who makes it true.

`CHARTHOUSE_RETENTION` puts other days in its place. Airflow's own database is trimmed by whoever runs Airflow
(`charthouse.operating.airflow_trim`), by the same table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from charthouse.errors import PrivacyError
from charthouse.log import get_logger
from charthouse.privacy.pruners import PRUNERS
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, session
from charthouse.state.base import now

if TYPE_CHECKING:
    from datetime import datetime

    from charthouse.state.models import Actor

log = get_logger(__name__)

AIRFLOW: Final = "airflow"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table. `days` is None for what is kept for good; a `fixed` one cannot be set otherwise."""

    name: str
    what: str
    where: str
    days: int | None
    why: str
    fixed: bool = False

    def before(self) -> datetime | None:
        """What is older than this is past its time."""
        return None if self.days is None else now() - timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry with how much of it is past its time now; None where that is not for us to count."""

    entry: Entry
    due: int | None


def table(settings: Settings | None = None) -> list[Entry]:
    """The table, with the days that the settings put in its place.

    Raises:
        PrivacyError: CH960 when they name what is not in it, or what is kept for good; or days that are none.
    """
    written = json.loads((files("charthouse.privacy") / "data" / "retention.json").read_bytes())
    entries = {line["name"]: Entry(**line) for line in written}
    for name, days in (settings or get_settings()).retention.items():
        entry = entries.get(name)
        if entry is None:
            raise PrivacyError("CH960", where=name)
        if entry.fixed:
            raise PrivacyError("CH960", where=name, what="it is kept for good")
        if days is not None and days < 0:
            raise PrivacyError("CH960", where=name, what="days are counted from 0")
        entries[name] = Entry(name, entry.what, entry.where, days, entry.why)
    return list(entries.values())


def look(settings: Settings | None = None) -> list[Kept]:
    """The table, with what is past its time now."""
    settings = settings or get_settings()
    kept = []
    for entry in table(settings):
        before, pruners = entry.before(), PRUNERS.get(entry.name)
        if before is None or pruners is None:
            kept.append(Kept(entry, 0 if before is None else None))
        else:
            kept.append(Kept(entry, sum(pruner.due(settings, before) for pruner in pruners)))
    return kept


def apply(*, actor: Actor = "operator", settings: Settings | None = None) -> dict[str, int]:
    """Remove what is past its time. Returns how much of each went; the audit trail keeps that.

    Killed or failed half-way, the rest goes the next time.

    Raises:
        CharthouseError: of the first entry that could not be pruned, after the others were.
    """
    settings = settings or get_settings()
    removed: dict[str, int] = {}
    failed: Exception | None = None
    for entry in table(settings):
        before = entry.before()
        if before is None:
            continue
        for pruner in PRUNERS.get(entry.name, ()):
            try:
                removed[entry.name] = removed.get(entry.name, 0) + pruner.prune(settings, before)
            except Exception as error:
                log.warning("something past its time could not be removed", entry=entry.name, what=type(error).__name__)
                failed = failed or error
    told = {name: count for name, count in removed.items() if count}
    with session(settings) as state:
        audit.record(state, actor, "retention.applied", "retention", "retention", told)
    log.info("retention applied", **told)
    if failed is not None:
        raise failed
    return removed
