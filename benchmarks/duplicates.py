"""Duplicates of people whose record two providers hold: precision, recall, and what finding them costs.

    python -m benchmarks.duplicates [--people 40] [--seed 1] [--data DIR] [--missed N]

The published people of DIR (the shared data beside the project) are split over two providers by
`benchmarks.duplicate_copies`, whose noise is printed. A pair is a record of the one and a record of the other; it is
found where any of their rows stand in one group. Writes benchmarks/results/duplicates.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from benchmarks.duplicate_copies import CLINICAL, Noise, Split, split
from transforms.duplicates import FOUND, find
from transforms.tables import observations, prepare_resources, read_presence, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "duplicates.json"
DATA = ROOT.parent / "shared" / "data"
FOLDERS = ("synthea-r4", "synthea-us-core")
Pair = tuple[str, str, str, str]
"""Person, type, id at the first provider, id at the second."""


@dataclass(slots=True)
class Measured:
    """What was found of what is there, by table."""

    truth: dict[str, set[Pair]] = field(default_factory=dict)
    found: dict[str, set[Pair]] = field(default_factory=dict)
    within: Counter[str] = field(default_factory=Counter)
    """Rows in a group with another of their own link."""
    rows: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Processor time."""

    right: dict[str, set[Pair]] = field(default_factory=dict)
    """Of the pairs that were found those that are one record, or of which the source itself has two alike."""

    def precision(self, *names: str) -> float:
        """How many of the pairs that were found are true: of these tables, or of all."""
        found = sum(len(self.found[each]) for each in names or self.found)
        return sum(len(self.right[each]) for each in names or self.found) / found if found else 1.0

    def recall(self, *names: str) -> float:
        """How many of the true pairs were found. Of records that the source has twice either will do."""
        there = sum(len(self.truth[each]) for each in names or self.truth)
        reached = 0
        for each in names or self.truth:
            ends = {(number, *pair[:2], pair[1 + number]) for pair in self.right[each] for number in (1, 2)}
            reached += sum((1, *pair[:3]) in ends or (2, *pair[:2], pair[3]) in ends for pair in self.truth[each])
        return reached / there if there else 1.0


def people(data: Path) -> Iterator[list[dict[str, Any]]]:
    """The resources of each published person, references by `urn:uuid:` made relative."""
    for folder in FOLDERS:
        for file in sorted((data / folder).glob("*.gz")):
            bundle = json.loads(gzip.decompress(file.read_bytes()))
            resources = [entry["resource"] for entry in bundle.get("entry", ())]
            if any(each["resourceType"] == "Patient" for each in resources):
                yield resources


def measure(splits: dict[str, Split]) -> Measured:
    """Build the tables of these people as a night does, find the duplicates, and hold them against the truth."""
    measured = Measured()
    with duckdb.connect(config={"threads": 2}) as lake:
        lake.execute(
            "CREATE TABLE staged (person_key VARCHAR, link_id VARCHAR, resource_type VARCHAR, resource_id VARCHAR,"
            " last_updated VARCHAR, resource VARCHAR)"
        )
        lake.execute("CREATE TABLE links (link_id VARCHAR, provider VARCHAR, route VARCHAR)")
        for person, made in splits.items():
            for number, resources in enumerate((made.first, made.second), start=1):
                link = f"{person}-{number}"
                lake.execute("INSERT INTO links VALUES (?, ?, 'direct')", [link, f"provider-{number}"])
                columns = [
                    [each["resourceType"] for each in resources],
                    [each["id"] for each in resources],
                    [each.get("meta", {}).get("lastUpdated") for each in resources],
                    [json.dumps(each) for each in resources],
                ]
                lake.execute(
                    "INSERT INTO staged SELECT ?, ?, unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]),"
                    " unnest(?::VARCHAR[])",
                    [person, link, *columns],
                )
        started = time.process_time()
        rows = build(lake)
        built = time.process_time()
        find(lake, rows)
        measured.seconds = {"build": built - started, "find": time.process_time() - built}
        for name in rows:
            counted = lake.execute(f"SELECT count(*) FROM {rows[name]}").fetchone()
            measured.rows += counted[0] if counted else 0
        read(lake, splits, rows, measured)
    return measured


def build(lake: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The rows of every table, as a build makes them. Returns the relations, by table."""
    for statement in prepare_resources("staged", links="links"):
        lake.execute(statement)
    present = read_presence(lake, "staged")
    for statement in observations(present):
        lake.execute(statement)
    for each in tables():
        lake.execute(f"CREATE TABLE built_{each.name} AS {each.select_sql(present)}")
    return {each.name: f"built_{each.name}" for each in tables()}


def read(lake: duckdb.DuckDBPyConnection, splits: dict[str, Split], rows: dict[str, str], measured: Measured) -> None:
    """The pairs that were found, and those that are true of rows that stand in a table at all."""
    for name, relation in rows.items():
        standing = {
            key
            for (key,) in lake.execute(
                f"SELECT DISTINCT resource_key FROM {relation} WHERE NOT is_entered_in_error"
            ).fetchall()
        }
        measured.truth[name] = {
            (person, kind, one, other)
            for person, made in splits.items()
            for (kind, one), other in made.truth.items()
            if f"{person}-1/{kind}/{one}" in standing and f"{person}-2/{kind}/{other}" in standing
        }
        pairs = lake.execute(
            f"WITH keyed AS (SELECT person_key, link_id, duplicate_group, resource_key FROM {FOUND} JOIN {relation}"
            f" USING (person_key, link_id, row_key) WHERE table_name = '{name}')"
            " SELECT DISTINCT one.person_key, one.resource_key, other.resource_key, one.link_id = other.link_id"
            " FROM keyed AS one JOIN keyed AS other USING (duplicate_group) WHERE one.resource_key < other.resource_key"
        ).fetchall()
        found, right = measured.found.setdefault(name, set()), measured.right.setdefault(name, set())
        for person, one, other, within in pairs:
            (kind, first), (_, second) = (each.split("/")[1:3] for each in (one, other))
            if kind not in CLINICAL:
                continue  # both have it, word for word
            if within:
                measured.within[name] += 1
                continue
            found.add((person, kind, first, second))
            alike = splits[person].alike
            if alike[1, kind, first] == alike[2, kind, second]:
                right.add((person, kind, first, second))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--missed", type=int, default=0, help="show so many errors of each table")
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    splits = {
        f"person-{number}": split(resources, given.seed * 1000 + number)
        for number, resources in enumerate(people(given.data))
        if given.skip <= number < given.skip + given.people
    }
    if not splits:
        parser.error(f"there are no people in {given.data}")
    measured = measure(splits)
    done = sum((made.done for made in splits.values()), Counter[str]())
    result: dict[str, Any] = {
        "people": len(splits),
        "rows": measured.rows,
        "noise": asdict(Noise()),
        "copies": sum(len(made.truth) for made in splits.values()),
        "done_to_copies": dict(done),
        "tables": {
            name: {
                "pairs": len(measured.truth[name]),
                "found": len(measured.found[name]),
                "precision": round(measured.precision(name), 3),
                "recall": round(measured.recall(name), 3),
                "repeats_within_a_link": measured.within[name],
            }
            for name in sorted(measured.truth)
        },
        "precision": round(measured.precision(), 4),
        "recall": round(measured.recall(), 4),
        "processor_seconds": {name: round(spent, 2) for name, spent in measured.seconds.items()},
        "ratios": {"find_to_build": round(measured.seconds["find"] / measured.seconds["build"], 3)},
    }
    print(json.dumps(result, indent=1))
    if given.missed:
        show(measured, splits, given.missed)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def show(measured: Measured, splits: dict[str, Split], most: int) -> None:
    """Some of the pairs that were missed, and of those that are none. Published, synthetic people alone."""
    held = {
        (person, number, each["resourceType"], each["id"]): each
        for person, made in splits.items()
        for number, resources in enumerate((made.first, made.second))
        for each in resources
    }
    for name, truth in sorted(measured.truth.items()):
        for title, pairs in (
            ("missed", truth - measured.found[name]),
            ("wrong", measured.found[name] - measured.right[name]),
        ):
            for person, kind, one, other in sorted(pairs)[:most]:
                print(f"-- {name} {title}")
                for number, key in enumerate((one, other)):
                    print("  ", brief(held[person, number, kind, key]))


def brief(resource: dict[str, Any]) -> str:
    """A resource in a line, without what does not matter here."""
    hidden = {
        "subject",
        "patient",
        "meta",
        "resourceType",
        "identifier",
        "encounter",
        "participant",
        "performer",
        "category",
        "clinicalStatus",
        "verificationStatus",
        "reasonReference",
        "class",
    }
    return json.dumps({name: value for name, value in resource.items() if name not in hidden})[:420]


if __name__ == "__main__":
    main()
