"""What the coach's functions answer: typed, the same for REST, the command line and MCP.

Everything that a provider wrote (names, texts, units, interpretations) stands in fields of its own and is data, never
an instruction. Moments keep their FHIR precision; values keep what was sent beside what it is in one unit.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Category = Literal[
    "allergies",
    "conditions",
    "lab_results",
    "medications",
    "pregnancy",
    "procedures",
    "social_history",
    "vaccines",
    "visits",
    "vitals",
]
Stage = Literal["final", "preliminary", "corrected", "cancelled", "unknown"]


class Shape(BaseModel):
    """An answer or a part of one. It never changes once made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Coding(Shape):
    """A code as the records have it; `system` is the address of its code system, where one was sent."""

    system: str | None = None
    code: str
    display: str | None = None


class Moment(Shape):
    """When: as exactly as it was sent, on the sender's own calendar and clock."""

    value: str = Field(description="2024, 2024-03, 2024-03-05, or a moment with its offset from UTC.")
    precision: Literal["year", "month", "day", "minute", "second"]


class Quantity(Shape):
    """A number as sent, and as it is in the one unit of its matter, where that is known."""

    number: float | None = None
    text: str | None = Field(default=None, description="The number as it was written.")
    comparator: str | None = Field(default=None, description="<, <=, >=, >: the number is a bound.")
    unit: str | None = Field(default=None, description="As the provider wrote it.")
    unit_code: str | None = None
    canonical: float | None = Field(default=None, description="The number in canonical_unit.")
    canonical_unit: str | None = Field(default=None, description="UCUM.")


class Value(Shape):
    """A result. `shown` is all of it in one line, as sent."""

    kind: Literal[
        "quantity", "range", "ratio", "pressure", "concept", "boolean", "text", "date", "period", "samples", "absent"
    ]
    shown: str
    quantity: Quantity | None = None
    low: Quantity | None = Field(default=None, description="Of a range.")
    high: Quantity | None = Field(default=None, description="Of a range.")
    numerator: Quantity | None = None
    denominator: Quantity | None = None
    systolic: Quantity | None = None
    diastolic: Quantity | None = None
    coding: Coding | None = None
    is_positive: bool | None = Field(default=None, description="Where words or codes say so.")


class ReferenceRange(Shape):
    """What is usual, as the laboratory sent it."""

    shown: str
    low: str | None = None
    high: str | None = None
    unit: str | None = None
    text: str | None = None
    applies_to: str | None = None


class Interpretation(Shape):
    """High, low, normal …: as the laboratory sent it."""

    code: str | None = None
    display: str | None = None


class Source(Shape):
    """A record that says so: at which provider, over which route, and by which keys it is found in the records."""

    provider: str
    route: str
    resource_key: str
    row_key: str
    link_id: str
    status: str | None = None
    is_served: bool = Field(default=True, description="Whether the provider still shows it.")


class Fact(Shape):
    """One entry of the records, duplicates folded: `sources` are all records of it, the best first."""

    category: Category
    name: str = Field(description="What the records call it.")
    text: str | None = Field(default=None, description="The sender's own wording.")
    codings: list[Coding] = []
    when: Moment | None = None
    until: Moment | None = None
    recorded: Moment | None = None
    status: str | None = None
    stage: Stage = "unknown"
    value: Value | None = None
    reference_ranges: list[ReferenceRange] = []
    interpretations: list[Interpretation] = []
    part_of: str | None = Field(default=None, description="The panel or report that it is a part of.")
    parts: list[Fact] = Field(default=[], description="Components and members, of a panel that was asked for.")
    details: dict[str, str] = Field(default={}, description="What else its category knows: dosage, lot, class …")
    remarks: list[str] = Field(default=[], description="What is odd about the record (docs/analysts.md).")
    sources: list[Source]


class LookedFor(Shape):
    """What a question was taken to mean."""

    asked: str = Field(description="The words of the question.")
    meant: list[str] = Field(default=[], description="What they are known to mean; empty: looked for as words alone.")
    codings: list[Coding] = Field(default=[], description="Codes that were looked for; a hundred at most.")
    words: list[str] = Field(default=[], description="Words that were looked for in names and texts.")
    categories: list[Category] = []
    spelled: str | None = Field(default=None, description="What was read in place of a misspelling.")


class Result(Shape):
    """What every answer says."""

    found: bool = Field(description="Whether the records have it.")
    looked_for: LookedFor | None = None


class LatestResult(Result):
    """The newest result of what was asked for; `also` are the newest of matters beside it.

    Of a panel that is not on record as a whole there is no `fact`: `also` are its parts.
    """

    fact: Fact | None = None
    also: list[Fact] = []
    earlier: int = Field(default=0, description="How many older results there are of `fact`.")
    undated: int = Field(default=0, description="Results without a date: they can be neither newest nor oldest.")


class Point(Shape):
    """A result of a trend."""

    when: Moment
    number: float
    comparator: str | None = None
    shown: str = Field(description="As sent.")
    stage: Stage = "unknown"
    row_key: str


class Change(Shape):
    """From the first to the last: a subtraction, and no judgement."""

    first: Point
    last: Point
    difference: float
    percent: float | None = None
    direction: Literal["up", "down", "same"]
    lowest: float
    highest: float


class Chart(Shape):
    """A small picture of a trend."""

    media_type: str = "image/svg+xml"
    data: str = Field(description="The picture, base64.")
    text: str = Field(description="What is in it, in words.")


class Trend(Result):
    """The results of one matter over time, oldest first, in one unit."""

    name: str | None = None
    unit: str | None = None
    points: list[Point] = []
    change: Change | None = None
    left_out: dict[str, int] = Field(default={}, description="Results that are no point, by why.")
    facts: list[Fact] = Field(default=[], description="The records of the first and the last point.")
    chart: Chart | None = None


class LastImmunization(Result):
    """The last vaccination against what was asked for."""

    fact: Fact | None = None
    doses: int = Field(default=0, description="Vaccinations of it that the records have, this one included.")
    earlier: list[Fact] = Field(default=[], description="Those before, newest first; ten at most.")
    undated: int = 0


class FactList(Result):
    """Entries of one category, newest first. `others` are entries that do not count as such now, by why."""

    facts: list[Fact] = []
    total: int = 0
    others: dict[str, int] = {}
    nothing_known: list[Fact] = Field(default=[], description="Statements that there is none, or none known.")


class Section(Shape):
    """A section of a summary, as the International Patient Summary names it."""

    title: str
    loinc: str
    total: int
    facts: list[Fact] = []
    more: int = Field(default=0, description="Entries that are not shown.")
    nothing_known: list[Fact] = []


class Summary(Result):
    """The records in sections, newest first."""

    sections: list[Section] = []
    counts: dict[str, int] = Field(default={}, description="Entries by category, duplicates once.")
    earliest: Moment | None = None
    latest: Moment | None = None


class Visits(Result):
    """Visits that are to come, soonest first, and those that were, latest first."""

    upcoming: list[Fact] = []
    recent: list[Fact] = []
    total: int = 0


class Match(Shape):
    """An entry that was found, and where what was looked for stands in it."""

    fact: Fact
    matched_in: Literal["code", "name", "text", "value", "note", "meaning"]


class SearchResult(Result):
    """Entries that say what was looked for: the closest first, then the newest."""

    matches: list[Match] = []
    total: int = 0
    by_category: dict[str, int] = {}


class Term(Shape):
    """A name in the records, its code, and where a public library explains it."""

    display: str
    coding: Coding | None = None
    categories: list[Category]
    entries: int
    latest: Moment | None = None
    medline_plus_url: str | None = Field(
        default=None, description="MedlinePlus Connect, for this code alone; nothing of the person is in it."
    )


class Explanation(Result):
    """Terms of the records that go by a name. Nothing is explained here: the address leads to who does."""

    terms: list[Term] = []


class DoctorList(Result):
    """What could be taken along to a doctor: facts since the last visit, and results outside their range as sent."""

    last_visit: Fact | None = None
    since: Moment | None = None
    new_results: list[Fact] = []
    outside_range: list[Fact] = []
    new_conditions: list[Fact] = []
    new_medications: list[Fact] = []
    ended_medications: list[Fact] = []
    new_allergies: list[Fact] = []
    new_vaccines: list[Fact] = []
    more: dict[str, int] = Field(default={}, description="Entries of each list that are not shown.")


class LinkFreshness(Shape):
    """How fresh what one link brings is."""

    link_id: str
    provider: str
    route: str
    status: str
    last_synced_at: str | None = None


class Freshness(Shape):
    """How fresh the records are of which an answer was made."""

    last_synced_at: str | None = Field(default=None, description="When a provider was last asked; ISO 8601, UTC.")
    has_records: bool = Field(description="Whether there is anything at all of the person.")
    links: list[LinkFreshness] = []
