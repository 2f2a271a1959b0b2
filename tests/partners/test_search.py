"""The plan of a link: what is asked of which server, and what is not."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from charthouse.partners.capability import Capability, parse_capability
from charthouse.partners.scopes import parse_scopes
from charthouse.partners.search import (
    CATEGORIES,
    LinkPlan,
    Query,
    TypePlan,
    compartment_types,
    plan_link,
    plan_reference_reads,
    plan_reference_searches,
)

BASE = "https://provider.example/fhir"
ALL = parse_scopes("")


def offer(*shared: str, **types: list[str] | dict[str, Any]) -> Capability:
    """A server that declares these types, each with its search parameters."""
    listed = []
    for name, said in types.items():
        entry = said if isinstance(said, dict) else {"searchParam": [{"name": param} for param in said]}
        listed.append({"type": name, "interaction": [{"code": "search-type"}, {"code": "read"}]} | entry)
    rest = [{"resource": listed, "searchParam": [{"name": name} for name in shared]}]
    return parse_capability(json.dumps({"resourceType": "CapabilityStatement", "rest": rest}).encode())


def plan(capability: Capability, granted: str = "", **watermarks: str) -> LinkPlan:
    return plan_link(capability, "pat-1", parse_scopes(granted), watermarks, 500)


def asked(query: Query | None) -> tuple[str, dict[str, list[str]]]:
    assert query is not None
    parts = urlsplit(query.url(BASE))
    return parts.path, parse_qs(parts.query)


def kinds(made: LinkPlan) -> dict[str, TypePlan]:
    return {entry.type: entry for entry in made.types}


def test_every_type_of_the_compartment_that_is_offered_is_asked_for() -> None:
    everything = offer(**{name: ["patient", "subject"] for name in compartment_types()}, Library=["composed-of"])
    made = plan(everything)
    types = [entry.type for entry in made.types]
    assert types[0] == "Patient"
    assert types[1:] == sorted(types[1:])
    known = {"Patient", "Observation", "Claim", "Provenance", "Device", "Coverage", "Media", "QuestionnaireResponse"}
    assert known <= set(types)
    assert made.not_requested["Library"] == "not_in_compartment"
    asked_for = set(types) | set(made.not_requested)
    assert asked_for == set(everything.types), "a type that is offered is asked for or has a reason"


def test_whose_a_resource_is() -> None:
    made = kinds(
        plan(
            offer(
                Patient=[],
                Observation=["patient", "subject"],
                Composition=["subject"],
                Coverage=["beneficiary", "policy-holder"],
                ResearchSubject=["individual"],
                Condition={},
            )
        )
    )
    assert made["Patient"].whole is not None
    assert made["Patient"].whole.url(BASE) == f"{BASE}/Patient/pat-1"
    assert asked(made["Observation"].whole)[1]["patient"] == ["pat-1"]
    assert asked(made["Composition"].whole)[1]["subject"] == ["Patient/pat-1"]
    assert asked(made["Coverage"].whole)[1]["beneficiary"] == ["Patient/pat-1"]
    assert asked(made["ResearchSubject"].whole)[1]["individual"] == ["Patient/pat-1"]
    assert asked(made["Condition"].whole)[1]["patient"] == ["pat-1"], "nothing declared is worth a try"


def test_what_cannot_be_asked_has_a_reason() -> None:
    read_only = {"interaction": [{"code": "read"}]}
    made = plan(
        offer(Patient={"interaction": [{"code": "create"}]}, Goal=read_only, Observation=["code"], Questionnaire=[]),
    )
    assert made.types == ()
    assert made.not_requested == {
        "Patient": "no_patient_search",
        "Goal": "no_patient_search",
        "Observation": "no_patient_search",
        "Questionnaire": "not_in_compartment",
    }
    found = kinds(plan(offer(Patient={"interaction": [{"code": "search-type"}]})))
    assert asked(found["Patient"].whole) == ("/fhir/Patient", {"_id": ["pat-1"], "_count": ["500"]})


def test_includes_and_page_size() -> None:
    said = {
        "searchParam": [{"name": "patient"}],
        "searchInclude": ["MedicationRequest:medication", "MedicationRequest:x"],
    }
    made = kinds(plan(offer(MedicationRequest=said, MedicationDispense=["patient"])))
    assert asked(made["MedicationRequest"].whole)[1] == {
        "patient": ["pat-1"],
        "_count": ["500"],
        "_include": ["MedicationRequest:medication"],
    }
    assert "_include" not in asked(made["MedicationDispense"].whole)[1]
    assert made["MedicationRequest"].whole is not None
    assert asked(made["MedicationRequest"].whole.plain())[1] == {"patient": ["pat-1"]}


def test_incremental_only_where_last_updated_is_declared() -> None:
    since = "2024-05-01T10:00:00.000+02:00"
    both = offer(Observation=["patient", "_lastUpdated", "category"], Immunization=["patient"])
    made = kinds(plan(both, Observation=since, Immunization=since))
    assert asked(made["Observation"].whole)[1]["_lastUpdated"] == [f"ge{since}"]
    assert "_lastUpdated" not in asked(made["Observation"].parts[0])[1], "a part has a watermark of its own"
    assert "_lastUpdated" not in asked(made["Immunization"].whole)[1]
    everywhere = kinds(plan(offer("_lastUpdated", Immunization=["patient"]), Immunization=since))
    assert asked(everywhere["Immunization"].whole)[1]["_lastUpdated"] == [f"ge{since}"]


def test_parts_for_servers_that_refuse_the_whole() -> None:
    made = kinds(
        plan(
            offer(
                Observation=["patient", "category", "code"],
                Condition=["patient", "category"],
                DiagnosticReport=["patient", "category"],
                DocumentReference=["patient"],
                MedicationRequest=["patient", "intent"],
                Immunization=["patient"],
            )
        )
    )
    labels = [part.label for part in made["Observation"].parts]
    assert labels[0] == "Observation?category=laboratory"
    assert labels[-1] == "Observation?code=pregnancy"
    assert len(labels) == len(CATEGORIES["Observation"]) + 1
    assert asked(made["Observation"].parts[-1])[1]["code"][0].split(",")[0] == "82810-3"
    assert {part.label for part in made["Condition"].parts} >= {"Condition?category=problem-list-item"}
    assert made["DocumentReference"].parts == ()
    assert "MedicationRequest?intent=order" in [part.label for part in made["MedicationRequest"].parts]
    assert made["Immunization"].parts == ()
    everything = [query for entry in made.values() for query in (entry.whole, *entry.parts)]
    assert not [query for query in everything if query is not None and "pat-1" in query.label + repr(query)]


def test_scopes_decide_what_is_asked() -> None:
    three = offer(Patient=[], Observation=["patient", "category"], Condition=["patient"], Practitioner=["_id"])
    made = plan(three, "openid launch/patient patient/Patient.read patient/Condition.rs")
    assert [entry.type for entry in made.types] == ["Patient", "Condition"]
    assert made.not_requested == {"Observation": "not_permitted", "Practitioner": "not_permitted"}
    for everything in ("", "openid fhirUser", "patient/*.read", "patient/*.rs", "user/*.cruds", "patient/*.*"):
        assert len(plan(three, everything).types) == 3, everything
    assert plan(three, "patient/Observation.write patient/Observation.cud").types == ()
    assert [entry.type for entry in plan(three, "patient/Observation.rs?code=x|y").types] == ["Observation"]
    narrow = plan(
        three,
        "patient/Observation.rs?category=http://terminology.hl7.org//CodeSystem-observation-category|social-history "
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
    )
    observation = kinds(narrow)["Observation"]
    assert observation.whole is None
    assert [part.label for part in observation.parts] == [
        "Observation?category=laboratory",
        "Observation?category=social-history",
    ]
    assert "Observation?category=vital-signs" in observation.withheld
    assert narrow.not_requested["Condition"] == "not_permitted"


def test_granted_categories_are_normalised() -> None:
    odd = parse_scopes(
        "patient/Observation.rs?category=http://terminology.hl7.org//CodeSystem-observation-category|social-history"
    )
    assert odd.access("Observation").categories == {
        "http://terminology.hl7.org/CodeSystem/observation-category|social-history"
    }
    both = parse_scopes("patient/Observation.rs?category=a|b patient/Observation.r patient/*.s")
    assert both.access("Observation").categories is None
    assert parse_scopes("patient/Observation.r").access("Observation").search is False


def test_references_are_asked_for_some_at_a_time() -> None:
    (odd,) = plan_reference_searches("Organization", {"a,b", "c\\d"}, 500)
    assert odd.params == (("_id", "a\\,b,c\\\\d"),)
    (odd,) = plan_reference_reads("Organization", {"a%b~c é"})
    assert odd.path == "Organization/a%25b~c%20%C3%A9"
    queries = list(plan_reference_searches("Organization", {f"id-{number:03d}" for number in range(120)}, 500))
    assert [len(asked(query)[1]["_id"][0].split(",")) for query in queries] == [50, 50, 20]
    assert {query.label for query in queries} == {"Organization?_id"}
