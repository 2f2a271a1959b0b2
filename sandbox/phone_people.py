"""Made-up people with a phone: what apps of theirs have written into Health Connect."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from sandbox.generator import generate
from sandbox.phone import App
from sandbox.phone_store import DataSource, HealthConnect

if TYPE_CHECKING:
    import argparse

    from sandbox.generator.vocabulary import Json

APART: Final = 7_000
"""Seeds of people with a phone: nobody of them is a patient of the made-up provider."""
PACKAGE: Final = "com.example.portal"
BASE: Final = "https://fhir.lakeside.example/r4"


def made_up(number: int, seed: int, source_id: str | None = None) -> tuple[HealthConnect, Json]:
    """The phone of the person of this number, and the Patient who they are."""
    store = HealthConnect()
    named = {} if source_id is None else {"id": source_id}
    source = store.add_source(DataSource(PACKAGE, BASE, "Lakeside Hospital", **named))
    lists = list(generate(1, APART + 97 * seed + number, broken_share=0))
    resources = [resource for listed in lists for resource in listed]
    [patient] = [resource for resource in resources if resource["resourceType"] == "Patient"]
    for resource in resources:
        store.upsert(source.id, orjson.dumps(resource).decode())
    return store, patient


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `python -m sandbox phone` is told."""
    parser.add_argument("--number", type=int, required=True, help="which of the made-up people")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--describe", action="store_true", help="print as JSON who it is, and do nothing")
    parser.add_argument("--url", help="the REST API, with its path")
    parser.add_argument("--person", help="the person's key")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="holds a service token for the person")
    parser.add_argument("--device", help="the app's own id of this phone, a UUID")
    parser.add_argument("--source", help="the id of the phone's data source, a UUID")
    parser.set_defaults(run=run)


def run(chosen: Any) -> int:
    """Say who it is, or upload everything. Prints what was found, as JSON; 1 where something was refused."""
    store, patient = made_up(chosen.number, chosen.seed, chosen.source)
    if chosen.describe:
        said = {"name": patient["name"], "birthDate": patient["birthDate"]}
        sys.stdout.write(orjson.dumps(said).decode() + "\n")
        return 0
    app = App(chosen.url, chosen.person, lambda: chosen.token_file.read_text().strip(), store, device=chosen.device)
    found = app.sync()
    sys.stdout.write(orjson.dumps(found).decode() + "\n")
    return 0 if found and all(said["status"] == "accepted" for said in found) else 1
