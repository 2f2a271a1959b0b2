"""Broken resources of every shape: the check never raises, and nothing that it says repeats what was sent."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transforms.checking import Checker, Owner, Status
from transforms.checking.explain import explain
from transforms.checking.rules import MOST_FINDINGS, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "Zebulon"
OWNER = Owner(f"{CANARY}-1", f"https://{CANARY}.example/r4")
CHECKER = Checker()

# Every text that may differ from person to person is the canary.
WHOLE: list[dict[str, Any]] = [
    {
        "resourceType": "Patient",
        "id": f"{CANARY}-1",
        "meta": {"lastUpdated": "2026-01-02T03:04:05Z"},
        "text": {"status": "generated", "div": f"<div>{CANARY}</div>"},
        "name": [{"family": CANARY, "given": [CANARY, None], "_given": [None, {"id": CANARY}]}],
        "birthDate": "1979",
        "_birthDate": {"extension": [{"url": CANARY, "valueString": CANARY}]},
        "gender": "female",
        "address": [{"line": [CANARY], "use": "home"}],
    },
    {
        "resourceType": "Observation",
        "id": CANARY,
        "contained": [{"resourceType": "Patient", "id": CANARY, "name": [{"text": CANARY}]}],
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": CANARY}], "text": CANARY},
        "subject": {"reference": f"Patient/{CANARY}-1", "display": CANARY},
        "valueQuantity": {"value": 72.123456, "unit": CANARY},
        "component": [{"code": {"text": CANARY}, "valueString": CANARY}],
    },
    {
        "resourceType": "MedicationRequest",
        "id": CANARY,
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": CANARY},
        "subject": {"reference": f"https://{CANARY}.example/r4/Patient/{CANARY}-1"},
        "dosageInstruction": [{"text": CANARY, "timing": {"repeat": {"frequency": 2, "periodUnit": "d"}}}],
    },
]

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([CANARY, "", f"Patient/{CANARY}", f"{CANARY} {CANARY}", "entered-in-error", "\x07" + CANARY]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "reference", "coding", "resourceType", "extension", CANARY]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) at every depth."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    resource = deepcopy(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(resource))
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["junk", "wrap", "drop", "null", "add", "double"])):
            case "junk":
                container[key] = draw(junk)
            case "wrap":
                container[key] = [container[key]]
            case "drop":
                del container[key]
            case "null":
                container[key] = None
            case "add" if isinstance(container, dict):
                container[draw(st.sampled_from([CANARY, "_" + CANARY, "valueCode", "contained", "birthDate"]))] = draw(
                    junk
                )
            case _ if isinstance(container, list):
                container.append(container[key])
            case _:
                container[f"{key}{CANARY}"] = container[key]
    raw = json.dumps(resource).encode()
    cut = draw(st.none() | st.integers(0, len(raw)))
    return raw if cut is None or draw(st.booleans()) else raw[:cut] + draw(st.binary(max_size=3)) + raw[cut:]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(broken())
@example(b"")
@example(b'{"resourceType":"Observation","id":"a","contained":{"resourceType":1}}')
@example(b'{"resourceType":"Observation","id":"a","contained":[[],{"resourceType":{}}],"meta":"x"}')
@example(b'{"resourceType":"Observation","id":"a","status":"final","code":{"text":"x"},"meta":[],"contained":[]}')
def test_broken_resources_never_raise_and_never_leak(raw: bytes) -> None:
    verdict = CHECKER.check(raw, OWNER)
    said = json.dumps(verdict.remarks)
    assert CANARY not in said
    assert "72.12" not in said
    assert len(verdict.findings) <= MOST_FINDINGS
    assert len(set(verdict.findings)) == len(verdict.findings)
    severities = {RULES[finding.rule].severity for finding in verdict.findings}
    expected = Status.QUARANTINED if "quarantine" in severities else Status.REMARKS if severities else Status.ACCEPTED
    assert verdict.status is expected
    if verdict.status is not Status.QUARANTINED:
        assert verdict.resource_type
        assert verdict.resource_id


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(broken())
def test_explanations_never_raise_and_never_leak(raw: bytes) -> None:
    said = json.dumps(explain(raw))
    assert CANARY not in said
    assert "72.12" not in said


def test_the_whole_ones_are_whole() -> None:
    for resource in WHOLE:
        assert CHECKER.check(json.dumps(resource).encode(), OWNER).remarks == []
