"""One test a rule: what breaks it, where it is said to be broken, and that the rest of the house keeps its severity."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from transforms.bundles import references
from transforms.checking import Finding, Status
from transforms.checking.rules import MOST_FINDINGS, RULES

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
GONE = object()


def changed(resource: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with the value at `a.0.b` replaced, or removed."""
    copy = deepcopy(resource)
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    node: Any = copy
    for step in steps:
        node = node[step]
    if value is GONE:
        del node[last]
    else:
        node[last] = value
    return copy


def test_a_whole_resource_is_accepted_without_remarks(check: Callable[..., Any], observation: dict[str, Any]) -> None:
    raw = json.dumps(observation, indent=1).encode()
    verdict = check(raw)
    assert verdict.findings == ()
    assert verdict.status is Status.ACCEPTED
    assert (verdict.resource_type, verdict.resource_id) == ("Observation", "o-1")
    assert verdict.last_updated == "2026-01-02T03:04:05.678+01:00"
    assert verdict.content_hash == sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("raw", "rule", "path"),
    [
        (b"", "CH201", ""),
        (b'{"resourceType":"Observation","id":"a"', "CH201", "Observation"),
        (b'{"resourceType":"Observation","id":"a","value":NaN}', "CH201", "Observation"),
        (b'{"resourceType":"Observation","id":"\xff"}', "CH201", "Observation"),
        (b'{"resourceType":"Gadget","value":NaN}', "CH201", ""),
        (b"[" * 5000 + b"]" * 5000, "CH201", ""),
        (b"[1]", "CH202", ""),
        (b"null", "CH202", ""),
        (b"{}", "CH203", ""),
        (b'{"resourceType":["Observation"],"id":"a"}', "CH203", ""),
        (b'{"resourceType":"Obs","id":"a"}', "CH204", ""),
        (b'{"resourceType":"DomainResource","id":"a"}', "CH204", ""),
        (b'{"resourceType":"observation","id":"a"}', "CH204", ""),
        (b'{"resourceType":"Observation"}', "CH205", "Observation.id"),
        (b'{"resourceType":"Observation","id":""}', "CH205", "Observation.id"),
        (b'{"resourceType":"Observation","id":null}', "CH205", "Observation.id"),
        (b'{"resourceType":"Observation","id":7}', "CH206", "Observation.id"),
        (b'{"resourceType":"Observation","id":"a b"}', "CH206", "Observation.id"),
        (b'{"resourceType":"Observation","id":"a\\n"}', "CH206", "Observation.id"),
        (b'{"resourceType":"Observation","id":"a/b"}', "CH206", "Observation.id"),
        (b'{"resourceType":"Observation","id":"a","status":"final","status":"cancelled"}', "CH211", "Observation"),
        (b'{"resourceType":"Observation","id":"a","code":{"text":"a","text":"\\u0022:"}}', "CH211", "Observation"),
    ],
)
def test_what_nobody_could_use_is_quarantined(check: Callable[..., Any], raw: bytes, rule: str, path: str) -> None:
    verdict = check(raw)
    assert verdict.status is Status.QUARANTINED
    assert verdict.findings == (Finding(rule, path),)
    assert verdict.content_hash == sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        ("code", [{"text": "Glucose"}, {"text": "Lactate"}], "CH208 Observation.code"),
        ("code", 7, "CH208 Observation.code"),
        ("code", GONE, "CH209 Observation.code"),
        ("code", None, "CH209 Observation.code"),
        ("status", 1, "CH208 Observation.status"),
        ("status", {"code": "final"}, "CH208 Observation.status"),
        ("subject", {"reference": {"id": "p-1"}}, "CH208 Observation.subject"),
        ("subject", [{"reference": "Patient/p-1"}, {"reference": "Patient/p-2"}], "CH208 Observation.subject"),
        ("subject.reference", "Patient/p-2", "CH207 Observation.subject"),
    ],
)
def test_a_key_element_that_cannot_be_used_stops_it(
    check: Callable[..., Any], observation: dict[str, Any], path: str, value: object, finding: str
) -> None:
    verdict = check(changed(observation, path, value))
    assert verdict.status is Status.QUARANTINED
    assert str(verdict.findings[0]) == finding
    assert verdict.rules[0] == finding[:5]
    assert len([text for text in verdict.remarks if text.endswith(finding[6:])]) == 1, "one fault, one finding"


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        ("madeUp", 1, "CH220 Observation.*"),
        ("birthDate", "2000", "CH220 Observation.birthDate"),
        ("valueQuantity.value", "5.40", "CH221 Observation.valueQuantity.value"),
        ("component.0.valueInteger", 1.5, "CH221 Observation.component[0].valueInteger"),
        ("component.0.valueInteger", True, "CH221 Observation.component[0].valueInteger"),
        ("category.0", "laboratory", "CH221 Observation.category[0]"),
        ("code.text", ["Glucose"], "CH222 Observation.code.text"),
        ("code", [{"text": "Glucose"}], "CH222 Observation.code"),
        ("code", "Glucose", "CH221 Observation.code"),
        ("subject", "Patient/p-1", "CH221 Observation.subject"),
        ("subject", [{"reference": "Patient/p-1"}], "CH222 Observation.subject"),
        ("context", {"reference": "Encounter/1"}, "CH239 Observation.context"),
        ("category", {"text": "Lab"}, "CH223 Observation.category"),
        ("status", GONE, "CH224 Observation.status"),
        ("component.0.code", GONE, "CH224 Observation.component[0].code"),
        ("text.div", GONE, "CH224 Observation.text.div"),
        ("extension.0.url", GONE, "CH224 Observation.extension[0].url"),
        ("status", "finall", "CH225 Observation.status"),
        ("text.status", "Generated", "CH225 Observation.text.status"),
        ("effectiveDateTime", "2026-13", "CH226 Observation.effectiveDateTime"),
        ("effectiveDateTime", "2026-01-02T03:04:05", "CH226 Observation.effectiveDateTime"),
        ("effectiveDateTime", "0000", "CH226 Observation.effectiveDateTime"),
        ("meta.lastUpdated", "2026-01-02", "CH226 Observation.meta.lastUpdated"),
        ("meta.profile.0", "with space", "CH226 Observation.meta.profile[0]"),
        ("component.0.valueInteger", 2**31, "CH227 Observation.component[0].valueInteger"),
        ("valueString", "5.4", "CH228 Observation.value"),
        ("component.0.valueString", "5.4", "CH228 Observation.component[0].value"),
        ("extension.1.valueString", "b", None),
        ("extension.1.valueCode", "b", None),
        (
            "extension.1",
            {"id": "e", "url": "u", "valueCode": "b", "valueString": "b"},
            "CH228 Observation.extension[1].value",
        ),
        ("subject.reference", "Practitioner/p-1", "CH229 Observation.subject.reference"),
        ("encounter", {"reference": "https://x.example/fhir/Patient/1"}, "CH229 Observation.encounter.reference"),
        ("encounter", {"reference": "12345"}, "CH230 Observation.encounter.reference"),
        ("encounter", {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}, None),
        ("encounter", {"reference": "Encounter?identifier=a|b"}, None),
        ("encounter", {"reference": "Encounter/1"}, None),
        ("encounter", {"identifier": {"value": "1"}}, None),
        ("note", [], "CH231 Observation.note"),
        ("method", {}, "CH231 Observation.method"),
        ("code.text", "", "CH231 Observation.code.text"),
        ("issued", None, "CH232 Observation.issued"),
        ("category.0", None, "CH232 Observation.category[0]"),
        ("status", None, "CH232 Observation.status"),
        ("meta.profile.0", None, None),
        ("text.div", "Text", "CH233 Observation.text.div"),
        ("contained.0.resourceType", "Gadget", "CH234 Observation.contained[0]"),
        ("contained.0.resourceType", GONE, "CH224 Observation.contained[0].resourceType"),
        ("contained.0.status", "broken", "CH225 Observation.contained[0].status"),
        ("contained.0", 5, "CH221 Observation.contained[0]"),
        ("_issued.extension.0.valueCode", " ", "CH226 Observation._issued.extension[0].valueCode"),
        ("code.text", "bell\x07", "CH235 Observation"),
        ("code.text", "\\u0007 as a text", None),
        ("code.text", "line\nand\ttab", None),
    ],
)
def test_everything_else_is_accepted(
    check: Callable[..., Any], observation: dict[str, Any], path: str, value: object, finding: str | None
) -> None:
    verdict = check(changed(observation, path, value))
    assert (verdict.resource_type, verdict.resource_id) == ("Observation", "o-1")
    if finding is None:
        assert verdict.remarks == []
        assert verdict.status is Status.ACCEPTED
    else:
        assert finding in verdict.remarks
        assert verdict.status is Status.REMARKS


@pytest.mark.parametrize("name", ["o_1", "a" * 65, "a~b$c", "2.16.840.1.113883^77", "{0C31-51BD}", "é", "a:b=c"])
def test_an_id_as_servers_write_it_is_kept(check: Callable[..., Any], observation: dict[str, Any], name: str) -> None:
    verdict = check(observation | {"id": name, "encounter": {"reference": f"Encounter/{name}"}})
    assert (verdict.resource_id, verdict.remarks) == (name, ["CH238 Observation.id"])
    assert verdict.status is Status.REMARKS
    assert references(f'{{"reference":"Encounter/{name}"}}'.encode()) == {f"Encounter/{name}"}


@pytest.mark.parametrize("number", ["1E400", "-1e999", "9" * 400, "-" + "9" * 5000, "1" * 400 + ".5"])
def test_a_number_beyond_a_double_is_kept(check: Callable[..., Any], observation: dict[str, Any], number: str) -> None:
    raw = json.dumps(observation).replace("5.4", number).encode()
    assert check(raw).remarks == ["CH237 Observation.valueQuantity.value"]
    assert check(raw.replace(b'"Part"', b'"\\ud83d"')).rules == ["CH201"]
    integer = check(raw.replace(b'"valueInteger": 7', b'"valueInteger": ' + number.encode()))
    assert integer.status is Status.REMARKS
    assert "CH227 Observation.component[0].valueInteger" in integer.remarks
    long = json.dumps(observation).replace("5.4", "0." + "3" * 500).encode()
    assert check(long).remarks == []


def test_a_name_that_stands_twice_with_one_value_is_kept(
    check: Callable[..., Any], observation: dict[str, Any]
) -> None:
    raw = json.dumps(observation).replace('"unit":', '"unit" : "mmol/L", "unit":').encode()
    assert check(raw).remarks == ["CH236 Observation"]
    assert check(raw.replace(b'"mmol/L", ', b'"mmol/l", ')).rules == ["CH211"]
    assert check(json.dumps(observation | {"note": [{"text": '":' * 9}]}).replace('": ', '" :').encode()).remarks == []


def test_a_required_choice_is_missed_by_its_name(check: Callable[..., Any]) -> None:
    statement = {"resourceType": "MedicationRequest", "id": "m", "subject": {"reference": "Patient/p-1"}}
    verdict = check(statement)
    assert verdict.status is Status.QUARANTINED
    assert set(verdict.remarks) == {
        "CH209 MedicationRequest.medication",
        "CH224 MedicationRequest.status",
        "CH224 MedicationRequest.intent",
    }
    medication = {"reference": "Medication/x"}
    assert check(statement | {"medicationReference": medication, "status": "active", "intent": "order"}).remarks == []
    statement |= {"status": "active", "intent": "order"}
    stopped = check(statement | {"medicationReference": [medication, medication]})
    assert stopped.remarks == ["CH208 MedicationRequest.medicationReference"]
    assert check(statement | {"medicationReference": [medication]}).remarks == [
        "CH222 MedicationRequest.medicationReference"
    ]
    of_r5 = check(statement | {"medication": {"reference": medication}})
    assert of_r5.remarks == ["CH239 MedicationRequest.medication"]
    assert of_r5.status is Status.REMARKS


@pytest.mark.parametrize(
    "subject", ["Patient/p-2", [{"reference": "Patient/p-2"}], {"actor": {"reference": "Patient/p-2"}}]
)
def test_another_s_record_is_another_s_in_every_shape(
    check: Callable[..., Any], observation: dict[str, Any], subject: object
) -> None:
    assert check(observation | {"subject": subject}).rules[0] == "CH207"


@pytest.mark.parametrize(
    "stub",
    [
        {"resourceType": "Observation", "id": "o", "status": "entered-in-error"},
        {"resourceType": "MedicationRequest", "id": "o", "status": "entered-in-error"},
        {
            "resourceType": "Condition",
            "id": "o",
            "verificationStatus": {"coding": [{"system": "http://x", "code": "entered-in-error"}]},
        },
    ],
)
def test_a_stub_that_was_entered_in_error_is_accepted(check: Callable[..., Any], stub: dict[str, Any]) -> None:
    verdict = check(stub)
    assert verdict.status is Status.REMARKS
    assert set(verdict.rules) == {"CH243", "CH240"}


def test_findings_are_few_and_the_worst_come_first(check: Callable[..., Any], observation: dict[str, Any]) -> None:
    observation["component"] = [{"valueInteger": "x"}] * 500
    observation["code"] = 7
    verdict = check(observation)
    assert len(verdict.findings) == MOST_FINDINGS
    assert str(verdict.findings[0]) == "CH208 Observation.code"


def test_the_catalogue_is_documented() -> None:
    told = re.findall(r"^\| (CH2\d\d) \| (.+?) \| (remark|quarantine) \|", DOCS.read_text(), re.MULTILINE)
    assert told == [(rule.id, rule.title, rule.severity) for rule in RULES.values()]
    assert all(key == rule.id for key, rule in RULES.items())
