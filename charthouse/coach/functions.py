"""The functions, each declared once: REST, the command line and MCP are made from this.

To add one is to write it in `transforms/coach/`, and an entry here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from charthouse.errors import CoachError
from transforms.coach import explaining, immunizations, lists, results, searching, summary, trends, visits
from transforms.coach.facts import PersonRecords

LONGEST: Final = 200
"""Characters of what may be asked."""
_PLAIN: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\ue000-\uf8ff]*$"
_NAME: Final = re.compile(r"[a-z]+(-[a-z]+)*")

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST, pattern=_PLAIN),
    Field(description="A name as people say it, or a code: system|code, or the code alone."),
]
Since = Annotated[
    str | None,
    StringConstraints(pattern=r"^[0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?$"),
    Field(default=None, description="A year, month or day: nothing before it."),
]


class Asked(BaseModel):
    """What a function takes. What is not declared is refused, and no value is shown in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Nothing(Asked):
    """A function that takes nothing."""


class ByName(Asked):
    """One that looks for a name."""

    name: Name


class LabName(Asked):
    """One that looks for a result."""

    name: Annotated[Name, Field(examples=["a1c", "4548-4"])]


class TrendOf(Asked):
    """One that looks for results over time."""

    name: Annotated[Name, Field(examples=["cholesterol"])]
    since: Since = None


class VaccineName(Asked):
    """One that looks for a vaccination."""

    name: Annotated[Name, Field(examples=["flu shot", "141"])]


class SearchFor(Asked):
    """One that looks for a text."""

    text: Annotated[Name, Field(examples=["knee"])]


Run = Callable[[PersonRecords, Any, datetime], results.Result]


@dataclass(frozen=True)
class Function:
    """One function. `run` is pure: the records of one person, what was asked, and the moment at which it is asked."""

    name: str
    """As the command line and REST call it: words with hyphens."""
    title: str
    description: str
    asked: type[Asked]
    result: type[results.Result]
    run: Run

    @cached_property
    def tool(self) -> str:
        """As MCP calls it: words with underscores."""
        return self.name.replace("-", "_")

    @cached_property
    def free_text(self) -> tuple[str, ...]:
        """The parameters that hold people's own words: what a guard looks at."""
        return tuple(name for name in self.asked.model_fields if name in ("name", "text"))


FUNCTIONS: Final = (
    Function(
        "latest-result",
        "The newest result",
        "The newest laboratory result or vital sign that goes by a name or LOINC code, with its date, unit, reference"
        " range and sources.",
        LabName,
        results.LatestResult,
        lambda records, asked, now: trends.latest(records, asked.name, now),
    ),
    Function(
        "trend",
        "Results over time",
        "All results of one matter, oldest first and in one unit, what changed from first to last, and a chart.",
        TrendOf,
        results.Trend,
        lambda records, asked, now: trends.trend(records, asked.name, asked.since, now),
    ),
    Function(
        "last-immunization",
        "The last vaccination",
        "The last vaccination against what is named, by name, brand or CVX code; and those before.",
        VaccineName,
        results.LastImmunization,
        lambda records, asked, now: immunizations.last(records, asked.name, now),
    ),
    Function(
        "active-medications",
        "Medications listed as active",
        "Medications that some provider lists as to be taken now. It says what is recorded, not what should be taken.",
        Nothing,
        results.FactList,
        lambda records, _asked, now: lists.active_medications(records, now),
    ),
    Function(
        "conditions",
        "Conditions",
        "Problems and diagnoses on record that are not over; how many others there are.",
        Nothing,
        results.FactList,
        lambda records, _asked, _now: lists.conditions(records),
    ),
    Function(
        "allergies",
        "Allergies",
        "Allergies and intolerances on record, and statements that none are known.",
        Nothing,
        results.FactList,
        lambda records, _asked, _now: lists.allergies(records),
    ),
    Function(
        "summary",
        "A summary",
        "The records in the sections of the International Patient Summary, newest first, with counts of the rest.",
        Nothing,
        results.Summary,
        lambda records, _asked, now: summary.summary(records, now),
    ),
    Function(
        "visits",
        "Visits",
        "Visits that are to come, and the latest ones.",
        Nothing,
        results.Visits,
        lambda records, _asked, now: visits.upcoming_and_recent(records, now),
    ),
    Function(
        "search",
        "Search",
        "Entries of any category that say what is looked for: in names, texts, codes, values, notes, or by meaning.",
        SearchFor,
        results.SearchResult,
        lambda records, asked, _now: searching.search(records, asked.text),
    ),
    Function(
        "explain-term",
        "Explain a term",
        "What the records call it, its code, and the address at MedlinePlus Connect that explains that code.",
        ByName,
        results.Explanation,
        lambda records, asked, _now: explaining.explain(records, asked.name),
    ),
    Function(
        "doctor-list",
        "Things to save for your doctor",
        "What changed since the last visit, and the latest results that are outside their reference range as sent.",
        Nothing,
        results.DoctorList,
        lambda records, _asked, now: visits.doctor_list(records, now),
    ),
)


def function(name: str) -> Function:
    """A function by its name, with hyphens or underscores.

    Raises:
        CoachError: CH681 when there is none of that name.
    """
    plain = name.replace("_", "-")
    found = next((each for each in FUNCTIONS if each.name == plain), None)
    if found is None:
        raise CoachError("CH681", where=plain if _NAME.fullmatch(plain) and len(plain) < 40 else "")
    return found
