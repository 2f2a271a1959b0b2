"""What the tables read of resources in another shape than R4's: what a server sent, and what is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from transforms.checking import Status
from transforms.checking.mending import mended, needs_mending

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT: dict[str, Any] = {"text": "Glucose"}
LOCAL = {"system": "http://loinc.org", "code": "1-2"}
POINTER = {"reference": "Encounter/1"}


def of(kind: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": "x", **members}


def read(resource: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(mended(json.dumps(resource)))
    return {name: value for name, value in result.items() if name not in ("resourceType", "id")}


@pytest.mark.parametrize(
    ("sent", "means"),
    [
        # one value and lists
        (of("Observation", code=[TEXT]), {"code": TEXT}),
        (of("Observation", code={"coding": LOCAL}), {"code": {"coding": [LOCAL]}}),
        (of("Observation", category=TEXT), {"category": [TEXT]}),
        (of("Observation", category=[[TEXT], TEXT]), {"category": [TEXT, TEXT]}),
        (of("Observation", component={"code": [TEXT]}), {"component": [{"code": TEXT}]}),
        (of("Patient", name={"given": "A", "_given": {"id": "g"}}),
         {"name": [{"given": ["A"], "_given": [{"id": "g"}]}]}),
        (of("Observation", effectiveDateTime=["2020"]), {"effectiveDateTime": "2020"}),
        (of("Condition", contained={"resourceType": "Organization", "name": ["N"]}),
         {"contained": [{"resourceType": "Organization", "name": "N"}]}),
        (of("Observation", component=[{"referenceRange": {"low": {"value": "1"}}}]),
         {"component": [{"referenceRange": [{"low": {"value": 1}}]}]}),
        # types of JSON
        (of("Observation", valueQuantity={"value": "+01.50 "}), {"valueQuantity": {"value": 1.5}}),
        (of("Observation", valueQuantity=7), {"valueQuantity": {"value": 7}}),
        (of("Observation", valueInteger="7"), {"valueInteger": 7}),
        (of("Observation", valueBoolean="True"), {"valueBoolean": True}),
        (of("Observation", valueString=7), {"valueString": "7"}),
        (of("Observation", effectiveDateTime=2020), {"effectiveDateTime": "2020"}),
        (of("Observation", extension={"url": "u", "valueDecimal": "2"}),
         {"extension": [{"url": "u", "valueDecimal": 2}]}),
        # words and codings where an object belongs
        (of("Observation", code="Glucose"), {"code": TEXT}),
        (of("Observation", code=LOCAL), {"code": {"coding": [LOCAL]}}),
        (of("Observation", note="seen"), {"note": [{"text": "seen"}]}),
        (of("Observation", subject="Patient/1", encounter="Dr. A"),
         {"subject": {"reference": "Patient/1"}, "encounter": {"display": "Dr. A"}}),
        # STU3
        (of("Observation", context=POINTER, comment="seen"), {"encounter": POINTER, "note": [{"text": "seen"}]}),
        (of("Condition", assertedDate="2020", clinicalStatus="active"),
         {"recordedDate": "2020", "clinicalStatus": {"coding": [
             {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}}),
        (of("MedicationRequest", requester={"agent": POINTER, "onBehalfOf": {"display": "o"}}), {"requester": POINTER}),
        (of("MedicationRequest", dosageInstruction=[{"doseQuantity": {"value": "2"}, "text": "t"}]),
         {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 2}}], "text": "t"}]}),
        (of("Procedure", status="completed", notDone=True), {"status": "not-done"}),
        (of("Procedure", status="completed", notDone=False), {"status": "completed", "notDone": False}),
        (of("Immunization", status="completed", notGiven=True, date="2020",
            practitioner={"role": TEXT, "actor": POINTER}),
         {"status": "not-done", "occurrenceDateTime": "2020", "performer": [{"function": TEXT, "actor": POINTER}]}),
        (of("Immunization", vaccinationProtocol={"doseSequence": 1, "seriesDoses": 3}),
         {"protocolApplied": [{"doseNumberPositiveInt": 1, "seriesDosesPositiveInt": 3}]}),
        (of("DiagnosticReport", performer=[{"role": TEXT, "actor": POINTER}]), {"performer": [POINTER]}),
        (of("Encounter", reason=[TEXT]), {"reasonCode": [TEXT]}),
        # R5
        (of("Encounter", **{"class": [{"coding": [LOCAL], "text": "t"}]}), {"class": LOCAL}),
        (of("Encounter", participant=[{"actor": POINTER}], actualPeriod={"start": "2020"},
            admission={"origin": POINTER}),
         {"participant": [{"individual": POINTER}], "period": {"start": "2020"},
          "hospitalization": {"origin": POINTER}}),
        (of("Encounter", reason=[{"use": [TEXT], "value": [{"concept": TEXT}, {"reference": POINTER}]}]),
         {"reasonCode": [TEXT], "reasonReference": [POINTER]}),
        (of("Encounter", diagnosis=[{"condition": [{"reference": POINTER}], "use": [TEXT]}]),
         {"diagnosis": [{"condition": POINTER, "use": TEXT}]}),
        (of("MedicationRequest", medication={"concept": TEXT}), {"medicationCodeableConcept": TEXT}),
        (of("MedicationStatement", medication={"reference": POINTER}, encounter=POINTER),
         {"medicationReference": POINTER, "context": POINTER}),
        (of("MedicationRequest", dosageInstruction=[{"asNeeded": True, "asNeededFor": [TEXT]}]),
         {"dosageInstruction": [{"asNeeded": True, "asNeededCodeableConcept": TEXT}]}),
        (of("MedicationAdministration", occurenceDateTime="2020"), {"effectiveDateTime": "2020"}),
        (of("Procedure", occurrencePeriod={"start": "2020"}, reason={"concept": TEXT}),
         {"performedPeriod": {"start": "2020"}, "reasonCode": [TEXT]}),
        (of("AllergyIntolerance", type={"coding": [{"code": "allergy"}]},
            reaction=[{"manifestation": [{"concept": TEXT}]}],
            participant=[{"function": {"coding": [{"code": "author"}]}, "actor": POINTER}]),
         {"type": "allergy", "reaction": [{"manifestation": [TEXT]}], "recorder": POINTER}),
        (of("Condition", evidence=[{"concept": TEXT}]), {"evidence": [{"code": [TEXT]}]}),
        (of("Medication", doseForm=TEXT, ingredient=[{"item": {"concept": TEXT}, "strengthRatio": {}}]),
         {"form": TEXT, "ingredient": [{"itemCodeableConcept": TEXT, "strength": {}}]}),
        # what has several meanings stays
        *((one, {name: value for name, value in one.items() if name not in ("resourceType", "id")}) for one in (
            of("Observation", code=[TEXT, {"text": "Lactate"}]),
            of("Observation", valueQuantity={"value": "about 7"}, valueInteger="7.5", valueBoolean="Y"),
            of("Observation", valueQuantity={"value": "1,8"}, status={"code": "final"}, valuePeriod="2020"),
            of("Observation", encounter=POINTER, context={"reference": "Encounter/2"}),
            of("Procedure", madeUp=[1], performedDateTime="2020", occurrenceDateTime="2021"),
            of("Gadget", code=[TEXT]),
        )),
    ],
)  # fmt: skip
def test_what_can_only_mean_one_thing_is_read_so(sent: dict[str, Any], means: dict[str, Any]) -> None:
    assert read(sent) == means
    assert read(of(sent["resourceType"], **means)) == means, "what was mended once is whole"


@pytest.mark.parametrize("number", ["1.50", "140.0", "1E400", "9" * 500, "-0.0"])
def test_numbers_stay_as_sent(number: str) -> None:
    text = f'{{"resourceType":"Observation","code":[{{"text":"é"}}],"valueQuantity":{{"value":{number}}}}}'
    assert mended(text) == text.replace('[{"text":"é"}]', '{"text":"é"}')
    assert f'"valueString":"{number}"' in mended(f'{{"resourceType":"Observation","valueString":{number}}}')
    assert mended(f'{{"resourceType":"Observation","valueDecimal":{number}}}').endswith(f":{number}}}")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"resourceType":7}', "[" * 9000, '{"a":"\\ud83d"}'])
def test_what_cannot_be_read_stays(text: str) -> None:
    assert mended(text) == text


def test_what_is_to_be_mended_says_so_in_its_remarks(check: Callable[..., Any], observation: dict[str, Any]) -> None:
    assert not needs_mending(check(observation).remarks)
    assert mended(json.dumps(observation)) == json.dumps(observation)
    for change in ({"code": [TEXT]}, {"category": TEXT}, {"valueQuantity": {"value": "1"}}, {"context": POINTER}):
        verdict = check({name: value for name, value in observation.items() if name not in change} | change)
        assert verdict.status is Status.REMARKS
        assert needs_mending(verdict.remarks), change
        again = json.loads(mended(json.dumps(observation | change)))
        assert not {text[:5] for text in check(again).remarks} & {"CH220", "CH221", "CH222", "CH223", "CH239"}
