"""Groups of patients that are exported from, as resources: who is in them (FHIR R4 Group)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sandbox.bulk import EVERYONE, client_of
from sandbox.query import RequestError

if TYPE_CHECKING:
    from sandbox.bulk import Exports
    from sandbox.bulk_habits import BulkHabits
    from sandbox.provider import Asked
    from sandbox.store import Store


def is_group(path: str) -> bool:
    """Whether a path below the FHIR base is that of one group."""
    return path.startswith("Group/") and path.count("/") == 1


def group_resource(exports: Exports, asked: Asked, store: Store, habits: BulkHabits, now: float) -> bytes:
    """The group that is asked for, for whoever may export.

    Raises:
        RequestError: 401, 403 or 404.
    """
    client_of(asked, store, habits, now)
    name = asked.path.partition("/")[2]
    members = store.people() if name == EVERYONE else exports.groups.get(name)
    if members is None:
        raise RequestError(404, "not-found", "there is no such group")
    return orjson.dumps(
        {
            "resourceType": "Group",
            "id": name,
            "type": "person",
            "actual": True,
            "quantity": len(members),
            "member": [{"entity": {"reference": f"Patient/{member}"}} for member in members],
        }
    )
