"""Nights over a folder of somebody's own: every resource accounted for, and what changed in it said."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LABORATORY = "http://terminology.hl7.org/CodeSystem/observation-category"
COLUMNS = ("read", "repeated", "served", "in vault", "quarantined", "not requested", "missing", "gone")


def result(patient: str, name: str | None, value: float = 1) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        **({"id": name} if name else {}),
        "status": "final",
        "category": [{"coding": [{"system": LABORATORY, "code": "laboratory"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "valueQuantity": {"value": value, "unit": "g/dL"},
    }


def put(folder: Path, name: str, *resources: dict[str, Any]) -> None:
    (folder / name).write_text("\n".join(map(json.dumps, resources)))


def accounts(printed: str) -> dict[str, dict[str, int]]:
    """The printed account of the source, by type."""
    rows = re.findall(
        r"^(\w+)((?: +[\d,]+){7,8}) *$", printed.partition("Every resource of the source")[2], re.MULTILINE
    )
    return {
        kind: dict(zip(COLUMNS, (int(number.replace(",", "")) for number in numbers.split()), strict=False))
        for kind, numbers in rows
    }


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> Any:
    """An installation after two nights over a folder that changed between them, with what each printed."""
    folder = tmp_path_factory.mktemp("source") / "a clinic's [new] folder"
    folder.mkdir()
    installation = new_installation(folder.parent / "home")
    patients = [{"resourceType": "Patient", "id": name} for name in ("p", "q", "under_score")]
    put(folder, "Patient.ndjson", *patients)
    mine = [result("p", "same"), result("p", "changed"), result("p", None), result("p", "bad_id")]
    put(folder, "Observation.ndjson", *mine, result("under_score", "u"), result("nobody", "n"), mine[0])
    put(folder, "removed.ndjson", result("q", "removed"))
    put(folder, "Library.json", {"resourceType": "Library", "id": "l", "status": "active", "type": {}})
    (folder / "torn.json").write_text('{"resourceType": "Patient", "id": "t"')
    far = json.dumps({"resource": result("p", "far", 7)}).replace(": 7,", ": -1e400,")
    zero = json.dumps({"resource": result("p", "zero", 7)}).replace(": 7,", ": 07,")
    (folder / "page.json").write_text(f'{{"resourceType":"Bundle","type":"collection","entry":[{zero},{far}]}}')
    printed = []
    for _ in range(2):
        done = installation.run("nightly", "--source", str(folder))
        assert done.returncode == 0, done.stdout + done.stderr
        printed.append(done.stdout)
        (folder / "removed.ndjson").unlink(missing_ok=True)
        mine[1] = result("p", "changed", 2)
        put(folder, "Observation.ndjson", *mine, result("under_score", "u"), result("nobody", "n"), result("q", "new"))
    return installation, printed


def test_each_resource_is_somewhere(nights: Any) -> None:
    installation, (first, _) = nights
    found = accounts(first)
    assert found["Observation"] == dict(zip(COLUMNS, (9, 1, 8, 6, 1, 1, 0), strict=False))
    assert found["Patient"] == dict(zip(COLUMNS, (3, 0, 3, 3, 0, 0, 0), strict=False))
    assert found["Library"] == dict(zip(COLUMNS, (1, 0, 1, 0, 0, 1, 0), strict=False))
    assert "1 × the JSON is cut short: torn.json:1" in first
    assert "1 × a Bundle entry is no valid JSON: page.json:1 entry 1" in first
    assert "a clinic's [new] folder" in first
    assert "): partial in " in first
    assert installation.json("status")["status"] == "complete", "nothing that came later was bad"


def test_what_changed_in_the_folder_is_said_and_nothing_is_lost(nights: Any) -> None:
    installation, (first, second) = nights
    assert "since it was read last" not in first
    assert "The source since it was read last: 1 added, 1 changed, 1 removed, 10 unchanged." in second
    assert "stays in the vault and in the tables" in second
    assert accounts(second)["Observation"] == dict(zip(COLUMNS, (8, 0, 8, 6, 1, 1, 0, 1), strict=True))
    rows = installation.rows("select split_part(resource_key, '/', 3) as id, value_text from lab_results")
    assert {row["id"]: row["value_text"] for row in rows} == {
        "same": "1", "changed": "2", "removed": "1", "new": "1", "u": "1", "bad_id": "1", "far": "-1e400",
    }  # fmt: skip
