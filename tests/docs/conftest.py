"""A home with published people, and one made by hand of whom two providers say different things, stocked once."""

from __future__ import annotations

import gzip
import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.lake.analyst import analyst, statements
from charthouse.linking import links, providers
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.engine import engine
from charthouse.sync.rebuild import rebuild
from tests.conftest import SHARED_DATA
from tests.privacy import stocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

Json = dict[str, Any]
PEOPLE = ("synthea-us-core/Collene784*", "synthea-us-core/Darron84*", "synthea-r4/person-08*", "synthea-r4/person-14*")
LABORATORY = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
VITAL = LABORATORY | {"code": "vital-signs"}
LOINC, CVX = "http://loinc.org", "http://hl7.org/fhir/sid/cvx"
NOW = datetime.now(UTC)


@dataclass
class Analysts:
    """A home to ask, and what its people's providers sent: (person, provider, resource)."""

    home: Path
    sent: list[tuple[str, str, Json]] = field(default_factory=list)
    two: str = ""
    """The person with two providers."""
    connection: duckdb.DuckDBPyConnection | None = None

    def ask(self, query: str) -> list[Json]:
        """The rows of a query, as an analyst's connection gives them."""
        assert self.connection is not None
        return [row for statement in statements(query) for row in rows_of(self.connection.sql(statement))]


def rows_of(relation: duckdb.DuckDBPyRelation) -> list[Json]:
    """The rows of a result, by column."""
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


@pytest.fixture(scope="session")
def stocked_home(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analysts]:
    """The home, made once."""
    folder = tmp_path_factory.mktemp("analysts")
    shutil.copytree(prepared_home, folder / "home")
    made = Analysts(folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARTHOUSE_HOME", str(made.home))
        get_settings.cache_clear()
        for number, pattern in enumerate(PEOPLE if SHARED_DATA.is_dir() else ()):
            (file,) = SHARED_DATA.glob(pattern)
            entries = json.loads(gzip.decompress(file.read_bytes()))["entry"]
            stock(made, folder, f"clinic-{number}", [entry["resource"] for entry in entries])
        made.two = stock(made, folder, "north", records())
        stock(made, folder, "south", other_records(), person=made.two)
        rebuild()
        engine().dispose()
        asked = ExitStack()
        made.connection = asked.enter_context(analyst())
    get_settings.cache_clear()
    with asked:
        yield made


@pytest.fixture
def analysts(stocked_home: Analysts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Analysts]:
    """The home, as that of this process."""
    monkeypatch.setenv("CHARTHOUSE_HOME", str(stocked_home.home))
    get_settings.cache_clear()
    yield stocked_home
    get_settings.cache_clear()


def stock(made: Analysts, folder: Path, provider: str, resources: list[Json], person: str = "") -> str:
    """Put resources into the vault, by a new link of a person. Returns the person."""
    if person:
        with session() as state:
            address = "http://127.0.0.1:9/fhir"
            providers.register_provider(state, slug=provider, name=f"{provider.title()} Clinic", fhir_base_url=address)
            who, link = person, links.start_link(state, person, provider, "direct", patient_id="p").id
    else:
        who, link = stocked.new_person(provider)
    stocked.store(folder / provider, who, link, [json.dumps(each) for each in resources])
    made.sent += [(who, provider, each) for each in resources]
    return who


def ago(days: int) -> str:
    """A day before today."""
    return (NOW - timedelta(days=days)).strftime("%Y-%m-%d")


def measured(name: str, code: str, value: Any, unit: str, when: str, category: Json = LABORATORY, **more: Any) -> Json:
    """A number that was measured."""
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [{"coding": [category]}],
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "effectiveDateTime": when,
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    } | more


def records() -> list[Json]:
    """What the first provider has: in conventional units, a shot of today, a wrong entry."""
    return [
        {"resourceType": "Patient", "id": "p", "birthDate": "1960-02-03", "gender": "female"},
        measured("a1", "4548-4", 7.1, "%", f"{ago(300)}T08:00:00Z"),
        measured("a2", "4548-4", 9.9, "%", f"{ago(1)}T08:00:00Z", status="entered-in-error"),
        measured("s", "8480-6", 141, "mm[Hg]", f"{ago(20)}T08:00:00Z", VITAL),
        measured("d", "8462-4", 91, "mm[Hg]", f"{ago(20)}T08:00:00Z", VITAL),
        measured("c1", "2093-3", 200, "mg/dL", f"{ago(40)}T08:00:00Z"),
        measured("c2", "2571-8", 150, "mg/dL", f"{ago(40)}T08:00:00Z"),
        {
            "resourceType": "Immunization",
            "id": "flu",
            "status": "completed",
            "vaccineCode": {"coding": [{"system": CVX, "code": "150"}]},
            "occurrenceDateTime": ago(0),
        },
        {
            "resourceType": "Immunization",
            "id": "refused",
            "status": "not-done",
            "vaccineCode": {"coding": [{"system": CVX, "code": "140"}]},
            "occurrenceDateTime": ago(0),
        },
        drug("m1", text="Lipitor (atorvastatin) 20 mg"),
        drug("m2", text="Aspirin", status="stopped"),
        drug("m3", text="Penicillin", doNotPerform=True),
        condition("k1", "Asthma", "2021-05-06"),
        condition("k2", "Gout", "2019"),
        {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "description": {"text": "Walk"}},
    ]


def other_records() -> list[Json]:
    """What the second has of the same person: other units, another birth year and sex, the same shot once more."""
    return [
        {"resourceType": "Patient", "id": "p", "birthDate": "1961-02-03", "gender": "male"},
        measured("a1", "59261-8", 53, "mmol/mol", f"{ago(100)}T08:00:00Z"),
        measured("c1", "14647-2", 5.0, "mmol/L", f"{ago(41)}T08:00:00Z"),
        measured("c2", "14927-8", 1.5, "mmol/L", f"{ago(41)}T08:00:00Z"),
        {
            "resourceType": "Immunization",
            "id": "flu",
            "status": "completed",
            "vaccineCode": {"coding": [{"system": CVX, "code": "88"}]},
            "occurrenceDateTime": ago(0),
        },
        drug("m1", text="lipitor (atorvastatin) 20 mg"),
        condition("k1", "asthma", "2022-07-08"),
        condition("k3", "Migraine", "2022-07-09", verificationStatus={"coding": [{"code": "refuted"}]}),
    ]


def drug(name: str, *, text: str, **more: Any) -> Json:
    """An order of a drug that has no code of a standard."""
    order = {"status": "active", "intent": "order", "authoredOn": "2024-01-02"}
    said = {"resourceType": "MedicationRequest", "id": name, "medicationCodeableConcept": {"text": text}}
    return said | order | {"dosageInstruction": [{"text": "one at night"}]} | more


def condition(name: str, text: str, onset: str, **more: Any) -> Json:
    """A diagnosis in words."""
    return {"resourceType": "Condition", "id": name, "code": {"text": text}, "onsetDateTime": onset} | more
