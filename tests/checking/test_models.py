"""The generated schemas, compared with the models of `fhir.resources`: two readings of the standard, made by strangers.

The models are R4B, which changed a few types; what it changed is declared here, and everything else must agree.
"""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from transforms.checking.schema import resource_schema
from transforms.fhir_r4 import r4

DROPPED_BY_R4B = {
    "EffectEvidenceSynthesis",
    "MedicinalProduct",
    "MedicinalProductAuthorization",
    "MedicinalProductContraindication",
    "MedicinalProductIndication",
    "MedicinalProductIngredient",
    "MedicinalProductInteraction",
    "MedicinalProductManufactured",
    "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect",
    "RiskEvidenceSynthesis",
    "SubstanceNucleicAcid",
    "SubstancePolymer",
    "SubstanceProtein",
    "SubstanceReferenceInformation",
    "SubstanceSourceMaterial",
    "SubstanceSpecification",
}
REWRITTEN_BY_R4B = {"Evidence", "EvidenceVariable"}
ADDED_BY_R4B = {"subjectCanonical", "_subjectCanonical"}
# Choices of any type: R4 permits a Meta, the models do not; R4B adds two types of its own.
NEW_TYPES = ("CodeableReference", "RatioRange")


def _model(name: str) -> Any:
    """The model of a resource, of a type, or of a backbone element (`Observation.component`)."""
    return get_fhir_model_class("".join(step[0].upper() + step[1:] for step in name.split(".")))


def _schemas() -> dict[str, dict[str, Any]]:
    """Every object of every resource type that both sides have, by the path of its definition."""
    schemas = {kind: resource_schema(kind) for kind in sorted(r4().resources - DROPPED_BY_R4B - REWRITTEN_BY_R4B)}
    return {
        name: definition
        for kind, schema in schemas.items()
        for name, definition in {kind: schema, **schema["$defs"]}.items()
        if "-" not in name  # a Reference to declared types is a Reference
    }


SCHEMAS = _schemas()


def _fields(name: str) -> dict[str, Any]:
    """The model's fields by JSON name. Its `_name` siblings in Extension and Narrative follow other rules than R4's."""
    fields = {(field.alias or key): field for key, field in _model(name).model_fields.items()}
    loose = {"fhir_comments", "resource_type", "resourceType", "_div", *ADDED_BY_R4B}
    return {key: field for key, field in fields.items() if key not in loose and not key.endswith(NEW_TYPES)}


def test_every_type_is_on_both_sides() -> None:
    for name in DROPPED_BY_R4B:
        with pytest.raises(ValueError, match="not a valid FHIR Model"):
            _model(name)
    assert len(SCHEMAS) > 500


def test_every_element_is_on_both_sides() -> None:
    differences = {}
    for name, schema in SCHEMAS.items():
        ours = {key for key in schema["properties"] if key != "resourceType" and not key.endswith("Meta")}
        theirs = {key for key in _fields(name) if not key.endswith("Meta")}
        if name == "Extension":
            ours = {key for key in ours if not key.startswith("_")}
        if ours != theirs:
            differences[name] = sorted(ours ^ theirs)
    assert differences == {}


def test_lists_are_lists_on_both_sides() -> None:
    for name, schema in SCHEMAS.items():
        for key, field in _fields(name).items():
            ours = schema["properties"].get(key, {})
            if ours:
                assert (ours.get("type") == "array") == ("List[" in str(field.annotation)), f"{name}.{key}"


def test_required_codes_hold_those_of_the_models() -> None:
    """The models shorten long lists with `+`, so ours may know more but never less."""
    compared = 0
    for name, schema in SCHEMAS.items():
        for key, field in _fields(name).items():
            ours = schema["properties"].get(key, {})
            codes = ours.get("enum") or ours.get("items", {}).get("enum")
            theirs = set((field.json_schema_extra or {}).get("enum_values", ())) - {"+"}
            if codes and theirs:
                compared += 1
                assert theirs <= set(codes), f"{name}.{key}"
    assert compared > 200


def test_required_elements_are_required_by_the_models() -> None:
    """What the models refuse to be without, the schemas ask for as well."""
    for name, schema in SCHEMAS.items():
        asked = set(schema.get("required", ()))
        for rule in schema.get("allOf", ()):
            asked |= {key for branch in rule["anyOf"] for key in branch.get("required", ())}
        needed = {key for key, field in _fields(name).items() if field.is_required()}
        assert needed <= asked, name
