"""HL7's own examples of R4, as npm has them: every one is accepted, or quarantined for a reason, and none is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from transforms.checking import Owner
from transforms.checking.batches import CheckedRow, QuarantinedRow, check_pages
from transforms.checking.mending import mended
from transforms.checking.ownership import compartment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transforms.checking import Checker

PACKAGE = "hl7.fhir.r4.examples@4.0.1"
TABLES = frozenset(
    [
        "AllergyIntolerance",
        "Condition",
        "DiagnosticReport",
        "Encounter",
        "Immunization",
        "Medication",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Patient",
        "Procedure",
    ]
)
SAMPLE = 4
"""Examples taken of each type that no table is made of: there are thousands of definitions, all of one kind."""


@pytest.fixture(scope="module")
def archive(request: pytest.FixtureRequest) -> Path:
    """The package, fetched once a checkout."""
    cache = request.config.cache
    assert cache is not None
    folder = Path(cache.mkdir("hl7-examples"))
    if not list(folder.glob("*.tgz")):
        if shutil.which("npm") is None:
            pytest.skip("there is no npm, which fetches the examples")
        try:
            done = subprocess.run(
                ["npm", "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, timeout=180, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("the registry of npm did not answer in time")
        if done.returncode or not list(folder.glob("*.tgz")):
            pytest.skip("the registry of npm does not give the examples")
    return next(folder.glob("*.tgz"))


def _examples(archive: Path) -> Iterator[bytes]:
    taken: Counter[str] = Counter()
    with tarfile.open(archive) as package:
        for member in package:
            name = member.name.removeprefix("package/")
            kind = name.partition("-")[0]
            if "/" in name or not name.endswith(".json") or not kind[:1].isupper():
                continue
            taken[kind] += 1
            content = package.extractfile(member) if kind in TABLES or taken[kind] <= SAMPLE else None
            if content is not None:
                yield content.read()


def _named(resource: dict[str, Any]) -> str:
    """A patient whom the example is about: they are of several people."""
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    for steps in compartment(resource["resourceType"]).subject:
        nodes: list[Any] = [resource]
        for step in (*steps, "reference"):
            inner = [node.get(step) for node in nodes if isinstance(node, dict)]
            nodes = [each for one in inner for each in (one if isinstance(one, list) else [one])]
        for text in nodes:
            if isinstance(text, str) and text.startswith("Patient/"):
                return text.removeprefix("Patient/").partition("/")[0]
    return "example"


def test_every_official_example_is_somewhere(checker: Checker, archive: Path) -> None:
    examples: defaultdict[str, list[bytes]] = defaultdict(list)
    for raw in _examples(archive):
        examples[_named(json.loads(raw))].append(raw)
    counts: Counter[str] = Counter()
    for patient, raws in examples.items():
        page = b'{"resourceType":"Bundle","entry":[%s]}' % b",".join(b'{"resource":%s}' % raw.strip() for raw in raws)
        rows = list(check_pages([page], Owner(patient), person_key="k", link_id="l", checker=checker))
        kept = [row.resource.encode() if isinstance(row, CheckedRow) else row.resource for row in rows]
        there = [raw.strip() for raw in raws if json.loads(raw)["resourceType"] != "OperationOutcome"]
        assert sorted(kept) == sorted(set(there)), "each is kept, byte for byte"
        for row in rows:
            if isinstance(row, QuarantinedRow):
                counts.update(row.rules)
            else:
                counts["accepted"] += 1
                assert mended(row.resource) == row.resource or row.remarks, "what is whole is not touched"
    assert counts["accepted"] > 500
    assert counts.keys() <= {"accepted"}, "the standard's own examples can all be used"
