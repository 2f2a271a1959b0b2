"""One declaration, three readings: whatever a server writes, they say the same."""

from __future__ import annotations

import gzip
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from transforms.classification.declaration import declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Readings = Callable[[Sequence[Any], str], None]

SHARED = Path(__file__).parents[3] / "shared" / "data"
LOINC = "http://loinc.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def shared_resources() -> Iterator[dict[str, Any]]:
    """Every resource of the people and examples that are shared."""
    files = [*SHARED.glob("synthea-*/*.json.gz"), *SHARED.glob("us-core-examples/*.json"), *SHARED.glob("odd-*/*.json")]
    for file in sorted(files):
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        with suppress(json.JSONDecodeError):  # one of the odd records is no JSON
            told = json.loads(text)
            yield from (entry["resource"] for entry in told["entry"]) if told["resourceType"] == "Bundle" else [told]


@pytest.mark.shared_data
def test_all_shared_resources(sql_agrees: Readings, views_agree: Readings) -> None:
    # What is read of them differs in a few hundred ways; a text of each is as good as all.
    seen: dict[str, dict[str, Any]] = {}
    count = 0
    for each in shared_resources():
        count += each["resourceType"] == "Observation"
        seen.setdefault(json.dumps([each["resourceType"], each.get("code"), each.get("category")]), each)
    assert count > 48_000
    for route in ("direct", "phone"):
        sql_agrees(list(seen.values()), route)
    views_agree(list(seen.values()), "direct")


class Odd:
    """Observations as a seeded chance makes them: near what the rules read, and beside it."""

    def __init__(self, seed: int, *, fitting: bool) -> None:
        self.pick = random.Random(seed)  # noqa: S311 - a repeatable choice
        self.fitting = fitting
        known = declaration()
        self.loinc = [code for kind in known.kinds for code in sorted(kind.class_loinc)[::7]]
        self.loinc += [code for kind in known.kinds for code in sorted(kind.health_connect_loinc)] * 4
        self.words = [word for kind in known.kinds for word in sorted(kind.words)]
        self.coded = [code for coded in known.coded for codes in coded.kinds.values() for code in sorted(codes)]
        self.systems = [system for coded in known.coded for system in sorted(coded.systems)[:4]]

    def observation(self) -> dict[str, Any]:
        made: dict[str, Any] = {"resourceType": "Observation", "id": "o", "status": "final"}
        if self.pick.random() < 0.95:
            made["code"] = self.perhaps_odd({"coding": self.some(lambda: self.coding(code=True)), "text": "x"})
        if self.pick.random() < 0.8:
            made["category"] = self.some(self.concept)
        return made

    def concept(self) -> Any:
        made: dict[str, Any] = {}
        if self.pick.random() < 0.8:
            made["coding"] = self.some(lambda: self.coding(code=False))
        if self.pick.random() < 0.3:
            made["text"] = self.respelt(self.pick.choice([*self.words, "Panel", "a|b", ""]))
        return self.perhaps_odd(made)

    def coding(self, *, code: bool) -> Any:
        systems = [LOINC] * 4 + sorted(declaration().loinc_systems) if code else [CATEGORY] * 6 + self.systems
        systems += [CATEGORY + "/", "urn:other", "", "http://loinc.org/x"]
        codes = self.loinc if code else ["laboratory", "vital-signs", "social-history"] * 6 + self.words + self.coded
        made: dict[str, Any] = {"system": self.pick.choice(systems), "code": self.pick.choice(codes)}
        if self.pick.random() < 0.2:
            made["system"] = self.respelt(made["system"])
        if self.pick.random() < 0.2:
            made["code"] = self.respelt(self.pick.choice([*codes, "none-such", "8867-4|8480-6", "lab|labs", ""]))
        if self.pick.random() < 0.1:
            made["display"] = self.pick.choice(["Laboratory", "Heart rate", "Vital Signs", "SURVEY"])
        if self.pick.random() < 0.1:
            del made[self.pick.choice(["system", "code"])]
        if not self.fitting and self.pick.random() < 0.1:
            made[self.pick.choice(["system", "code", "display"])] = self.pick.choice(
                [None, 5, 108252007, True, 1.5, {"a": 1}, ["laboratory"]]
            )
        return self.perhaps_odd(made)

    def some(self, make: Callable[[], Any]) -> Any:
        many = [make() for _ in range(self.pick.choice([0, 1, 1, 1, 1, 2, 3]))]
        alone = not self.fitting and self.pick.random() < 0.15
        return many[0] if alone and many else many

    def perhaps_odd(self, value: Any) -> Any:
        if self.fitting or self.pick.random() > 0.06:
            return value
        return self.pick.choice([None, 7, "laboratory", "Vital Signs", [], [value], {}, True, {"coding": "x"}])

    def respelt(self, text: str) -> str:
        ways = (str.upper, str.title, lambda said: f" {said} ", lambda said: said.replace("-", " "))
        return self.pick.choice(ways)(text)


@pytest.mark.parametrize("route", ["phone", "direct"])
def test_odd_observations(sql_agrees: Readings, route: str) -> None:
    odd = Odd(11, fitting=False)
    sql_agrees([odd.observation() for _ in range(4000)], route)


def test_observations_that_fit_their_shape(sql_agrees: Readings, views_agree: Readings) -> None:
    odd = Odd(12, fitting=True)
    made = [odd.observation() for _ in range(3000)]
    sql_agrees(made, "direct")
    views_agree(made, "direct")


def test_rubbish(sql_agrees: Readings) -> None:
    rubbish = [None, 1, "x", [], {}, {"resourceType": None}, {"resourceType": 5}, {"resourceType": "observation"}]
    rubbish += [{"resourceType": name} for name in ("Observation", "Patient", "DiagnosticReport", "Nonsense", "")]
    for route in ("phone", "verified"):
        sql_agrees(rubbish, route)
