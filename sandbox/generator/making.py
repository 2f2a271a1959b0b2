"""The making of people: one after another, each a pure function of the seed and the person's number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from sandbox.generator import clinical, medications, observations, others
from sandbox.generator.broken import break_some, stubs
from sandbox.generator.people import CLINIC_PEOPLE, make_clinic, open_chart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.generator.chart import Chart
    from sandbox.generator.vocabulary import Json

BROKEN_SHARE: Final = 0.002
"""Of a person's resources, how many are broken in each of the ways of `broken.KINDS`."""


@dataclass(slots=True)
class Report:
    """What has been made: resources by type, broken ones by kind and type, stubs of what was entered in error."""

    people: int = 0
    types: Counter[str] = field(default_factory=Counter)
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)
    stubs: int = 0

    def listed(self) -> dict[str, Any]:
        """The report as JSON."""
        kinds: dict[str, dict[str, int]] = {}
        for (kind, name), number in sorted(self.broken.items()):
            kinds.setdefault(kind, {})[name] = number
        return {
            "people": self.people,
            "resources": self.types.total(),
            "types": dict(sorted(self.types.items())),
            "broken": kinds,
            "entered_in_error_stubs": self.stubs,
        }


def generate(
    people: int, seed: int, report: Report | None = None, *, broken_share: float = BROKEN_SHARE
) -> Iterator[list[Json]]:
    """The resources of so many people: first those of each clinic, then person by person.

    A person is the same whatever the number of people. `report`, where given, is filled while the lists are taken. A
    share of 0 makes no broken resources at all.
    """
    said = report if report is not None else Report()
    patients: list[str] = []
    for number in range(people):
        if number % CLINIC_PEOPLE == 0:
            clinic, resources = make_clinic(seed, number // CLINIC_PEOPLE)
            said.types.update(resource["resourceType"] for resource in resources)
            yield resources
        chart = open_chart(seed, number, clinic)
        _write(chart)
        if broken_share > 0:
            broken = Random(f"broken {seed} {number}")
            stranger = patients[-1] if patients else None
            said.broken.update(break_some(chart.resources, broken, broken_share, stranger))
        if chart.chance(0.25):
            left = stubs(chart.patient_id, chart.random)
            said.stubs += len(left)
            chart.resources += left
        patients = [chart.patient_id]
        said.people += 1
        said.types.update(resource["resourceType"] for resource in chart.resources)
        yield chart.resources


def _write(chart: Chart) -> None:
    """Everything of one person, in the order in which it would have come about."""
    seen = clinical.visits(chart)
    coverage = others.standing(chart, seen)
    clinical.problems(chart)
    clinical.allergies(chart)
    for number, visit in enumerate(seen):
        begun = len(chart.resources)
        if visit.kind != "VR":
            observations.vital_signs(chart, visit)
        if chart.chance(0.6) or visit.kind == "IMP":
            results, codes = observations.lab_results(chart, visit)
            others.lab_report(chart, visit, results, codes)
        if chart.chance(0.4):
            clinical.diagnoses(chart, visit)
        if chart.chance(0.35):
            clinical.procedures(chart, visit)
        if chart.chance(0.6):
            observations.social_history(chart, visit, number)
        others.note(chart, visit)
        others.money(chart, visit, coverage)
        if chart.chance(0.15):
            others.questionnaire(chart, visit)
        if chart.chance(0.5):
            made = chart.resources[begun:]
            others.provenance(chart, visit, [{"reference": f"{one['resourceType']}/{one['id']}"} for one in made])
    medications.medications(chart, seen)
    clinical.vaccines(chart, seen)
    observations.pregnancies(chart, seen)
