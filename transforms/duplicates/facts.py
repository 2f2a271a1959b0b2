"""The facts of a row by which duplicates are told: one narrow SELECT for every table, and the row that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from transforms.duplicates.concepts import ITEM, PART, Concept, concept_of
from transforms.duplicates.names import NOTHING, Name, name_of
from transforms.duplicates.vocabulary import content
from transforms.tables.table import tables
from transforms.tables.text import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY: Final = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How one table is compared: an entry of `schemas/duplicates/rules.json`."""

    table: str
    family: str
    time: str
    best: tuple[str, ...]
    about: str
    sql: Mapping[str, str]
    """Fact → SQL over the table's columns, of those that the table declares."""


@cache
def all_keys() -> tuple[Keys, ...]:
    """Every table's, by name."""
    return tuple(_keys(table, entry) for table, entry in sorted(content("rules")["tables"].items()))


def _keys(table: str, entry: Mapping[str, Any]) -> Keys:
    filled = [f"({name} IS NOT NULL)::INT" for name in entry["filled"]]
    filled += [f"(len({name}) > 0)::INT" for name in entry.get("lists", ())]
    sql = {
        name: entry[name] for name in ("kind", "side", "own", "dose", "who", "reason", "lot", "class") if name in entry
    }
    return Keys(
        table=table,
        family=entry["family"],
        time=entry["time"],
        best=tuple(entry["best"]),
        about=entry["is"],
        sql={**sql, "filled": f"({' + '.join(f'coalesce({each}, 0)' for each in filled)})"},
    )


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row's facts. Moments are microseconds since 1970, days are days since then on the sender's own calendar."""

    person_key: str
    link_id: str
    row_key: str
    provider: str | None
    route: str | None
    record: str
    """Type, id and component: what the same record is called wherever it is served."""
    concept: Concept
    repeat: int
    start: int | None
    precision: str | None
    day: int | None
    own_hour: int | None
    """The hour on the sender's own clock."""
    end: int | None
    recorded: int | None
    status: str
    negated: bool
    served: bool
    own: bool
    filled: int
    updated: int
    kind: str | None
    visit_class: str | None
    side: Name
    dose: str | None
    who: str | None
    reason: str | None
    lot: str | None
    value: float | None
    value_text: str | None
    unit: str | None
    comparator: str | None
    says: str | None
    """A value that is no number, as codes or dates."""
    said: Name
    """The same in words."""
    positive: bool | None
    pressures: tuple[float | None, float | None]


WHO: Final = "|"
"""What parts those who took part, and the place, in `who`."""
_SAYS: Final = (
    "value_system || '|' || value_code",
    "value_boolean::VARCHAR",
    "value_date::VARCHAR",
    "value_low_text",
    "value_high_text",
    "value_numerator_text",
    "value_denominator_text",
    "epoch_us(value_start)::VARCHAR",
)


def facts_sql(keys: Keys, relation: str) -> str:
    """The facts of the rows that may have a duplicate, by person and key: those of people with several links, repeats.

    What was entered in error has none: it never was so.
    """
    columns = {column.name for each in tables() if each.name == keys.table for column in each.columns}

    def own(fact: str, default: str = "NULL") -> str:
        return keys.sql.get(fact, default)

    def there(column: str) -> str:
        return column if column in columns else "NULL"

    measured = "value_canonical" in columns
    coding = f" || {literal(PART)} || ".join(f"coalesce(c.{part}, '')" for part in ("system", "code", "display"))
    number = "component_number" if "component_number" in columns else "0"
    fallback = "encounter_start" if keys.time == "event" and "encounter_start" in columns else "recorded_at"
    start = f"coalesce(effective_start, {fallback})"
    facts = {
        "person_key": "person_key",
        "link_id": "link_id",
        "row_key": "row_key",
        "provider": "provider",
        "route": "route",
        "record": f"substr(resource_key, strlen(link_id) + 2) || '#' || {number}",
        "codings": f"array_to_string(list_transform(codings, lambda c: {coding}), {literal(ITEM)})",
        "text": "text",
        "repeat": f"hash({', '.join(_repeat(keys, measured=measured))})",
        "start": f"epoch_us({start})",
        "precision": "CASE WHEN effective_start IS NULL THEN 'day' ELSE effective_start_precision END",
        "day": f"coalesce(effective_start_day, ({start} AT TIME ZONE 'UTC')::DATE) - DATE '1970-01-01'",
        "own_hour": "hour(effective_start AT TIME ZONE 'UTC'"
        " + coalesce(try_cast(effective_start_offset[:3] AS INT), 0) * INTERVAL 1 HOUR)",
        "end": "epoch_us(effective_end)",
        "recorded": "epoch_us(recorded_at)" if keys.time == "span" else "NULL",
        "status": "lower(coalesce(status, ''))",
        "negated": "coalesce(is_negated, false)",
        "served": "NOT coalesce(list_contains(remarks, 'no-longer-served'), false)",
        "own": f"coalesce({own('own')}, true)",
        "filled": own("filled"),
        "updated": "coalesce(epoch_us(last_updated), epoch_us(recorded_at), 0)",
        "kind": own("kind"),
        "visit_class": own("class"),
        "side": own("side"),
        "dose": own("dose"),
        "who": own("who"),
        "reason": own("reason"),
        "lot": own("lot"),
        "value": there("value"),
        "value_text": there("value_text"),
        "unit": "coalesce(value_unit_code, value_unit)" if measured else "NULL",
        "comparator": there("value_comparator"),
        "says": f"nullif(concat_ws('/', {', '.join(_SAYS)}), '')" if measured else "NULL",
        "said": "coalesce(value_display, CASE WHEN value IS NULL THEN value_text END)" if measured else "NULL",
        "positive": there("is_positive"),
        "systolic": "coalesce(systolic_canonical, systolic)" if "systolic" in columns else "NULL",
        "diastolic": "coalesce(diastolic_canonical, diastolic)" if "diastolic" in columns else "NULL",
    }
    counted = "NOT coalesce(is_entered_in_error, false)"
    several = f"SELECT person_key FROM {relation} GROUP BY ALL HAVING min(link_id) <> max(link_id)"
    repeated = f"SELECT link_id, {facts['repeat']} FROM {relation} WHERE {counted} GROUP BY ALL HAVING count(*) > 1"
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in facts.items())
    return (
        f"SELECT {listed}\nFROM {relation}\nWHERE {counted} AND"
        f" (person_key IN ({several}) OR (link_id, {facts['repeat']}) IN ({repeated}))\nORDER BY person_key, row_key"
    )


def _repeat(keys: Keys, *, measured: bool) -> tuple[str, ...]:
    """What is the same in rows of one link that may repeat one another."""
    if keys.family == "vaccine":
        return ("effective_start_day", "is_negated")
    what = ("code", "code_system", "coalesce(code, text)")
    if keys.time == "none":
        return what
    if measured:
        return (*what, "component_number", "effective_start", "value", "value_text", "value_code", "value_boolean")
    return (*what, "effective_start", "effective_end")


def row_of(keys: Keys, found: tuple[Any, ...]) -> Row:
    """A row of `facts_sql`, read."""
    person, link, key, provider, route, record, codings, text, repeat, *others = found
    start, precision, day, own_hour, end, recorded, status, negated, served, own, filled, updated, *rest = others
    kind, visit_class, side, dose, who, reason, lot, value, value_text, unit, comparator, *last = rest
    says, said, positive, systolic, diastolic = last
    return Row(
        person, link, key, provider, route, record, concept_of(codings or "", text, keys.family), repeat, start,
        precision, day, own_hour, end, recorded, status, negated, served, own, filled, updated, kind, visit_class,
        name_of(side) if side else NOTHING, dose, who, reason, lot, value, value_text, unit, comparator,
        says, name_of(said) if said else NOTHING, positive, (systolic, diastolic),
    )  # fmt: skip
