"""The account of a load, by type: what was read, what of it is served, and to whom."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from sandbox.compartment import MEMBERSHIP, PATIENT_PARAMETERS
from sandbox.references import ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.merge import Changes
    from sandbox.store import Store
    from sandbox.tally import Tally


def take_inventory(store: Store, tally: Tally, changes: Changes) -> dict[str, Any]:
    """Count, keep in the store and return the inventory.

    By type: `read` = `stored` + `repeated` + `older_versions`; `stored` = `in_compartments` (found by a search for a
    patient who is here, or the Patient itself) + `others`. `apart`: resources of an id that another person's has;
    `overlaid`: Patients who share an id with someone born on another day; `aside`: what is no record of anybody. Of the
    `unreadable` places `faults` names the first of each of the `reasons`.
    """
    db = store.db
    stored = dict(db.execute("SELECT type, count(*) FROM resource WHERE gone = 0 GROUP BY type").fetchall())
    within = _found_by_search(store)
    without = dict(
        db.execute("SELECT type, count(*) FROM resource WHERE gone = 0 AND id IS NULL GROUP BY type").fetchall()
    )
    types = {
        name: {
            "read": tally.read[name],
            "repeated": tally.repeated[name],
            "older_versions": tally.older[name],
            "stored": stored.get(name, 0),
            "in_compartments": within.get(name, 0),
            "others": stored.get(name, 0) - within.get(name, 0),
            "without_id": without.get(name, 0),
        }
        for name in sorted(tally.read.keys() | stored.keys())
    }
    inventory = {
        "types": types,
        "totals": {key: sum(row[key] for row in types.values()) for key in next(iter(types.values()))},
        "people": len(store.people()),
        "files": tally.files,
        "changes": {
            "added": changes.added,
            "changed": changes.changed,
            "removed": changes.removed,
            "unchanged": changes.unchanged,
        },
        "unresolved_references": {
            "conditional": tally.unresolved["conditional"],
            "urn": tally.unresolved["urn"],
            "absolute": tally.unresolved["absolute"],
        },
        "apart": tally.apart,
        "overlaid": tally.overlaid,
        "aside": dict(tally.aside),
        "unreadable": tally.reasons.total(),
        "reasons": dict(tally.reasons.most_common()),
        "faults": [{"where": fault.where, "reason": fault.reason} for fault in tally.faults],
    }
    with store.writing():
        store.set("inventory", orjson.dumps(inventory).decode())
    return inventory


def resources(store: Store, without: Sequence[str] = ()) -> list[tuple[str, str, bool]]:
    """Every resource that is served: type, id (SHA-256 of its body where it has none that FHIR permits), and whether a
    search for its patient finds it; nobody searches for the patients of `without`, or keeps what is about them."""
    rows = store.db.execute(
        "SELECT type, id, seq, EXISTS (SELECT 1 FROM link WHERE link.seq = resource.seq AND parameter ="
        " CASE WHEN type IN (SELECT value FROM json_each(?)) THEN 'patient' ELSE ? END AND target IN"
        " (SELECT 'Patient/' || id FROM resource WHERE type = 'Patient' AND gone = 0 AND id IS NOT NULL"
        " AND id NOT IN (SELECT value FROM json_each(?))))"
        # One that is filed under somebody else is about whom its body names.
        " AND NOT EXISTS (SELECT 1 FROM json_each(?) AS gone CROSS JOIN body WHERE body.seq = resource.seq"
        " AND instr(CAST(body.body AS BLOB), CAST('\"Patient/' || gone.value || '\"' AS BLOB)))"
        " AND type <> 'Binary' FROM resource WHERE gone = 0",
        [
            orjson.dumps([kind for kind, names in PATIENT_PARAMETERS.items() if "patient" in names]).decode(),
            MEMBERSHIP,
            *[orjson.dumps(list(without)).decode()] * 2,
        ],
    ).fetchall()
    listed: list[tuple[str, str, bool]] = []
    for kind, identity, seq, found in rows:
        if identity is None or not ID.fullmatch(identity):
            (body,) = store.db.execute("SELECT body FROM body WHERE seq = ?", [seq]).fetchone()
            identity = sha256(body).hexdigest()
        listed.append((kind, identity, bool(found)))
    return listed


def _found_by_search(store: Store) -> dict[str, int]:
    """By type, the resources that a search for their patient finds: by `patient` where the type has that parameter."""
    rows = store.db.execute(
        "SELECT type, parameter, count(DISTINCT seq) FROM link WHERE target IN"
        " (SELECT 'Patient/' || id FROM resource WHERE type = 'Patient' AND gone = 0 AND id IS NOT NULL)"
        " GROUP BY type, parameter"
    ).fetchall()
    return {
        kind: number
        for kind, parameter, number in rows
        if parameter == ("patient" if "patient" in PATIENT_PARAMETERS.get(kind, {}) else MEMBERSHIP)
        and kind != "Binary"
    }
