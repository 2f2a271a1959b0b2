"""HL7's own examples of R4 as npm has them, fetched once a checkout, and whom each is about."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from transforms.checking.ownership import compartment

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def fetched(config: pytest.Config) -> Path:
    """The package. Skips the test where npm, or its registry, is not there."""
    cache = config.cache
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


def examples(archive: Path) -> Iterator[bytes]:
    """All examples of the types that tables are made of, and a few of each other."""
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


def named(resource: dict[str, Any]) -> str:
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
