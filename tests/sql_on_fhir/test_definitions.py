"""The table of R4: what is in it, and that its generator makes it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from schemas import make_fhir_r4
from transforms.fhir_r4 import r4

ROOT = Path(__file__).resolve().parents[2]


def test_elements() -> None:
    family = r4().element("HumanName", "family")
    assert family is not None
    assert (family.types, family.is_list, family.is_choice) == (("string",), False, False)
    value = r4().element("Observation", "component.value[x]")
    assert value is not None
    assert (value.name, value.is_choice, value.json_names["valueCodeableConcept"]) == ("value", True, "CodeableConcept")
    subject = r4().element("Observation", "subject")
    assert subject is not None
    assert subject.targets == ("Patient", "Group", "Device", "Location")
    status = r4().element("Observation", "status")
    assert status is not None
    assert "final" in (r4().required_codes(status) or ())


def test_children_follow_types_and_repetitions() -> None:
    assert "family" in r4().children("Patient", "contact.name")
    assert set(r4().children("QuestionnaireResponse", "item.answer.item")) == set(
        r4().children("QuestionnaireResponse", "item")
    )
    assert r4().children("Observation", "value[x]") == {}
    assert r4().is_a("Age", "Quantity")
    assert not r4().is_a("Quantity", "Age")
    assert len(r4().resources) == 146
    assert "patient" in r4().patient_search["Observation"]


@pytest.mark.shared_data
def test_the_table_is_what_its_generator_makes(tmp_path: Path) -> None:
    output = tmp_path / "table.json.gz"
    make_fhir_r4.main([str(ROOT.parent / "shared" / "facts" / "r4_definitions.json.gz"), str(output)])
    again = tmp_path / "again.json.gz"
    make_fhir_r4.main([str(make_fhir_r4.DEFINITIONS), str(again)])
    assert output.read_bytes() == again.read_bytes()
    with gzip.open(output) as made, gzip.open(ROOT / "schemas" / "fhir_r4.json.gz") as kept:
        assert json.load(made) == json.load(kept)
