"""What is known of a person, as it is kept on their shelf: rows of the ten tables, narrowed to what answers need.

A row is as the records have it. What is made of rows for an answer is `transforms.coach.telling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

# msgspec reads the annotations of these when they are decoded, so nothing here is imported for types alone.


class Code(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A coding. `system` is the address as the tables write it."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class Amount(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A number as sent; `canonical` is it in the one unit of its matter."""

    number: float | None = None
    text: str | None = None
    comparator: str | None = None
    unit: str | None = None
    unit_code: str | None = None
    canonical: float | None = None
    canonical_unit: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was sent."""
        return self.number is None and self.text is None


class Usual(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A reference range as sent."""

    low: Amount | None = None
    high: Amount | None = None
    text: str | None = None
    kind: str | None = None
    applies_to: str | None = None


class Step(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """When a step of a dosage begins and ends, as far as that was sent; `days` where a duration was."""

    begins: str | None = None
    ends: str | None = None
    ends_precision: str | None = None
    days: float | None = None


class Row(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A row of one of the ten tables. Moments are ISO 8601 in UTC, each the earliest that it can mean."""

    table: str
    row_key: str
    resource_key: str
    link_id: str
    provider: str
    route: str
    status: str | None = None
    code: str | None = None
    system: str | None = None
    display: str | None = None
    text: str | None = None
    codings: tuple[Code, ...] = ()
    start: str | None = None
    start_precision: str | None = None
    start_day: str | None = None
    start_offset: str | None = None
    end: str | None = None
    end_precision: str | None = None
    recorded: str | None = None
    updated: str | None = None
    entered_in_error: bool = False
    negated: bool = False
    encounter_key: str | None = None
    encounter_start: str | None = None
    remarks: tuple[str, ...] = ()
    # Observations
    component: int = 0
    panel: Code | None = None
    panel_text: str | None = None
    members: tuple[str, ...] = ()
    has_value: bool | None = None
    value_type: str | None = None
    value: Amount | None = None
    low: Amount | None = None
    high: Amount | None = None
    numerator: Amount | None = None
    denominator: Amount | None = None
    systolic: Amount | None = None
    diastolic: Amount | None = None
    concept: Code | None = None
    boolean: bool | None = None
    positive: bool | None = None
    date: str | None = None
    date_precision: str | None = None
    period: tuple[str | None, str | None] | None = None
    absent: str | None = None
    usual: tuple[Usual, ...] = ()
    interpretations: tuple[Code, ...] = ()
    notes: tuple[str, ...] = ()
    # Medications
    steps: tuple[Step, ...] = ()
    flags: tuple[str, ...] = ()
    details: dict[str, str] = {}
    # Duplicates
    group: str | None = None
    rank: int = 0

    @property
    def is_said(self) -> bool:
        """Whether it counts: it was not entered in error, and does not say that something is not so."""
        return not self.entered_in_error and not self.negated

    @property
    def is_served(self) -> bool:
        """Whether its provider shows it still."""
        return "no-longer-served" not in self.remarks


class PersonRecords(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything on a person's shelf. `seq` is up to which version of the vault their rows stand; none: no records."""

    seq: int = -1
    rows: tuple[Row, ...] = ()

    def of(self, *tables: str) -> Iterator[Row]:
        """The rows of some tables that were not entered in error."""
        return (row for row in self.rows if row.table in tables and not row.entered_in_error)
