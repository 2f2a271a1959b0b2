"""Who is at which files of a run: a batch, a group, the folder of a link. And which links are gone.

An erasure takes the same holds before it writes such files anew, so a worker of before is waited for, and one that
comes later sees that the link is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.state import session
from charthouse.state.locks import exclusive
from charthouse.state.models import Link, Person

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from contextlib import AbstractContextManager

    from charthouse.settings import Settings

BATCH_SECONDS = 3600.0


def batch(name: str, settings: Settings | None = None) -> AbstractContextManager[None]:
    """Hold the files of a batch, which several links share. Raises StateError CH608 when it is not free in time."""
    return exclusive(f"batch {name}", settings, wait=BATCH_SECONDS)


def group(name: str, settings: Settings | None = None) -> AbstractContextManager[None]:
    """Hold the files of a group of people who are built together. Raises StateError CH608, as `batch`."""
    return exclusive(f"group {name}", settings, wait=BATCH_SECONDS)


def link(link_id: str, settings: Settings | None = None) -> AbstractContextManager[None]:
    """Hold a link while its folder is made, or taken away. Raises StateError CH608, as `batch`."""
    return exclusive(f"folder of {link_id}", settings)


def gone_among(link_ids: Collection[str], settings: Settings | None = None) -> set[str]:
    """Those of `link_ids` that are deleted, or of somebody who was erased: nothing of theirs may be kept any more."""
    there: set[str] = set()
    with session(settings, read_only=True) as state:
        for some in _chunks(link_ids):
            there.update(state.scalars(select(Link.id).where(Link.id.in_(some), Link.status != "deleted")))
    return set(link_ids) - there


def people_among(person_keys: Collection[str], settings: Settings | None = None) -> set[str]:
    """Those of `person_keys` who are there, and were not erased."""
    there: set[str] = set()
    with session(settings, read_only=True) as state:
        for some in _chunks(person_keys):
            there.update(state.scalars(select(Person.person_key).where(Person.person_key.in_(some))))
    return there


def _chunks(keys: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(keys)
    return (ordered[start : start + 1_000] for start in range(0, len(ordered), 1_000))
