"""What b.well's words mean to us: the states of a search, and the two axes of a connection.

Sources: developer.bwell.com, "Smart Connect" (the task `network-data-retrieval`) and "Managing Data Connections"
(`status`, `syncStatus`). A word that is not here stays as it is, and moves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.partners.network import Access, Retrieval, SearchState

SEARCHES: Final[Mapping[str, SearchState]] = {
    "ready": "ready",
    "requested": "ready",
    "received": "ready",
    "accepted": "ready",
    "in-progress": "running",
    "on-hold": "running",
    "completed": "done",
    "failed": "failed",
    "rejected": "refused",
    "cancelled": "refused",
}
"""FHIR R4 Task.status, as the task of a search bears it."""
ACCESSES: Final[Mapping[str, Access]] = {
    "CONNECTED": "connected",
    "NEW": "connected",
    "EXPIRED": "expired",
    "DISCONNECTED": "ended",
    "DELETED": "ended",
    "ACCESS_ENDED": "expired",
}
"""`ACCESS_ENDED` is a consent that ran out there: the person may give it again, as for what is expired."""
RETRIEVALS: Final[Mapping[str, Retrieval]] = {
    "PENDING": "waiting",
    "RETRIEVING": "retrieving",
    "RETRIEVED": "retrieved",
    "ERROR": "failed",
    "DELETING": "deleted",
    "DATA_DELETED": "deleted",
}


def search_of(word: str) -> SearchState:
    """How a search stands, by the task's status; some of b.well's texts write it `In Progress`."""
    return SEARCHES.get(word.strip().lower().replace(" ", "-").replace("_", "-"), "unknown")


def access_of(word: str) -> Access:
    """What a connection gives, by its `status`."""
    return ACCESSES.get(word.strip().upper(), "unknown")


def retrieval_of(word: str) -> Retrieval:
    """How its data stands, by its `syncStatus`."""
    return RETRIEVALS.get(word.strip().upper(), "unknown")
