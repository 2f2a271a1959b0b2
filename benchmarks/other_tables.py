"""What the tables beside the ten add to a night: processor time with and without them, over the same vault.

    python -m benchmarks.other_tables [--resources 200000] [--data DIR]

The vault is stocked with the published people of DIR again and again under new keys. `without` leaves out reports,
documents and surveys with their child tables, what is known of people, professionals and links, and the subjects of
additional records, as if they had never been declared. Build, audit and publication are measured, and beside them what
a night takes to check and store the same resources; fetching them comes on top of that. Figures of one run on one
machine: read the ratios. Writes benchmarks/results/other_tables.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.tables import DATA, FOLDERS, ROOT, apart, build, stock

RESULTS = ROOT / "benchmarks" / "results" / "other_tables.json"
KEPT = ("additional", "duplicates", "unmapped_codes", "unmapped_units")
"""Helpers that there are either way."""


def build_without() -> dict[str, Any]:
    """The same build without the tables beside the ten."""
    from charthouse.lake import records, vault
    from charthouse.sync import build as stage
    from charthouse.sync import finish
    from transforms import tables

    ten, kept = tables.all_tables(), tuple(each for each in tables.helpers() if each.name in KEPT)
    read = {kind for each in ten for kind in each.resource_types}
    stage.other_tables = records.other_tables = lambda: ()  # type: ignore[attr-defined]
    stage.helpers = records.helpers = lambda: kept  # type: ignore[attr-defined]
    records.built_tables = lambda: (*ten, *kept)  # type: ignore[attr-defined]
    types = tuple(kind for kind in tables.resource_types() if kind in read | set(tables.NAMED_TYPES))
    stage.resource_types = lambda: types  # type: ignore[attr-defined]
    finish.tell_standing = lambda _: 0  # type: ignore[attr-defined]
    vault.ABOUT = {}  # type: ignore[attr-defined]
    return build()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", type=int, default=200_000)
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    if not any((given.data / folder).is_dir() for folder in FOLDERS):
        parser.error(f"there are no people in {given.data}")
    taken: dict[str, dict[str, Any]] = {}
    for name, work in (("without", build_without), ("with", build)):
        with tempfile.TemporaryDirectory(prefix="charthouse-bench-") as folder:
            os.environ["CHARTHOUSE_HOME"] = str(Path(folder) / "home")
            stocked = apart(stock, given.resources, given.data)
            taken[name] = apart(work)
    spent = {name: sum(each["processor_seconds"].values()) for name, each in taken.items()}
    result = {**stocked, **taken, "ratios": {"with_to_without": round(spent["with"] / spent["without"], 3)}}
    print(json.dumps(result, indent=1))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
