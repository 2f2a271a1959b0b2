"""The views in docs/views.md are views that work."""

from __future__ import annotations

import json
import re
from pathlib import Path

from transforms.sql_on_fhir import run_view

ROOT = Path(__file__).resolve().parents[2]


def test_the_examples_run() -> None:
    text = (ROOT / "docs" / "views.md").read_text()
    views = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    weight = {
        "resourceType": "Observation",
        "id": "w",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-05",
        "valueQuantity": {"value": 70.5, "code": "kg"},
        "component": [{"code": {"coding": [{"code": "a"}, {"code": "b"}]}}, {"code": {"text": "c"}}],
    }
    weights, components = (run_view(view, [weight]) for view in views)
    (row,) = weights.to_pylist()
    assert {**row, "weight": float(row["weight"])} == {
        "observation": "Observation/w",
        "patient": "Patient/p",
        "measured": "2024-05",
        "weight": 70.5,
        "unit": "kg",
    }
    assert sorted((row["part"], row["code"] or "") for row in components.to_pylist()) == [(0, "a"), (0, "b"), (1, "")]


def test_every_function_is_named_in_the_docs() -> None:
    from transforms.sql_on_fhir.functions import FUNCTIONS

    text = (ROOT / "docs" / "views.md").read_text()
    unnamed = {name for name in FUNCTIONS if f"{name}(" not in text} - {"as", "is", "hasValue"}
    assert not unnamed
