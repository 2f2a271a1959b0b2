"""The two layers of the SQL: a value that is used several times is written once, wherever that can be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from transforms.sql_on_fhir import NdjsonFiles, compile_view, run_view

if TYPE_CHECKING:
    from pathlib import Path

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "gender": "male",
    "name": [{"family": "lambda x1: x1", "given": ["[A]"]}, {"family": "error('no')\n  v.json", "given": ["B"]}],
    "generalPractitioner": [{"reference": "Organization/o"}, {"reference": "http://h/Practitioner/d/_history/1"}],
    "multipleBirthInteger": 2,
}


def view(*paths: str) -> dict[str, Any]:
    """One column a path, named c0, c1 and so on."""
    return {"resource": "Patient", "select": [{"column": [{"name": f"c{i}", "path": p} for i, p in enumerate(paths)]}]}


def test_a_path_is_written_once() -> None:
    text = compile_view(
        view("name.first().family", "generalPractitioner[1].getReferenceKey()"), NdjsonFiles(("f",), True)
    )
    assert text.count("r.name[1].family") == text.count("r.generalPractitioner[2].reference") == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name.where(family = 'lambda x1: x1').given.first()", "[A]"),
        (r"name.where(family = 'error(\'no\')\n  v.json').given.first()", "B"),
        ("name.where(given.first() = 'B').family.first()", "error('no')\n  v.json"),
        (
            "generalPractitioner.where(getReferenceKey(Practitioner).exists()).getReferenceKey().first()",
            "Practitioner/d",
        ),
        ("generalPractitioner.getReferenceKey(Practitioner).where($this.exists()).first()", "Practitioner/d"),
        ("gender & multipleBirth.ofType(integer).toString()", "male2"),
        ("iif(multipleBirth.ofType(integer) > 1, name.first().family, gender)", "lambda x1: x1"),
        ("multipleBirth.ofType(integer) + multipleBirth.ofType(integer)", "4"),
    ],
)
def test_values_come_through_both_readers(tmp_path: Path, path: str, value: str) -> None:
    file = tmp_path / "p.ndjson"
    file.write_text(json.dumps(PATIENT) + "\n")
    row = {"c0": value, "c1": value, "json": "male"}
    definition = view(path, path)
    definition["select"][0]["column"].append({"name": "json", "path": "gender"})
    for source in (file, [PATIENT], [PATIENT, {"resourceType": "Patient", "gender": {"a": 1}}]):
        first = run_view(definition, source).to_pylist()[0]
        assert {name: str(found) for name, found in first.items()} == row


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("-multipleBirth.ofType(integer)", -2),
        ("multipleBirth.ofType(integer) * 3 - 1", 5),
        ("multipleBirth.ofType(integer) div 2", 1),
        ("5 mod multipleBirth.ofType(integer)", 1),
        ("name[multipleBirth.ofType(integer) - 1].given.count()", 1),
    ],
)
def test_numbers_of_a_file_are_computed_with(tmp_path: Path, path: str, value: int) -> None:
    file = tmp_path / "p.ndjson"
    file.write_text(json.dumps(PATIENT) + "\n")
    (row,) = run_view(view(path), file).to_pylist()
    assert row == {"c0": value}
