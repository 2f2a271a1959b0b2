"""What an export holds: rows of the store, by type, for everybody or for the patients of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox.compartment import MEMBERSHIP, is_personal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.store import Store

_CHUNK: Final = 500


def rows_of(store: Store, kind: str, patients: Iterable[str] | None, since: int | None) -> list[int]:
    """The rows of a type, in their order: those of some patients, or all where `patients` is None.

    `since` leaves out what has not changed after that instant (microseconds). What belongs to nobody is everybody's.
    """
    after = "" if since is None else f" AND r.updated > {since}"
    if patients is None or not is_personal(kind):
        found = store.db.execute(
            f"SELECT r.seq FROM resource r WHERE r.type = ? AND r.gone = 0{after} ORDER BY r.seq", [kind]
        )
        return [row[0] for row in found]
    rows: set[int] = set()
    listed = [f"Patient/{name}" for name in patients]
    for start in range(0, len(listed), _CHUNK):
        some = listed[start : start + _CHUNK]
        found = store.db.execute(
            f"SELECT r.seq FROM link l CROSS JOIN resource r ON r.seq = l.seq WHERE l.type = ? AND l.parameter = ?"
            f" AND l.target IN ({', '.join('?' * len(some))}) AND r.gone = 0{after}",
            [kind, MEMBERSHIP, *some],
        )
        rows.update(row[0] for row in found)
    return sorted(rows)


def gone_since(store: Store, since: int, types: Iterable[str]) -> list[str]:
    """`Type/id` of each resource that was deleted after an instant (microseconds)."""
    wanted = set(types)
    found = store.db.execute(
        "SELECT type, id FROM resource WHERE gone = 1 AND updated > ? AND id IS NOT NULL ORDER BY seq", [since]
    )
    return [f"{kind}/{name}" for kind, name in found if kind in wanted]


def lines_of(store: Store, rows: Iterable[int]) -> bytes:
    """Resources as NDJSON. A line ends where the resource does, however its writer had laid it out."""
    parts: list[bytes] = []
    for seq in rows:
        (body,) = store.db.execute("SELECT body FROM body WHERE seq = ?", [seq]).fetchone()
        # Within JSON's strings there are no bare line ends: those that there are stand between its signs.
        parts += [bytes(body).replace(b"\r", b" ").replace(b"\n", b" "), b"\n"]
    return b"".join(parts)
