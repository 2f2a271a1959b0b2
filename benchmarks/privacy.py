"""Erasing, measured: one person and a hundred, against a bare scan of the same lake.

    python -m benchmarks.privacy [--rows 10000000] [--people 20000]

Everything runs on one machine in one run, so the ratios are to be read. Writes benchmarks/results/privacy.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import insert

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "privacy.json"
MANY = 100


def build(rows: int, people: int) -> None:
    """A home with that many people, linked, and as many resources in the vault, rows in one table of the records."""
    from charthouse.lake import records
    from charthouse.lake.session import open_records, open_vault
    from charthouse.linking import providers
    from charthouse.operating.home import prepare
    from charthouse.state import session
    from charthouse.state.base import new_key
    from charthouse.state.models import Link, Person

    prepare()
    keys = [(new_key(), new_key()) for _ in range(people)]
    with session() as state:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="http://127.0.0.1:9/fhir")
        state.execute(insert(Person), [{"person_key": person, "country": "US"} for person, _ in keys])
        linked = [
            {"id": link, "person_key": person, "provider": "clinic", "route": "direct", "status": "confirmed"}
            for person, link in keys
        ]
        state.execute(insert(Link), [{**row, "patient_id": f"p-{row['id']}"} for row in linked])
    made = """
        SELECT i + 1 AS number, people[1 + i % len(people)] AS person, links[1 + i % len(people)] AS link,
               md5(i::VARCHAR) AS id
        FROM range(?) AS numbers(i), (SELECT ?::VARCHAR[] AS people, ?::VARCHAR[] AS links)
    """
    given = [rows, [person for person, _ in keys], [link for _, link in keys]]
    with open_vault() as vault:
        vault.execute("SET memory_limit = '2GB'")
        vault.execute(
            f"""
            INSERT INTO vault.resources
            SELECT number, 'run', now(), person, link, 'Observation', id, sha256(id), '2024-05-01', [],
                   '{{"resourceType":"Observation","id":"' || id || '","status":"final","code":{{"text":"test '
                   || (number % 400) || ' of the laboratory"}},"valueString":"result ' || (hash(number) % 1000000)
                   || ' of many","subject":{{"reference":"Patient/p-' || link || '"}}}}'
            FROM ({made}) ORDER BY person
            """,
            given,
        )
    with open_records() as lake:
        lake.execute("SET memory_limit = '2GB'")
        lake.execute(
            f"""
            INSERT INTO records.lab_results (row_key, person_key, link_id, resource_key)
            SELECT link || '/Observation/' || id, person, link, link || '/Observation/' || id FROM ({made})
            ORDER BY person
            """,
            given,
        )
        lake.execute("INSERT INTO records.built_people SELECT unnest(?), ?, ?", [given[1], rows, records.declaration()])


def bare_scan() -> float:
    """Seconds to read every text of both lakes once, and do nothing with it."""
    from charthouse.lake.session import open_records, open_vault

    started = time.monotonic()
    with open_vault(read_only=True) as vault:
        vault.execute(
            "SELECT sum(strlen(COLUMNS(c -> c IN ('person_key', 'link_id', 'resource_id', 'content_hash', "
            "'resource')))) FROM vault.resources"
        ).fetchall()
    with open_records(read_only=True) as lake:
        lake.execute(
            "SELECT sum(strlen(row_key)), sum(strlen(person_key)), sum(strlen(link_id)), "
            "sum(strlen(resource_key)) FROM records.lab_results"
        ).fetchall()
    return time.monotonic() - started


def erased(number: int) -> dict[str, Any]:
    """Erase that many people in one go. Seconds until they are gone from both lakes, and until the receipts."""
    from charthouse import faults
    from charthouse.privacy import erase, requests
    from charthouse.state import session
    from charthouse.state.models import Person

    with session() as state:
        keys = [person.person_key for person in state.query(Person).limit(number)]
        asked = [requests.ask_erasure(state, key).request_id for key in keys]
    started, seen = time.monotonic(), {}
    faults.point = lambda name: seen.setdefault(name, time.monotonic() - started)  # type: ignore[assignment]
    ended = erase.run(asked)
    assert all(each.done for each in ended), ended[0]
    steps = list(seen.items())
    return {
        "people": number,
        "gone": round(seen["erase.records"], 2),
        "receipt": round(time.monotonic() - started, 2),
        "steps": {
            name.removeprefix("erase."): round(at - (steps[place - 1][1] if place else 0), 2)
            for place, (name, at) in enumerate(steps)
        },
    }


def main() -> None:
    """Measure, print, and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--build", action="store_true", help="Only make the home that CHARTHOUSE_HOME names.")
    given = parser.parse_args()
    if given.build:
        build(given.rows, given.people)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHARTHOUSE_HOME"] = str(Path(folder) / "home")
        # In a process of its own: the peak of memory that is told is that of erasing.
        sizes = ["--rows", str(given.rows), "--people", str(given.people)]
        subprocess.run([sys.executable, "-m", "benchmarks.privacy", "--build", *sizes], cwd=ROOT, check=True)
        bare = min(bare_scan() for _ in range(2))
        one = erased(1)
        many = erased(MANY)
    said = {
        "rows": given.rows,
        "people": given.people,
        "bare_scan_seconds": round(bare, 2),
        "one": one,
        "many": many,
        "ratios": {
            "one_to_receipt_by_bare_scan": round(one["receipt"] / bare, 1),
            "hundred_by_one": round(many["receipt"] / one["receipt"], 2),
        },
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(said, indent=1))
    if given.rows >= 10_000_000:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
