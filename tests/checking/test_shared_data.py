"""Resources that others published as good: none may be stopped, and next to none remarked upon."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from transforms.bundles import Page, read_page, resource_stub
from transforms.checking import Owner
from transforms.checking.batches import CheckedRow, check_pages

if TYPE_CHECKING:
    from transforms.checking import Checker

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the shared data folder is not beside the project"),
]


def _patient(raw: bytes) -> str:
    """The patient whom an example says it is about; the examples are of several people."""
    resource = json.loads(raw)
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    for name in ("subject", "patient", "beneficiary"):
        match = re.fullmatch(r"Patient/(.+)", (resource.get(name) or {}).get("reference", ""))
        if match:
            return match[1]
    return "example"


def test_the_examples_of_us_core(checker: Checker) -> None:
    files = sorted((DATA / "us-core-examples").glob("*.json"))
    verdicts = {file.name: checker.check(raw := file.read_bytes(), Owner(_patient(raw))) for file in files}
    assert len(verdicts) == 230
    remarked = {name: verdict.remarks for name, verdict in verdicts.items() if verdict.findings}
    # Its narrative has a status and no div, which R4 does not permit.
    assert remarked == {"diagnosticreport-cbc.json": ["CH224 DiagnosticReport.text.div"]}


def _served(body: bytes) -> tuple[bytes, Owner]:
    """A transaction Bundle of one person as a server would answer with it: `urn:uuid:` references made literal."""
    page: Page = read_page(body)
    kinds = {}
    for entry in page.entries:
        kind, name, _ = resource_stub(entry.raw)
        kinds[f"urn:uuid:{name}".encode()] = f"{kind}/{name}".encode()
    (patient,) = (value.decode()[8:] for value in kinds.values() if value.startswith(b"Patient/"))
    text = re.sub(rb"urn:uuid:[0-9a-f-]{36}", lambda match: kinds.get(match[0], match[0]), body)
    return text, Owner(patient)


@pytest.mark.parametrize(("folder", "files"), [("synthea-r4", 63), ("synthea-us-core", 8)])
def test_people_of_synthea(checker: Checker, folder: str, files: int) -> None:
    counts: Counter[str] = Counter()
    for file in sorted((DATA / folder).glob("*.gz"))[:files]:
        body = gzip.decompress(file.read_bytes())
        if b'"Patient"' not in body:
            continue  # the organisations and practitioners that all share
        text, owner = _served(body)
        for row in check_pages([text], owner, person_key="k", link_id="l", checker=checker):
            counts["rows"] += 1
            counts[type(row).__name__] += 1
            counts.update(row.remarks)
    assert counts.pop("rows") == counts.pop(CheckedRow.__name__)
    assert counts == Counter()
